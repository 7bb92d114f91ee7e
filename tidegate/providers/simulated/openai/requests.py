"""The bodies callers send, decoded once; what is not needed here is skipped by the decoder."""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

from tidegate.providers.simulated.asking import (
    ANY_OBJECT,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    PROMPT_TOKENS,
    Ask,
    Tool,
    text_tokens,
    tool_tokens,
)
from tidegate.providers.simulated.refusal import Refusal


class Part(msgspec.Struct):
    """One part of a message: text, or an image of which only the presence counts."""

    type: str = "text"
    text: str = ""


class Message(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str | list[Part] | None = None

    def text(self) -> str:
        """Its text, parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())

    def tokens(self) -> int:
        """4 for the message, a quarter of its letters rounded up, 85 for each image."""
        if isinstance(self.content, str):
            return MESSAGE_TOKENS + text_tokens(self.content)
        images = sum(part.type == "image_url" for part in self.content or ())
        return MESSAGE_TOKENS + text_tokens(self.text()) + IMAGE_TOKENS * images


class StreamOptions(msgspec.Struct):
    """`stream_options`."""

    include_usage: bool | None = None


class _Generation(msgspec.Struct):
    """What chat and legacy completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None

    @property
    def includes_usage(self) -> bool:
        """The stream is to end with a chunk of usage."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def stops(self) -> list[str]:
        """The stop sequences, empty ones left out."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [stop for stop in given if stop]


class ChatRequest(_Generation, kw_only=True):
    """The body of `/v1/chat/completions`."""

    messages: list[Message]
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    def prompt_tokens(self) -> int:
        """3, plus each message, plus a quarter of the letters of the tools as compact JSON."""
        tokens = PROMPT_TOKENS
        for message in self.messages:
            tokens += message.tokens()
        return tokens + tool_tokens(self.tools)


class CompletionRequest(_Generation, kw_only=True):
    """The body of `/v1/completions`."""

    prompt: Any = ""
    logprobs: int | None = None
    echo: bool | None = None


class EmbeddingRequest(msgspec.Struct):
    """The body of `/v1/embeddings`."""

    model: str
    input: Any
    dimensions: int | None = None
    encoding_format: str | None = None


DECODE_CHAT: Final = msgspec.json.Decoder(ChatRequest)
DECODE_COMPLETION: Final = msgspec.json.Decoder(CompletionRequest)
DECODE_EMBEDDING: Final = msgspec.json.Decoder(EmbeddingRequest)


def texts(given: Any, param: str) -> list[str]:
    """What `prompt` or `input` holds, as texts: a text, texts, token ids or lists of token ids."""
    many = cast("list[Any]", given) if isinstance(given, list) else [given]
    if many and all(isinstance(one, int) for one in many):
        many = [many]
    found: list[str] = []
    for one in many:
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, list):
            found.append(" ".join(f"#{token:03}" for token in _ids(cast("list[Any]", one), param)))
        else:
            raise Refusal(400, f"'{param}' must be text or token ids", param=param)
    if not found:
        raise Refusal(400, f"'{param}' must not be empty", param=param)
    return found


def _ids(given: list[Any], param: str) -> list[int]:
    if not all(isinstance(one, int) for one in given):
        raise Refusal(400, f"'{param}' must be text or token ids", param=param)
    return given


def check_generation(ask: ChatRequest | CompletionRequest) -> None:
    """Refuse what OpenAI refuses: numbers out of range and options that exclude each other."""
    if ask.n is not None and not 1 <= ask.n <= 128:  # noqa: PLR2004 - OpenAI's own bound
        raise Refusal(400, f"Invalid 'n': {ask.n} is not within 1 and 128", param="n")
    if ask.max_tokens is not None and ask.max_tokens < 1:
        raise Refusal(400, "Invalid 'max_tokens': must be at least 1", param="max_tokens")
    if ask.stream_options is not None and not ask.stream:
        raise Refusal(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    if isinstance(ask, CompletionRequest):
        return
    if not ask.messages:
        raise Refusal(400, "Invalid 'messages': empty array.", param="messages")
    if ask.max_completion_tokens is not None:
        if ask.max_completion_tokens < 1:
            param = "max_completion_tokens"
            raise Refusal(400, f"Invalid '{param}': must be at least 1", param=param)
        if ask.max_tokens is not None:
            raise Refusal(
                400,
                "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not "
                "supported.",
                param="max_tokens",
            )
    if ask.top_logprobs is not None and not (ask.logprobs and 0 <= ask.top_logprobs <= 20):  # noqa: PLR2004
        raise Refusal(
            400, "'top_logprobs' is 0 to 20 and needs 'logprobs': true", param="top_logprobs"
        )


def ask_of(body: ChatRequest) -> Ask:
    """What a chat request comes to. Refusal (400) where its tools or format say nothing sound."""
    last = body.messages[-1]
    ask = Ask(
        prompt=last.text(),
        answered=last.role == "tool",
        budget=body.max_completion_tokens or body.max_tokens,
        stops=body.stops,
        number=body.n or 1,
    )
    if body.response_format is not None:
        ask.schema = _schema(body.response_format)
    if body.tools is not None or body.tool_choice is not None:
        ask.tools = [_tool(tool) for tool in body.tools or ()]
        _choose(ask, body.tool_choice)
    return ask


def _tool(tool: dict[str, Any]) -> Tool:
    function: Any = tool.get("function")
    if not isinstance(function, dict):
        raise Refusal(400, "Missing required parameter: 'tools[0].function'.", param="tools")
    said = cast("dict[str, Any]", function)
    return Tool(str(said.get("name", "")), said.get("parameters"))


def _choose(ask: Ask, choice: str | dict[str, Any] | None) -> None:
    if isinstance(choice, dict):
        wanted: Any = choice.get("function")
        name: Any = cast("Any", wanted.get("name")) if isinstance(wanted, dict) else None
        if not any(tool.name == name for tool in ask.tools):
            raise Refusal(400, "Tool choice names no tool of 'tools'", param="tool_choice")
        ask.choice, ask.named = "named", (str(name),)
    elif choice == "required":
        if not ask.tools:
            raise Refusal(400, "'tool_choice' needs 'tools'", param="tool_choice")
        ask.choice = "any"
    elif choice == "none":
        ask.choice = "none"


def _schema(response_format: dict[str, Any]) -> object | None:
    match response_format.get("type"):
        case "json_object":
            return ANY_OBJECT
        case "json_schema":
            named: Any = response_format.get("json_schema")
            schema = cast("Any", named.get("schema")) if isinstance(named, dict) else None
            if not isinstance(schema, dict):
                param = "response_format"
                raise Refusal(400, f"Missing '{param}.json_schema.schema'", param=param)
            return cast("object", schema)
        case _:
            return None
