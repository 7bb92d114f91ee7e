"""Each rule once more, in Prometheus' words: from the same thresholds, over the measures we show.

What no bounded label can tell (one user of many, one feature) Prometheus cannot look at; then the
reason stands here in the place of the expression. Prometheus sees what was counted, where we look
at a sample of the records, and it sees its own scrapes only: a twin may be half a minute later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tidegate.alerts.objectives import ALL_WINDOWS_S, WINDOWS_S
from tidegate.alerts.rules import Rule
from tidegate.control.measures import catalogue as of
from tidegate.control.measures import watch
from tidegate.control.measures.boards import GATEWAYS, LIMIT_USED
from tidegate.control.metrics import documented
from tidegate.guard.redaction import CREDENTIALS

_NAMES: Final = {each.name for found in documented().values() for each in found}
_KNOWN: Final = 'alias!=""'
_BEFORE: Final = "1h] offset 5m"
"""A window's end: the hour before the last minutes."""
Expression = Callable[[Rule], str]


def metric(name: str) -> str:
    """`name`, which is one that we show. Raises: `KeyError`."""
    if name not in _NAMES:
        raise KeyError(name)
    return name


def burn(window_s: float) -> str:
    """The recorded burn rate of that window."""
    return f"alias_slo:tidegate_slo_burn:rate{span(window_s)}"


