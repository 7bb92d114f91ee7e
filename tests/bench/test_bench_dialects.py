"""What the benchmark of translation measures is what it says it measures."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest

from bench.dialects import CHUNKS, WIRES, Vendor, at_once, exchange, vendors
from bench.streamclient import CONTENT

PASSED = {("chat", "openai"), ("chat", "vllm"), ("responses", "openai"), ("messages", "anthropic")}
PAIRS = [(wire, vendor) for wire in WIRES for vendor in vendors()]


def _named(pair: object) -> str:
    return pair.name if isinstance(pair, Vendor) else str(pair)


@pytest.mark.parametrize(("wire", "vendor"), PAIRS, ids=_named)
def test_every_pair_is_asked_and_answers(wire: str, vendor: Vendor) -> None:
    plain, tools = exchange(wire, vendor), exchange(wire, vendor, tools=True)
    assert plain.passes_on == ((wire, vendor.name) in PASSED)
    assert b'"usage"' in plain.hear()
    assert b'"usage"' in tools.hear()


@pytest.mark.parametrize(("wire", "vendor"), PAIRS, ids=_named)
def test_each_read_of_a_stream_is_one_chunk(wire: str, vendor: Vendor) -> None:
    answer = exchange(wire, vendor, stream=True).answer()
    chunks = [at_once(answer.read()) for _ in range(CHUNKS)]
    assert all(chunks)
    if wire == "chat":
        assert all(len(CONTENT.findall(chunk)) == 1 for chunk in chunks)


def test_coroutine_that_waits_is_no_measurement() -> None:
    class Wait:
        def __await__(self) -> Any:
            yield

    async def waits() -> None:
        await Wait()

    waiting: Coroutine[Any, Any, None] = waits()
    with pytest.raises(RuntimeError, match="waited"):
        at_once(waiting)
    waiting.close()
