"""Where the console shows what an alert is about: the page, and the time around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

_BEFORE_S: Final = 900
_AFTER_S: Final = 300
_NANO: Final = 10**9
_COST: Final = frozenset({"budget", "spend-rate", "user-cost", "feature-cost", "price-missing"})
_QUALITY: Final = frozenset({"truncation", "refusals"})
_SCOPES: Final = ("organisation", "team", "user", "key", "feature", "alias", "provider", "model")
_MOST_CHARACTERS: Final = 200


def link(console: str, rule: str, labels: Mapping[str, str], times_ns: tuple[int, int]) -> str:
    """The address below `console`, such as `https://HOST`, of what was between these times.

    What an alias suffered is among its requests, what was spent under Cost; what is wrong with the
    house itself is on the page Now.
    """
    page = _page(rule, labels)
    if page == "now":
        return f"{console}/console/now"
    since_ns, until_ns = times_ns
    asked = {
        "from": str(since_ns // _NANO - _BEFORE_S),
        "to": str(until_ns // _NANO + _AFTER_S),
        **{name: value[:_MOST_CHARACTERS] for name, value in _named(labels)},
    }
    return f"{console}/console/{page}?{urlencode(asked)}"


def _page(rule: str, labels: Mapping[str, str]) -> str:
    if rule in _COST:
        return "cost"
    if rule in _QUALITY or rule.startswith("quality"):
        return "quality"
    return "requests" if labels.keys() & set(_SCOPES) else "now"


def _named(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    # A budget names its scope by two labels.
    if labels.get("kind") in _SCOPES and "name" in labels:
        return [(labels["kind"], labels["name"])]
    return [(name, labels[name]) for name in _SCOPES if name in labels]
