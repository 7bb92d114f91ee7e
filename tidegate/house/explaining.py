"""What stands around a record, gathered: its configuration, the limits, the price."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from sqlalchemy import select

from tidegate.config.alias import Alias
from tidegate.config.model import Config
from tidegate.config.outline import outline
from tidegate.control.admin.publish import rule_of
from tidegate.guard.access import PriceEntry
from tidegate.house.money import prices_of
from tidegate.ledger.price import Price
from tidegate.limits import Rule
from tidegate.store.configurations import ConfigurationStore
from tidegate.store.database import Database
from tidegate.store.tables.admin import prices, rules
from tidegate.telemetry.explanation.explain import explain
from tidegate.telemetry.explanation.shape import (
    Around,
    Candidate,
    Explanation,
    Kind,
    Rate1M,
    Version,
)
from tidegate.telemetry.record import Record


def explained(
    record: Record,
    database: Database,
    config: Config | None,
    *,
    output_tokens: int | None = None,
) -> Explanation:
    """Why the request of `record` went as it did. Raises: `SQLAlchemyError`.

    `config` is what the file says now, if it can be read: by it prices are known. Of a request that
    still runs, `output_tokens` is how much had been said when it was last heard of.
    """
    store = ConfigurationStore(database)
    versions = store.all()
    mine = next((each for each in versions if each.version == record.config_version), None)
    then = _outline(store, record.config_version)
    if then is None and config is not None and config.version == record.config_version:
        then = config
    now = _outline(store, versions[0].version) if versions else config
    return explain(
        record,
        Around(
            candidates=_candidates(record, then),
            rules=tuple(_rules(database, now)),
            rates=None if config is None else _rates(record, database, config),
            version=None
            if mine is None
            else Version(mine.first_ns, mine.since_ns, mine.last_ns, mine.how, mine.by),
            current=versions[0].version if versions else None,
            output_tokens=output_tokens,
        ),
    )


def _outline(store: ConfigurationStore, version: str) -> Config | None:
    text = store.text(version)
    return None if text is None else outline(text)


def _candidates(record: Record, config: Config | None) -> tuple[Candidate, ...] | None:
    alias = None if config is None or record.alias is None else config.models.get(record.alias)
    return None if config is None or alias is None else tuple(_listed(config, alias))


def _listed(config: Config, alias: Alias) -> Iterator[Candidate]:
    total = sum(each.weight for each in alias.targets)
    for each in alias.targets:
        why = "only target" if len(alias.targets) == 1 else f"weight {each.weight} of {total}"
        yield Candidate(f"{each.provider}/{each.model}", why, "own", each.weight)
    chains: tuple[tuple[Kind, tuple[str, ...], str], ...] = (
        ("fallback", alias.fallback, "fallback to"),
        ("overflow", alias.on_context_overflow.fallback, "on context overflow"),
        ("filter", alias.on_content_filter.fallback, "on a content filter"),
        ("malformed", alias.on_malformed.fallback, "on a malformed answer"),
    )
    for kind, names, why in chains:
        for name in names:
            other = config.models.get(name)
            for each in other.targets if other is not None else ():
                yield Candidate(f"{each.provider}/{each.model}", f"{why} {name}", kind, each.weight)


def _rules(database: Database, config: Config | None) -> Iterator[tuple[Rule, str]]:
    taken: set[tuple[str, str | None]] = set()
    for rule in config.rules if config is not None else ():
        taken.add((rule.kind, rule.name))
        yield rule, "configuration"
    with database.reading() as connection:
        others = [rule_of(row) for row in connection.execute(select(rules))]
    for rule in others:
        if (rule.kind, rule.name) not in taken:
            yield rule, "admin API"


def _rates(record: Record, database: Database, config: Config) -> tuple[Rate1M, ...] | None:
    """The price that was applied, if it is still known; `record` says its name."""
    provider, _, model = (record.target or "").partition("/")
    with database.reading() as connection:
        entries = [
            msgspec.json.decode(each, type=PriceEntry)
            for each in connection.execute(select(prices.c.price)).scalars()
        ]
    price = prices_of(config, entries).of(provider, model, record.started_ns)
    if price is None:
        return None
    for each in (price, *price.variants.values()):
        if each.label == record.price:
            return tuple(_of_classes(record, _tier(each, record.input_tokens or 0)))
    return None


def _tier(price: Price, input_tokens: int) -> Price:
    for above, rates in price.tiers:
        if input_tokens > above:
            price = rates
    return price


def _of_classes(record: Record, price: Price) -> Iterator[Rate1M]:
    for kind, nanousd, tokens, inside in (
        ("input", price.input_nanousd, record.input_tokens, False),
        ("cached input", price.cached_input_nanousd, record.cached_input_tokens, True),
        ("cache write", price.cache_write_nanousd, record.cache_write_tokens, True),
        ("audio input", price.audio_input_nanousd, record.audio_input_tokens, True),
        ("output", price.output_nanousd, record.output_tokens, False),
        ("reasoning", price.reasoning_nanousd, record.reasoning_tokens, True),
        ("audio output", price.audio_output_nanousd, record.audio_output_tokens, True),
    ):
        if nanousd is not None and (tokens or not inside):
            yield Rate1M(kind, nanousd, tokens)
