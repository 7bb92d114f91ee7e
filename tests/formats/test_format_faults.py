"""What servers of OpenAI's API say when they refuse, and what it means."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import (
    BadRequest,
    ContentFiltered,
    ContextOverflow,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats.faults import error_body, error_event, refusal, reported


def refused(status: int, body: Any) -> UpstreamError:
    return refusal(status, msgspec.json.encode(body))


def said(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said("Wrong."), UpstreamRefused),
        (404, said("The model does not exist."), UpstreamRefused),
        (409, {}, UpstreamRefused),
        (413, said("Too big."), UpstreamRefused),
        (422, {"detail": [{"loc": ["body"], "msg": "field required"}]}, UpstreamRefused),
        (401, said("Incorrect API key."), UpstreamDenied),
        (402, said("Insufficient balance."), UpstreamDenied),
        (403, said("Not in your region."), UpstreamDenied),
        (429, said("Slow down."), UpstreamRateLimited),
        # Groq: one request is larger than a minute's allowance
        (413, said("Request too large.", code="rate_limit_exceeded"), UpstreamRateLimited),
        (500, said("maximum context length"), UpstreamFailed),
        (529, said("Overloaded."), UpstreamFailed),
        (302, {}, UpstreamFailed),
        # OpenAI, then vLLM, SGLang, TGI, llama.cpp, Groq and Cerebras, Mistral, xAI, OpenRouter
        (400, said("…", code="context_length_exceeded"), ContextOverflow),
        (400, said("This model's maximum context length is 4096 tokens."), ContextOverflow),
        (
            400,
            {"object": "error", "message": "longer than the model's context length (9 tokens)"},
            ContextOverflow,
        ),
        (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4097"}, ContextOverflow),
        (400, said("…", type="exceed_context_size_error"), ContextOverflow),
        (400, said("Please reduce the length of the messages or completion."), ContextOverflow),
        (
            400,
            {"object": "error", "message": "too large for model with 32768 maximum context length"},
            ContextOverflow,
        ),
        (
            400,
            {"code": "bad", "error": "This model's maximum prompt length is 131072"},
            ContextOverflow,
        ),
        (
            400,
            said("Provider returned error", metadata={"raw": "prompt is too long: 9 tokens"}),
            ContextOverflow,
        ),
        # Azure, OpenAI, DeepSeek, xAI, OpenRouter
        (400, said("…", code="content_filter"), ContentFiltered),
        (400, said("…", code="content_policy_violation"), ContentFiltered),
        (400, said("Content Exists Risk"), ContentFiltered),
        (403, {"code": "x", "error": "Content violates usage guidelines."}, ContentFiltered),
        (403, said("Your input was flagged."), ContentFiltered),
    ],
)
def test_a_refusal_is_told_apart(status: int, body: Any, kind: type[UpstreamError]) -> None:
    error = refused(status, body)
    assert type(error) is kind
    if kind in (UpstreamRefused, ContextOverflow):
        assert error.status == status
    if kind is ContentFiltered:
        assert error.status == 400


def test_the_providers_words_are_passed_on_without_secrets_and_bounded() -> None:
    error = refused(
        400, said("Key sk-abcdefgh12345678 " + "x" * 5000, code="bad_key", param="messages[0]")
    )
    assert isinstance(error, UpstreamRefused)
    assert error.message.startswith("Key [secret] xxx")
    assert len(error.message) == 1000
    assert (error.upstream_code, error.param) == ("bad_key", "messages[0]")


def test_what_a_router_heard_is_passed_on_to_nobody() -> None:
    raw = "context length exceeded, internal host 10.0.0.7"
    error = refused(400, said("Provider returned error", metadata={"raw": raw}))
    assert error.message == "Provider returned error"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": "Wrong."}, "Wrong."),
        ({"message": "Wrong."}, "Wrong."),
        ({"detail": "Wrong."}, "Wrong."),
        ([{"error": {"message": "Wrong."}}], "Wrong."),
        ({"message": {"detail": [{"msg": "Wrong."}]}}, "Wrong."),
        ({"error": {"message": 7}}, "The provider refused the request."),
        ([], "The provider refused the request."),
        (7, "The provider refused the request."),
    ],
)
def test_the_message_is_found_wherever_it_stands(body: Any, message: str) -> None:
    assert refused(400, body).message == message


@pytest.mark.parametrize("body", [b"", b"<html>", b"\xff", b"[" * 9_999])
def test_what_is_no_json_says_nothing(body: bytes) -> None:
    assert refusal(400, body).message == "The provider refused the request."


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "type", "param", "metadata"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=80)
@given(st.integers(100, 599), _JSON)
def test_no_body_of_any_shape_does_more_than_refuse(status: int, body: Any) -> None:
    with suppress(msgspec.MsgspecError):  # numbers beyond what JSON is written with
        assert refused(status, body).message
    assert reported(body).message


def test_an_error_is_told_as_the_sdk_expects_it() -> None:
    error = BadRequest("n: wrong.", param="n")
    assert msgspec.json.decode(error_body(error, "id")) == {
        "error": {
            "message": "n: wrong.",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
        }
    }
    assert error_event(error, "id") == b"data: " + error_body(error, "id") + b"\n\n"


def test_callers_get_the_providers_own_code_but_one_code_for_an_overflow() -> None:
    for status, body, code in (
        (404, said("x", code="model_not_found"), "model_not_found"),
        (400, said("x"), "upstream_refused"),
        (400, said("maximum context length", code="oops"), "context_length_exceeded"),
    ):
        told = msgspec.json.decode(error_body(refused(status, body), "id"))
        assert told["error"]["code"] == code
