"""What is no conversation, over every kind of provider: vectors, and counts of tokens."""

from __future__ import annotations

import base64
import struct
from typing import Any

import openai
import pytest

from tests.pairs.pair_ways import BY_NAME, WAYS, Pairs, Way

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODELS = {
    "gemini": "gemini-embedding-001",
    "vertex": "text-embedding-005",
    "bedrock": "amazon.titan-embed-text-v2:0",
}
TEXT = "How is the tide today?"
MAKERS = [way for way in WAYS if way.name != "anthropic"]
COUNTING = [way for way in WAYS if way.name != "bedrock"]
"""The simulated Bedrock does not count."""


@pytest.mark.parametrize("way", MAKERS, ids=lambda way: way.name)
async def test_vectors_arrive_in_either_encoding(pairs: Pairs, way: Way) -> None:
    create: Any = pairs.sdks.openai.embeddings.create
    model = f"{way.name}/{MODELS.get(way.name, way.model)}"
    asked = {"model": model, "input": [TEXT], "dimensions": 256}
    plain = await create(**asked, encoding_format="float")
    packed = await create(**asked, encoding_format="base64")
    (vector,), (encoded,) = plain.data, packed.data
    assert len(vector.embedding) == 256
    decoded = struct.unpack("<256f", base64.b64decode(encoded.embedding))
    assert decoded == pytest.approx(vector.embedding, abs=1e-6)
    first, second = pairs.records()
    assert first.outcome == second.outcome == "ok"
    if way.name != "gemini":  # which does not tell what vectors cost
        assert first.input_tokens == pairs.billed.prompt_tokens == plain.usage.prompt_tokens
        assert first.cost_nanousd == plain.usage.prompt_tokens * 1000


async def test_a_provider_without_vectors_is_told_apart(pairs: Pairs) -> None:
    way = BY_NAME["anthropic"]
    with pytest.raises(openai.BadRequestError) as caught:
        await pairs.sdks.openai.embeddings.create(model=f"{way.name}/{way.model}", input=TEXT)
    assert caught.value.code == "unsupported_by_target"
    assert pairs.record().outcome == "unsupported_by_target"


@pytest.mark.parametrize("way", COUNTING, ids=lambda way: way.name)
async def test_tokens_are_counted_or_estimated(pairs: Pairs, way: Way) -> None:
    counted = await pairs.sdks.anthropic.messages.count_tokens(
        model=f"{way.name}/{way.model}",
        system="Be brief.",
        messages=[{"role": "user", "content": TEXT}],
    )
    assert counted.input_tokens == 20
    record = pairs.record()
    counts = way.speaks in ("messages", "gemini")
    assert (record.outcome, record.degraded) == ("ok", None if counts else "estimated")
    assert record.cost_nanousd is None
