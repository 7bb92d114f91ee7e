"""The bodies of Converse, decoded once, and what Bedrock refuses in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidegate.providers.simulated.asking import (
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    PROMPT_TOKENS,
    Ask,
    Tool,
    as_object,
    text_tokens,
    tool_tokens,
)
from tidegate.providers.simulated.choices import is_signed
from tidegate.providers.simulated.refusal import Refusal


class Block(msgspec.Struct, rename="camel"):
    """One block of a message; exactly one of the fields is given."""

    text: str | None = None
    image: Any = None
    document: Any = None
    tool_use: dict[str, Any] | None = None
    tool_result: dict[str, Any] | None = None
    reasoning_content: dict[str, Any] | None = None

    def tokens(self) -> int:
        """A quarter of the letters, 85 for an image or a document."""
        if self.image is not None or self.document is not None:
            return IMAGE_TOKENS
        if self.text is not None:
            return text_tokens(self.text)
        return tool_tokens(self.tool_use or self.tool_result or self.reasoning_content)


class Message(msgspec.Struct):
    """One message."""

    role: str
    content: list[Block]

    def tokens(self) -> int:
        """4, and its blocks."""
        return MESSAGE_TOKENS + sum(block.tokens() for block in self.content)


class InferenceConfig(msgspec.Struct, rename="camel"):
    """`inferenceConfig`."""

    max_tokens: int | None = None
    temperature: float | None = None
    stop_sequences: list[str] | None = None


class ToolConfig(msgspec.Struct, rename="camel"):
    """`toolConfig`."""

    tools: list[dict[str, Any]]
    tool_choice: dict[str, Any] | None = None


class ConverseRequest(msgspec.Struct, rename="camel"):
    """The body of `/converse` and `/converse-stream`."""

    messages: list[Message] = []
    system: list[Block] = []
    inference_config: InferenceConfig = msgspec.field(default_factory=InferenceConfig)
    tool_config: ToolConfig | None = None
    additional_model_request_fields: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None

    def prompt_tokens(self) -> int:
        """3, plus each message and the system prompt, plus the tools."""
        tokens = PROMPT_TOKENS + sum(message.tokens() for message in self.messages)
        if self.system:
            tokens += MESSAGE_TOKENS + sum(block.tokens() for block in self.system)
        return tokens + (tool_tokens(self.tool_config.tools) if self.tool_config else 0)


DECODE_CONVERSE: Final = msgspec.json.Decoder(ConverseRequest)


def check(body: ConverseRequest) -> None:
    """Refuse what Bedrock refuses."""
    messages = body.messages
    if not messages or messages[0].role != "user":
        raise _wrong(
            "A conversation must start with a user message. Try again with a conversation that "
            "starts with a user message."
        )
    for at, message in enumerate(messages):
        if message.role not in ("user", "assistant"):
            raise _wrong(f"The role at messages.{at} must be user or assistant.")
        if at and message.role == messages[at - 1].role:
            raise _wrong(
                "A conversation must alternate between user and assistant roles. Make sure the "
                "conversation alternates between user and assistant roles and try again."
            )
        if not message.content:
            raise _wrong(f"The content field in the Message object at messages.{at} is empty.")
        for number, block in enumerate(message.content):
            _check_block(block, f"messages.{at}.content.{number}")
    _check_pairs(body)
    temperature = body.inference_config.temperature
    if temperature is not None and not 0 <= temperature <= 1:
        raise _wrong(
            f"1 validation error detected: Value '{temperature}' at "
            "'inferenceConfig.temperature' failed to satisfy constraint: Member must have value "
            "less than or equal to 1"
        )


def _wrong(message: str) -> Refusal:
    return Refusal(400, message)


def _check_block(block: Block, where: str) -> None:
    if block.text is not None and not block.text.strip():
        message = f"The text field in the ContentBlock object at {where} is blank."
        raise _wrong(f"{message} Add text to the text field, and try again.")
    if block.tool_use is not None and not isinstance(block.tool_use.get("input"), dict):
        message = f"The format of the value at {where}.toolUse.input is invalid."
        raise _wrong(f"{message} Provide a json object for the field and try again.")
    thought = as_object((block.reasoning_content or {}).get("reasoningText"))
    if thought and not is_signed(str(thought.get("text", "")), thought.get("signature")):
        raise _wrong(
            f"The model returned the following errors: {where}: Invalid `signature` in `thinking` "
            "block"
        )


def _check_pairs(body: ConverseRequest) -> None:
    asked: set[object] = set()
    used = False
    for message in body.messages:
        calls = [b.tool_use.get("toolUseId") for b in message.content if b.tool_use]
        results = [b.tool_result.get("toolUseId") for b in message.content if b.tool_result]
        used = used or bool(calls or results)
        if set(results) - asked:
            raise _wrong("The toolResult blocks hold an id that no toolUse block before them has.")
        if asked - set(results):
            ids = ", ".join(sorted(str(one) for one in asked - set(results)))
            raise _wrong(f"Expected toolResult blocks for the following Ids: {ids}")
        asked = set(calls)
    if used and body.tool_config is None:
        raise _wrong(
            "The toolConfig field must be defined when using toolUse and toolResult content blocks."
        )


def ask_of(body: ConverseRequest) -> Ask:
    """What a request comes to. Refusal (400) where the tool that is to be called is unknown."""
    last, config = body.messages[-1], body.inference_config
    thinking = as_object((body.additional_model_request_fields or {}).get("thinking"))
    ask = Ask(
        prompt="".join(block.text or "" for block in last.content),
        tools=list(_tools(body.tool_config)),
        answered=any(block.tool_result for block in last.content),
        schema=_schema(body),
        budget=config.max_tokens,
        stops=[stop for stop in config.stop_sequences or () if stop],
        thinks=thinking.get("type") in ("enabled", "adaptive"),
    )
    choice = (body.tool_config.tool_choice if body.tool_config else None) or {}
    if "any" in choice:
        ask.choice = "any"
    elif "tool" in choice:
        name = as_object(choice["tool"]).get("name")
        if name not in [tool.name for tool in ask.tools]:
            raise _wrong("The tool that toolChoice names is not among the tools.")
        ask.choice, ask.named = "named", (str(name),)
    return ask


def _tools(config: ToolConfig | None) -> Iterator[Tool]:
    for tool in config.tools if config else ():
        said = as_object(tool.get("toolSpec"))
        if said:
            yield Tool(str(said.get("name", "")), as_object(said.get("inputSchema")).get("json"))


def _schema(body: ConverseRequest) -> object | None:
    form = as_object((body.output_config or {}).get("textFormat"))
    wanted = as_object(as_object(form.get("structure")).get("jsonSchema")).get("schema")
    if not isinstance(wanted, str):
        return None
    try:
        return msgspec.json.decode(wanted)
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise _wrong(f"outputConfig.textFormat: the schema is not JSON: {wrong}") from wrong
