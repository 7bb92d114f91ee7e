"""What a caller says of an answer, from its gateway through the spool into the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from openai import AsyncOpenAI
from spending import Serving

from tidegate.providers.simulated.server import Server, start
from tidegate.providers.simulated.settings import Settings
from tidegate.store.feedback import FeedbackFilter, FeedbackStore
from tidegate.store.records import RecordStore

CONFIG = """
providers: {{sim: {{kind: openai, base_url: "{sim}", allow_private: true}}}}
models: {{assistant: {{targets: [{{provider: sim, model: sim-1}}]}}}}
server: {{port: 0}}
control: {{port: 0}}
store: sqlite:///tidegate.db
"""


@pytest.fixture
async def sim() -> AsyncGenerator[Server]:
    async with await start(Settings(seed=7, ttft="1ms", gap="0ms", length="8")) as server:
        yield server


@pytest.fixture
def closed() -> Iterator[list[Serving]]:
    begun: list[Serving] = []
    yield begun
    for serving in begun:
        serving.close()


async def test_feedback_is_in_the_store_with_what_it_is_about(
    tmp_path: Path, sim: Server, closed: list[Serving]
) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(CONFIG.format(sim=sim.base_url))
    serving = await asyncio.to_thread(Serving, path)
    closed.append(serving)
    await serving.hears(logger="tidegate.control", message="started")
    async with AsyncOpenAI(base_url=f"{serving.address}/v1", api_key="any") as client:
        answer = await client.chat.completions.create(
            model="assistant",
            messages=[{"role": "user", "content": "Hello"}],
            extra_headers={"x-tidegate-tags": "prompt_version=7"},
        )
        said = {"request_id": answer._request_id, "rating": 1, "text": "No."}
        await client.post("/feedback", body=said, cast_to=object)
        strange = {"request_id": "req_of_nobody", "thumbs": "up"}
        await client.post("/feedback", body=strange, cast_to=object)
    assert await asyncio.to_thread(serving.end) == 0  # everything is loaded then
    store = RecordStore(f"sqlite:///{tmp_path}/tidegate.db")
    [kept] = FeedbackStore(store.database).find(FeedbackFilter(), 10)
    assert (kept.request_id, kept.verdict, kept.text) == (answer._request_id, "down", "No.")
    assert (kept.alias, kept.model, kept.version) == ("assistant", "sim-1", "7")
    store.close()
