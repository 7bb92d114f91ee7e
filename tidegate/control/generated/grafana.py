"""Grafana's dashboards, over the measures that we show.

Source: Grafana documentation, "Dashboard JSON model"; panels are those of its versions 10 to 12.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from tidegate.control.generated.promql import burn, metric

_SCHEMA: Final = 39
_COLUMNS, _HEIGHT = 24, 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RATE: Final = "$__rate_interval"

Unit = Literal["reqps", "percentunit", "s", "currencyUSD", "short", "bytes", "cps", "none"]


class Panel(NamedTuple):
    """A graph: its queries by what they are called."""

    title: str
    unit: Unit
    queries: Mapping[str, str]
    width: int = 12
    kind: Literal["timeseries", "stat"] = "timeseries"


def rate(name: str, by: str, where: str = "") -> str:
    """How fast a counter grows, summed by some of its labels."""
    return f"sum by ({by}) (rate({metric(name)}{{{_of(where)}}}[{_RATE}]))"


def slowest(name: str, share: float, by: str = "alias") -> str:
    """What `share` of a histogram's values are not above."""
    inner = f"sum by ({by}, le) (rate({metric(name)}_bucket{{{_of('')}}}[{_RATE}]))"
    return f"histogram_quantile({share:g}, {inner})"


def now(how: str, by: str, name: str) -> str:
    """A gauge, put together by some of its labels."""
    return f"{how} by ({by}) ({metric(name)})" if by else f"{how}({metric(name)})"


def _of(where: str) -> str:
    return ", ".join(filter(None, ('alias=~"$alias"', where)))


def _total(name: str, where: str = "") -> str:
    return f"sum(rate({metric(name)}{{{_of(where)}}}[{_RATE}]))"


def _money(by: str) -> str:
    return f"sum by ({by}) (increase({metric('tidegate_cost_usd_total')}{{{_of('')}}}[1h]))"


_ENDED, _WAIT = "tidegate_requests_ended_total", "tidegate_time_to_content_seconds"
_BAD: Final = 'class=~"failed|lost"'
_TOKENS: Final = "tidegate_tokens_total"

