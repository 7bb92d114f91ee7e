"""How much to think is said in the words that the generation of the model takes."""

from __future__ import annotations

from typing import Any

import pytest
from messages_judge import assert_request

from tidegate.formats.messages import write_ask
from tidegate.formats.messages.models import traits
from tidegate.formats.messages.thinking import BUDGETS, MIN_BUDGET, effort_of
from tidegate.formats.words import (
    Ask,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

HELLO = Turn("user", (Text("Hello"),))
NEWEST_EFFORTS = ("low", "medium", "high", "xhigh", "max")


def said(
    model: str, reasoning: Reasoning, *turns: Turn, ceiling: int | None = None, **fields: Any
) -> tuple[dict[str, Any], list[str]]:
    ask = Ask(model=model, turns=turns or (HELLO,), reasoning=reasoning, **fields)
    body, dropped = write_ask(ask, ceiling=ceiling)
    assert_request(body)
    return body, dropped


NAMES: dict[str, tuple[str, str, str, int]] = {
    # sampling, thinking, off, how many efforts
    "claude-2.1": ("all", "none", "unsaid", 0),
    "claude-3-5-sonnet-20241022": ("all", "none", "unsaid", 0),
    "claude-3-7-sonnet-latest": ("all", "budget", "unsaid", 0),
    "claude-sonnet-4-20250514": ("all", "budget", "unsaid", 0),
    "claude-opus-4-1-20250805": ("one", "budget", "unsaid", 0),
    "claude-haiku-4-5": ("one", "budget", "unsaid", 0),
    "claude-opus-4-5-20251101": ("one", "budget", "unsaid", 3),
    "us.anthropic.claude-opus-4-6-v1": ("one", "adaptive", "unsaid", 4),
    "anthropic/claude-4.7-opus": ("none", "adaptive", "unsaid", 5),
    "claude-opus-4-8": ("none", "adaptive", "unsaid", 5),
    "claude-sonnet-5": ("none", "adaptive", "disabled", 5),
    "claude-opus-5@20260701": ("none", "adaptive", "disabled", 5),
    "claude-sonnet-5-5": ("none", "adaptive", "between_tools", 5),
    "claude-haiku-5-5": ("none", "adaptive", "disabled", 5),
    "claude-opus-5-5": ("none", "adaptive", "never", 5),
    "claude-opus-4-10": ("none", "adaptive", "unsaid", 5),
    "claude-fable-5": ("none", "adaptive", "never", 5),
    "claude-mythos-preview": ("none", "adaptive", "never", 5),
    "deepseek-chat": ("all", "budget", "disabled", 0),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_generation_is_told_by_the_name(name: str) -> None:
    found = traits(name)
    assert (found.sampling, found.thinking, found.off, len(found.efforts)) == NAMES[name]


def test_only_some_models_can_be_made_to_call_and_held_to_a_schema() -> None:
    forced = ("claude-opus-5", "claude-haiku-5-5", "claude-fable-5", "other")
    assert all(traits(name).forced_tools for name in forced)
    unforced = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-newest")
    assert not any(traits(name).forced_tools for name in unforced)
    schemas = ("claude-opus-4-1", "claude-haiku-4-5", "claude-fable-5")
    assert all(traits(name).schemas for name in schemas)
    assert not any(traits(name).schemas for name in ("claude-sonnet-4", "other"))


OLD = "claude-sonnet-4-5"


@pytest.mark.parametrize("effort", BUDGETS)
def test_an_effort_is_a_budget_for_older_models(effort: str) -> None:
    body, dropped = said(OLD, Reasoning(effort=effort))
    assert body["thinking"] == {"type": "enabled", "budget_tokens": BUDGETS[effort]}
    assert body["max_tokens"] == 4096 + BUDGETS[effort]
    assert not dropped


def test_a_budget_stays_below_the_length_of_the_answer() -> None:
    body, _ = said(OLD, Reasoning(effort="high"), max_tokens=4000)
    assert body["thinking"]["budget_tokens"] == 3000
    body, _ = said(OLD, Reasoning(effort="high", budget_tokens=9000), max_tokens=4000)
    assert body["thinking"]["budget_tokens"] == 3999
    body, _ = said(OLD, Reasoning(effort="high"), ceiling=8000)
    assert (body["max_tokens"], body["thinking"]["budget_tokens"]) == (8000, 6000)
    body, dropped = said(OLD, Reasoning(effort="high"), max_tokens=MIN_BUDGET)
    assert ("thinking" in body, dropped) == (False, ["reasoning_effort"])


def test_thinking_with_a_budget_forbids_sampling() -> None:
    body, dropped = said(OLD, Reasoning(effort="low"), temperature=0.5, top_k=3)
    assert not body.keys() & {"temperature", "top_k"}
    assert dropped == ["temperature", "top_k"]
    assert said(OLD, Reasoning(effort="low"), top_p=0.5)[1] == ["top_p"]
    assert said(OLD, Reasoning(effort="low"), top_p=0.96)[0]["top_p"] == 0.96


def test_a_call_that_is_demanded_forbids_a_budget() -> None:
    body, dropped = said(
        OLD, Reasoning(effort="low"), tools=(Tool("f"),), tool_choice=ToolChoice("any")
    )
    assert ("thinking" in body, dropped) == (False, ["reasoning_effort"])


def test_a_round_of_calls_that_began_without_thinking_goes_on_without() -> None:
    call = ToolUse("a", "f", "{}")
    result = Turn("user", (ToolResult("a", (Text("x"),)),))
    reasoning = Reasoning(effort="low")
    signed, unsigned = Turn("assistant", (Thinking("h", "s"), call)), Turn("assistant", (call,))
    assert said(OLD, reasoning, HELLO, unsigned, result)[1] == ["reasoning_effort"]
    for turns in (
        (HELLO, signed, result),
        (HELLO, signed, result, unsigned, result),
        (HELLO, unsigned, result, Turn("assistant", (Text("x"),)), HELLO),
    ):
        body, dropped = said(OLD, reasoning, *turns)
        assert ("thinking" in body, dropped) == (True, [])


def test_newer_models_are_told_the_effort() -> None:
    for effort, level in {"minimal": "low", "medium": "medium", "max": "max"}.items():
        body, dropped = said("claude-opus-4-8", Reasoning(effort=effort))
        assert body["thinking"] == {"type": "adaptive"}
        assert body["output_config"] == {"effort": level}
        assert body["max_tokens"] == 4096
        assert not dropped
    body, _ = said("claude-opus-4-6", Reasoning(effort="xhigh"))
    assert body["output_config"] == {"effort": "high"}
    body, _ = said("claude-opus-4-8", Reasoning(budget_tokens=10_000))
    assert body["output_config"] == {"effort": "medium"}
    body, _ = said("claude-opus-4-8", Reasoning(adaptive=True))
    assert "output_config" not in body


def test_models_that_cannot_think_are_not_asked_to() -> None:
    body, dropped = said("claude-3-5-haiku", Reasoning(effort="low"))
    assert ("thinking" in body, dropped) == (False, ["reasoning_effort"])


OFF: dict[str, tuple[dict[str, Any] | None, list[str]]] = {
    "claude-opus-4-8": (None, []),
    "claude-opus-5": ({"type": "disabled"}, []),
    "claude-sonnet-5-5": ({"type": "between_tools"}, []),
    "claude-opus-5-5": (None, ["reasoning_effort"]),
    "kimi-k2": ({"type": "disabled"}, []),
}


@pytest.mark.parametrize("model", OFF)
def test_thinking_is_switched_off_as_the_model_takes_it(model: str) -> None:
    body, dropped = said(model, Reasoning(effort="none"))
    assert (body.get("thinking"), dropped) == OFF[model]
    never = model == "claude-opus-5-5"
    assert body.get("output_config") == ({"effort": "low"} if never else None)


def test_whether_thinking_is_shown_is_said() -> None:
    body, _ = said("claude-opus-5", Reasoning(effort="low", show=True))
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    body, _ = said("claude-opus-5", Reasoning(show=True))
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
    body, _ = said(OLD, Reasoning(effort="low", show=False))
    assert body["thinking"]["display"] == "omitted"
    assert "thinking" not in said(OLD, Reasoning(show=True))[0]
    assert "thinking" not in said("claude-opus-4-8", Reasoning(show=True))[0]


def test_a_budget_is_told_as_an_effort() -> None:
    assert [effort_of(tokens) for tokens in (1024, 4096, 12_288, 10**6)] == [
        "low", "medium", "high", "high",
    ]  # fmt: skip
