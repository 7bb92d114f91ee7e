"""How much a call may use before anybody has answered it: an estimate for rates, a bound for money.

A token stands for at least one byte of UTF-8, in the tokenizers of all vendors, so a request has no
more tokens than its body has bytes; but for what vendors add unseen, and for what a body only
refers to. A picture is charged as no more than `MEDIUM_TOKENS`. A document is read in whole, each
page as a picture besides, and what a provider keeps (a file, a response, a prompt) can be anything:
no more than the model's window. A tool that the provider runs itself is another round, which reads
all of it again; where nobody says how many there may be, `HOSTED_ROUNDS` are taken for the most.
That is the one bound that a provider does not have to keep. What it charges for each search or
minute of a tool beside the tokens is in no price: `fees` says that there is such a tool.

Sources: platform.openai.com/docs/guides/images-vision (the dearest picture: 48,169 tokens),
docs.anthropic.com/en/docs/build-with-claude/pdf-support, ai.google.dev/gemini-api/docs/tokens,
docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool (searches add up as input).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import Struct

from tidegate.formats.check import asks_for_form
from tidegate.formats.messages.thinking import BUDGETS
from tidegate.formats.repair import SHOWN_CHARACTERS
from tidegate.formats.responses.ask import CONTINUED
from tidegate.types import Call, Target, Terms, output_limit

OUTPUT_FIELDS = {
    "chat": ("max_completion_tokens", "max_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
    "messages": ("max_tokens",),
}
"""Where each format says how long an answer may be."""
LEAST_OUTPUT_TOKENS = 16
"""What some targets are asked for at least, whatever the caller says."""
UNSEEN_TOKENS = 1_024
"""What vendors put around a request, and around each tool of their own: turns, instructions."""
MEDIUM_TOKENS = 50_000
WINDOW_TOKENS = 1 << 20
"""What a model reads at most where its window is not known, or may be widened by a header."""
HOSTED_ROUNDS = 10
REPAIR_BYTES = 4
"""How many bytes a token of an answer that is shown again stands for, at most on the whole."""
TOKEN_BYTES = 4.0
"""Bytes to a token, until more is known of an alias."""
EXPECTED_OUTPUT_TOKENS = 512
"""What an answer is taken for where nobody bounds it, for rates."""
MOST_TOKENS = 1 << 40
"""More than anybody can hold."""

_MEDIUM_WORDS = (b"image", b"audio", b"screenshot")
_MEDIUM_TYPE = re.compile(
    rb'"type"\s*:\s*"(?:(?:input_)?(?:image|image_url|audio)|computer_screenshot)"'
)
_MEDIUM_KEY = re.compile(rb'"(?:input_)?(?:image|image_url|audio)"\s*:')
_WHOLE_WORDS = (b"file", b"document", b"video", b"container", b"reference", b"reasoning")
_WHOLE = re.compile(
    rb'"type"\s*:\s*"(?:(?:input_)?(?:file|document|video|video_url)|container_upload'
    rb'|item_reference|reasoning)"'
)
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_SEEN_ITEMS = frozenset({
    "function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output",
})  # fmt: skip
"""Items of Responses that hold all that the model reads of them; messages besides."""
_CALLERS_TOOLS = (
    "function", "custom", "bash", "text_editor", "computer", "memory", "local_shell", "shell",
    "apply_patch",
)  # fmt: skip
"""What types of tools begin with that the caller runs itself."""
_TOKENS_ONLY = ("mcp", "web_fetch", "tool_search", "advisor")
"""And those that the provider runs for nothing but the tokens."""
_PLAIN_MESSAGE = frozenset({"role", "content", "name"})
_PLAIN_FIELDS = frozenset({
    "model", "messages", "system", "stream", "stream_options", "max_tokens",
    "max_completion_tokens", "n", "temperature", "top_p", "top_k", "seed", "stop",
    "stop_sequences", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "user",
    "reasoning_effort", "service_tier",
})  # fmt: skip
"""Fields that give a model nothing to read but text."""
_encode = msgspec.json.Encoder().encode


class Heard(Struct, frozen=True):
    """What a call gives a model to read, as far as its body tells."""

    tokens: int
    """The most that is in the body itself."""
    whole: bool = False
    """Whether it refers to what may fill the model's window."""
    rounds: int = 1
    """How often a provider may read it, before it answers."""
    widened: bool = False
    """Whether the caller asks for a wider window than the model's usual one."""
    fees: bool = False
    """Whether it lets the provider run tools that may cost something beside the tokens."""


