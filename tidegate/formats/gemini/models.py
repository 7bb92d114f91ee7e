"""What differs between Google's models, told from their names alone.

Names are all that is known of a model: nothing is fetched. One without a number that ends in
`-latest` is taken for the newest; one that is not a Gemini (a Gemma, a tuned model behind an
endpoint) for one that can do none of this.

Source: ai.google.dev/gemini-api/docs/thinking, /thought-signatures, /function-calling
"""

from __future__ import annotations

import re
from functools import lru_cache

from msgspec import Struct

from tidegate.formats.words import Reasoning

_NUMBERED = re.compile(r"gemini-(\d{1,3})(?:\.(\d{1,3}))?(?![\d.])")
_UNKNOWN, _FIRST_TO_THINK, _FIRST_WITH_LEVELS = (0, 0), (2, 5), (3, 0)
_LOWEST_FLASH, _LOWEST_PRO = 0, 128
_HIGHEST_FLASH, _HIGHEST_PRO = 24_576, 32_768
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192}
"""Google's own table for OpenAI's efforts; any other effort is the highest."""
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"}


class Model(Struct, frozen=True):
    """What a model can do and wants."""

    thinks: bool = False
    levels: bool = False
    """Whether it is told how much to think by a level instead of a number of tokens."""
    pro: bool = False
    """Whether it cannot be kept from thinking."""
    medium: bool = True
    """Whether it knows the level between low and high."""
    signs: bool = False
    """Whether it refuses its own calls of tools when they come back without a signature."""
    validates: bool = False
    """Whether it can be held to the tools' schemas without being made to call one."""
    combines: bool = True
    """Whether tools and JSON output go together."""
    sees_results: bool = False
    """Whether a tool's result may hold images."""


@lru_cache(maxsize=256)
def model(name: str) -> Model:
    """The model of this name, which may stand in a path (`publishers/google/models/…`)."""
    name = name.rpartition("/")[2].lower()
    found = _NUMBERED.match(name)
    if found is not None:
        number = (int(found[1]), int(found[2] or 0))
    elif name.startswith("gemini-") and name.endswith("-latest"):
        number = _FIRST_WITH_LEVELS
    else:
        number = _UNKNOWN
    levels = number >= _FIRST_WITH_LEVELS
    pro = "pro" in name and "flash" not in name
    return Model(
        thinks=number >= _FIRST_TO_THINK,
        levels=levels,
        pro=pro,
        medium=not (pro and found is not None and number == _FIRST_WITH_LEVELS),
        signs=levels,
        validates=number >= _FIRST_TO_THINK,
        combines=levels or number == _UNKNOWN,
        sees_results=levels,
    )


def thinking(reasoning: Reasoning, of: Model) -> dict[str, object] | None:
    """The `thinkingConfig` that says `reasoning`; None when the model knows no such thing.

    Newer models know levels only, so a budget becomes the level whose budget it reaches. Models
    that always think do so as little as they can when asked for none.
    """
    if not of.thinks:
        return None
    effort, budget = reasoning.effort, reasoning.budget_tokens
    config: dict[str, object] = {}
    if of.levels:
        if effort is None and budget is not None:
            effort = _effort(budget)
        if effort is not None:
            config["thinkingLevel"] = _level(effort, of)
    elif budget is not None or effort is not None:
        config["thinkingBudget"] = _budget(effort, budget, of)
    elif reasoning.adaptive:
        config["thinkingBudget"] = -1
    # Whoever names a budget speaks a format that shows thoughts unless it is told not to.
    asked = reasoning.summary is not None or bool(budget)
    if reasoning.show or (reasoning.show is None and asked):
        config["includeThoughts"] = True
    return config


def _effort(budget: int) -> str:
    if budget <= 0:
        return "none"
    return next((each for each in ("low", "medium") if budget <= _BUDGETS[each]), "high")


def _level(effort: str, of: Model) -> str:
    level = _LEVELS.get(effort, "HIGH")
    if of.pro and level == "MINIMAL":
        return "LOW"
    return "HIGH" if level == "MEDIUM" and not of.medium else level


def _budget(effort: str | None, budget: int | None, of: Model) -> int:
    lowest, highest = (_LOWEST_PRO, _HIGHEST_PRO) if of.pro else (_LOWEST_FLASH, _HIGHEST_FLASH)
    if budget is None:
        budget = 0 if effort == "none" else _BUDGETS.get(effort or "", _HIGHEST_FLASH)
    return min(max(budget, lowest), highest)
