"""What is shown of exports: one label, the name that the configuration gives each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.control.measures.text import Meaning, family
from tidegate.control.sinks.sending import Standing

_NAME = ("export",)

_UP: Final = Meaning(
    "tidegate_export_up", "gauge", _NAME, "",
    "Whether it took what it was told last: 1, or 0. Not there where another control process of "
    "the store tells it.",
)  # fmt: skip
_BEHIND: Final = Meaning(
    "tidegate_export_behind_records", "gauge", _NAME, "records",
    "Records that it is still to be told of.",
)  # fmt: skip
_LAG: Final = Meaning(
    "tidegate_export_lag_seconds", "gauge", _NAME, "seconds",
    "How long ago the first request began that it is still to be told of.",
)  # fmt: skip
_SENT: Final = Meaning(
    "tidegate_export_sent_total", "counter", _NAME, "records", "Records that it took."
)
_BYTES: Final = Meaning(
    "tidegate_export_bytes_total", "counter", _NAME, "bytes", "What was sent to it, or written."
)
_FAILURES: Final = Meaning(
    "tidegate_export_failures_total", "counter", _NAME, "tries",
    "Times that it did not take what it was told; it is told again.",
)  # fmt: skip
_REJECTED: Final = Meaning(
    "tidegate_export_rejected_total", "counter", _NAME, "records",
    "Records, or parts of them, that it will never take, and that were passed over.",
)  # fmt: skip
_UNTOLD: Final = Meaning(
    "tidegate_export_untold_total", "counter", (), "records",
    "Records deleted as too old that an export had not been told of (`retention.untold`).",
)  # fmt: skip
OF_EXPORTS: Final = (_UP, _BEHIND, _LAG, _SENT, _BYTES, _FAILURES, _REJECTED, _UNTOLD)


def of_exports(standing: Mapping[str, Standing], untold: int = 0) -> list[str]:
    """The lines of the page; none where there is no export."""
    if not standing:
        return []
    lines: list[str] = []
    here = {name: each for name, each in standing.items() if each.state != "elsewhere"}
    for meaning, values in (
        (_UP, {name: each.failing is None for name, each in here.items()}),
        (_BEHIND, {name: each.behind for name, each in standing.items()}),
        (_LAG, {name: each.lag_s for name, each in standing.items()}),
        (_SENT, {name: each.sent for name, each in standing.items()}),
        (_BYTES, {name: each.size_bytes for name, each in standing.items()}),
        (_FAILURES, {name: each.failures for name, each in standing.items()}),
        (_REJECTED, {name: each.failed for name, each in standing.items()}),
    ):
        lines += family(meaning, [((name,), value) for name, value in values.items()])
    lines += family(_UNTOLD, [((), untold)])
    return lines
