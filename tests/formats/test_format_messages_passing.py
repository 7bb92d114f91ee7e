"""Requests that pass on to Anthropic: unchanged, but for what other vendors left in them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.formats.messages import portable

Json = dict[str, Any]

OWN: Json = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
HIDDEN: Json = {"type": "redacted_thinking", "data": "aGlk"}
CALL: Json = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
RESULT: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny"}
FOREIGN: list[Json] = [
    OWN | {"signature": ""},
    OWN | {"signature": "gemini:c2ln"},
    {"type": "thinking", "thinking": "", "signature": "tool:c2ln"},
    HIDDEN | {"data": "rs1:rs_1:c2ln"},
]


def asked(*blocks: Json, **more: Any) -> Json:
    """A question, an answer of `blocks`, and what its tool gave."""
    messages: list[Json] = [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": list(blocks)},
        {"role": "user", "content": [RESULT]},
    ]
    return {"model": "claude", "max_tokens": 4096, "messages": messages, **more}


def test_a_conversation_with_anthropic_alone_is_left_as_it_is() -> None:
    body = asked(OWN, HIDDEN, CALL, {"type": "new_kind", "id": 3})
    assert portable(body)[0] is body
    assert portable(body)[1] == []


@pytest.mark.parametrize("block", FOREIGN)
def test_thoughts_of_others_are_left_out_and_told(block: Json) -> None:
    body = asked(block, CALL)
    fitted, dropped = portable(body)
    assert fitted == asked(CALL)
    assert dropped == ["messages[thinking]"]
    assert body == asked(block, CALL)


def test_an_answer_of_thoughts_only_is_left_out() -> None:
    assert [each["role"] for each in portable(asked(FOREIGN[0]))[0]["messages"]] == ["user", "user"]


def test_a_round_that_began_without_thoughts_is_not_thought_about() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert portable(asked(FOREIGN[0], CALL, thinking=thinking)) == (
        asked(CALL),
        ["messages[thinking]", "thinking"],
    )
    kept = portable(asked(FOREIGN[0], OWN, CALL, thinking=thinking))[0]
    assert kept == asked(OWN, CALL, thinking=thinking)
    over = asked(FOREIGN[0], CALL, thinking=thinking)
    over["messages"].append({"role": "user", "content": "And now?"})
    assert portable(over)[0]["thinking"] == thinking
    adaptive = asked(FOREIGN[0], CALL, thinking={"type": "adaptive"})
    assert portable(adaptive)[0]["thinking"] == {"type": "adaptive"}


def test_ids_get_letters_that_are_taken_and_still_belong_together() -> None:
    body = asked(CALL | {"id": "functions.f:0"})
    body["messages"][2]["content"] = [RESULT | {"tool_use_id": "functions.f:0"}]
    fitted, dropped = portable(body)
    called, given_ = (fitted["messages"][place]["content"][0] for place in (1, 2))
    assert called == CALL | {"id": "functions_f_0"}
    assert given_ == RESULT | {"tool_use_id": "functions_f_0"}
    assert dropped == []


_VALUES = st.none() | st.integers() | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
_BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["thinking", "redacted_thinking", "tool_use", "tool_result"])
        | _VALUES,
        "signature": _VALUES,
        "data": _VALUES,
        "id": _VALUES,
        "tool_use_id": _VALUES,
    },
)


@given(st.lists(_BLOCKS, max_size=4), _VALUES)
def test_nothing_that_the_edge_lets_in_is_too_odd(blocks: list[Json], thinking: Any) -> None:
    portable(asked(*blocks, thinking=thinking))
