"""Why a request went as it did: its record, and what stood around it, put into sentences.

Pure. What the record says is told as it is; what it does not say (the targets that were never
asked, the limits that covered it) follows from the configuration it was served with, and where that
is not known, a note says so. Everything in an `Explanation` is as bounded as the record is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tidegate.errors import remedy_of
from tidegate.limits import Budget, Limits, Rate
from tidegate.money import show_usd
from tidegate.telemetry.explanation.shape import (
    Around,
    ConfigurationSaid,
    Explanation,
    LimitSaid,
    PriceSaid,
    Tried,
)
from tidegate.telemetry.explanation.targets import MOST_ATTEMPTS, targets, was_asked
from tidegate.telemetry.explanation.way import is_running, owners, timeline
from tidegate.telemetry.record import Record

_WINDOWS: Final = {60: "minute", 3_600: "hour", 86_400: "day"}


def explain(record: Record, around: Around) -> Explanation:
    """Why the request of `record` went as it did."""
    attempts = tuple(_tried(record))
    return Explanation(
        request_id=record.request_id,
        started_ns=record.started_ns,
        state="running" if is_running(record) else "done",
        summary=_summary(record, around),
        remedy=_remedy(record),
        outcome=record.outcome,
        status=record.status,
        asked=record.downgraded or record.alias,
        timeline=tuple(timeline(record, attempts)),
        attempts=attempts,
        targets=tuple(targets(record, around)),
        price=_price(record, around),
        cost_nanousd=record.cost_nanousd,
        held_nanousd=record.held_nanousd,
        counted_for=_counted_for(record),
        limits=tuple(_limits(record, around)),
        changes=tuple(_changes(record)),
        configuration=_configuration(record, around),
        notes=tuple(_notes(record, around)),
    )


def _summary(record: Record, around: Around) -> str:
    if is_running(record):
        said = around.output_tokens
        far = f", and has said about {said:,} tokens" if said else ""
        return f"Still running, or not yet recorded: it holds its budget{far}."
    asked = sum(was_asked(each) for each in record.attempts)
    tries = "" if asked < 2 else f" after {asked} tries"  # noqa: PLR2004
    if record.degraded is not None:
        return f"No target could answer{tries}; the caller got a stand-in ({record.degraded})."
    ends = {
        "ok": f"Answered by {record.target or 'the gateway'}{tries}: {_reason(record)}.",
        "client_gone": f"The caller left{tries} before its answer was complete.",
        "failed_after_commit": (
            f"{record.target} broke off in the middle of its answer: {record.error_code}."
        ),
        "lost": "Its gateway process ended before it did; what it held was charged as configured.",
    }
    if record.outcome in ends:
        return ends[record.outcome]
    if record.limit is not None:
        return f"Refused by a limit: {record.limit}."
    if not asked:
        return f"Refused before any target was asked: {record.outcome}."
    return f"No target could answer{tries}: {record.outcome}."


def _remedy(record: Record) -> str | None:
    return remedy_of(record.error_code or record.outcome)


def _reason(record: Record) -> str:
    return record.reason or "it is what was asked for"


def _tried(record: Record) -> Iterator[Tried]:
    others = sum(each.cost_nanousd or 0 for each in record.attempts)
    for number, each in enumerate(record.attempts[:MOST_ATTEMPTS], 1):
        answered = each.outcome == "ok" and record.cost_nanousd is not None
        cost = (record.cost_nanousd or 0) - others if answered else each.cost_nanousd
        yield Tried(
            number, each.target, each.outcome, each.status, each.started_ms, each.duration_ms,
            each.queue_ms, each.hedge, each.detail, each.then,
            record.input_tokens if answered else each.input_tokens,
            record.output_tokens if answered else each.output_tokens, cost,
        )  # fmt: skip


def _price(record: Record, around: Around) -> PriceSaid | None:
    if record.price is None:
        return None
    word, _, rest = record.price.partition(" ")
    source, since = {
        "configured": ("the configuration", rest or None),
        "admin": ("the admin API", rest or None),
        "free": ("a server of one's own, which is free", None),
        "genai-prices": ("the vendors' list", rest.partition(" ")[0] or None),
    }.get(word, (record.price, None))
    return PriceSaid(record.price, source, since, around.rates or ())


def _counted_for(record: Record) -> tuple[tuple[str, str], ...]:
    providers = dict.fromkeys(each.target.partition("/")[0] for each in record.attempts)
    if record.provider is not None:
        providers[record.provider] = None
    alias = () if record.alias is None else (("alias", record.alias),)
    return (*owners(record), *alias, *(("provider", name) for name in providers))


def _limits(record: Record, around: Around) -> Iterator[LimitSaid]:
    counted = _counted_for(record)
    for kind, name in counted:
        own = [each for each in around.rules if each[0].kind == kind and each[0].name == name]
        common = [each for each in around.rules if each[0].kind == kind and each[0].name is None]
        for rule, source in own or common:
            for said, word in _said(rule.limits):
                refused = record.limit == f"{kind} {name} {word}"
                yield LimitSaid(kind, name, said, source, refused)


def _said(limits: Limits) -> Iterator[tuple[str, str]]:
    """Each limit in words, and as a record names it."""
    for what, rates in (("requests", limits.requests), ("tokens", limits.tokens)):
        for rate in rates:
            yield f"{rate.limit:,} {what} a {_window(rate)}", f"{what}_per_{_window(rate)}"
    if limits.concurrency is not None:
        yield f"{limits.concurrency:,} requests at a time", "concurrency"
    if limits.steps is not None:
        yield f"{limits.steps:,} requests in all", "steps"
    for budget in limits.budgets:
        yield _budget(budget), _budget_name(budget)


def _budget_name(budget: Budget) -> str:
    return "usd_total" if budget.period == "total" else f"usd_per_{budget.period}"


def _window(rate: Rate) -> str:
    return _WINDOWS.get(rate.window_s, f"{rate.window_s} s")


def _budget(budget: Budget) -> str:
    when = "in all" if budget.period == "total" else f"a {budget.period} ({budget.timezone})"
    soft = f", from {budget.soft:.0%} on {budget.downgrade} instead" if budget.downgrade else ""
    return f"{show_usd(budget.nanousd)} {when}{soft}"


def _changes(record: Record) -> Iterator[str]:
    if record.downgraded is not None:
        yield (
            f"{record.downgraded} was asked for; a budget's soft cap was passed, so "
            f"{record.alias} answered"
        )
    said = {
        "trimmed": "the oldest turns were left out, as the conversation was too long",
        "repaired": "the model was told its mistake and asked again",
    }
    for how in record.adapted:
        yield said.get(how, how)
    if record.dropped:
        yield f"left out, as the target's format has no word for it: {', '.join(record.dropped)}"
    if record.degraded is not None:
        yield f"a stand-in was answered, as no target could: {record.degraded}"
    if record.usage_estimated:
        yield "tokens were counted from what was delivered, as the provider told none"


def _configuration(record: Record, around: Around) -> ConfigurationSaid:
    known = around.version
    return ConfigurationSaid(
        record.config_version,
        None if around.current is None else around.current == record.config_version,
        around.current,
        None if known is None else known.since_ns,
        None if known is None else known.last_ns,
        None if known is None else known.how,
        None if known is None else known.by,
    )


def _notes(record: Record, around: Around) -> Iterator[str]:
    if around.candidates is None and record.alias is not None and record.wire != "passthrough":
        yield (
            f"Targets that were never asked cannot be told: the configuration "
            f"{record.config_version} is not kept, or has no alias {record.alias}."
        )
    if around.rules:
        yield "Limits are shown as they stand now."
    if record.price is not None and around.rates is None:
        yield "The price that was applied is not known any more, only its name."
    if record.cost_nanousd is None and record.output_tokens is not None:
        yield "Nobody knows the price of this target: set one with `tidegate prices`."
