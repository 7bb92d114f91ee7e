"""Distributions, settings and values for schemas."""

from __future__ import annotations

from random import Random
from statistics import mean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.providers.simulated import Settings
from tidegate.providers.simulated.distribution import delays, duration_s, lengths
from tidegate.providers.simulated.schema import instance


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("200ms", 0.2), ("1.5s", 1.5), ("2m", 120), ("25us", 25e-6), ("25µs", 25e-6)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "centre"),
    [
        ("200ms", 0.2),
        ("normal:200ms,50ms", 0.2),
        ("uniform:100ms..300ms", 0.2),
        ("lognormal:200ms,0.1", 0.2),
        ("exp:200ms", 0.2),
    ],
)
def test_draws_lie_about_the_centre_and_repeat_by_seed(text: str, centre: float) -> None:
    distribution = delays(text)
    drawn = [distribution.draw(rng) for rng in [Random(1)] for _ in range(2000)]
    assert mean(drawn) == pytest.approx(centre, rel=0.1)
    assert drawn == [distribution.draw(rng) for rng in [Random(1)] for _ in range(2000)]


def test_draws_are_never_negative() -> None:
    rng, distribution = Random(1), delays("normal:1ms,50ms")
    assert min(distribution.draw(rng) for _ in range(1000)) == 0


@pytest.mark.parametrize(
    "text",
    ["", "200", "-1ms", "normal:1ms", "uniform:3ms..1ms", "lognormal:1ms,1ms", "exp:0ms", "x:1ms"],
)
def test_wrong_delays_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"'"):
        delays(text)


def test_lengths_have_no_unit() -> None:
    assert lengths("uniform:10..20").second == 20
    with pytest.raises(ValueError, match="whole number"):
        lengths("20ms")


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError, match="gap: '25' is not a duration"):
        Settings(gap="25")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 4}, 4),
        ({"enum": ["a"]}, "a"),
        ({"type": ["null", "integer"], "minimum": 3, "maximum": 3}, 3),
        ({"type": "integer", "multipleOf": 50, "minimum": 1, "maximum": 50}, 50),
        ({"type": "string", "maxLength": 0}, ""),
        ({"type": "string", "format": "date"}, "2024-02-29"),
        ({"type": "array", "items": {"const": 1}, "minItems": 3}, [1, 1, 1]),
        ({"anyOf": [{"const": 1}, {"type": "null"}]}, 1),
        ({"allOf": [{"properties": {"a": {"const": 1}}}, {"required": ["a"]}]}, {"a": 1}),
        ({"$ref": "#/$defs/one", "$defs": {"one": {"const": 1}}}, 1),
        ({"$ref": "#/nowhere"}, None),
        ({"type": "null"}, None),
        (True, None),
    ],
)
def test_values_fit_their_schema(schema: object, value: object) -> None:
    found = instance(schema, Random(1))
    assert found == value or (schema == {"$ref": "#/nowhere"} and isinstance(found, str))


def test_a_schema_that_wants_everything_gets_a_bounded_value() -> None:
    greedy: dict[str, Any] = {"type": "array", "minItems": 10**12, "items": {"$ref": "#"}}
    greedy["minLength"] = float("inf")
    assert len(instance(greedy, Random(1))) == 64
    assert len(instance({"type": "string", "minLength": 10**12}, Random(1))) == 4096
    assert instance({"allOf": [{"$ref": "#"}] * 64}, Random(1)) is not None


def test_a_schema_that_contains_itself_ends() -> None:
    node: dict[str, Any] = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "children": {"type": "array", "items": {"$ref": "#"}},
            "next": {"$ref": "#"},
        },
        "required": ["name", "children"],
    }
    assert instance(node, Random(1))["name"]
    assert instance({"$ref": "#"}, Random(1)) is not None


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
_KEYWORDS = st.sampled_from([
    "type", "enum", "items", "properties", "required", "minItems", "maxItems", "minimum",
    "maximum", "multipleOf", "minLength", "maxLength", "format", "$ref", "anyOf", "allOf",
])  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(_KEYWORDS, _JSON | st.sampled_from(["object", "array", "string", "number"])))
def test_no_schema_is_too_odd(schema: dict[str, Any]) -> None:
    instance(schema, Random(1))
