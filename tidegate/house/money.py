"""What is charged and what is limited: from settings, and from what the admin API has set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tidegate.config.alias import Price as PriceSettings
from tidegate.config.model import Config
from tidegate.config.provider import Provider, Upstream
from tidegate.guard.access import Access, PriceEntry
from tidegate.house.vendors import addresses
from tidegate.ledger.price import Price
from tidegate.ledger.prices import Local, Place, Prices, set_price
from tidegate.limits import Rule


def prices_of(config: Config, entries: Iterable[PriceEntry] = ()) -> Prices:
    """The prices of every provider in `config`."""
    places = {name: Place(each.kind, _urls(each)) for name, each in config.providers.items()}
    prices = Prices(places, (*_configured(config), *map(_entered, entries)))
    for alias in config.models.values():  # looked up once, before anybody waits for it
        for target in alias.targets:
            prices.of(target.provider, target.model, 0)
    return prices


def rules_of(config: Config, access: Access) -> tuple[Rule, ...]:
    """Every limit in force; the configuration's go before those of the admin API."""
    ours = config.rules
    taken = {(rule.kind, rule.name) for rule in ours}
    return (*ours, *(rule for rule in access.rules if (rule.kind, rule.name) not in taken))


def _urls(provider: Provider) -> tuple[str, ...]:
    if not isinstance(provider, Upstream):
        return ()
    return tuple(address.url for address in addresses(provider))


def _configured(config: Config) -> Iterator[Local]:
    seen: set[tuple[str, str, int]] = set()
    for alias in config.models.values():
        for target in alias.targets:
            for settings in target.price:
                place = (target.provider, target.model, settings.since or 0)
                if place not in seen:
                    seen.add(place)
                    yield set_price(
                        target.provider, target.model, _price(settings), settings.since or 0
                    )


def _price(settings: PriceSettings) -> Price:
    return Price(
        input_nanousd=settings.input,
        output_nanousd=settings.output,
        cached_input_nanousd=settings.cached_input,
        cache_write_nanousd=settings.cache_write,
        reasoning_nanousd=settings.reasoning,
        audio_input_nanousd=settings.audio_input,
        audio_output_nanousd=settings.audio_output,
    )


def _entered(entry: PriceEntry) -> Local:
    price = Price(
        input_nanousd=entry.input_nanousd,
        output_nanousd=entry.output_nanousd,
        cached_input_nanousd=entry.cached_input_nanousd,
        cache_write_nanousd=entry.cache_write_nanousd,
        reasoning_nanousd=entry.reasoning_nanousd,
    )
    return set_price(entry.provider, entry.model, price, entry.from_ns, admin=True)
