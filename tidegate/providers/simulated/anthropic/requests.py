"""The bodies of messages, decoded once, and what the vendor refuses in them.

The checks are those that a translation easily gets wrong: pairs of tool calls and results, empty
texts, thoughts without their signature, temperatures above 1.
"""

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

_LEAST_THINKING: Final = 1024
_FORCED: Final = ("any", "tool")


class Block(msgspec.Struct):
    """One block of a message; which fields count depends on `type`."""

    type: str = "text"
    text: str = ""
    thinking: str = ""
    signature: Any = None
    id: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: Any = None

    def tokens(self) -> int:
        """A quarter of the letters, 85 for an image or a document."""
        if self.type in ("image", "document"):
            return IMAGE_TOKENS
        if self.type == "tool_use":
            return tool_tokens(self.input)
        said = self.content if isinstance(self.content, str) else self.text + self.thinking
        return text_tokens(said) + (tool_tokens(self.content) if said is not self.content else 0)


class Message(msgspec.Struct):
    """One message of a conversation."""

    role: str
    content: str | list[Block]

    @property
    def blocks(self) -> list[Block]:
        """Its blocks; a text is one."""
        return [Block(text=self.content)] if isinstance(self.content, str) else self.content

    def ids(self, kind: str) -> list[str]:
        """The ids of its tool calls or of their results."""
        return [one.id or one.tool_use_id for one in self.blocks if one.type == kind]


class MessagesRequest(msgspec.Struct):
    """The body of `/v1/messages`."""

    messages: list[Message]
    model: str = ""
    max_tokens: int | None = None
    system: str | list[Block] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: dict[str, Any] | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = None
    thinking: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    anthropic_version: str = ""

    def prompt_tokens(self) -> int:
        """3, plus 4 and its blocks for each message and the system prompt, plus the tools."""
        tokens = PROMPT_TOKENS + tool_tokens(self.tools)
        messages = [message.blocks for message in self.messages]
        if self.system is not None:
            messages.append(Message("system", self.system).blocks)
        return tokens + sum(
            MESSAGE_TOKENS + sum(block.tokens() for block in blocks) for blocks in messages
        )


DECODE_MESSAGES: Final = msgspec.json.Decoder(MessagesRequest)


def check(body: MessagesRequest, *, counts: bool = False) -> None:
    """Refuse what Anthropic refuses. `counts`: only tokens are counted, nothing is answered."""
    if not body.messages:
        raise Refusal(400, "messages: at least one message is required")
    for at, message in enumerate(body.messages):
        if message.role not in ("user", "assistant", "system"):
            raise Refusal(400, f"messages.{at}.role: Input should be 'user' or 'assistant'")
        for number, block in enumerate(message.blocks):
            _check_block(block, f"messages.{at}.content.{number}")
    _check_pairs(body.messages)
    if counts:
        return
    if body.max_tokens is None:
        raise Refusal(400, "max_tokens: Field required")
    if body.max_tokens < 1:
        raise Refusal(400, "max_tokens: Input should be greater than or equal to 1")
    if body.temperature is not None and not 0 <= body.temperature <= 1:
        raise Refusal(400, "temperature: range: 0..1")
    _check_thinking(body, body.max_tokens)


def _check_block(block: Block, where: str) -> None:
    match block.type:
        case "text" if not block.text:
            raise Refusal(400, "messages: text content blocks must be non-empty")
        case "tool_use" if not isinstance(block.input, dict):
            raise Refusal(400, f"{where}.tool_use.input: Input should be a valid dictionary")
        case "thinking" if not is_signed(block.thinking, block.signature):
            raise Refusal(400, f"{where}: Invalid `signature` in `thinking` block")
        case _:
            pass


def _check_pairs(messages: list[Message]) -> None:
    asked: list[str] = []
    for at, message in enumerate(messages):
        answered = message.ids("tool_result")
        for unknown in (one for one in answered if one not in asked):
            raise Refusal(
                400,
                f"messages.{at}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{unknown}. Each `tool_result` block must have a corresponding `tool_use` block "
                "in the previous message.",
            )
        for missing in (one for one in asked if one not in answered):
            raise Refusal(
                400,
                f"messages.{at}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {missing}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message.",
            )
        asked = message.ids("tool_use")


def _check_thinking(body: MessagesRequest, max_tokens: int) -> None:
    thinking = as_object(body.thinking)
    if thinking.get("type") != "enabled":
        return
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or budget < _LEAST_THINKING:
        message = f"Input should be greater than or equal to {_LEAST_THINKING}"
        raise Refusal(400, f"thinking.enabled.budget_tokens: {message}")
    if budget >= max_tokens:
        raise Refusal(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    if body.temperature not in (None, 1):
        raise Refusal(400, "`temperature` may only be set to 1 when thinking is enabled.")
    if as_object(body.tool_choice).get("type") in _FORCED:
        raise Refusal(400, "Thinking may not be enabled when tool_choice forces tool use.")


def ask_of(body: MessagesRequest) -> Ask:
    """What a request comes to. Refusal (400) where the tool that is to be called is unknown."""
    last = body.messages[-1]
    ask = Ask(
        prompt="".join(block.text for block in last.blocks),
        tools=list(_tools(body)),
        answered=bool(last.ids("tool_result")),
        schema=_schema(body),
        budget=body.max_tokens,
        stops=[stop for stop in body.stop_sequences or () if stop],
        thinks=as_object(body.thinking).get("type") in ("enabled", "adaptive", "between_tools"),
    )
    choice = body.tool_choice or {}
    names = [tool.name for tool in ask.tools]
    match choice.get("type", "auto"):
        case "auto":
            pass
        case "none":
            ask.choice = "none"
        case "any" if ask.tools:
            ask.choice = "any"
        case "tool" if choice.get("name") in names:
            ask.choice, ask.named = "named", (str(choice["name"]),)
        case _:
            raise Refusal(400, "tool_choice: no such tool in `tools`")
    return ask


def _tools(body: MessagesRequest) -> Iterator[Tool]:
    """The caller's own tools; those that Anthropic runs are not called."""
    for at, tool in enumerate(body.tools or ()):
        if tool.get("type", "custom") != "custom":
            continue
        if not isinstance(tool.get("input_schema"), dict):
            raise Refusal(400, f"tools.{at}.custom.input_schema: Field required")
        yield Tool(str(tool.get("name", "")), tool["input_schema"])


def _schema(body: MessagesRequest) -> object | None:
    wanted = body.output_format or as_object(body.output_config).get("format")
    return as_object(wanted).get("schema")
