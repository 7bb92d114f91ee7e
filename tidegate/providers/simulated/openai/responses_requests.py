"""The bodies of responses, decoded once, and what OpenAI refuses in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from tidegate.providers.simulated.asking import (
    ANY_OBJECT,
    IMAGE_TOKENS,
    MESSAGE_TOKENS,
    PROMPT_TOKENS,
    Ask,
    Tool,
    as_object,
    text_tokens,
    tool_tokens,
)
from tidegate.providers.simulated.refusal import Refusal

_LEAST_OUTPUT: Final = 16


class Part(msgspec.Struct):
    """One part of a message."""

    type: str = "input_text"
    text: str = ""


class InputItem(msgspec.Struct):
    """One item of the input: a message if it says nothing else."""

    type: str = "message"
    role: str = "user"
    content: str | list[Part] | None = None
    call_id: str = ""
    arguments: str = ""
    output: Any = None

    def text(self) -> str:
        """Its text, parts joined."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content or ())

    def tokens(self) -> int:
        """4, and a quarter of its letters, 85 for each image."""
        parts = self.content if isinstance(self.content, list) else []
        images = sum(part.type == "input_image" for part in parts)
        said = self.text() + self.arguments + (self.output if isinstance(self.output, str) else "")
        return MESSAGE_TOKENS + text_tokens(said) + IMAGE_TOKENS * images


class ResponsesRequest(msgspec.Struct):
    """The body of `/v1/responses`."""

    model: str
    input: str | list[InputItem] = ""
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    previous_response_id: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    temperature: float | None = None
    top_p: float | None = None

    @property
    def items(self) -> list[InputItem]:
        """The input as items; a text is one message."""
        return [InputItem(content=self.input)] if isinstance(self.input, str) else self.input

    def prompt_tokens(self) -> int:
        """3, plus each item and the instructions, plus the tools."""
        tokens = PROMPT_TOKENS + sum(item.tokens() for item in self.items)
        if self.instructions:
            tokens += MESSAGE_TOKENS + text_tokens(self.instructions)
        return tokens + tool_tokens(self.tools)


DECODE_RESPONSES: Final = msgspec.json.Decoder(ResponsesRequest)


def check(body: ResponsesRequest) -> None:
    """Refuse what OpenAI refuses."""
    if not body.input:
        raise Refusal(
            400,
            "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be "
            "provided.",
            param="input",
            code="missing_required_parameter",
        )
    if body.max_output_tokens is not None and body.max_output_tokens < _LEAST_OUTPUT:
        raise Refusal(
            400,
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= "
            f"{_LEAST_OUTPUT}, but got {body.max_output_tokens} instead.",
            param="max_output_tokens",
            code="integer_below_min_value",
        )
    before = body.previous_response_id
    if before is not None and not before.startswith("resp_sim-"):
        raise Refusal(
            400,
            f"Previous response with id '{before}' not found.",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    if before is None:
        _check_pairs(body.items)


def _check_pairs(items: list[InputItem]) -> None:
    asked = [item.call_id for item in items if item.type == "function_call"]
    answered = [item.call_id for item in items if item.type == "function_call_output"]
    for unknown in (one for one in answered if one not in asked):
        message = f"No tool call found for function call output with call_id {unknown}."
        raise Refusal(400, message, param="input")
    for missing in (one for one in asked if one not in answered):
        message = f"No tool output found for function call {missing}."
        raise Refusal(400, message, param="input")


def ask_of(body: ResponsesRequest) -> Ask:
    """What a request comes to. Refusal (400) where the tool that is to be called is unknown."""
    last = body.items[-1]
    ask = Ask(
        prompt=last.text(),
        tools=list(_tools(body)),
        answered=last.type == "function_call_output",
        schema=_schema(body),
        budget=body.max_output_tokens,
        thinks=bool(as_object(body.reasoning).get("summary")),
    )
    choice = body.tool_choice
    names = [tool.name for tool in ask.tools]
    if choice == "required" and ask.tools:
        ask.choice = "any"
    elif choice == "none":
        ask.choice = "none"
    elif isinstance(choice, dict) and choice.get("type") == "function":
        if choice.get("name") not in names:
            message = "Tool choice 'function' not found in 'tools' parameter."
            raise Refusal(400, message, param="tool_choice")
        ask.choice, ask.named = "named", (str(choice["name"]),)
    elif isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        ask.tools = [tool for tool in ask.tools if tool.name in _allowed(choice)]
        ask.choice = "any" if choice.get("mode") == "required" else "auto"
    return ask


def _allowed(choice: dict[str, Any]) -> Iterator[str]:
    for tool in choice.get("tools") or ():
        yield str(as_object(tool).get("name"))


def _tools(body: ResponsesRequest) -> Iterator[Tool]:
    """The caller's own functions; tools that OpenAI runs are not called."""
    for at, tool in enumerate(body.tools or ()):
        if tool.get("type") != "function":
            continue
        if not isinstance(tool.get("name"), str):
            param = f"tools[{at}].name"
            raise Refusal(400, f"Missing required parameter: '{param}'.", param=param)
        yield Tool(tool["name"], tool.get("parameters"))


def _schema(body: ResponsesRequest) -> object | None:
    wanted = as_object(as_object(body.text).get("format"))
    match wanted.get("type"):
        case "json_object":
            return ANY_OBJECT
        case "json_schema":
            if not isinstance(wanted.get("schema"), dict):
                param = "text.format.schema"
                raise Refusal(400, f"Missing required parameter: '{param}'.", param=param)
            return wanted["schema"]
        case _:
            return None
