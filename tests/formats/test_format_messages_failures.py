"""Failures of the Messages format, in both directions."""

from __future__ import annotations

import json

import anthropic
import pytest
from anthropic.types import Message
from anthropic.types.shared import ErrorResponse
from messages_judge import serving, sse, streamed

from tidegate.errors import (
    BadRequest,
    BodyTooLarge,
    ContentFiltered,
    ContextOverflow,
    Draining,
    Forbidden,
    IdleTimeout,
    InternalError,
    TidegateError,
    Unauthenticated,
    UnknownModel,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats.messages import error_body, error_event, refusal


def told(message: str, kind: str = "invalid_request_error", code: str | None = None) -> bytes:
    error = {"type": kind, "message": message}
    if code is not None:
        error["details"] = {"error_code": code}  # type: ignore[assignment]
    return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()


MEANT: dict[str, tuple[int, bytes, type[UpstreamError]]] = {
    "refused": (400, told("max_tokens: too large"), UpstreamRefused),
    "no such model": (404, told("model: x", "not_found_error"), UpstreamRefused),
    "too large": (413, told("Request exceeds the maximum size", "request_too_large"),
                  UpstreamRefused),
    "too long": (400, told("prompt is too long: 207791 tokens > 200000 maximum"), ContextOverflow),
    "too long with the answer": (
        400,
        told("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000"),
        ContextOverflow,
    ),
    "filtered": (400, told("Output blocked by content filtering policy"), ContentFiltered),
    "key": (401, told("invalid x-api-key", "authentication_error"), UpstreamDenied),
    "billing": (402, told("", "billing_error"), UpstreamDenied),
    "permission": (403, told("", "permission_error"), UpstreamDenied),
    "unpaid": (400, told("Your credit balance is too low to access the Anthropic API."),
               UpstreamDenied),
    "spent": (400, told("You have reached your specified API usage limits."), UpstreamDenied),
    "spent by its code": (400, told("no", code="contract_spend_limit_reached"), UpstreamDenied),
    "rate": (429, told("", "rate_limit_error"), UpstreamRateLimited),
    "server": (500, told("", "api_error"), UpstreamFailed),
    "timeout": (504, told("", "timeout_error"), UpstreamFailed),
    "overloaded": (529, told("Overloaded", "overloaded_error"), UpstreamFailed),
    "teapot": (418, b"", UpstreamFailed),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANT)
def test_a_refusal_is_what_its_status_and_words_say(name: str) -> None:
    status, body, kind = MEANT[name]
    error = refusal(status, body)
    assert type(error) is kind
    if isinstance(error, UpstreamRefused):
        assert error.status == status
        assert error.message == json.loads(body)["error"]["message"]


def test_a_refusal_has_the_code_that_says_most() -> None:
    assert _refused(told("x", code="tool_name_conflict")).upstream_code == "tool_name_conflict"
    assert _refused(told("x", "not_found_error")).upstream_code == "not_found_error"
    assert _refused(told("x")).upstream_code is None
    overflow = _refused(told("prompt is too long", code="c"))
    assert (overflow.code, overflow.upstream_code) == ("context_length_exceeded", None)


def test_secrets_and_floods_do_not_pass() -> None:
    error = _refused(told("key sk-ant-REDACTED is bad. " + "x" * 5_000))
    assert "sk-ant" not in error.message
    assert len(error.message) == 1_000


@pytest.mark.parametrize("body", [
    b"", b"<html>", b"[]", b"\xff", b'{"error": 3}', b'{"error": {"message": 3}}',
    b'{"error": null}', b'{"error": {"details": 3}}', b"[" * 9_000,
])  # fmt: skip
def test_a_refusal_without_words_is_still_one(body: bytes) -> None:
    assert _refused(body).message == "The provider refused the request."


def _refused(body: bytes) -> UpstreamRefused:
    error = refusal(400, body)
    assert isinstance(error, UpstreamRefused)
    return error


# Ours

WORDS: dict[str, tuple[TidegateError, str]] = {
    "bad": (BadRequest("m", param="messages[0]"), "invalid_request_error"),
    "no key": (Unauthenticated("m"), "authentication_error"),
    "not allowed": (Forbidden("m"), "permission_error"),
    "no such model": (UnknownModel("m"), "not_found_error"),
    "large": (BodyTooLarge("m"), "request_too_large"),
    "rate": (UpstreamRateLimited("m"), "rate_limit_error"),
    "bug": (InternalError("m"), "api_error"),
    "upstream": (UpstreamFailed("m"), "api_error"),
    "slow": (IdleTimeout("m"), "timeout_error"),
    "leaving": (Draining("m"), "overloaded_error"),
    "too long": (ContextOverflow("m"), "invalid_request_error"),
}


@pytest.mark.parametrize("name", WORDS)
def test_an_error_is_told_in_the_words_of_its_status(name: str) -> None:
    error, word = WORDS[name]
    body = json.loads(error_body(error, "req_7"))
    assert body["error"]["type"] == word
    assert body["error"]["details"]["error_code"] == error.code
    assert body["error"]["details"].get("param") == error.param
    assert (body["type"], body["error"]["message"], body["request_id"]) == ("error", "m", "req_7")
    if word != "request_too_large":  # of another age than the SDK
        ErrorResponse.model_validate(body)


async def test_the_sdk_raises_the_error_that_is_told() -> None:
    error = UpstreamRefused("no such tool")
    error.upstream_code = "tool_name_conflict"
    async with serving(error_body(error, "req_7"), status=400) as (client, _):
        with pytest.raises(anthropic.BadRequestError) as caught:
            await client.messages.create(max_tokens=1, messages=[], model="m")
    assert caught.value.api_message == "no such tool"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.error_code == "tool_name_conflict"


async def test_an_error_after_the_beginning_is_raised_by_the_sdk() -> None:
    begun = streamed({"type": "message_start", "message": {
        "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }})  # fmt: skip
    event = error_event(UpstreamFailed("broken off"), "req_7")
    assert sse(event)[0][0] == b"error"
    async with (
        serving(begun + event, kind="text/event-stream") as (client, _),
        client.messages.stream(max_tokens=1, messages=[], model="m") as stream,
    ):
        with pytest.raises(anthropic.APIStatusError, match="broken off"):
            await stream.until_done()
    assert isinstance(stream.current_message_snapshot, Message)
