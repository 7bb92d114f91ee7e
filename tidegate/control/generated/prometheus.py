"""Prometheus' recording and alerting rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import yaml

from tidegate.alerts.machine import Terms
from tidegate.alerts.rules import Rule
from tidegate.control.generated.promql import EXPRESSIONS, metric, recorded, span

RULES: Final = "tidegate.rules.yaml"
GONE: Final = Rule(
    "control-gone", "page", "the control process does not answer Prometheus",
    "Look whether it lives: tidegate serve starts it again.", "count", 1.0, for_s=60.0,
)  # fmt: skip
"""What Tidegate cannot tell of itself."""
_MADE: Final = "# Made by `tidegate export prometheus` from Tidegate's own rules; make it anew.\n"


def rules(tuned: Iterable[Rule], terms: Terms) -> str:
    """The file of rules; those that Prometheus cannot look at are named in a comment."""
    known = list(tuned)
    told = [rule for rule in known if callable(EXPRESSIONS[rule.name])]
    untold = [rule for rule in known if not callable(EXPRESSIONS[rule.name])]
    groups = [
        {
            "name": "tidegate-recorded",
            "interval": "15s",
            "rules": [{"record": name, "expr": expr} for name, expr in recorded().items()],
        },
        {
            "name": "tidegate",
            "interval": "15s",
            "rules": [_alert(rule, expression(rule), terms) for rule in [*told, GONE]],
        },
    ]
    notes = "".join(f"# Not here: {rule.name}: {EXPRESSIONS[rule.name]}.\n" for rule in untold)
    return _MADE + notes + yaml.safe_dump({"groups": groups}, sort_keys=False, width=100)


def expression(rule: Rule) -> str:
    """What Prometheus looks at for `rule`. Raises: `KeyError` where it cannot."""
    if rule.name == GONE.name:
        return f"absent({metric('tidegate_records_loading')})"
    made = EXPRESSIONS[rule.name]
    if isinstance(made, str):
        raise KeyError(rule.name)
    return made(rule)


def alert_name(rule: str) -> str:
    """What an alert is called in Prometheus and Alertmanager, whoever sends it there."""
    return f"Tidegate_{rule}"


def _alert(rule: Rule, expr: str, terms: Terms) -> dict[str, Any]:
    return {
        "alert": alert_name(rule.name),
        "expr": expr,
        **({"for": span(rule.for_s)} if rule.for_s else {}),
        "labels": {"severity": rule.severity},
        "annotations": {
            "summary": f"Fires when {rule.what} ({rule.threshold:g}): {{{{ $value }}}}.",
            "description": rule.todo,
            "runbook_url": f"{terms.runbooks}{rule.name}.md",
        },
    }
