"""The page of faults: what `pair_meetings` found, as tables in Markdown."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from tests.pairs.pair_faults import Fault
from tests.pairs.pair_meetings import Cell, meet_all, open_faults

NANO = 10**9

COLUMNS = """\
| caller | sees | headers | outcome | tries | charged |
| --- | --- | --- | --- | --- | --- |"""

INTRODUCTION = """\
<!-- Made by scripts/faults.py from a gateway at work; run that. -->

# Faults

What happens when something fails: what the caller sees, what is recorded, what is charged. Every
row was met by a running gateway with a simulated provider behind it and the official SDKs before
it; the tests meet them again and compare.

Each alias had one target, without a fallback, and two tries (`retry: {attempts: 2}`): so the last
failure is to be seen, which a fallback would hide. Before the first content every failure can be
hidden; after it none. The callers are `openai`'s chat and Responses and `anthropic`'s Messages,
each before a provider of its own format. Where the provider speaks another one the same is seen,
but for empty answers, which Anthropic's models may give. The SDKs tried nothing again by
themselves.

What is charged is what reached the caller, and what a try that nobody saw is told to have used. A
provider may bill for tries that told nothing.

| column | means |
| --- | --- |
| caller | the format, and whether the answer was streamed |
| sees | of an error its class in the SDK, the HTTP status and the code, and, in a stream that had \
begun, how many pieces of content came before it; of an answer its finish reason |
| headers | what tells an SDK whether to try again; there are none in a stream that had begun |
| outcome | the record's `outcome`, and `error_code` after it where there is one |
| tries | the outcomes in the record's `attempts` |
| charged | input and output tokens, and what they cost at $1 and $2 for a million; `~` where they \
were counted from what was delivered, because the provider had not told them |
"""


async def page() -> str:
    """The page, from a gateway of its own."""
    with tempfile.TemporaryDirectory() as directory:
        async with open_faults(Path(directory)) as pairs:
            return written(await meet_all(pairs))


def written(cells: Iterable[Cell]) -> str:
    """The page that tells `cells`."""
    sections = [
        "\n".join(_section(fault, met)) for fault, met in groupby(cells, lambda cell: cell.fault)
    ]
    return "\n".join([INTRODUCTION, *sections])


def _section(fault: Fault, cells: Iterable[Cell]) -> Iterator[str]:
    yield f"## {fault.name}\n\n{fault.meaning}\n\n{COLUMNS}"
    merged: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for caller, way, *columns in map(row, cells):
        merged.setdefault(tuple(columns), {}).setdefault(caller, []).append(way)
    for columns, callers in merged.items():
        by_way: dict[str, list[str]] = {}
        for caller, ways in callers.items():
            by_way.setdefault(" and ".join(ways), []).append(caller)
        for ways, several in by_way.items():
            yield f"| {', '.join(several)}: {ways} | {' | '.join(columns)} |"
    yield ""


def row(cell: Cell) -> tuple[str, ...]:
    """The line that tells `cell`: its caller, the way of asking, and the columns after these."""
    record = cell.record
    outcome = f"`{record.outcome}`"
    if record.error_code is not None:
        outcome += f", `{record.error_code}`"
    return (
        cell.caller,
        "streamed" if cell.stream else "whole",
        _sees(cell),
        "<br>".join(f"`{name}: {value}`" for name, value in cell.seen.headers.items()),
        outcome,
        _tries(cell),
        _charged(cell),
    )


def _sees(cell: Cell) -> str:
    seen = cell.seen
    if seen.error == "left":
        return "—"
    if not seen.error:
        return f"an answer, `{seen.end}`"
    pieces = f"{seen.pieces} piece{'s' * (seen.pieces > 1)}, then " if seen.pieces else ""
    status = f" {seen.status}" if seen.status is not None else ""
    return f"{pieces}`{seen.error}`{status}, `{seen.code}`"


def _tries(cell: Cell) -> str:
    counted = Counter(attempt.outcome for attempt in cell.record.attempts)
    return ", ".join(f"`{outcome}`{' twice' * (n > 1)}" for outcome, n in counted.items())


def _charged(cell: Cell) -> str:
    record = cell.record
    if record.cost_nanousd is None:
        return "nothing"
    cost = f"${record.cost_nanousd / NANO:.6f}"
    if record.input_tokens is None:
        return f"tries that told it, {cost}"
    about = "~" * record.usage_estimated
    return f"{about}{record.input_tokens} + {record.output_tokens}, {cost}"
