"""The bodies that generate content, decoded once, and what Google refuses in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar, cast

import msgspec

from tidegate.providers.simulated.asking import (
    ANY_OBJECT,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    PROMPT_TOKENS,
    Ask,
    Tool,
    as_object,
    decode,
    text_tokens,
    tool_tokens,
)
from tidegate.providers.simulated.refusal import Refusal

_MOST_CANDIDATES: Final = 8


class Part(msgspec.Struct, rename="camel"):
    """One part of a content; exactly one of the fields is given."""

    text: str | None = None
    inline_data: Any = None
    file_data: Any = None
    function_call: Any = None
    function_response: Any = None

    def tokens(self) -> int:
        """A quarter of the letters, 85 for what is not text."""
        if self.text is not None:
            return text_tokens(self.text)
        if self.inline_data is not None or self.file_data is not None:
            return IMAGE_TOKENS
        return tool_tokens(self.function_call or self.function_response)


class Content(msgspec.Struct):
    """One message."""

    parts: list[Part] = []
    role: str = "user"

    def text(self) -> str:
        """Its text, parts joined."""
        return "".join(part.text or "" for part in self.parts)

    def tokens(self) -> int:
        """4, and its parts."""
        return MESSAGE_TOKENS + sum(part.tokens() for part in self.parts)


class Declaration(msgspec.Struct, rename="camel"):
    """A function that may be called."""

    name: str
    parameters: Any = None
    parameters_json_schema: Any = None


class GoogleTool(msgspec.Struct, rename="camel"):
    """Functions, or something that Google runs itself."""

    function_declarations: list[Declaration] = []


class CallingConfig(msgspec.Struct, rename="camel"):
    """Whether functions are called."""

    mode: str = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(msgspec.Struct, rename="camel"):
    """`toolConfig`."""

    function_calling_config: CallingConfig = msgspec.field(default_factory=CallingConfig)


class GenerationConfig(msgspec.Struct, rename="camel"):
    """`generationConfig`."""

    max_output_tokens: int | None = None
    stop_sequences: list[str] = []
    candidate_count: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None
    thinking_config: dict[str, Any] | None = None
    temperature: float | None = None


class GenerateRequest(msgspec.Struct, rename="camel"):
    """The body of `:generateContent` and `:streamGenerateContent`."""

    contents: list[Content] = []
    system_instruction: Content | None = None
    tools: list[GoogleTool] = []
    tool_config: ToolConfig = msgspec.field(default_factory=ToolConfig)
    generation_config: GenerationConfig = msgspec.field(default_factory=GenerationConfig)

    def prompt_tokens(self) -> int:
        """3, plus each content and the instruction, plus the tools."""
        tokens = PROMPT_TOKENS + sum(content.tokens() for content in self.contents)
        if self.system_instruction is not None:
            tokens += self.system_instruction.tokens()
        return tokens + tool_tokens(
            [one for tool in self.tools for one in tool.function_declarations]
        )


class CountRequest(GenerateRequest, rename="camel"):
    """The body of `:countTokens`: contents, or a whole request."""

    generate_content_request: GenerateRequest | None = None


_OPAQUE: Final = frozenset(
    {
        "parameters",
        "parametersJsonSchema",
        "responseSchema",
        "responseJsonSchema",
        "args",
        "response",
    }
)
_decode: Final = msgspec.json.Decoder()
Body = TypeVar("Body")


def read(kind: type[Body], body: bytes) -> Body:
    """The body as `kind`. Refusal (400) when it is not JSON or not of the right shape.

    As everywhere at Google, a field may also be written `with_underscores`; its own SDK does.
    """
    try:
        return msgspec.convert(_in_camel_case(decode(_decode, body)), kind)
    except msgspec.ValidationError as wrong:
        raise Refusal(400, f"Invalid JSON payload received. {wrong}") from wrong


def _in_camel_case(value: Any) -> Any:
    if isinstance(value, list):
        return [_in_camel_case(one) for one in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    renamed: dict[str, Any] = {}
    for name, one in cast("dict[str, Any]", value).items():
        first, *others = name.split("_")
        camel = first + "".join(map(str.capitalize, others))
        renamed[camel] = one if camel in _OPAQUE else _in_camel_case(one)
    return renamed


def check(body: GenerateRequest) -> None:
    """Refuse what Google refuses."""
    if not body.contents:
        raise Refusal(400, "* GenerateContentRequest.contents: contents is not specified\n")
    for at, content in enumerate(body.contents):
        if content.role not in ("user", "model", "function"):
            raise Refusal(400, "Please use a valid role: user, model.")
        if not content.parts:
            where = f"GenerateContentRequest.contents[{at}].parts"
            raise Refusal(400, f"* {where}: contents.parts must not be empty.\n")
    _check_pairs(body.contents)
    config = body.generation_config
    if config.temperature is not None and not 0 <= config.temperature <= 2:  # noqa: PLR2004
        what = "supported range is from 0 (inclusive) to 2.0001 (exclusive)"
        raise Refusal(400, f"Unable to submit request because temperature is out of range: {what}")
    count = config.candidate_count
    if count is not None and not 1 <= count <= _MOST_CANDIDATES:
        raise Refusal(400, "candidateCount must be between 1 and 8.")


def _check_pairs(contents: list[Content]) -> None:
    asked = 0
    for content in contents:
        answered = sum(part.function_response is not None for part in content.parts)
        if answered != asked:
            raise Refusal(
                400,
                "Please ensure that the number of function response parts is equal to the number "
                "of function call parts of the function call turn.",
            )
        asked = sum(part.function_call is not None for part in content.parts)


def ask_of(body: GenerateRequest) -> Ask:
    """What a request comes to. Refusal (400) where a function that is allowed is unknown."""
    last, config = body.contents[-1], body.generation_config
    ask = Ask(
        prompt=last.text(),
        tools=list(_tools(body)),
        answered=any(part.function_response is not None for part in last.parts),
        schema=_schema(config),
        budget=config.max_output_tokens,
        stops=[stop for stop in config.stop_sequences if stop],
        number=config.candidate_count or 1,
        thinks=bool(as_object(config.thinking_config).get("includeThoughts")),
    )
    calling = body.tool_config.function_calling_config
    match calling.mode.upper():
        case "ANY" if calling.allowed_function_names:
            names = [tool.name for tool in ask.tools]
            for unknown in (n for n in calling.allowed_function_names if n not in names):
                message = f"allowed_function_names holds an unknown function: {unknown}"
                raise Refusal(400, message)
            ask.choice, ask.named = "named", calling.allowed_function_names
        case "ANY":
            ask.choice = "any"
        case "NONE":
            ask.choice = "none"
        case _:
            pass
    return ask


def _tools(body: GenerateRequest) -> Iterator[Tool]:
    for tool in body.tools:
        for one in tool.function_declarations:
            schema = one.parameters if one.parameters is not None else one.parameters_json_schema
            yield Tool(one.name, schema)


def _schema(config: GenerationConfig) -> object | None:
    schema = config.response_schema or config.response_json_schema
    if config.response_mime_type != "application/json":
        if schema is not None:
            message = "response_schema needs response_mime_type application/json"
            raise Refusal(400, f"* GenerateContentRequest.generation_config: {message}\n")
        return None
    return schema or ANY_OBJECT