_OVERVIEW: Final = (
    Panel("Requests a second", "reqps", {"": _total(_ENDED)}, 6, "stat"),
    Panel("Failing", "percentunit", {"": f"{_total(_ENDED, _BAD)} / {_total(_ENDED)}"}, 6, "stat"),
    Panel("Dollars an hour", "currencyUSD", {"": f"sum({_money('alias')})"}, 6, "stat"),
    Panel("Alerts that fire", "none",
          {"": now("sum", "", "tidegate_alerts_firing") + " or vector(0)"}, 6, "stat"),
    Panel("Requests by alias", "reqps", {"{{alias}}": rate(_ENDED, "alias")}),
    Panel("Requests by what became of them", "reqps", {"{{class}}": rate(_ENDED, "class")}),
    Panel("Wait for content, 99 %", "s", {"{{alias}}": slowest(_WAIT, 0.99)}),
    Panel("Wait for content, median", "s", {"{{alias}}": slowest(_WAIT, 0.5)}),
    Panel("Requests that wait for their turn", "short",
          {"{{target}}": now("sum", "target", "tidegate_queue_depth")}),
    Panel("Alerts", "short", {"{{rule}}": now("sum", "rule", "tidegate_alerts_firing")}),
)  # fmt: skip
_COST: Final = (
    Panel("Dollars an hour by alias", "currencyUSD", {"{{alias}}": _money("alias")}),
    Panel("Dollars an hour by team", "currencyUSD", {"{{team}}": _money("team")}),
    Panel("Dollars an hour by model", "currencyUSD",
          {"{{provider}}/{{model}}": _money("provider, model")}),
    Panel("Held for running requests", "currencyUSD",
          {"{{worker}}": now("sum", "worker", "tidegate_holds_usd")}),
    Panel("Tokens a second by kind", "cps", {"{{type}}": rate(_TOKENS, "type")}),
    Panel("Input from providers' caches", "percentunit",
          {"{{alias}}": rate(_TOKENS, "alias", 'type="cached_input"') + " / "
           + rate(_TOKENS, "alias", 'type="input"')}),
    Panel("Requests without a known price", "reqps",
          {"{{alias}}": rate("tidegate_unpriced_total", "alias")}),
    Panel("Given to a cheaper alias", "reqps",
          {"{{alias}}": rate("tidegate_downgrades_total", "alias")}),
)  # fmt: skip
_RELIABILITY: Final = (
    Panel("Error budget left", "percentunit",
          {"{{alias}} {{slo}}": metric("tidegate_slo_error_budget_left_ratio")}),
    Panel("Burn rate, 1 h", "short", {"{{alias}} {{slo}}": burn(3_600.0)}),
    Panel("Share of requests that fail", "percentunit",
          {"{{alias}}": rate(_ENDED, "alias", _BAD) + " / " + rate(_ENDED, "alias")}),
    Panel("Breakers: 0 closed, 2 open", "short",
          {"{{target}}": now("max", "target", "tidegate_breaker_state")}),
    Panel("Fallbacks", "reqps", {"{{target}}": rate("tidegate_fallbacks_total", "target")}),
    Panel("Retries", "reqps", {"{{target}}": rate("tidegate_retries_total", "target")}),
    Panel("Time to first token by model, 95 %", "s",
          {"{{gen_ai_request_model}}": "histogram_quantile(0.95, sum by (gen_ai_request_model, le)"
           f" (rate({metric('gen_ai_server_time_to_first_token_seconds')}_bucket[{_RATE}])))"}),
    Panel("Longest silence in streams, 95 %", "s",
          {"{{alias}}": slowest("tidegate_inter_token_gap_seconds", 0.95)}),
    Panel("What the gateway adds, 99 %", "s",
          {"{{alias}}": slowest("tidegate_gateway_overhead_seconds", 0.99)}),
    Panel("How late processes are", "s",
          {"{{worker}}": now("max", "worker", "tidegate_loop_lag_seconds")}),
    Panel("Records that wait to be loaded", "bytes",
          {"spool": metric("tidegate_spool_waiting_bytes")}),
    Panel("Disks: free", "percentunit",
          {"{{disk}}": now("min", "disk", "tidegate_disk_free_ratio")}),
)  # fmt: skip
_LIMITS: Final = (
    Panel("How much of a limit is used, at most", "percentunit",
          {"{{scope_kind}} {{limit}}":
           now("max", "scope_kind, limit", "tidegate_limit_used_ratio")}),
    Panel("Refused, by reason", "reqps",
          {"{{reason}} {{scope}}": "sum by (reason, scope) (rate("
           f"{metric('tidegate_refusals_total')}[{_RATE}]))"}),
    Panel("Wait for a turn, 95 %", "s", {"{{alias}}": slowest("tidegate_queue_seconds", 0.95)}),
    Panel("Running at each target, and how many may", "short",
          {"{{target}}": now("sum", "target", "tidegate_concurrency_running"),
           "{{target}} may": now("sum", "target", "tidegate_concurrency_limit")}),
    Panel("Share of new requests let in", "percentunit",
          {"{{worker}}": now("min", "worker", "tidegate_let_in_ratio")}),
    Panel("Left of providers' quotas", "short",
          {"{{provider}} {{part}} {{allowance}}":
           now("min", "provider, part, allowance", "tidegate_part_quota_left")}),
)  # fmt: skip
_QUALITY: Final = (
    Panel("Answers cut for want of tokens", "percentunit",
          {"{{alias}}": rate("tidegate_truncations_total", "alias") + " / "
           + rate(_ENDED, "alias")}),
    Panel("Answers refused by a model or filter", "percentunit",
          {"{{alias}}": rate("tidegate_answers_refused_total", "alias") + " / "
           + rate(_ENDED, "alias")}),
    Panel("Answers by their form", "reqps",
          {"{{form}}": rate("tidegate_answers_checked_total", "form")}),
    Panel("Feedback", "cps", {"{{verdict}}": rate("tidegate_feedback_total", "verdict")}),
    Panel("Personal data that was masked", "cps",
          {"{{kind}}": rate("tidegate_personal_data_findings_total", "kind")}),
    Panel("Changed so that they could be answered", "reqps",
          {"{{how}}": rate("tidegate_adapted_total", "how")}),
)  # fmt: skip
DASHBOARDS: Final[Mapping[str, tuple[Panel, ...]]] = {
    "overview": _OVERVIEW,
    "cost": _COST,
    "reliability": _RELIABILITY,
    "limits": _LIMITS,
    "quality": _QUALITY,
}


def dashboard(name: str) -> dict[str, Any]:
    """The dashboard of that name, to be imported."""
    return {
        "uid": f"tidegate-{name}",
        "title": f"Tidegate: {name}",
        "description": "Made by `tidegate export grafana`; make it anew rather than change it.",
        "tags": ["tidegate"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [_LINK],
        "templating": {"list": [_DATASOURCE, _ALIAS]},
        "panels": list(_panels(DASHBOARDS[name])),
    }


_LINK: Final = {
    "title": "Tidegate", "type": "dashboards", "tags": ["tidegate"], "asDropdown": True,
    "includeVars": True, "keepTime": True,
}  # fmt: skip
_DATASOURCE: Final = {
    "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
}  # fmt: skip
_ALIAS: Final = {
    "name": "alias", "label": "alias", "type": "query", "datasource": _SOURCE,
    "query": f"label_values({metric(_ENDED)}, alias)", "refresh": 2, "includeAll": True,
    "multi": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
}  # fmt: skip


def _panels(panels: tuple[Panel, ...]) -> Iterator[dict[str, Any]]:
    x = y = 0
    for number, panel in enumerate(panels, 1):
        height = _HEIGHT if panel.kind == "timeseries" else _HEIGHT // 2
        if x + panel.width > _COLUMNS:
            x, y = 0, y + height
        yield {
            "id": number,
            "title": panel.title,
            "type": panel.kind,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": panel.width, "h": height},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": _OPTIONS[panel.kind],
            "targets": [
                {"refId": chr(ord("A") + place), "expr": expr, "legendFormat": said or panel.title,
                 "datasource": _SOURCE}
                for place, (said, expr) in enumerate(panel.queries.items())
            ],
        }  # fmt: skip
        x += panel.width
        if x >= _COLUMNS:
            x, y = 0, y + height


_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"},
                   "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"},
}  # fmt: skip
