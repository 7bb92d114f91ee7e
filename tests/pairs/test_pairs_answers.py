"""Every caller's format over every provider's: words, figures, forms and ends arrive as they were.

What the caller's SDK parsed, what the provider billed and what the record says have to agree.
"""

from __future__ import annotations

import json

import pytest

from tests.pairs.pair_samples import ALL, CLOCK, CONVERSING, PICTURE, POINT, every_pair, words
from tests.pairs.pair_ways import BY_NAME, Pairs, Way
from tests.pairs.pair_words import Question, Said, Told
from tidegate.telemetry.record import Record

pytestmark = pytest.mark.asyncio(loop_scope="module")


def agree(pairs: Pairs, said: Said, way: Way) -> Record:
    """The record, which says the same as the caller was told and the provider billed."""
    record, billed, told = pairs.record(), pairs.billed, said.told
    assert (record.outcome, record.status) == ("ok", 200)
    assert record.provider == way.name
    assert record.target == f"{way.name}/{record.model}"
    assert said.model == (record.model if way.tells_model else record.target)
    assert told is not None
    assert (told.input, told.output) == (record.input_tokens, record.output_tokens)
    assert (told.input, told.output) == (billed.prompt_tokens, billed.billed_tokens)
    assert not record.usage_estimated
    return record


@every_pair(*ALL)
async def test_words_and_figures_arrive(pairs: Pairs, caller: str, way: Way, stream: bool) -> None:
    asking = pairs.callers[caller]
    question = Question("How is the tide today, and how will it be?")
    if asking.turns:
        before = (("Hello", "Hello to you."), ("Who are you?", "A keeper."))
        question = Question(question.text, system="Be brief.", before=before, picture=PICTURE)
    model = f"{way.model}+cached:5+cache-write:2+reasoning:7"
    said = await asking.ask(f"{way.name}/{model}", asking.body(question), stream=stream)
    assert said.text == words(question.text)
    assert (said.finish, said.calls, said.thinking) == ("stop", (), "")
    assert said.pieces == (16 if stream else 1)
    record = agree(pairs, said, way)
    told = said.told
    assert told is not None
    written, reasoning = (2 if way.tells_written else None), (7 if way.tells_reasoning else None)
    # Responses' figures are always there: what nobody told is zero.
    unknown = 0 if caller == "responses" else None
    assert told == Told(
        told.input,
        23,
        cached=5,
        written=unknown if written is None else written,
        reasoning=unknown if reasoning is None else reasoning,
    )
    assert record.cached_input_tokens == 5
    assert record.cache_write_tokens == written
    assert record.reasoning_tokens == reasoning
    plain = told.input - 5 - (written or 0)
    assert record.cost_nanousd == plain * 1000 + 5 * 100 + (written or 0) * 3000 + 23 * 2000
    assert record.model == model
    assert record.stream is stream
    assert record.dropped == []


@every_pair(*CONVERSING)
async def test_an_answer_has_the_form_that_was_asked_for(
    pairs: Pairs, caller: str, way: Way, stream: bool
) -> None:
    asking = pairs.callers[caller]
    body = asking.body(Question("Name a point", schema=POINT))
    said = await asking.ask(f"{way.name}/{way.model}", body, stream=stream)
    assert json.loads(said.text).keys() == {"x", "name"}
    assert said.finish == "stop"
    assert agree(pairs, said, way).dropped == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("caller", CONVERSING)
async def test_a_form_that_cannot_be_asked_for_is_told_and_not_demanded(
    pairs: Pairs, caller: str, stream: bool
) -> None:
    """Gemini 2.5 takes no schema beside tools."""
    asking, way = pairs.callers[caller], BY_NAME["gemini"]
    body = asking.body(Question("Name a point", schema=POINT, tools=(CLOCK,)))
    said = await asking.ask(f"{way.name}/{way.model}", body, stream=stream)
    assert said.text == words("Name a point")
    assert agree(pairs, said, way).dropped == ["response_format"]


@every_pair(*ALL)
async def test_an_answer_ends_where_it_should_and_says_why(
    pairs: Pairs, caller: str, way: Way, stream: bool
) -> None:
    asking = pairs.callers[caller]
    whole = words("Hello", 48)

    body = asking.body(Question("Hello", length=20))
    said = await asking.ask(f"{way.name}/{way.model}+tokens:48", body, stream=stream)
    assert (said.finish, said.text) == ("length", words("Hello", 20))
    agree(pairs, said, way)

    body = asking.body(Question("Hello", stop="the"))
    said = await asking.ask(f"{way.name}/{way.model}+tokens:48", body, stream=stream)
    can_stop = caller != "responses" and way.speaks != "responses"
    assert said.finish == "stop"
    assert said.text == (whole.partition("the")[0] if can_stop else whole)
    record = agree(pairs, said, way)
    assert record.dropped == ([] if can_stop or caller == "responses" else ["stop"])

    body = asking.body(Question("Hello"))
    said = await asking.ask(f"{way.name}/{way.model}+content-filter", body, stream=stream)
    assert (said.finish, said.text) == ("content_filter", words("Hello", 8))
    agree(pairs, said, way)
