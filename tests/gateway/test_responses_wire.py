"""What a good request of the Responses format is, told before any provider sees it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.errors import BadRequest
from tidegate.formats.responses import read_ask
from tidegate.gateway.responses import RESPONSES

GOOD: dict[str, Any] = {"model": "assistant", "input": "Hello"}


def understand(body: Any) -> Any:
    return RESPONSES.understand(json.dumps(body).encode(), [])


def test_a_good_request_is_understood_and_every_field_kept() -> None:
    body = GOOD | {"stream": True, "unheard_of": {"x": [1]}}
    call = understand(body)
    assert (call.wire, call.model, call.stream) == ("responses", "assistant", True)
    assert (call.body, call.wants_usage, call.forward) == (body, True, ())


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m"},  # a prompt kept by OpenAI needs no input
        {"model": "m", "input": [], "previous_response_id": "resp_1"},
        {"model": "m", "input": [{"type": "unheard_of", "content": 3}]},
        {"model": "m", "input": "", "tool_choice": {"type": "web_search"}, "store": False},
        {"model": "m", "input": "", "tool_choice": "auto", "text": None, "stream": None},
    ],
)
def test_what_only_some_providers_understand_is_left_to_them(body: dict[str, Any]) -> None:
    assert understand(body).body == body


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "model": ({"model": 3}, "model"),
    "empty model": ({"model": ""}, "model"),
    "input": ({"input": 3}, "input"),
    "item": ({"input": ["Hello"]}, "input[0]"),
    "instructions": ({"instructions": []}, "instructions"),
    "tools": ({"tools": {}}, "tools"),
    "tool": ({"tools": [3]}, "tools[0]"),
    "choice": ({"tool_choice": 3}, "tool_choice"),
    "text": ({"text": "json"}, "text"),
    "reasoning": ({"reasoning": "high"}, "reasoning"),
    "include": ({"include": "all"}, "include"),
    "length": ({"max_output_tokens": 0}, "max_output_tokens"),
    "stream": ({"stream": "yes"}, "stream"),
    "temperature": ({"temperature": "hot"}, "temperature"),
    "store": ({"store": "no"}, "store"),
    "background": ({"background": 1}, "background"),
    "previous": ({"previous_response_id": 3}, "previous_response_id"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_its_path(name: str) -> None:
    wrong, param = MISTAKES[name]
    with pytest.raises(BadRequest) as refused:
        understand(GOOD | wrong)
    assert refused.value.param == param


def test_a_field_named_twice_is_refused() -> None:
    with pytest.raises(BadRequest, match="more than once"):
        RESPONSES.understand(b'{"model":"a","input":"x","model":"b"}', [])


def test_what_passes_here_is_understood_by_who_translates_it() -> None:
    body = {name: None for name in MISTAKES if name not in ("model", "input")}
    assert read_ask(understand(GOOD | body).body).turns
