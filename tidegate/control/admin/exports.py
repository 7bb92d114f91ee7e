"""How it goes with exports: what each took, how far it is behind, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Shape

router = APIRouter()


class ExportShown(Shape):
    """One export, as this control process knows it; counts are since it began."""

    name: str
    state: str
    """`idle`, `telling`, `gathering` (waits for more records), `failing`, or `elsewhere`: another
    control process of the same store tells it."""
    behind: int
    """Records that it is still to be told of, about."""
    lag_s: float
    """How long ago the first of them began."""
    sent: int
    left_out: int
    """By the share that is sampled."""
    rejected: int
    """That it will never take; the log says which."""
    failures: int
    """Times that it did not take what it was told."""
    size_bytes: int
    failing: str | None
    """Why it was not told when it was tried last, and what to do."""


class ExportsShown(Shape):
    """All that the configuration names, and `traces`."""

    items: list[ExportShown]


@router.get("/exports")
def list_exports(desk: Annotated[Desk, looking("state:read")]) -> ExportsShown:
    """How it goes with each export."""
    return ExportsShown(
        items=[
            ExportShown(
                name=name.removeprefix("exports."),
                state=each.state,
                behind=each.behind,
                lag_s=round(each.lag_s, 3),
                sent=each.sent,
                left_out=each.left_out,
                rejected=each.failed,
                failures=each.failures,
                size_bytes=each.size_bytes,
                failing=each.failing,
            )
            for name, each in desk.settings.exports().items()
        ]
    )
