"""Every fault over every caller's format: docs/reference/faults.md tells what happens."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_asyncio

from tests.pairs.pair_faults import FAULTS
from tests.pairs.pair_meetings import Cell, meet_all, open_faults
from tests.pairs.pair_page import row, written

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
QUICK = [fault for fault in FAULTS if not fault.waits]
MAY_BE_EMPTY = "No choices"
OTHERS = {"chat": "messages", "responses": "chat", "messages": "responses"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Cell]:
    async with open_faults(tmp_path_factory.mktemp("faults")) as pairs:
        return await meet_all(pairs)


async def test_the_page_tells_what_happens(cells: list[Cell]) -> None:
    """If this fails and what happens is right: `python scripts/faults.py` writes the page."""
    assert written(cells).splitlines() == PAGE.read_text(encoding="utf-8").splitlines()


async def test_no_answer_is_cut_silently(cells: list[Cell]) -> None:
    for cell in cells:
        assert bool(cell.seen.error) != bool(cell.seen.end), cell.fault.name
        assert (cell.record.outcome == "ok") is bool(cell.seen.end), cell.fault.name


async def test_only_what_was_seen_or_told_of_a_try_is_charged(cells: list[Cell]) -> None:
    for cell in cells:
        record = cell.record
        seen = cell.seen.end or cell.seen.pieces
        tries = [tried.cost_nanousd for tried in record.attempts if tried.cost_nanousd is not None]
        assert (record.cost_nanousd is not None) is bool(seen or tries), cell.fault.name
        if not seen and tries:
            assert record.cost_nanousd == sum(tries)


async def test_a_fault_means_the_same_through_a_translation(
    tmp_path: Path, cells: list[Cell]
) -> None:
    async with open_faults(tmp_path) as pairs:
        translated = await meet_all(pairs, OTHERS, QUICK)
    own = {(cell.fault.name, cell.caller, cell.stream): row(cell) for cell in cells}
    for cell in translated:
        *told, charged = row(cell)
        *expected, cost = own[cell.fault.name, cell.caller, cell.stream]
        if cell.fault.name != MAY_BE_EMPTY:
            assert told == expected, cell.fault.name
            assert cell.fault.asks or charged == cost, cell.fault.name
