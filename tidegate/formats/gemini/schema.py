"""JSON schemas as Google takes them in `parametersJsonSchema` and `responseJsonSchema`.

These fields take JSON schema itself, unlike `parameters` and `responseSchema`, which take a dialect
of OpenAPI's without references and unions: so a schema mostly passes as it is. What is not on
Google's list is taken out, because what happens to it depends on the model: annotations in silence,
constraints by name, so that the caller is told that they do not bind.

Source: ai.google.dev/api/generate-content, GenerationConfig.responseJsonSchema
"""

from __future__ import annotations

from typing import Any, cast

Json = dict[str, Any]

_KEPT = frozenset({
    "$id", "$anchor", "type", "title", "description", "enum", "minItems", "maxItems", "minimum",
    "maximum", "required", "propertyOrdering",
})  # fmt: skip
_ONE = frozenset({"items", "additionalProperties"})
_LISTS = {"anyOf": "anyOf", "oneOf": "anyOf", "prefixItems": "prefixItems"}
_NAMED = {"properties": "properties", "$defs": "$defs", "definitions": "$defs"}
_ANNOTATIONS = frozenset({
    "$schema", "$comment", "default", "deprecated", "discriminator", "example", "examples",
    "externalDocs", "readOnly", "writeOnly", "xml", "strict",
})  # fmt: skip
_FORMATS = frozenset({"date-time", "date", "time", "int32", "int64", "float", "double", "enum"})
_OF_CONST: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def clean(schema: Json, dropped: list[str]) -> Json:
    """`schema` in Google's words; constraints it has no word for are named in `dropped`.

    Raises: `RecursionError` when it is nested too deeply.
    """
    reference = schema.get("$ref")
    if isinstance(reference, str):  # nothing may stand beside it
        return _defined(schema, dropped) | {"$ref": reference.replace("#/definitions/", "#/$defs/")}
    cleaned: Json = {}
    others: list[str] = []
    for key, value in schema.items():
        if key in _KEPT:
            cleaned[key] = value
        elif key in _ONE:
            cleaned[key] = _cleaned(value, dropped)
        elif key in _LISTS and isinstance(value, list):
            values = cast("list[Any]", value)
            cleaned[_LISTS[key]] = [_cleaned(each, dropped) for each in values]
        elif key in _NAMED and isinstance(value, dict):
            cleaned[_NAMED[key]] = _all(cast("Json", value), dropped)
        elif key not in _ANNOTATIONS and not key.startswith("x-"):
            others.append(key)
    for key in others:
        _reword(cleaned, key, schema[key], dropped)
    return _enumerated(cleaned, dropped) if "enum" in cleaned else cleaned


def _cleaned(value: Any, dropped: list[str]) -> Any:
    return clean(cast("Json", value), dropped) if isinstance(value, dict) else value


def _all(schemas: Json, dropped: list[str]) -> Json:
    return {name: _cleaned(each, dropped) for name, each in schemas.items()}


def _defined(schema: Json, dropped: list[str]) -> Json:
    """The definitions in a schema that is but a reference, as generators of schemas write it."""
    for key in ("$defs", "definitions"):
        value = schema.get(key)
        if isinstance(value, dict):
            return {"$defs": _all(cast("Json", value), dropped)}
    return {}


def _reword(cleaned: Json, key: str, value: Any, dropped: list[str]) -> None:
    """Say a keyword that has another name at Google's, or none."""
    if key == "const":
        cleaned["enum"] = [value]
        if "type" not in cleaned and type(value) in _OF_CONST:
            cleaned["type"] = _OF_CONST[type(value)]
    elif key == "format" and isinstance(value, str):
        if value in _FORMATS:
            cleaned["format"] = value
        else:
            said = cleaned.get("description")
            hint = f"Format: {value}."
            cleaned["description"] = f"{said} {hint}" if isinstance(said, str) else hint
    elif key == "nullable":
        if value is True and isinstance(cleaned.get("type"), str):
            cleaned["type"] = [cleaned["type"], "null"]
    elif key == "allOf" and isinstance(value, list) and len(cast("list[Any]", value)) == 1:
        only = _cleaned(cast("list[Any]", value)[0], dropped)
        if isinstance(only, dict):
            cleaned.update(cast("Json", only))
    else:
        dropped.append(f"schema.{key}")


def _enumerated(cleaned: Json, dropped: list[str]) -> Json:
    """Only text and numbers can be enumerated: null becomes a type of its own."""
    values = cleaned["enum"]
    if not isinstance(values, list):
        return cleaned
    values = cast("list[Any]", values)
    named = [each for each in values if type(each) in (str, int, float)]
    if len(named) == len(values):
        return cleaned
    rest = {key: value for key, value in cleaned.items() if key != "enum"}
    if not named or len(named) != len([each for each in values if each is not None]):
        if not (any(each is True for each in values) and any(each is False for each in values)):
            dropped.append("schema.enum")
        return rest
    kinds = rest.pop("type", None)
    if isinstance(kinds, list):
        kinds = [each for each in cast("list[Any]", kinds) if each != "null"]
        kinds = kinds[0] if len(kinds) == 1 else kinds
    one: Json = {"enum": named}
    if kinds:
        one["type"] = kinds
    return rest | {"anyOf": [one, {"type": "null"}]}
