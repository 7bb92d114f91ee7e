from __future__ import annotations

from typing import Any

import pytest

from tidegate.formats.trim import trimmed

Json = dict[str, Any]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def said(text: str) -> Json:
    return {"role": "assistant", "content": text}


def test_the_older_half_of_the_turns_goes() -> None:
    turns = [user("1"), said("a"), user("2"), said("b"), user("3"), said("c"), user("4")]
    assert trimmed("chat", {"messages": turns, "n": 1}) == {"messages": turns[4:], "n": 1}


def test_instructions_stay_wherever_they_stand() -> None:
    system, developer = {"role": "system", "content": "s"}, {"role": "developer", "content": "d"}
    turns = [system, user("1"), developer, said("a"), user("2")]
    assert trimmed("chat", {"messages": turns}) == {"messages": [system, developer, user("2")]}


def test_a_tool_call_and_its_result_go_together() -> None:
    call = {"role": "assistant", "tool_calls": [{"id": "c"}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "r"}
    turns = [user("1"), call, result, said("a"), user("2"), call, result]
    assert trimmed("chat", {"messages": turns}) == {"messages": turns[4:]}


def test_a_tool_result_in_a_users_message_begins_no_turn() -> None:
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}
    turns = [user("1"), said("call"), result, said("a")]
    assert trimmed("messages", {"messages": turns}) is None


def test_items_of_responses_are_turns_too() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": "r"}
    items = [user("1"), output, {"type": "message", "role": "user", "content": "2"}]
    assert trimmed("responses", {"input": items}) == {"input": items[2:]}


@pytest.mark.parametrize(
    ("wire", "body"),
    [
        ("chat", {"messages": [user("1"), said("a")]}),
        ("responses", {"input": "text"}),
        ("completions", {"prompt": "text"}),
        ("chat", {}),
        ("chat", {"messages": [1, None, "x"]}),
    ],
)
def test_what_has_one_turn_or_none_cannot_be_shortened(wire: str, body: Json) -> None:
    assert trimmed(wire, body) is None


def test_shortening_ends() -> None:
    body: Json | None = {"messages": [user(str(number)) for number in range(1000)]}
    steps = 0
    while body is not None:
        body, steps = trimmed("chat", body), steps + 1
    assert steps < 15
