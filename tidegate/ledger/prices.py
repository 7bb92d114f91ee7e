"""Which price holds for which model of which provider, and from when on.

What the operator has set goes before what vendors list: a model by its name before a pattern, then
what holds since last, then what was set through the admin API. Before the first of them begins, the
vendor's list holds. Servers of one's own are free unless something else is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from tidegate.ledger.catalogue import Catalogue, bundled
from tidegate.ledger.listed import Schedule
from tidegate.ledger.price import Price
from tidegate.types import wildcard

FREE: Final = Price(0, 0, label="free")
"""What runs on the operator's own machines costs nothing per token unless a price is set."""

OWN: Final = frozenset(
    {"local", "simulated", "vllm", "sglang", "tgi", "ollama", "llamacpp", "lmstudio"}
)
"""The kinds that one runs oneself."""

MOST_PAIRS: Final = 10_000
"""How many are kept resolved: callers name models where targets have a `*`."""

MOST_CHARACTERS: Final = 512
"""Longer names are no model's: they are neither looked for nor kept."""

_FREE: Final = Schedule((0,), (((0, FREE),),))
_UNKNOWN: Final = Schedule((0,), (((0, None),),))
_DAY_NS: Final = 24 * 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configured provider is: its kind, and the addresses that it is reached at, if any."""

    kind: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Local:
    """A price that the operator has set for `model`, in which `*` is anything, from a time on."""

    provider: str
    model: str
    price: Price
    from_ns: int = 0
    admin: bool = False
    """Whether it was set through the admin API."""


def set_price(
    provider: str, model: str, price: Price, from_ns: int = 0, *, admin: bool = False
) -> Local:
    """A price that the operator has set, labelled for the record."""
    source = "admin" if admin else "configured"
    label = f"{source} {_said(from_ns)}" if from_ns else source
    return Local(provider, model, replace(price, label=label), from_ns, admin)


def _said(unix_ns: int) -> str:
    moment = datetime.fromtimestamp(unix_ns // 10**9, UTC)
    return f"{moment:%Y-%m-%d}" if unix_ns % _DAY_NS == 0 else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is known of one model: what was set, what counts most first, and what is listed."""

    local: tuple[Local, ...]
    listed: Schedule

    def at(self, unix_ns: int) -> Price | None:
        for each in self.local:
            if each.from_ns <= unix_ns:
                return each.price
        return self.listed.at(unix_ns)


class Prices:
    """The prices of one configuration and one version of the access document.

    `places` are the providers by their configured names. The vendors' list is read when the first
    price is looked for in it.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        local: Iterable[Local] = (),
        catalogue: Catalogue | None = None,
    ) -> None:
        self._places = places
        self._local: dict[str, list[Local]] = {}
        for each in sorted(local, key=_weight, reverse=True):
            self._local.setdefault(each.provider, []).append(each)
        self._catalogue = catalogue
        self._vendors: dict[str, str | None] = {}
        self._known: dict[tuple[str, str], _Known] = {}

    @property
    def kept(self) -> int:
        """How many pairs are kept resolved."""
        return len(self._known)

    def of(self, provider: str, model: str, unix_ns: int) -> Price | None:
        """The price in force at `unix_ns`; None if it is not known.

        `model` is the provider's own name of it. Quick once the pair has been asked for.
        """
        known = self._known.get((provider, model)) or self._look_up(provider, model)
        return known.at(unix_ns)

    def context_tokens(self, provider: str, model: str) -> int | None:
        """How much input `model` takes at most, if the vendors' list knows it."""
        known = self._known.get((provider, model)) or self._look_up(provider, model)
        return known.listed.context_tokens

    def _look_up(self, provider: str, model: str) -> _Known:
        local = tuple(
            each
            for each in self._local.get(provider, ())
            if each.model == model or wildcard(each.model, model) is not None
        )
        known = _Known(local, self._listed(provider, model))
        if len(model) > MOST_CHARACTERS:
            return known
        if len(self._known) >= MOST_PAIRS:
            del self._known[next(iter(self._known))]
        self._known[provider, model] = known
        return known

    def _listed(self, provider: str, model: str) -> Schedule:
        place = self._places.get(provider)
        if place is None:
            return _UNKNOWN
        own = place.kind in OWN
        if own and not any(url.startswith("https:") for url in place.urls):
            return _FREE  # no vendor is reached so, and no list need be read
        catalogue = self._catalogue = self._catalogue or bundled()
        if provider not in self._vendors:
            self._vendors[provider] = catalogue.vendor(place.kind, place.urls)
        vendor = self._vendors[provider]
        if vendor is None:
            return _FREE if own else _UNKNOWN
        if len(model) > MOST_CHARACTERS:
            return _UNKNOWN
        return catalogue.find(vendor, model) or _UNKNOWN


def _weight(local: Local) -> tuple[bool, int, int, bool]:
    pattern = "*" in local.model
    return not pattern, len(local.model) if pattern else 0, local.from_ns, local.admin
