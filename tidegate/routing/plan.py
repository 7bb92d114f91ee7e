"""From a model name to the targets to try: pure, and all that can be is computed at load.

The first target is drawn by weight, the alias's other targets follow by falling weight, then the
targets of its fallback aliases in the order written. A fallback's own fallbacks are not followed.
"""

from __future__ import annotations

import difflib
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from msgspec import structs

from tidegate.errors import UnknownModel
from tidegate.types import Choice, Keeping, Plan, Principal, Target, Terms, allowed, wildcard

NAMES_SHOWN = 20
_PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class Route:
    """An alias as configured. At most one `*` in its name."""

    alias: str
    targets: tuple[Target, ...]
    fallback: tuple[str, ...]
    total_s: float
    keeping: Keeping
    terms: Terms = _PLAIN
    """With empty chains: their targets are filled in from the next three."""
    on_overflow: tuple[str, ...] = ()
    on_filter: tuple[str, ...] = ()
    on_malformed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Drawn:
    """The plans of an alias, one for each target that may be drawn first."""

    plans: tuple[Plan, ...]
    bounds: tuple[int, ...]

    def at(self, draw: float) -> Plan:
        if len(self.plans) == 1:
            return self.plans[0]
        return self.plans[bisect(self.bounds, draw * self.bounds[-1])]


class Router:
    """The routes in force."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._routes = dict(routes)
        self._plain = {name: self._draws(name, "") for name in routes if "*" not in name}
        # The longest pattern is the most particular one, so it is tried first.
        self._patterns = sorted((name for name in routes if "*" in name), key=len, reverse=True)
        self.names = tuple(routes)

    def plan(self, principal: Principal, model: str, draw: float) -> Plan:
        """The plan for `model` as the caller names it; `draw` in [0, 1) decides between weights.

        Raises: `UnknownModel`, which lists the names that the caller may use.
        """
        drawn = self._plain.get(model)
        alias, matched = model, ""
        if drawn is None:
            for pattern in self._patterns:
                part = wildcard(pattern, model)
                if part is not None:
                    alias, matched = pattern, part
                    break
            else:
                raise self._unknown(principal, model)
        if principal.models is not None and not allowed(principal.models, alias, model):
            raise self._unknown(principal, model)
        if drawn is None:
            drawn = self._draws(alias, matched)
        return drawn.at(draw)

    def usable(self, principal: Principal) -> list[str]:
        """The names that `principal` may ask for."""
        if principal.models is None:
            return list(self.names)
        return [name for name in self.names if allowed(principal.models, name, name)]

    def _draws(self, alias: str, matched: str) -> _Drawn:
        route = self._routes[alias]
        rest = self._chain(route.fallback, matched, "fallback to")
        terms = structs.replace(
            route.terms,
            on_overflow=self._chain(route.on_overflow, matched, "context overflow, so"),
            on_filter=self._chain(route.on_filter, matched, "content filter, so"),
            on_malformed=self._chain(route.on_malformed, matched, "malformed answer, so"),
        )
        total = sum(target.weight for target in route.targets)
        plans: list[Plan] = []
        for target in route.targets:
            reason = (
                "only target"
                if len(route.targets) == 1
                else f"drawn by weight, {target.weight} of {total}"
            )
            others = [
                _choice(other, matched, "next by weight")
                for other in _by_weight(route.targets)
                if other is not target
            ]
            plans.append(
                Plan(
                    alias,
                    (_choice(target, matched, reason), *others, *rest),
                    route.total_s,
                    route.keeping,
                    terms,
                )
            )
        return _Drawn(tuple(plans), tuple(accumulate(target.weight for target in route.targets)))

    def _chain(self, names: tuple[str, ...], matched: str, why: str) -> tuple[Choice, ...]:
        return tuple(
            _choice(target, matched, f"{why} {name}")
            for name in names
            for target in _by_weight(self._routes[name].targets)
        )

    def _unknown(self, principal: Principal, model: str) -> UnknownModel:
        names = self.usable(principal)
        near = difflib.get_close_matches(model[:200], names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        shown = ", ".join(names[:NAMES_SHOWN]) or "none"
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        return UnknownModel(
            f"There is no model {model[:200]!r} here.{hint} Models you can use: {shown}{more}.",
            param="model",
        )


def _by_weight(targets: tuple[Target, ...]) -> list[Target]:
    return sorted(targets, key=lambda target: -target.weight)


def _choice(target: Target, matched: str, reason: str) -> Choice:
    model = target.model.replace("*", matched) if "*" in target.model else target.model
    name = f"{target.provider}/{model}"
    return Choice(target, model, name, reason, _header(name), _header(reason))


def _header(text: str) -> bytes:
    # A wildcard brings the caller's own text here, and headers end at line breaks.
    return "".join(c if c.isascii() and c.isprintable() else "?" for c in text).encode()
