"""What Bedrock's refusals stand for."""

from __future__ import annotations

import json

import pytest
from bedrock_model import service
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import (
    ContentFiltered,
    ContextOverflow,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.formats import converse

MODEL_SAID = "The model returned the following errors: "


def refusal(status: int, message: str, **more: object) -> UpstreamError:
    return converse.refusal(status, json.dumps({"message": message, **more}).encode())


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        (400, "Input is too long for requested model.", ContextOverflow),
        (400, MODEL_SAID + "prompt is too long: 200049 tokens > 200000 maximum", ContextOverflow),
        (
            400,
            MODEL_SAID + "input length and `max_tokens` exceed context limit: 1",
            ContextOverflow,
        ),
        (400, "Too many input tokens. Max input tokens: 128000", ContextOverflow),
        (400, "This model's maximum context length is 8192 tokens.", ContextOverflow),
        (400, "Input Tokens Exceeded: Number of input tokens exceeds maximum", ContextOverflow),
        (400, MODEL_SAID + "Output blocked by content filtering policy", ContentFiltered),
        (400, "The text field in the ContentBlock object is blank.", UpstreamRefused),
        (400, MODEL_SAID + "Invalid `signature` in `thinking` block", UpstreamRefused),
        (400, "The provided model identifier is invalid.", UpstreamRefused),
        (400, "Your request exceeds the service quota for your account.", UpstreamRateLimited),
        (400, "Operation not allowed", UpstreamDenied),
        (400, "The security token included in the request is expired", UpstreamDenied),
        (403, "The security token included in the request is invalid.", UpstreamDenied),
        (403, "You don't have access to the model with the specified model ID.", UpstreamDenied),
        (
            403,
            "You invoked an unsupported model or your request did not allow prompt caching.",
            UpstreamRefused,
        ),
        (401, "No", UpstreamDenied),
        (404, "This model version has reached the end of its life.", UpstreamRefused),
        (408, "Model has timed out in processing the request.", UpstreamFailed),
        (424, "The system encountered an unexpected error", UpstreamFailed),
        (429, "Too many tokens, please wait before trying again.", UpstreamRateLimited),
        (429, "The model is not ready for inference", UpstreamRateLimited),
        (500, "Input is too long", UpstreamFailed),
        (503, "Bedrock is unable to process your request.", UpstreamFailed),
    ],
)
def test_messages_mean_what_they_say(status: int, message: str, error: type[UpstreamError]) -> None:
    made = refusal(status, message)
    assert type(made) is error
    if isinstance(made, UpstreamRefused):
        assert made.message == message
        assert made.status == (400 if status == 403 else status)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("ThrottlingException", UpstreamRateLimited),
        ("ServiceQuotaExceededException", UpstreamRateLimited),
        ("com.amazon.coral.service#UnrecognizedClientException", UpstreamDenied),
        ("InvalidSignatureException", UpstreamDenied),
        ("ValidationException", UpstreamRefused),
    ],
)
def test_a_name_in_the_body_decides_where_the_status_does_not(
    name: str, error: type[UpstreamError]
) -> None:
    made = refusal(400, "x", __type=name)
    assert type(made) is error
    if isinstance(made, UpstreamRefused):
        assert made.upstream_code == name


def test_every_error_that_botocore_knows_has_its_class() -> None:
    shapes = service().operation_model("Converse").error_shapes
    classes = {
        shape.name: type(converse.refusal(shape.metadata["error"]["httpStatusCode"], b"{}"))
        for shape in shapes
    }
    assert classes == {
        "AccessDeniedException": UpstreamDenied,
        "InternalServerException": UpstreamFailed,
        "ModelErrorException": UpstreamFailed,
        "ModelNotReadyException": UpstreamRateLimited,
        "ModelTimeoutException": UpstreamFailed,
        "ResourceNotFoundException": UpstreamRefused,
        "ServiceUnavailableException": UpstreamFailed,
        "ThrottlingException": UpstreamRateLimited,
        "ValidationException": UpstreamRefused,
    }


def test_a_model_that_was_throttled_itself_is_a_rate_limit() -> None:
    assert type(refusal(424, "x", originalStatusCode=429)) is UpstreamRateLimited


def test_messages_are_bounded_and_keep_no_secrets() -> None:
    made = refusal(400, "for key AKIAIOSFODNN7EXAMPLE: " + "x" * 5_000)
    assert "AKIA" not in made.message
    assert len(made.message) <= 1_000
    assert refusal(403, "User: arn:aws:iam::123456789012:user/me is not authorized").message == (
        "The provider does not accept this gateway's credentials."
    )


def test_shouted_messages_are_heard() -> None:
    assert converse.refusal(400, b'{"Message":"No."}').message == "No."


@given(st.integers(300, 599), st.binary(max_size=50) | st.just(b"[" * 60_000))
def test_whatever_the_body_is_there_is_an_error(status: int, body: bytes) -> None:
    assert isinstance(converse.refusal(status, body), UpstreamError)


@given(
    st.integers(300, 599),
    st.dictionaries(
        st.sampled_from(("message", "Message", "__type", "originalStatusCode")),
        st.none() | st.integers() | st.text() | st.lists(st.text()),
    ),
)
def test_whatever_the_fields_are_there_is_an_error(status: int, told: dict[str, object]) -> None:
    body = json.dumps(told).encode("utf-8", "surrogatepass")
    assert isinstance(converse.refusal(status, body), UpstreamError)
