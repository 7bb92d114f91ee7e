from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tidegate.errors import BadRequest, ContentFiltered, UpstreamDenied, UpstreamRefused
from tidegate.providers.azure import Azure, row_of
from tidegate.types import Call, Choice, Target, Timeouts


def choice(model: str) -> Choice:
    target = Target("azure", model, Timeouts(1, 1, 1, 1))
    return Choice(
        target=target,
        model=model,
        name=f"azure/{model}",
        reason="only target",
        why=b"only-target",
        header=b"azure/x",
    )


def call(body: dict[str, Any], *, wire: str = "chat", stream: bool = False) -> Call:
    return Call(wire, "assistant", body, stream, wants_usage=False)


CHAT: dict[str, Any] = {"model": "assistant", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("version", "wire", "path"),
    [
        ("v1", "chat", "/openai/v1/chat/completions"),
        ("v1", "embeddings", "/openai/v1/embeddings"),
        (
            "2024-10-21",
            "chat",
            "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
        ),
        (
            "2024-02-01",
            "embeddings",
            "/openai/deployments/gpt-4o/embeddings?api-version=2024-02-01",
        ),
    ],
)
def test_the_deployment_stands_where_the_version_wants_it(
    version: str, wire: str, path: str
) -> None:
    body = CHAT if wire == "chat" else {"model": "assistant", "input": "x"}
    request = Azure(version).request(choice("gpt-4o"), call(body, wire=wire), b"api-key: x\r\n")
    assert request.path == path
    assert request.headers == b"api-key: x\r\n"
    assert msgspec.json.decode(request.body)["model"] == "gpt-4o"


@pytest.mark.parametrize("model", ["../../x", "a/b?c", "a b", "a\r\nx: y", "ü"])
def test_a_deployments_name_cannot_leave_its_place(model: str) -> None:
    path = Azure("2024-10-21").request(choice(model), call(CHAT), b"").path
    inside = path.removeprefix("/openai/deployments/").removesuffix(
        "/chat/completions?api-version=2024-10-21"
    )
    assert inside.isascii()
    assert not set(inside) & set("/? \r\n#")


@pytest.mark.parametrize("model", ["", ".", ".."])
def test_a_place_that_is_no_deployment_is_refused(model: str) -> None:
    with pytest.raises(BadRequest):
        Azure("2024-10-21").request(choice(model), call(CHAT), b"")


def test_a_key_has_azures_header_and_a_token_its_own() -> None:
    assert b"api-key: secret\r\n" in Azure.credential("secret", {})
    token = Azure.credential(None, {"Authorization": "Bearer t"})
    assert b"authorization: Bearer t\r\n" in token
    assert b"api-key" not in token


def test_old_versions_get_old_fields() -> None:
    body = CHAT | {"max_completion_tokens": 5}
    request = Azure("2024-02-01").request(choice("gpt"), call(body, stream=True), b"")
    sent = msgspec.json.decode(request.body)
    assert sent["max_tokens"] == 5
    assert "stream_options" not in sent
    newer = Azure("2024-10-21").request(choice("gpt"), call(body, stream=True), b"")
    assert msgspec.json.decode(newer.body)["stream_options"] == {"include_usage": True}
    assert row_of("2024-09-01-preview").stream_usage


def test_only_the_newer_surface_has_responses() -> None:
    assert "responses" in row_of("v1").native
    assert "responses" not in row_of("2025-04-01-preview").native


FILTERED: dict[str, Any] = {
    "error": {
        "message": "The prompt was stopped.",
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        },
    }
}


@pytest.mark.parametrize(
    "body",
    [
        FILTERED,
        {"error": FILTERED["error"] | {"code": None}},
        {
            "error": {
                "message": "no",
                "inner_error": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
    ],
)
def test_what_the_filter_stopped_is_told_as_that(body: dict[str, Any]) -> None:
    error = Azure("v1").refusal(400, msgspec.json.encode(body))
    assert isinstance(error, ContentFiltered)
    assert error.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"error": "text"}',
        b'{"error": {"innererror": []}}',
        b"\xff",
        b"[" * 9,
    ],
)
def test_other_refusals_stay_what_they_are(body: bytes) -> None:
    assert type(Azure("v1").refusal(400, body)) is UpstreamRefused
    assert isinstance(Azure("v1").refusal(401, body), UpstreamDenied)
