"""Reasoning over every pair of formats: shown, billed, and handed back to whoever it belongs to."""

from __future__ import annotations

import pytest

from tests.pairs.pair_samples import (
    BOTH,
    CALLED,
    CLOCK,
    CONVERSING,
    WEATHER,
    calls,
    every_pair,
    thoughts,
)
from tests.pairs.pair_ways import BY_NAME, Pairs, Way
from tests.pairs.pair_words import Question

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = Question(BOTH, tools=(WEATHER, CLOCK), thinks=True, length=4000)
RESULTS = ["Sunny", "Noon"]
MARKS = ("tg1", "rs1:", "gemini:", "tool:")


@every_pair(*CONVERSING)
async def test_thoughts_are_shown_and_accepted_again(
    pairs: Pairs, caller: str, way: Way, stream: bool
) -> None:
    asking, model = pairs.callers[caller], f"{way.name}/{way.model}"
    body = asking.body(ASKED)
    said = await asking.ask(f"{model}+thinking:5", body, stream=stream)
    assert said.thinking == thoughts(BOTH, 5)
    assert calls(said.calls) == CALLED
    assert pairs.record().reasoning_tokens == (5 if way.tells_reasoning else None)
    # Where thoughts are signed, they are refused without their signature.
    back = await asking.ask(
        f"{model}+echo", asking.follow(body, said, RESULTS, None), stream=stream
    )
    assert pairs.record().outcome == "ok"
    if way.signs or way.speaks in ("responses", "gemini"):
        assert said.thinking in back.text


MOVES = [BY_NAME[name] for name in ("openai", "openai_responses", "anthropic", "gemini", "vertex")]
ENDS = [*MOVES[1:], BY_NAME["bedrock"], BY_NAME["groq"]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", MOVES, ids=lambda way: way.name)
@pytest.mark.parametrize("caller", CONVERSING)
async def test_a_conversation_goes_on_with_any_other_provider(
    pairs: Pairs, caller: str, way: Way, stream: bool
) -> None:
    """As after a fallback: what the first one wants back must not make the others refuse."""
    asking = pairs.callers[caller]
    body = asking.body(ASKED)
    said = await asking.ask(f"{way.name}/{way.model}+thinking:5", body, stream=stream)
    following = asking.follow(body, said, RESULTS, None)
    pairs.records()
    for other in ENDS:
        answer = await asking.ask(f"{other.name}/{other.model}+echo", following, stream=False)
        assert pairs.record().outcome == "ok", other.name
        assert all(result in answer.text for result in RESULTS), other.name
        # Marks of ours by which a thought finds its way back are nobody else's business.
        assert not any(mark in answer.text for mark in MARKS), other.name
        if other.speaks == "responses" and way.speaks != "responses":
            assert '"type":"reasoning"' not in answer.text
