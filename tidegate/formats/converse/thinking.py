"""How much to think, in each vendor's own words: Converse has only the last of them.

An effort stands for a budget where a model wants one, and the other way round; a budget must leave
room for the answer, so a quarter of the output length stays for it.

Source: platform.claude.com/docs, "Extended thinking", "Adaptive thinking", "Effort";
docs.aws.amazon.com/nova/latest/nova2-userguide: extended thinking.
"""

from __future__ import annotations

from typing import Any, Final

from tidegate.formats.converse.draft import Draft
from tidegate.formats.converse.models import Traits
from tidegate.formats.words import Ask, Reasoning

Json = dict[str, Any]

BUDGETS: Final = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
MIN_BUDGET: Final = 1_024
DROPPED: Final = "reasoning_effort"

_LOW_BELOW, _MEDIUM_BELOW = 4_096, 12_288
_LEAST_TOP_P: Final = 0.95


def write_reasoning(ask: Ask, draft: Draft) -> None:
    """Say `ask.reasoning` in the draft, which has everything else already."""
    reasoning = ask.reasoning
    if reasoning is None:
        return
    effort = _effort(reasoning)
    if effort == "none":
        _write_off(draft)
    elif effort is not None or reasoning.adaptive:
        _write_on(reasoning, effort, draft)


def _write_on(reasoning: Reasoning, effort: str | None, draft: Draft) -> None:
    able = draft.able
    match able.thinking:
        case "adaptive" if not _is_forced(draft):
            thinking: Json = {"type": "adaptive"}
            if reasoning.show is not None:
                thinking["display"] = "summarized" if reasoning.show else "omitted"
            if effort is not None:
                draft.body.setdefault("outputConfig", {})["effort"] = _nearest(effort, able)
            _write_thinking(thinking, draft)
        case "budget" if not _is_forced(draft) and _round_is_signed(draft.body["messages"]):
            budget = max(reasoning.budget_tokens or 0, 0) or BUDGETS.get(
                effort or "medium", MIN_BUDGET
            )
            if "maxTokens" in draft.inference:
                budget = min(budget, draft.inference["maxTokens"] * 3 // 4)
            if draft.may(budget >= MIN_BUDGET, DROPPED):
                _write_thinking({"type": "enabled", "budget_tokens": budget}, draft)
        case "effort":
            draft.additional["reasoning_effort"] = _nearest(effort or "medium", able)
        case "nova":
            level = _nearest(effort or "medium", able)
            if level == "high" and draft.inference:
                level = "medium"  # `high` is refused beside any of them
            draft.additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": level}
        case _:
            draft.drop(DROPPED)


def _write_off(draft: Draft) -> None:
    able = draft.able
    if able.thinks_unasked == "until_told":
        draft.additional["thinking"] = {"type": "disabled"}
    elif able.thinks_unasked == "always":
        draft.body.setdefault("outputConfig", {})["effort"] = able.efforts[0]
        draft.drop(DROPPED)
    elif able.thinking == "effort":
        draft.additional["reasoning_effort"] = able.efforts[0]
        draft.drop(DROPPED)


def _write_thinking(thinking: Json, draft: Draft) -> None:
    """Let Claude think, and take out what thinking forbids."""
    draft.additional["thinking"] = thinking
    config = draft.inference
    if config.pop("temperature", 1) != 1:
        draft.drop("temperature")
    if config.get("topP", 1) < _LEAST_TOP_P:
        del config["topP"]
        draft.drop("top_p")
    if draft.additional.pop("top_k", None) is not None:
        draft.drop("top_k")


def _is_forced(draft: Draft) -> bool:
    """Whether a tool must be called, which thinking does not go with."""
    return "toolChoice" in draft.body.get("toolConfig", {})


def _round_is_signed(messages: list[Json]) -> bool:
    """Whether the calls that the last results belong to come with their reasoning.

    To go on thinking with a budget is refused in a round of calls that began without it.
    """
    if not any("toolResult" in block for block in messages[-1]["content"]):
        return True
    for message in reversed(messages):
        if message["role"] == "assistant":
            blocks: list[Json] = message["content"]
            return any("reasoningContent" in block for block in blocks)
    return True


def _effort(reasoning: Reasoning) -> str | None:
    """The effort that is asked for, also where a budget was told instead."""
    budget = reasoning.budget_tokens
    if reasoning.effort is not None or budget is None:
        return reasoning.effort
    if budget <= 0:  # Gemini's words for no thinking, and for as much as it likes
        return "none" if budget == 0 else "medium"
    if budget < _LOW_BELOW:
        return "low"
    return "medium" if budget < _MEDIUM_BELOW else "high"


def _nearest(effort: str, able: Traits) -> str:
    """The level that says `effort` best; `high` is one of any."""
    if effort in able.efforts:
        return effort
    return "low" if effort == "minimal" else "high"
