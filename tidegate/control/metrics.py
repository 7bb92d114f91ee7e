"""The page of `GET /metrics`: what records, boards and the loading of records tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from tidegate.control.measures import Measures
from tidegate.control.measures import catalogue as of
from tidegate.control.measures.boards import GATEWAYS, LIMIT_USED, OF_BOARDS, of_boards
from tidegate.control.measures.exports import OF_EXPORTS, of_exports
from tidegate.control.measures.text import CONTENT_TYPE, Meaning, family
from tidegate.control.measures.watch import ALL, Watch
from tidegate.control.sinks.sending import Standing
from tidegate.policy.board import Board

__all__ = ["CONTENT_TYPE", "PASSES", "Pass", "documented", "metrics"]

_LOADED: Final = Meaning(
    "tidegate_records_loaded_total", "counter", (), "records", "Records loaded into the store."
)
_LOADING: Final = Meaning(
    "tidegate_records_loading", "gauge", (), "", "Whether records can be loaded: 1, or 0."
)
_LAG: Final = Meaning(
    "tidegate_loader_lag_seconds", "gauge", (), "seconds",
    "How old a record in the spool is at most: the age of the last complete pass over it.",
)  # fmt: skip
_SEGMENTS: Final = Meaning(
    "tidegate_spool_waiting_segments", "gauge", (), "segments",
    "Segments of the spool with records that are not loaded yet.",
)  # fmt: skip
_BYTES: Final = Meaning(
    "tidegate_spool_waiting_bytes", "gauge", (), "bytes",
    "Size of the records in the spool that are not loaded yet.",
)  # fmt: skip
PASSES: Final = (_LOADED, _LOADING, _LAG, _SEGMENTS, _BYTES)


class Pass(NamedTuple):
    """How the loading of records goes."""

    loaded: int
    failing: bool
    lag_s: float | None = None
    """None where it is not known."""
    waiting: tuple[int, int] | None = None
    """Segments and bytes that are not loaded."""


def metrics(
    boards: list[Board],
    loading: Pass,
    measures: Measures | None = None,
    watch: Watch | None = None,
    exports: tuple[Mapping[str, Standing], int] | None = None,
) -> bytes:
    """The page."""
    count, size_bytes = loading.waiting or (None, None)
    values = loading.loaded, not loading.failing, loading.lag_s, count, size_bytes
    pieces = [] if measures is None else measures.lines()
    for meaning, value in zip(PASSES, values, strict=True):
        pieces += family(meaning, [((), value)])
    if exports is not None:
        pieces += of_exports(*exports)
    pieces += of_boards(boards)
    if watch is not None:
        pieces += watch.lines()
    return "".join(pieces).encode()


def documented() -> dict[str, list[Meaning]]:
    """Everything that may stand on the page, by where it comes from."""
    found = [value for value in vars(of).values() if isinstance(value, Meaning)]
    boards = [GATEWAYS, *(told.meaning for told in OF_BOARDS), LIMIT_USED]
    loading = [*PASSES, *OF_EXPORTS]
    return {"records": found, "boards": boards, "loading": loading, "watch": list(ALL)}
