"""Streams that are cut, over every pair of formats: an error, never an end, and no more is charged.

`test_pairs_faults` has every other fault.
"""

from __future__ import annotations

import anthropic
import openai
import pytest

from tests.pairs.pair_samples import ALL
from tests.pairs.pair_ways import WAYS, Pairs, Way
from tests.pairs.pair_words import Question

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
@pytest.mark.parametrize("caller", ALL)
async def test_a_cut_stream_is_an_error_and_costs_what_came(
    pairs: Pairs, caller: str, way: Way
) -> None:
    asking = pairs.callers[caller]
    body = asking.body(Question("Hello"))
    with pytest.raises((openai.APIError, anthropic.APIError)) as caught:
        await asking.ask(f"{way.name}/{way.model}+truncate:3", body, stream=True)
    code = getattr(caught.value, "code", None) or getattr(caught.value, "error_code", None)
    record = pairs.record()
    assert (record.outcome, record.error_code) == ("failed_after_commit", "upstream_cut")
    assert code == "upstream_cut"
    assert record.output_tokens == pairs.billed.delivered_tokens == 3
    assert record.usage_estimated
    assert record.input_tokens
    assert record.cost_nanousd == record.input_tokens * 1000 + 3 * 2000
