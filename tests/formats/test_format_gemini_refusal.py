"""Google's errors, as ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.errors import (
    ContentFiltered,
    ContextOverflow,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats import gemini


def refusal(status: int, message: str = "", told: str = "", *details: Any) -> UpstreamError:
    error = {"code": status, "message": message, "status": told, "details": list(details)}
    return gemini.refusal(status, msgspec.json.encode({"error": error}))


def reason(name: str) -> dict[str, str]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": name, "domain": "googleapis.com"}


@pytest.mark.parametrize(
    "error",
    [
        refusal(401, "", "UNAUTHENTICATED"),
        refusal(403, "Permission denied on resource project.", "PERMISSION_DENIED"),
        refusal(400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"),
        refusal(400, "Bad.", "INVALID_ARGUMENT", reason("API_KEY_INVALID")),
        refusal(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        refusal(400, "Free tier: enable billing on your project.", "FAILED_PRECONDITION"),
    ],
)
def test_a_bad_account_is_denied(error: UpstreamError) -> None:
    assert type(error) is UpstreamDenied


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
        "The input token count is 40000 but model only supports up to 32768. Reduce it.",
    ],
)
def test_a_conversation_that_is_too_long_overflows(message: str) -> None:
    error = refusal(400, message, "INVALID_ARGUMENT")
    assert type(error) is ContextOverflow
    assert (error.status, error.code, error.message) == (400, "context_length_exceeded", message)


def test_a_request_that_is_wrong_is_refused_with_its_field() -> None:
    violation = {"field": "generation_config.temperature", "description": "too hot"}
    error = refusal(400, "Invalid.", "INVALID_ARGUMENT", {"fieldViolations": [violation]})
    assert type(error) is UpstreamRefused
    assert (error.status, error.upstream_code) == (400, "INVALID_ARGUMENT")
    assert (error.message, error.param) == ("Invalid.", "generation_config.temperature")


def test_a_file_that_is_somebody_elses_is_no_fault_of_the_account() -> None:
    message = "You do not have permission to access the File abc or it may not exist."
    error = refusal(403, message, "PERMISSION_DENIED")
    assert type(error) is UpstreamRefused
    assert error.status == 404


def test_a_file_that_is_not_ready_is_no_fault_of_the_account() -> None:
    error = refusal(400, "The File abc is not in an ACTIVE state.", "FAILED_PRECONDITION")
    assert type(error) is UpstreamRefused


def test_a_model_that_is_not_there_is_refused() -> None:
    error = refusal(404, "models/none is not found for API version v1beta.", "NOT_FOUND")
    assert type(error) is UpstreamRefused
    assert error.status == 404


def test_content_that_breaks_googles_rules_is_filtered() -> None:
    message = "The prompt could not be submitted: it violates Google's Responsible AI practices."
    assert type(refusal(400, message, "INVALID_ARGUMENT")) is ContentFiltered


@pytest.mark.parametrize(
    ("delay", "wait_s"),
    [
        ("34s", 34.0),
        ("34.074824224s", 34.074824224),
        ("0s", 0.0),
        ("1e9s", 86_400.0),
        ("-1s", None),
        ("nans", None),
        ("infs", None),
        ("soon", None),
        (5, None),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(delay: Any, wait_s: float | None) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    error = refusal(429, "Quota exceeded.", "RESOURCE_EXHAUSTED", {"violations": []}, info)
    assert type(error) is UpstreamRateLimited
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize("status", [500, 502, 503, 504, 499, 418, 302])
def test_anything_else_failed(status: int) -> None:
    assert type(refusal(status, "The model is overloaded.", "UNAVAILABLE")) is UpstreamFailed


def test_a_list_of_one_error_is_that_error() -> None:
    body = b'[{"error": {"code": 400, "message": "Wrong.", "status": "INVALID_ARGUMENT"}}]'
    assert gemini.refusal(400, body).message == "Wrong."


def test_messages_are_bounded_and_hold_no_secret() -> None:
    key = "AIza" + "x" * 35
    message = refusal(400, f"Wrong: {key} " + "y" * 5000, "INVALID_ARGUMENT").message
    assert key not in message
    assert len(message) <= 1000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"[1]",
        b"null",
        b'{"error": "text"}',
        b'{"error": {"message": 1, "status": [], "details": {}}}',
        b'{"error": {"details": [1, {"reason": 2, "fieldViolations": [1]}]}}',
        b'{"error": {"details": [{"fieldViolations": {}}, {"fieldViolations": [{"field": 1}]}]}}',
        b"[" * 60_000,
    ],
)
def test_a_body_that_says_nothing_leaves_the_status(body: bytes) -> None:
    assert type(gemini.refusal(400, body)) is UpstreamRefused
    assert type(gemini.refusal(403, body)) is UpstreamDenied
    assert type(gemini.refusal(429, body)) is UpstreamRateLimited
    assert type(gemini.refusal(503, body)) is UpstreamFailed