def heard(call: Call, body: bytes) -> Heard:
    """What `call` gives a model to read; `body` is it as it was sent."""
    size_bytes, fields = len(body), call.body
    if not call.forward and _is_plain(fields):
        return Heard(size_bytes + UNSEEN_TOKENS)
    if CONTINUED in fields or (b"\\u00" in body and _ESCAPED_LETTER.search(body) is not None):
        body = _encode(fields)  # with what goes before it, and with every word as it is written
        size_bytes = max(size_bytes, len(body))
    tokens, rounds, fees = size_bytes + UNSEEN_TOKENS, 0, False
    for word in _MEDIUM_WORDS:
        if word in body:
            media = max(len(_MEDIUM_TYPE.findall(body)), len(_MEDIUM_KEY.findall(body)))
            tokens += MEDIUM_TOKENS * media
            break
    whole = call.wire == "responses" and _refers_back(fields)
    for word in () if whole else _WHOLE_WORDS:
        if word in body:
            whole = _WHOLE.search(body) is not None
            break
    if "tools" in fields:
        typed, rounds, fees = _tools(fields)
        tokens += UNSEEN_TOKENS * typed
    if "web_search_options" in fields or "mcp_servers" in fields or "plugins" in fields:
        rounds += HOSTED_ROUNDS
        fees = fees or "web_search_options" in fields or "plugins" in fields
    widened = bool(call.forward) and any(b"context" in value for _, value in call.forward)
    return Heard(tokens, whole, rounds + 1, widened, fees)


def _is_plain(fields: dict[str, Any]) -> bool:
    """Whether all that a model reads of a request is text, as which most need no search of it."""
    messages = fields.get("messages")
    if not isinstance(messages, list) or not fields.keys() <= _PLAIN_FIELDS:
        return False
    for message in cast("list[object]", messages):
        if not isinstance(message, dict):
            return False
        said = cast("dict[str, object]", message)
        if not said.keys() <= _PLAIN_MESSAGE or not isinstance(said.get("content"), str):
            return False
    return isinstance(fields.get("system", ""), str)


def input_bound(asked: Heard, window_tokens: int | None) -> int:
    """The most tokens of input that are charged by a model of `window_tokens`, if that is known."""
    if asked.widened and window_tokens is not None:
        window_tokens = max(window_tokens, WINDOW_TOKENS)
    tokens = asked.tokens
    if asked.whole or asked.rounds > 1:
        tokens += window_tokens or WINDOW_TOKENS
    if window_tokens is not None:
        tokens = min(tokens, window_tokens)
    return min(tokens * asked.rounds, MOST_TOKENS)


def output_asked(call: Call) -> int | None:
    """The longest answer that the caller allows; None where it does not say."""
    asked = [
        value
        for name in OUTPUT_FIELDS.get(call.wire, ())
        if isinstance(value := call.body.get(name), int)
    ]
    return max(asked, default=None)


def output_bound(asked: int | None, target: Target, otherwise: int) -> int:
    """The most tokens of one answer; `otherwise` where neither caller nor target has a limit."""
    limit = output_limit(asked, target)
    return otherwise if limit is None else limit


