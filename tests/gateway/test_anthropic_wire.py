"""What a good request of Anthropic's format is, told before any provider sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.errors import BadRequest
from tidegate.gateway.anthropic import COUNT_TOKENS, MESSAGES

GOOD: dict[str, Any] = {
    "model": "assistant", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}],
}  # fmt: skip


def test_a_good_request_is_understood_and_every_field_kept() -> None:
    body = GOOD | {"stream": True, "unheard_of": {"x": [1]}}
    call = MESSAGES.understand(json.dumps(body).encode(), [])
    assert (call.wire, call.model, call.stream) == ("messages", "assistant", True)
    assert (call.body, call.wants_usage, call.forward) == (body, True, ())


def test_headers_of_the_api_go_on_and_no_others() -> None:
    told = [
        (b"anthropic-beta", b"a"), (b"x-api-key", b"secret"), (b"anthropic-version", b"2023-06-01"),
        (b"anthropic-dangerous", b"x"),
    ]  # fmt: skip
    call = MESSAGES.understand(json.dumps(GOOD).encode(), told)
    assert call.forward == (told[0], told[2])


def test_counting_needs_no_length() -> None:
    body = {name: GOOD[name] for name in ("model", "messages")}
    call = COUNT_TOKENS.understand(json.dumps(body).encode(), [])
    assert (call.wire, call.stream, call.body) == ("count_tokens", False, body)


def test_a_length_of_nothing_fills_the_cache() -> None:
    assert MESSAGES.understand(json.dumps(GOOD | {"max_tokens": 0}).encode(), [])


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": 3}, "model"),
    "empty model": ({"model": ""}, "model"),
    "no messages": ({"messages": []}, "messages"),
    "message": ({"messages": [3]}, "messages[0]"),
    "role": ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
    "no content": ({"messages": [{"role": "user"}]}, "messages[0].content"),
    "content": ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
    "block": ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
    "system": ({"system": 3}, "system"),
    "tools": ({"tools": {}}, "tools"),
    "tool": ({"tools": [3]}, "tools[0]"),
    "choice": ({"tool_choice": "auto"}, "tool_choice"),
    "length": ({"max_tokens": -1}, "max_tokens"),
    "stream": ({"stream": "yes"}, "stream"),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "stop": ({"stop_sequences": "x"}, "stop_sequences"),
    "thinking": ({"thinking": True}, "thinking"),
    "metadata": ({"metadata": "x"}, "metadata"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_its_path(name: str) -> None:
    fields, path = MISTAKES[name]
    with pytest.raises(BadRequest) as caught:
        MESSAGES.understand(json.dumps(GOOD | fields).encode(), [])
    assert caught.value.param == path


def test_what_is_missing_is_named() -> None:
    for name in GOOD:
        body = {each: GOOD[each] for each in GOOD if each != name}
        with pytest.raises(BadRequest) as caught:
            MESSAGES.understand(json.dumps(body).encode(), [])
        assert caught.value.param == name


def test_a_count_is_not_streamed() -> None:
    with pytest.raises(BadRequest):
        COUNT_TOKENS.understand(json.dumps(GOOD | {"stream": True}).encode(), [])


def test_twins_are_refused() -> None:
    with pytest.raises(BadRequest, match="more than once"):
        MESSAGES.understand(b'{"model":"b",' + json.dumps(GOOD).encode()[1:], [])
