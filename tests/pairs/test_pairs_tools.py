"""Tools over every pair of formats: called side by side, in pieces, answered in the next turn."""

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
    words,
)
from tests.pairs.pair_ways import Pairs, Way
from tests.pairs.pair_words import Question

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESULTS = ["Sunny, 25 °C", "High noon"]


@every_pair(*CONVERSING)
async def test_two_tools_are_called_at_once_and_their_results_come_back(
    pairs: Pairs, caller: str, way: Way, stream: bool
) -> None:
    asking, model = pairs.callers[caller], f"{way.name}/{way.model}"
    body = asking.body(Question(BOTH, system="Use tools.", tools=(WEATHER, CLOCK)))
    said = await asking.ask(model, body, stream=stream)
    assert said.finish == "tool_calls"
    assert said.text == ""
    assert calls(said.calls) == CALLED
    if stream and way.speaks != "gemini":  # which sends each call in one piece
        assert said.pieces > len(CALLED)
    record = pairs.record()
    assert record.outcome == "ok"
    assert record.output_tokens == pairs.billed.billed_tokens

    following = asking.follow(body, said, RESULTS, None)
    answer = await asking.ask(model, following, stream=stream)
    assert (answer.finish, answer.calls) == ("stop", ())
    assert answer.text
    record = pairs.record()
    assert (record.outcome, record.dropped) == ("ok", [])
    assert record.input_tokens == pairs.billed.prompt_tokens

    going_on = asking.follow(following, answer, [], "And now?")
    answer = await asking.ask(model, going_on, stream=stream)
    assert answer.text == words("And now?")
    assert pairs.record().outcome == "ok"


@every_pair(*CONVERSING)
async def test_a_call_can_be_demanded(pairs: Pairs, caller: str, way: Way, stream: bool) -> None:
    asking = pairs.callers[caller]
    body = asking.body(Question("Hello", tools=(CLOCK, WEATHER), must_call=True))
    said = await asking.ask(f"{way.name}/{way.model}", body, stream=stream)
    assert [call.name for call in said.calls] == ["clock"]
    assert said.finish == "tool_calls"
    assert pairs.record().dropped == []
