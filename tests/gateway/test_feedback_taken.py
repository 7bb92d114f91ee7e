"""`POST /v1/feedback`: what is understood is in the spool before the answer, nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import DecodeError
from openai import AsyncOpenAI

from tidegate.errors import BadRequest
from tidegate.gateway.feedback import understand
from tidegate.ledger.feedback import Feedback, decode, encode, is_feedback

from .conftest import CONFIG, Gateway, Open

KEYS = """
organisations: {{acme: {{}}}}
teams: {{search: {{organisation: acme}}}}
keys:
  - {{name: web, secret: tg-web-secret-0123456789, team: search}}
  - {{name: lone, secret: tg-lone-secret-0123456789}}
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def post(gateway: Gateway, body: bytes, headers: str = "", method: str = "POST") -> Any:
    """Status, headers and body of the answer."""
    head = (
        f"{method} /v1/feedback HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        f"content-length: {len(body)}\r\n{headers}\r\n"
    )
    answer = await gateway.raw(head.encode() + body)
    told, _, rest = answer.partition(b"\r\n\r\n")
    return int(told.split()[1]), told.decode().lower(), json.loads(rest)


def given_feedback(gateway: Gateway) -> list[Feedback]:
    return [decode(payload) for payload in gateway.payloads() if is_feedback(payload)]


async def test_feedback_is_in_the_spool_when_it_is_answered(open_gateway: Open) -> None:
    gateway = await open_gateway(CONFIG + KEYS)
    body = json.dumps({
        "request_id": "req_1", "thumbs": "down", "rating": 2, "text": "Wrong city.",
        "labels": {"screen": "search"}, "feedback_id": "f-1",
    }).encode()  # fmt: skip
    status, _, told = await post(
        gateway, body, "authorization: Bearer tg-web-secret-0123456789\r\n"
    )
    assert status == 202
    assert told == {
        "object": "feedback", "status": "accepted", "feedback_id": "f-1", "request_id": "req_1",
        "trace_id": None,
    }  # fmt: skip
    [kept] = given_feedback(gateway)
    assert (kept.key, kept.team, kept.request_id, kept.trace_id) == ("web", "search", "req_1", None)
    assert (kept.thumbs, kept.rating, kept.text) == ("down", 2, "Wrong city.")
    assert (kept.labels, kept.feedback_id) == ({"screen": "search"}, "f-1")
    assert gateway.records() == []  # it is no request to a model


async def test_personal_data_is_masked_before_it_is_on_the_disk(gateway: Gateway) -> None:
    said = {"text": "Mail me: ann@example.com", "labels": {"who": "bob@example.com"}}
    assert (await post(gateway, json.dumps({"request_id": "r", **said}).encode()))[0] == 202
    assert not any(b"example.com" in payload for payload in gateway.payloads())
    [kept] = given_feedback(gateway)
    assert (kept.text, kept.labels) == ("Mail me: [EMAIL]", {"who": "[EMAIL]"})


async def test_openais_sdk_can_say_it(gateway: Gateway) -> None:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="assistant", messages=[{"role": "user", "content": "Hello"}]
        )
        told: Any = await client.post(
            "/feedback", body={"request_id": answer._request_id, "thumbs": "up"}, cast_to=object
        )
    assert told["status"] == "accepted"
    [kept] = given_feedback(gateway)
    assert kept.request_id == (await gateway.record()).request_id


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"not json", None),
        (b"[]", None),
        (b"{}", "request_id"),
        (b'{"thumbs": "up"}', "request_id"),
        (b'{"request_id": "r"}', "thumbs"),
        (b'{"request_id": "r", "thumbs": "sideways"}', "thumbs"),
        (b'{"request_id": "r", "rating": 6}', "rating"),
        (b'{"request_id": "r", "rating": 2.5}', "rating"),
        (b'{"request_id": "", "rating": 2}', "request_id"),
        (b'{"request_id": "a b", "rating": 2}', "request_id"),
        (b'{"trace_id": "short", "rating": 2}', "trace_id"),
        (b'{"trace_id": "%s", "rating": 2}' % (b"0" * 32), "trace_id"),
        (b'{"request_id": "r", "text": "%s"}' % (b"x" * 4_001), "text"),
        (b'{"request_id": "r", "stars": 3}', None),
        (b'{"request_id": "r", "labels": {"a": "%s"}}' % (b"x" * 201), "labels[...]"),
    ],
)
async def test_what_cannot_be_understood_is_refused(
    gateway: Gateway, body: bytes, param: str | None
) -> None:
    status, _, told = await post(gateway, body)
    assert status == 400
    assert told["error"]["code"] == "invalid_request"
    assert told["error"]["param"] == param
    assert given_feedback(gateway) == []
    assert (await gateway.record()).outcome == "invalid_request"


async def test_errors_are_in_the_callers_format(gateway: Gateway) -> None:
    status, _, told = await post(gateway, b"{}", "anthropic-version: 2023-06-01\r\n")
    assert (status, told["type"], told["error"]["type"]) == (400, "error", "invalid_request_error")


async def test_other_methods_strangers_and_long_bodies_are_refused(open_gateway: Open) -> None:
    gateway = await open_gateway(CONFIG + KEYS)
    status, head, _ = await post(gateway, b"", method="GET")
    assert status == 405
    assert "\r\nallow: post\r\n" in f"{head}\r\n"
    status, _, told = await post(gateway, b'{"request_id": "r", "thumbs": "up"}')
    assert (status, told["error"]["code"]) == (401, "invalid_api_key")
    status, _, told = await post(
        gateway, b" " * 40_000, "authorization: Bearer tg-lone-secret-0123456789\r\n"
    )
    assert (status, told["error"]["code"]) == (413, "body_too_large")


@given(st.binary(max_size=200) | st.dictionaries(
    st.sampled_from(["request_id", "trace_id", "thumbs", "rating", "text", "labels"]),
    st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.text()),
).map(lambda said: json.dumps(said).encode()))  # fmt: skip
def test_any_body_is_understood_or_refused(body: bytes) -> None:
    try:
        said = understand(body)
    except BadRequest:
        return
    assert said.request_id or said.trace_id
    kept = Feedback(
        said.request_id, TRACE, 1, None, None, None, said.thumbs, said.rating, said.text,
        said.labels,
    )  # fmt: skip
    assert decode(encode(kept)) == kept
    assert is_feedback(encode(kept))


def test_damaged_feedback_is_told() -> None:
    with pytest.raises(DecodeError):
        decode(b"\x92\xa8feedback")
