"""A real gateway on a free port, with a simulated provider behind it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tidegate.providers.simulated.settings import Settings

from .running import Gateway, running

__all__ = ["CONFIG", "Gateway", "Open"]

CONFIG = """
providers:
  sim: {{kind: openai, base_url: "{sim}", allow_private: true, api_key: upstream-secret-key}}
  dead: {{kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}
models:
  assistant:
    targets: [{{provider: sim, model: sim-1, price: {{input: $1/M, output: $2/M}}}}]
  "sim/*":
    targets: [{{provider: sim, model: "*"}}]
    timeout: {{first_token: 300ms, idle: 300ms, total: 2s}}
    retry: {{attempts: 1}}
    breaker: null
  dead: {{targets: [{{provider: dead, model: none}}], retry: {{attempts: 1}}}}
  covered:
    targets: [{{provider: dead, model: none}}]
    fallback: [assistant]
    retry: {{attempts: 1}}
  full:
    targets: [{{provider: sim, model: sim-1}}]
    records: {{bodies: full}}
  "try/*":
    targets: [{{provider: sim, model: "*"}}]
    fallback: [again]
    timeout: {{first_token: 200ms}}
    retry: {{attempts: 1}}
    breaker: null
  again: {{targets: [{{provider: sim, model: sim-1}}]}}
  bounded:
    targets: [{{provider: sim, model: sim-1+echo}}]
    output_tokens: {{default: 300, max: 400}}
server: {{body_limit: 1MiB, header_limit: 8KiB, read_timeout: 400ms}}
"""

Open = Callable[..., Coroutine[None, None, Gateway]]


@pytest.fixture
async def open_gateway(tmp_path: Path) -> AsyncGenerator[Open]:
    async with AsyncExitStack() as stack:

        async def open_(
            config: str = CONFIG, settings: Settings | None = None, **places: str
        ) -> Gateway:
            return await stack.enter_async_context(running(tmp_path, config, settings, **places))

        yield open_


@pytest.fixture
async def gateway(open_gateway: Open) -> Gateway:
    return await open_gateway()
