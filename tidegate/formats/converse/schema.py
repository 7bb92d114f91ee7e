"""A JSON schema in the part of the language that Bedrock's structured output understands.

Objects are closed, and the words that are refused go into the description, where the model reads
them. The answer is checked against the whole schema elsewhere.

Source: docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from tidegate.errors import BadRequest

Json = dict[str, Any]

_REFUSED: Final = frozenset({
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength",
    "maxLength", "maxItems", "uniqueItems", "contains", "prefixItems", "minProperties",
    "maxProperties", "patternProperties", "propertyNames", "unevaluatedProperties",
    "dependentRequired", "dependentSchemas", "if", "then", "else", "not",
})  # fmt: skip
_MAPS: Final = ("properties", "$defs", "definitions")
_LISTS: Final = ("anyOf", "allOf")

_encode = msgspec.json.Encoder().encode


def fit(schema: Json, param: str) -> Json:
    """`schema` in the words that are understood; the given one stays as it is.

    Raises: `BadRequest` with `param` when it is nested too deeply.
    """
    try:
        return _fit(schema)
    except RecursionError:
        raise BadRequest("The schema is nested too deeply.", param=param) from None


def _fit(schema: Json) -> Json:
    fitted: Json = {}
    left: Json = {}
    for name, value in schema.items():
        if name in _REFUSED or (name == "minItems" and value not in (0, 1)):
            left[name] = value
        elif name in _MAPS and isinstance(value, dict):
            fitted[name] = {key: _fit_any(each) for key, each in cast("Json", value).items()}
        elif name in _LISTS and isinstance(value, list):
            fitted[name] = [_fit_any(each) for each in cast("list[Any]", value)]
        elif name == "oneOf" and "anyOf" not in schema and isinstance(value, list):
            fitted["anyOf"] = [_fit_any(each) for each in cast("list[Any]", value)]
        elif name == "items":
            fitted[name] = _fit_any(value)
        else:
            fitted[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        fitted["additionalProperties"] = False
    if left:
        told = schema.get("description")
        words = _encode(left).decode()
        fitted["description"] = f"{told}\n\n{words}" if isinstance(told, str) else words
    return fitted


def _fit_any(schema: Any) -> Any:
    return _fit(cast("Json", schema)) if isinstance(schema, dict) else schema
