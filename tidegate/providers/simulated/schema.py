"""A value that fits a JSON schema (or does not), roughly: enough for tools and structured answers.

Knows type, properties, items, enum, const, $ref into the same document, anyOf, oneOf, allOf and
the plain bounds. Formats and patterns are not honoured, except the few formats named below.
Depth and number of values are bounded, whatever the schema says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final, cast

_DEPTH: Final = 16
_DEEP: Final = 8  # from here on only what is required: a schema that contains itself has to end
_VALUES: Final = 2000
_ITEMS: Final = 64
_LETTERS: Final = 4096
_EXACT: Final = 1 << 53
_WORDS: Final = ("tide", "harbour", "lamp", "salt", "wave", "keeper", "north", "rope")
_FORMATS: Final[Mapping[str, str]] = {
    "date-time": "2024-02-29T12:00:00Z",
    "date": "2024-02-29",
    "time": "12:00:00Z",
    "email": "keeper@example.com",
    "uri": "https://example.com/tide",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}

_OTHERWISE: Final = "not what was asked for"

Rules = Mapping[str, Any]


def instance(schema: object, rng: Random) -> Any:
    """A value for `schema`, the same for the same state of `rng`."""
    return _Maker(schema, rng).value(schema, 0)


def misfit(schema: object, rng: Random) -> Any:
    """A value that `schema` forbids, if it forbids anything: the first property has a wrong type.

    Where the schema wants no object, the value is of another type altogether.
    """
    value = instance(schema, rng)
    if isinstance(value, dict) and value:
        known = cast("dict[str, Any]", value)
        first = next(iter(known))
        return {**known, first: _OTHERWISE if isinstance(known[first], int | float) else 0}
    return [_OTHERWISE] if isinstance(value, dict) else {"wrong": _OTHERWISE}


@dataclass(slots=True)
class _Maker:
    """One value under way."""

    root: object
    rng: Random
    left: int = _VALUES

    def value(self, schema: object, depth: int) -> Any:
        self.left -= 1
        if not isinstance(schema, Mapping) or depth > _DEPTH or self.left < 0:
            return None
        rules = self._resolved(cast("Rules", schema), depth)
        if choices := [rules["const"]] if "const" in rules else _list(rules.get("enum")):
            return self.rng.choice(choices)
        if choices := _list(rules.get("anyOf")) or _list(rules.get("oneOf")):
            return self.value(choices[0], depth + 1)
        kind = _type(rules)
        if kind == "object":
            return self._object(rules, depth)
        if kind == "array":
            return self._array(rules, depth)
        return self._scalar(kind, rules)

    def _resolved(self, rules: Rules, depth: int) -> Rules:
        for _ in range(_DEPTH):
            reference = rules.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            found: Any = self.root
            for step in reference[1:].split("/")[1:]:
                found = cast("Rules", found).get(step) if isinstance(found, Mapping) else None
            rules = cast("Rules", found) if isinstance(found, Mapping) else {}
        merged: dict[str, Any] = {**rules}
        for part in _list(merged.pop("allOf", None))[:_ITEMS]:
            self.left -= 1
            if isinstance(part, Mapping) and depth < _DEPTH and self.left > 0:
                merged.update(self._resolved(cast("Rules", part), depth + 1))
        return merged

    def _object(self, rules: Rules, depth: int) -> dict[str, Any]:
        properties: Any = rules.get("properties")
        known = cast("dict[str, Any]", properties) if isinstance(properties, dict) else {}
        needed = [name for name in _list(rules.get("required")) if isinstance(name, str)]
        names = needed if depth >= _DEEP else [*known, *needed]
        return {name: self.value(known.get(name, {}), depth + 1) for name in dict.fromkeys(names)}

    def _array(self, rules: Rules, depth: int) -> list[Any]:
        least = max(_number(rules.get("minItems"), 0), 0)
        most = max(_number(rules.get("maxItems"), _ITEMS), 0)
        number = min(least, 1) if depth >= _DEEP else min(max(least, 2), most, _ITEMS)
        return [self.value(rules.get("items"), depth + 1) for _ in range(number)]

    def _scalar(self, kind: str, rules: Rules) -> str | float | bool | None:
        match kind:
            case "string":
                return self._string(rules)
            case "integer":
                return self._whole_number(rules)
            case "number":
                return float(self._whole_number(rules))
            case "boolean":
                return self.rng.choice((True, False))
            case _:
                return None

    def _string(self, rules: Rules) -> str:
        word = _FORMATS.get(str(rules.get("format"))) or self.rng.choice(_WORDS)
        least = min(_number(rules.get("minLength"), 0), _LETTERS)
        return word.ljust(least, "-")[: max(_number(rules.get("maxLength"), _LETTERS), 0)]

    def _whole_number(self, rules: Rules) -> int:
        low = _number(rules.get("minimum"), _number(rules.get("exclusiveMinimum"), -1) + 1)
        high = _number(rules.get("maximum"), _number(rules.get("exclusiveMaximum"), low + 101) - 1)
        step = max(_number(rules.get("multipleOf"), 1), 1)
        drawn = self.rng.randint(low, max(low, high)) // step * step
        return drawn if drawn >= low else drawn + step


def _type(rules: Rules) -> str:
    kind: Any = rules.get("type")
    if isinstance(kind, list):
        kind = next((one for one in cast("list[Any]", kind) if one != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()  # Gemini shouts
    return "object" if "properties" in rules else "array" if "items" in rules else "string"


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _number(value: object, otherwise: int) -> int:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return max(-_EXACT, min(_EXACT, int(value)))
