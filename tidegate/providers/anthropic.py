"""Anthropic's API, and every server that speaks its Messages format.

What a caller asked in the same format passes on as it came, but for the model's name, what other
vendors left in the conversation and, where the operator set one, the ceiling of the output.
Anything else is translated.

Source: platform.claude.com/docs/en/api: overview (headers), messages, messages-count-tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import structs

from tidegate.errors import UpstreamError
from tidegate.formats import messages
from tidegate.formats.format import Heard
from tidegate.formats.heard import HEARD
from tidegate.formats.messages import counting
from tidegate.formats.messages.thinking import MIN_BUDGET, bounded
from tidegate.formats.words import Ask
from tidegate.net.http import Response
from tidegate.net.sse import SseDecoder
from tidegate.providers.answers import (
    EVENTS,
    JSON,
    PassedBody,
    PassedStream,
    expect,
    translated,
)
from tidegate.providers.dialect import Request, header_lines, written
from tidegate.types import Answer, Call, Choice, Facts, Target

PATHS = {"messages": "/messages", "count_tokens": "/messages/count_tokens"}
VERSION = b"anthropic-version"
VERSION_LINE = b"anthropic-version: 2023-06-01\r\n"

_PASSED: dict[str, Heard] = {"messages": messages, "count_tokens": counting}


class Anthropic:
    """The dialect."""

    native = frozenset({"messages", "count_tokens"})
    counts = True

    @staticmethod
    def credential(secret: str | None, headers: Mapping[str, str]) -> bytes:
        """The header lines of an account: its key as `x-api-key`, unless `headers` say else."""
        return header_lines("x-api-key", secret, headers, unless="authorization")

    def request(self, choice: Choice, call: Call, credential: Any) -> Request:
        """See `Dialect.request`."""
        ask: Ask | None = None
        dropped: list[str] = []
        if call.wire in PATHS:
            body, dropped = messages.portable(call.body)
            body, path = body | {"model": choice.model}, PATHS[call.wire]
            _bound_output(body, choice.target.output_max)
        else:
            ask, path = HEARD[call.wire].read_ask(call.body), PATHS["messages"]
            body, dropped = _translated(ask, choice.model, choice.target)
        encoded, names = written(choice, body, dropped)
        return Request(path, _headers(credential, call), encoded, names, ask)

    def answer(
        self, response: Response, call: Call, facts: Facts, ask: Ask | None = None
    ) -> Answer:
        """See `Dialect.answer`."""
        expect(response, EVENTS if call.stream else JSON)
        passed = _PASSED.get(call.wire)
        if passed is None:
            return translated(response, call, facts, messages, ask=ask)
        if not call.stream:
            return PassedBody(response, facts, passed)
        watch = passed.watch(facts, call.body, wants_usage=call.wants_usage)
        return PassedStream(response, facts, watch, messages.END, SseDecoder())

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`."""
        return messages.refusal(status, body)

    def signature(self, credential: Any, method: str, path: str, body: bytes) -> bytes:  # noqa: ARG002
        """See `Dialect.signature`."""
        return credential if VERSION in credential else credential + VERSION_LINE


def _headers(credential: bytes, call: Call) -> bytes:
    """The request's header lines; which version of the API is asked must always be said."""
    lines = credential
    for name, value in call.forward:
        if name != VERSION or VERSION not in credential:
            lines += b"%b: %b\r\n" % (name, value)
    return lines if VERSION in lines else lines + VERSION_LINE


def _translated(ask: Ask, model: str, target: Target) -> tuple[dict[str, Any], list[str]]:
    said, dropped = messages.write_ask(
        structs.replace(ask, model=model),
        default=target.output_default,
        ceiling=target.output_max,
    )
    return said | {"model": model}, dropped


def _bound_output(body: dict[str, Any], ceiling: int | None) -> None:
    """Lower what passes the ceiling; a budget for thinking must stay below it."""
    length = body.get("max_tokens")
    if ceiling is None or not isinstance(length, int) or length <= ceiling:
        return
    body["max_tokens"] = ceiling
    thinking = body.get("thinking")
    if not isinstance(thinking, dict):
        return
    thinking = cast("dict[str, Any]", thinking)
    budget = thinking.get("budget_tokens")
    if isinstance(budget, int) and budget >= ceiling:
        budget = bounded(budget, ceiling, whole=False)
        if budget < MIN_BUDGET:
            del body["thinking"]
        else:
            body["thinking"] = thinking | {"budget_tokens": budget}
