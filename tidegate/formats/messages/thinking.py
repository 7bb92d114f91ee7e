"""How much to think: other formats name an effort, older Claudes want a budget, newer ones both.

| effort    | budget in tokens | a budget below … is this effort |
| --------- | ---------------: | ------------------------------: |
| `minimal` |            1,024 |                                 |
| `low`     |            2,048 |                           4,096 |
| `medium`  |            8,192 |                          12,288 |
| `high`    |           16,384 |              any larger one too |
| `xhigh`   |           32,768 |                                 |
| `max`     |           32,768 |                                 |

A budget must be at least 1,024 and less than `max_tokens`. Where the caller named no length of the
answer, it grows by the budget; where it did, a quarter of it stays for the answer, unless the
caller named the budget too.
"""

from __future__ import annotations

from tidegate.formats.messages.models import Traits
from tidegate.formats.messages.shapes import Json, ThinkingView
from tidegate.formats.words import Ask, Reasoning

BUDGETS = {
    "minimal": 1_024,
    "low": 2_048,
    "medium": 8_192,
    "high": 16_384,
    "xhigh": 32_768,
    "max": 32_768,
}
MIN_BUDGET = 1_024
THINKING_TYPES = ("enabled", "adaptive", "disabled", "between_tools")
DROPPED = "reasoning_effort"

_LOW_BELOW, _MEDIUM_BELOW = 4_096, 12_288
_LEAST_TOP_P = 0.95


def effort_of(budget_tokens: int) -> str:
    """The effort that a budget stands for."""
    if budget_tokens < _LOW_BELOW:
        return "low"
    return "medium" if budget_tokens < _MEDIUM_BELOW else "high"


def nearest(effort: str, efforts: tuple[str, ...]) -> str:
    """The level of `efforts` that says `effort` best; `high` is one of any."""
    if effort in efforts:
        return effort
    return "low" if effort == "minimal" else "high"


# Reading


def read_reasoning(thinking: ThinkingView | None, effort: str | None) -> Reasoning | None:
    """What the caller says of thinking. A budget is told as an effort as well."""
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    show = None if thinking.display is None else thinking.display != "omitted"
    match thinking.type:
        case "enabled":
            budget = thinking.budget_tokens
            if effort is None and budget is not None:
                effort = effort_of(budget)
            return Reasoning(effort=effort, budget_tokens=budget, show=show)
        case "adaptive":
            return Reasoning(effort=effort, show=show, adaptive=True)
        case "disabled":
            return Reasoning(effort="none")
        case "between_tools":  # the least that this model can do
            return Reasoning(effort="minimal")
        case _:
            return None if effort is None else Reasoning(effort=effort)


# Writing


def write_reasoning(body: Json, ask: Ask, traits: Traits, ceiling: int | None) -> list[str]:
    """Say `ask.reasoning` in `body`, which has everything else; the names of what could not be."""
    reasoning = ask.reasoning
    if reasoning is None:
        return []
    if reasoning.effort == "none":
        return _write_off(body, traits)
    effort = reasoning.effort
    if effort is None and reasoning.budget_tokens is not None:
        effort = effort_of(reasoning.budget_tokens)
    thinks_unasked = traits.off != "unsaid" and traits.thinking == "adaptive"
    if effort is None and not reasoning.adaptive and not (thinks_unasked and reasoning.show):
        return []
    match traits.thinking:
        case "adaptive":
            body["thinking"] = {"type": "adaptive"} | _display(reasoning)
            if effort is not None:
                config: Json = body.setdefault("output_config", {})
                config["effort"] = nearest(effort, traits.efforts)
            return []
        case "budget":
            budget = reasoning.budget_tokens or BUDGETS.get(effort or "medium", MIN_BUDGET)
            return _write_budget(body, ask, budget, ceiling)
        case _:
            return [DROPPED]


def _write_off(body: Json, traits: Traits) -> list[str]:
    match traits.off:
        case "never":
            body.setdefault("output_config", {})["effort"] = nearest("low", traits.efforts)
            return [DROPPED]
        case "unsaid":
            return []
        case kind:
            body["thinking"] = {"type": kind}
            return []


def _write_budget(body: Json, ask: Ask, budget_tokens: int, ceiling: int | None) -> list[str]:
    """Think with a budget, if nothing forbids it; what thinking forbids is taken out."""
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return [DROPPED]
    if not round_is_signed(body["messages"]):
        return [DROPPED]
    reasoning = ask.reasoning or Reasoning()
    whole = reasoning.budget_tokens is not None
    if ask.max_tokens is None:
        grown = body["max_tokens"] + budget_tokens
        body["max_tokens"] = grown if ceiling is None else min(grown, ceiling)
        whole = whole or body["max_tokens"] == grown
    budget_tokens = bounded(budget_tokens, body["max_tokens"], whole=whole)
    if budget_tokens < MIN_BUDGET:
        return [DROPPED]
    body["thinking"] = {"type": "enabled", "budget_tokens": budget_tokens}
    if reasoning.show is False:
        body["thinking"]["display"] = "omitted"
    dropped = [name for name in ("temperature", "top_k") if body.pop(name, None) is not None]
    if body.get("top_p", 1) < _LEAST_TOP_P:
        del body["top_p"]
        dropped.append("top_p")
    return dropped


def bounded(budget_tokens: int, max_tokens: int, *, whole: bool) -> int:
    """A budget within `max_tokens`, of which a quarter stays for the answer unless `whole`."""
    return min(budget_tokens, max_tokens - 1 if whole else max_tokens * 3 // 4)


def round_is_signed(messages: list[Json]) -> bool:
    """Whether a round of calls that still goes on has its thinking with it.

    The API refuses to think with a budget in a round that began without.
    """
    going_on = False
    for message in reversed(messages):
        content: str | list[Json] = message["content"]
        kinds = [] if isinstance(content, str) else [block.get("type") for block in content]
        if message["role"] == "assistant":
            if "thinking" in kinds or "redacted_thinking" in kinds:
                return True
        elif "tool_result" in kinds:
            going_on = True
        else:
            break
    return not going_on


def _display(reasoning: Reasoning) -> Json:
    if reasoning.show is None:
        return {}
    return {"display": "summarized" if reasoning.show else "omitted"}
