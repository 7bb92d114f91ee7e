"""JSON schemas as Google takes them."""

from __future__ import annotations

from typing import Any

import pytest
from gemini_samples import ask, said

from tidegate.errors import BadRequest
from tidegate.formats.gemini.schema import clean
from tidegate.formats.words import Tool


def cleaned(schema: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    dropped: list[str] = []
    return clean(schema, dropped), dropped


def test_what_google_lists_passes_as_it_is() -> None:
    schema = {
        "type": "object",
        "title": "Tide",
        "properties": {
            "heights": {"type": "array", "items": {"type": "number", "minimum": 0}, "maxItems": 4},
            "pair": {"prefixItems": [{"type": "string"}, {"type": "integer"}]},
            "kind": {"anyOf": [{"type": "string", "enum": ["neap"]}, {"type": "null"}]},
            "at": {"type": ["string", "null"], "format": "date-time"},
            "next": {"$ref": "#"},
        },
        "required": ["heights"],
        "additionalProperties": {"type": "string"},
        "propertyOrdering": ["kind", "at"],
    }
    assert cleaned(schema) == (schema, [])


def test_properties_with_the_names_of_keywords_stay() -> None:
    schema = {"properties": {"const": {"type": "string"}, "not": {"type": "integer"}}}
    assert cleaned(schema) == (schema, [])


def test_annotations_go_in_silence_and_constraints_by_name() -> None:
    schema = {"type": "string", "default": "a", "x-order": 1, "pattern": "a+", "maxLength": 3}
    assert cleaned(schema) == ({"type": "string"}, ["schema.pattern", "schema.maxLength"])


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"const": "a"}, {"enum": ["a"], "type": "string"}),
        ({"const": 1, "type": "number"}, {"enum": [1], "type": "number"}),
        ({"oneOf": [{"const": 2}]}, {"anyOf": [{"enum": [2], "type": "integer"}]}),
        ({"allOf": [{"type": "string", "x": 1}]}, {"type": "string"}),
        ({"nullable": True, "type": "string"}, {"type": ["string", "null"]}),
        (
            {"format": "email", "type": "string"},
            {"type": "string", "description": "Format: email."},
        ),
        ({"format": "ipv4", "description": "Host."}, {"description": "Host. Format: ipv4."}),
        ({"$ref": "#/definitions/a", "title": "A"}, {"$ref": "#/$defs/a"}),
        (
            {"$ref": "#/definitions/a", "definitions": {"a": {"const": 1.5}}},
            {"$ref": "#/$defs/a", "$defs": {"a": {"enum": [1.5], "type": "number"}}},
        ),
        (
            {"type": ["string", "null"], "enum": ["a", None], "description": "An a"},
            {"description": "An a", "anyOf": [{"enum": ["a"], "type": "string"}, {"type": "null"}]},
        ),
        ({"type": "boolean", "enum": [True, False]}, {"type": "boolean"}),
    ],
)
def test_what_has_another_name_is_said_by_it(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    found, dropped = cleaned(schema)
    assert found == expected
    assert [name for name in dropped if name != "schema.x"] == []


def test_values_that_cannot_be_enumerated_are_named() -> None:
    assert cleaned({"enum": [True]}) == ({}, ["schema.enum"])
    assert cleaned({"enum": [{"a": 1}]}) == ({}, ["schema.enum"])
    assert cleaned({"const": None}) == ({}, ["schema.enum"])


def test_what_is_no_schema_is_left_to_google() -> None:
    kept = {"type": 3, "items": [1], "enum": "a"}
    odd: dict[str, Any] = kept | {"properties": "none", "anyOf": {}, "$ref": 1}
    assert cleaned(odd)[0] == kept


def test_a_bottomless_schema_is_a_bad_request() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(2000):
        schema = {"items": schema}
    with pytest.raises(BadRequest):
        said(ask(tools=(Tool("deep", schema=schema),)))
