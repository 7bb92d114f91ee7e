"""A JSON schema in the part of the language that structured output understands.

Objects are closed, alternatives are `anyOf`, and what is left over (bounds, patterns, lengths) goes
into the description, where the model reads it. The answer is checked against the whole schema
elsewhere.

Source: platform.claude.com/docs, "Structured outputs", JSON schema limitations.
"""

from __future__ import annotations

from typing import Any, cast

from tidegate.formats.messages.shapes import Json, encode

FORMATS = frozenset({
    "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
})  # fmt: skip
_PLAIN = str | int | float | bool | None
_KEPT = ("title", "description")
_COMBINED = frozenset({"anyOf", "oneOf", "allOf"})


def of_object(schema: Json | None) -> Json:
    """A tool's schema, which must be one of an object, without alternatives at its top."""
    if not schema:
        return {"type": "object", "properties": {}}
    if not schema.keys() & _COMBINED:
        return schema if "type" in schema else {"type": "object", **schema}
    said = {name: value for name, value in schema.items() if name not in _COMBINED}
    rest = {name: value for name, value in schema.items() if name in _COMBINED}
    return _with_rest({"type": "object", **said}, rest)


def fit(schema: Json) -> Json:
    """`schema` in the words that are understood; the given one stays as it is."""
    rest = dict(schema)
    said: Json = {}
    for name in ("$defs", "definitions"):
        if isinstance(rest.get(name), dict):
            said[name] = _each(rest.pop(name))
    if "$ref" in rest:  # nothing may stand beside it
        return said | {"$ref": rest["$ref"]}
    said |= _literals(rest)
    kinds: Any = rest.pop("type", None)
    if not said.keys() & {"enum", "const"}:
        alternatives = _alternatives(said, rest)
        if isinstance(kinds, list) and not alternatives:
            return said | _one_of_kinds(cast("list[Any]", kinds), rest)
        if isinstance(kinds, str):
            if not alternatives:
                said["type"] = kinds
            _of_kind(kinds, said, rest)
    said |= {name: rest.pop(name) for name in _KEPT if name in rest}
    return _with_rest(said, rest)


def _literals(rest: Json) -> Json:
    """Values that are named one by one, which need no type."""
    said: Json = {}
    values = rest.get("enum")
    if isinstance(values, list) and all(isinstance(each, _PLAIN) for each in cast("Any", values)):
        said["enum"] = rest.pop("enum")
    if "const" in rest and isinstance(rest["const"], _PLAIN):
        said["const"] = rest.pop("const")
    return said


def _alternatives(said: Json, rest: Json) -> bool:
    for name, word in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        variants = rest.get(name)
        if isinstance(variants, list):
            del rest[name]
            said[word] = [_fit_any(each) for each in cast("list[Any]", variants)]
            return True
    return False


def _one_of_kinds(kinds: list[Any], rest: Json) -> Json:
    """`type` as a list, said as alternatives."""
    said: Json = {name: rest.pop(name) for name in _KEPT if name in rest}
    said["anyOf"] = [
        {"type": "null"} if kind == "null" else fit({**rest, "type": kind}) for kind in kinds
    ]
    return said


def _of_kind(kind: str, said: Json, rest: Json) -> None:
    match kind:
        case "object":
            properties = rest.pop("properties", None)
            said["properties"] = _each(properties) if isinstance(properties, dict) else {}
            rest.pop("additionalProperties", None)
            said["additionalProperties"] = False
            if "required" in rest:
                said["required"] = rest.pop("required")
        case "array":
            if "items" in rest:
                said["items"] = _fit_any(rest.pop("items"))
            if rest.get("minItems") in (0, 1):
                said["minItems"] = rest.pop("minItems")
        case "string":
            if rest.get("format") in FORMATS:
                said["format"] = rest.pop("format")
        case _:
            pass


def _with_rest(said: Json, rest: Json) -> Json:
    """What is left over, for the model to read."""
    if rest:
        left = "{" + ", ".join(f"{name}: {_shown(value)}" for name, value in rest.items()) + "}"
        told = said.get("description")
        said["description"] = f"{told}\n\n{left}" if isinstance(told, str) else left
    return said


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _each(schemas: Any) -> Json:
    return {name: _fit_any(each) for name, each in cast("Json", schemas).items()}


def _fit_any(schema: Any) -> Any:
    return fit(cast("Json", schema)) if isinstance(schema, dict) else schema