def span(seconds: float) -> str:
    """A duration as Prometheus writes it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= size and not seconds % size:
            return f"{seconds / size:.0f}{unit}"
    return f"{1_000 * seconds:.0f}ms"


COST_BY_HOUR: Final = "tidegate:cost_usd:increase1h"


def recorded() -> dict[str, str]:
    """What is reckoned before alerts look at it: names and expressions."""
    bad, every = of.SLO_BAD.name, of.SLO_REQUESTS.name
    allowed = f"(1 - max by (alias, slo) ({watch.SLO_OBJECTIVE.name}))"
    burns = {
        burn(each): (
            f"(sum by (alias, slo) (rate({bad}[{span(each)}]))"
            f" / sum by (alias, slo) (rate({every}[{span(each)}])))"
            f" / on (alias, slo) {allowed}"
        )
        for each in ALL_WINDOWS_S
    }
    return {**burns, COST_BY_HOUR: f"sum(increase({of.COST.name}[1h]))"}


def _grown(name: str, window: str = "5m]", where: str = _KNOWN) -> str:
    return f"sum by (alias) (increase({name}{{{where}}}[{window}))"


_REQUESTS: Final = _grown(of.ENDED.name)


def _share(part: str, whole: str = _REQUESTS) -> Expression:
    def expression(rule: Rule) -> str:
        enough = f" and on (alias) {whole} >= {rule.least:g}" if rule.least else ""
        return f"{part} / on (alias) {whole} > {rule.threshold:g}{enough}"

    return expression


def _quantile(share: float, name: str, window: str = "5m]") -> str:
    rates = f"sum by (alias, le) (rate({name}_bucket{{{_KNOWN}}}[{window}))"
    return f"histogram_quantile({share:g}, {rates})"


def _slowest(share: float, name: str) -> Expression:
    return lambda rule: (
        f"{_quantile(share, name)} > {rule.threshold:g}"
        f" and on (alias) {_grown(f'{name}_count')} >= {rule.least:g}"
    )


def _jump(rule: Rule) -> str:
    name = of.WAIT.name
    now, before = _quantile(0.99, name), _quantile(0.99, name, _BEFORE)
    return (
        f"{now} / on (alias) {before} > {rule.threshold:g} and on (alias) {now} > 1"
        f" and on (alias) {_grown(f'{name}_count')} >= {rule.least:g}"
    )


def _drop(rule: Rule) -> str:
    usual = f"sum by (alias) (rate({of.ENDED.name}{{{_KNOWN}}}[1h] offset 5m))"
    now = f"sum by (alias) (rate({of.ENDED.name}{{{_KNOWN}}}[5m]))"
    return (
        f"{now} / on (alias) {usual} < {rule.threshold:g}"
        f" and on (alias) 300 * {usual} >= {rule.least:g}"
    )


def _more(name: str, least: float, where: str = _KNOWN) -> Expression:
    """So many times as much for each request as in the hour before, and more than `least`."""

    def expression(rule: Rule) -> str:
        now = f"{_grown(name, where=where)} / on (alias) {_REQUESTS}"
        before = f"{_grown(name, _BEFORE, where)} / on (alias) {_grown(of.ENDED.name, _BEFORE)}"
        return (
            f"({now} > {rule.threshold:g} * ({before}) or {now} unless on (alias) ({before}))"
            f" > {least:g} and on (alias) {_REQUESTS} >= {rule.least:g}"
        )

    return expression


def _burning(rule: Rule) -> str:
    long_s, short_s = WINDOWS_S[rule.name]
    every = f"sum by (alias, slo) (increase({of.SLO_REQUESTS.name}[{span(long_s)}]))"
    return (
        f"{burn(long_s)} > {rule.threshold:g} and on (alias, slo) {burn(short_s)}"
        f" > {rule.threshold:g} and on (alias, slo) {every} >= {rule.least:g}"
    )


def _cached_less(rule: Rule) -> str:
    def share(window: str) -> str:
        cached = f'{_KNOWN},type="cached_input"'
        every = f'{_KNOWN},type="input"'
        return (
            f"sum by (alias) (increase({of.ALL_TOKENS.name}{{{cached}}}[{window}))"
            f" / on (alias) sum by (alias) (increase({of.ALL_TOKENS.name}{{{every}}}[{window}))"
        )

    now, before = share("1h]"), share("1d] offset 1h")
    return (
        f"({now}) / on (alias) ({before}) < {rule.threshold:g} and on (alias) ({before}) >= 0.1"
        f" and on (alias) {_grown(of.ENDED.name, '1h]')} >= {rule.least:g}"
    )


def _unpriced(rule: Rule) -> str:
    # A counter that has just appeared has not grown, but is above nothing.
    now = f"sum by (alias) ({of.UNPRICED.name}{{{_KNOWN}}})"
    before = f"sum by (alias) ({of.UNPRICED.name}{{{_KNOWN}}} offset 5m)"
    return (
        f"round({_grown(of.UNPRICED.name)}) >= {rule.threshold:g}"
        f" or ({now} unless on (alias) {before}) >= {rule.threshold:g}"
    )


def _spend_rate(rule: Rule) -> str:
    usual = f"quantile_over_time(0.5, {COST_BY_HOUR}[7d:1h] offset 1h)"
    return f"{COST_BY_HOUR} >= {rule.threshold:g} * {usual} and {COST_BY_HOUR} >= {rule.least:g}"


def _restarts(rule: Rule) -> str:
    grown = f"sum by (worker) (increase({watch.RESTARTS.name}[10m]))"
    return f"round({grown}) >= {rule.threshold:g}"


def _worst(how: str, by: str, name: str, sign: str, where: str = "") -> Expression:
    of_name = metric(name) + (f"{{{where}}}" if where else "")
    return lambda rule: f"{how} by ({by}) ({of_name}) {sign} {rule.threshold:g}"


_CREDENTIALS: Final = "|".join(sorted(CREDENTIALS))
_SHARED, _BREAKERS = metric("tidegate_shared_up"), metric("tidegate_breakers_shared")

EXPRESSIONS: Final[Mapping[str, Expression | str]] = {
    "budget": lambda rule: (
        f'max by (scope_kind, limit) ({LIMIT_USED.name}{{limit=~"usd_.*"}})'
        f" >= {max([step for step in rule.steps if step < 1.0], default=1.0):g}"
    ),
    "errors": _share(_grown(of.ENDED.name, where=f'{_KNOWN},class=~"failed|lost"')),
    "latency-p99": _slowest(0.99, of.WAIT.name),
    "latency-p50": _slowest(0.5, of.WAIT.name),
    "latency-jump": _jump,
    "throughput-drop": _drop,
    "queue-wait": _slowest(0.95, of.QUEUE.name),
    "overloaded": _share(_grown(of.REQUESTS.name, where=f'{_KNOWN},outcome="overloaded"')),
    "limited": _share(_grown(of.ENDED.name, where=f'{_KNOWN},class="limited"')),
    "truncation": _share(_grown(of.TRUNCATIONS.name)),
    "refusals": _more(of.REFUSED_ANSWERS.name, 0.01),
    "personal-data": _more(of.FINDINGS.name, 0.05, f'{_KNOWN},kind!~"{_CREDENTIALS}"'),
    "leaked-credentials": _more(of.FINDINGS.name, 0.01, f'{_KNOWN},kind=~"{_CREDENTIALS}"'),
    "quality-drift": "it is told by a test over a week of samples, which no counter has",
    "breaker-open": lambda rule: (
        f"count by (target) ({metric('tidegate_breaker_state')} == 2) >= {rule.threshold:g}"
    ),
    "account-retired": _worst(
        "max", "provider, part", "tidegate_part_retired", ">=", 'kind="account"'
    ),
    "redis-lost": lambda _: (
        f"min by (worker) ({_SHARED}) == 0 or min by (worker) ({_BREAKERS}) == 0"
    ),
    "records-not-loaded": lambda _: (
        f"{metric('tidegate_records_loading')} == 0 unless {watch.STORE_UP.name} == 0"
    ),
    "records-waiting": lambda rule: (
        f"{metric('tidegate_spool_waiting_bytes')} > {rule.threshold:.0f}"
    ),
    "store-lost": lambda _: f"{watch.STORE_UP.name} == 0",
    "spool-not-written": _worst("max", "worker", "tidegate_spool_pending_bytes", ">"),
    "disk-filling": _worst("min", "disk", watch.DISK_FREE.name, "<"),
    "sink-stuck": _worst("max", "sink", watch.SINKS_STUCK.name, ">="),
    "queue-depth": _worst("sum", "target", "tidegate_queue_depth", ">"),
    "loop-lag": _worst("max", "worker", "tidegate_loop_lag_seconds", ">"),
    "shedding": _worst("min", "worker", "tidegate_let_in_ratio", "<"),
    "process-restarting": _restarts,
    "gateways-missing": lambda rule: f"{watch.WANTED.name} - {GATEWAYS.name} >= {rule.threshold:g}",
    "slo-fast-burn": _burning,
    "slo-burn": _burning,
    "slo-slow-burn": _burning,
    "cache-drop": _cached_less,
    "price-missing": _unpriced,
    "spend-rate": _spend_rate,
    "user-cost": "users are no label: there may be any number of them",
    "feature-cost": "features are no label, and callers make them up",
    "model-retires": lambda rule: (
        f"(max by (model) ({watch.RETIRES.name}) - time()) / 86400 <= {rule.threshold:g}"
    ),
}
"""By rule: its expression, or why it has none."""
