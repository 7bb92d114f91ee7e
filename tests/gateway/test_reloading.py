"""What a reload leaves behind in the background."""

from __future__ import annotations

import asyncio

from .conftest import Open

CONFIG = """
providers:
  two:
    kind: openai
    base_url: ["http://127.0.0.1:9/v1", "http://127.0.0.1:9/v2"]
    allow_private: true
    health: {{probe: /health, interval: 1h}}
models:
  assistant: {{targets: [{{provider: two, model: m-1}}]}}
"""


def probes() -> int:
    return sum(task.get_name().startswith("probe of") for task in asyncio.all_tasks())


async def test_a_house_that_cannot_be_built_probes_nobody(open_gateway: Open) -> None:
    gateway = await open_gateway(CONFIG)
    assert probes() == 2
    text = gateway.config.read_text()
    gateway.config.write_text(text.replace("models:", "  new: {kind: simulated}\nmodels:"))
    assert not await gateway.live.reload()
    assert probes() == 2


async def test_a_reload_goes_on_probing_once(open_gateway: Open) -> None:
    gateway = await open_gateway(CONFIG)
    gateway.config.write_text(gateway.config.read_text() + "\n")
    assert await gateway.live.reload()
    async with asyncio.timeout(60):
        while probes() != 2:  # noqa: ASYNC110 - the old house closes in its own time
            await asyncio.sleep(0)
