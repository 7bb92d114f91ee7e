"""The pool's tests run on the loop the gateway runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack

import pytest
import uvloop
from misbehaving import OpenPool, Script, StartUpstream, Upstream

from tidegate.net.dns import Resolver
from tidegate.net.http import Pool


def pytest_asyncio_loop_factories(
    config: pytest.Config,  # noqa: ARG001 - the hook's signature
    item: pytest.Item,  # noqa: ARG001
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    resolver = Resolver()
    yield resolver
    await resolver.close()


@pytest.fixture
async def upstream() -> AsyncIterator[StartUpstream]:
    async with AsyncExitStack() as stack:

        async def start(script: Script) -> Upstream:
            return await stack.enter_async_context(Upstream(script))

        yield start


@pytest.fixture
async def pool(resolver: Resolver) -> AsyncIterator[OpenPool]:
    pools: list[Pool] = []

    def make(upstream: Upstream, **options: object) -> Pool:
        url = f"http://127.0.0.1:{upstream.port}/v1"
        arguments: dict[str, object] = {"allow_private": True, "resolver": resolver, **options}
        pools.append(Pool(url, **arguments))  # pyright: ignore[reportArgumentType]
        return pools[-1]

    yield make
    for pool in pools:
        await pool.close()
