"""Whether an answer is what was asked for: tool arguments that are JSON, JSON that fits its schema.

Schemas come from callers, so nothing they refer to is fetched, and patterns run in linear time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, cast

import jsonschema_rs
import msgspec

from tidegate.formats.words import Ask, JsonOutput, Reply, Said, Text, Tool, ToolUse

FAULT_CHARACTERS = 300
FORMS = frozenset({
    "tools", "functions", "response_format", "text", "output_config", "output_format",
})  # fmt: skip
"""Fields that ask for an answer of a form."""

_decode = msgspec.json.Decoder().decode
_REGEX = jsonschema_rs.RegexOptions()


def asks_for_form(body: Mapping[str, Any]) -> bool:
    """Whether a request asks for anything that can be checked, in any format's words.

    Nothing can where the answer is to be fetched later (`background`).
    """
    if FORMS.isdisjoint(body) or body.get("background"):
        return False
    return any(body.get(name) for name in FORMS)


def fault(reply: Reply, ask: Ask) -> str | None:
    """What is wrong with `reply`, in words fit for the model; None when it can be used.

    Answers that were cut by their length, filtered or refused are as they are.
    """
    schemas = {
        tool.name: tool.schema for tool in ask.tools if isinstance(tool, Tool) and tool.strict
    }
    for said in reply.choices:
        if said.finish in ("length", "content_filter", "refusal"):
            continue
        found = _tool_fault(said, schemas)
        if found is None and ask.output is not None:
            found = _text_fault(said, ask.output)
        if found is not None:
            return found[:FAULT_CHARACTERS]
    return None


def _tool_fault(said: Said, schemas: Mapping[str, dict[str, Any] | None]) -> str | None:
    for part in said.parts:
        if not isinstance(part, ToolUse):
            continue
        try:
            arguments = _decode(part.arguments or "{}")
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return f"the arguments of the call of {part.name!r} are not JSON"
        if not isinstance(arguments, dict):
            return f"the arguments of the call of {part.name!r} are not an object"
        schema = schemas.get(part.name)
        if schema is not None:
            found = _violation(schema, cast("Any", arguments))
            if found is not None:
                return f"the arguments of the call of {part.name!r} do not fit: {found}"
    return None


def _text_fault(said: Said, output: JsonOutput) -> str | None:
    if any(isinstance(part, ToolUse) for part in said.parts):
        return None  # the JSON comes after the tools have answered
    text = "".join(part.text for part in said.parts if isinstance(part, Text))
    try:
        value = _decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return "it is not JSON"
    if output.schema is None:
        return None if isinstance(value, dict) else "it is not a JSON object"
    found = _violation(output.schema, value)
    return None if found is None else f"it does not fit the JSON schema: {found}"


def _violation(schema: dict[str, Any], value: Any) -> str | None:
    """The first place where `value` does not fit; None also for a schema that is none itself."""
    try:
        validator = jsonschema_rs.validator_for(
            schema, retriever=_fetch_nothing, pattern_options=_REGEX
        )
        for error in validator.iter_errors(value):
            place = "/".join(str(step) for step in error.instance_path)
            return f"{error.message} (at /{place})"
    except (ValueError, jsonschema_rs.ReferencingError, RecursionError):
        return None  # the schema's own mistake: the provider had the chance to say so
    return None


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri[:100]} is not fetched")