def beside(call: Call, asked: int | None) -> int:
    """Tokens that an answer may be longer than it was allowed to be, by ways that formats have."""
    body, more = call.body, LEAST_OUTPUT_TOKENS
    thinking = body.get("thinking")
    if isinstance(thinking, dict):  # between calls of tools it may pass `max_tokens`
        budget = cast("dict[str, Any]", thinking).get("budget_tokens")
        more += max(0, _number(budget) - (asked or 0))
    if asked is None and ("reasoning_effort" in body or "reasoning" in body):
        more += _thought(body)  # put on top where the target counts it so
    if "prediction" in body:  # what is rejected of it is charged as output
        more += len(_encode(body["prediction"]))
    return more


def repairs(call: Call, terms: Terms, output_tokens: int) -> int:
    """Tokens by which the repairs of an answer of `output_tokens` make its request longer."""
    if not terms.repairs or not terms.check or not asks_for_form(call.body):
        return 0
    shown = min(SHOWN_CHARACTERS, output_tokens) * REPAIR_BYTES
    return terms.repairs * (shown + UNSEEN_TOKENS)


def answers(call: Call) -> int:
    """How many answers are asked for at once."""
    if call.wire not in ("chat", "completions"):
        return 1
    body, count = call.body, 1
    if "n" in body or "best_of" in body:
        count = max(1, _number(body.get("n")), _number(body.get("best_of")))
    prompt = body.get("prompt")
    if isinstance(prompt, list) and prompt and not _is_ids(cast("list[object]", prompt)):
        count *= len(cast("list[object]", prompt))
    return count


def writes(call: Call) -> bool:
    """Whether the model writes anything."""
    return call.wire in OUTPUT_FIELDS


def _refers_back(body: dict[str, Any]) -> bool:
    """Whether it goes on from what only the provider has."""
    if body.get("previous_response_id") is not None or "conversation" in body or "prompt" in body:
        return True
    items = body.get("input")
    return isinstance(items, list) and not all(map(_is_seen, cast("list[object]", items)))


def _is_seen(item: object) -> bool:
    if not isinstance(item, dict):
        return True
    item = cast("dict[str, Any]", item)
    kind = item.get("type") or "message"
    return "content" in item if kind == "message" else kind in _SEEN_ITEMS


def _tools(body: dict[str, Any]) -> tuple[int, int, bool]:
    """How many tools are of a kind that a vendor knows; how often the provider may call its own.

    And whether one of these may cost something beside the tokens.
    """
    tools = body["tools"]
    if not isinstance(tools, list):
        return 0, 0, False
    typed, uses, fees = 0, list[int](), False
    for tool in cast("list[object]", tools):
        if not isinstance(tool, dict):
            continue
        tool = cast("dict[str, Any]", tool)
        kind = tool.get("type")
        if not isinstance(kind, str) or kind in ("function", "custom"):
            continue
        typed += 1
        if not kind.startswith(_CALLERS_TOOLS):
            uses.append(_number(tool.get("max_uses")) or HOSTED_ROUNDS)
            fees = fees or not kind.startswith(_TOKENS_ONLY)
    if not uses:
        return typed, 0, False
    return typed, _number(body.get("max_tool_calls")) or sum(uses), fees


def _thought(body: dict[str, Any]) -> int:
    effort, told = body.get("reasoning_effort"), body.get("reasoning")
    budget = 0
    if isinstance(told, dict):
        told = cast("dict[str, Any]", told)
        effort, budget = effort or told.get("effort"), _number(told.get("max_tokens"))
    known = BUDGETS.get(effort) if isinstance(effort, str) else None
    return max(budget, BUDGETS["medium"] if known is None else known)


def _number(value: object) -> int:
    """A number above 0 as whoever takes it may understand it; 0 if it is none."""
    if not isinstance(value, int | float | str):
        return 0
    try:
        return min(max(math.ceil(float(value)), 0), MOST_TOKENS)
    except OverflowError:
        return MOST_TOKENS
    except ValueError:
        return 0


def _is_ids(prompt: Iterable[object]) -> bool:
    """Whether a prompt is one text, as the ids of its tokens."""
    return all(type(each) is int for each in prompt)
