"""One gateway for all tests of a module: they ask it one after another."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.pairs.pair_ways import Pairs, open_pairs


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pairs(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Pairs]:
    async with open_pairs(tmp_path_factory.mktemp("pairs")) as opened:
        yield opened
