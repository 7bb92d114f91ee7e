"""What answers were like, beside what they cost and how long they took; and what has drifted."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Json, Moment, Money, Shape, Time, Word, money, show_time
from tidegate.control.quality import (
    MOST_HOURS,
    Drift,
    Figures,
    Line,
    QualityQuery,
    compared,
    quality,
)
from tidegate.money import NANO

router = APIRouter()

_MOST_WINDOW: Final = 24 * 7
_PLAIN: Final = tuple(
    name for name in Figures.__struct_fields__ if name not in ("began_s", "cost_nanousd")
)


class QualityAsked(BaseModel):
    """Which answers are meant; filters pass what is exactly so."""

    model_config = ConfigDict(extra="forbid")

    hours: int = Field(24, ge=1, le=MOST_HOURS, description="So many until `until`.")
    until: Moment | None = Field(None, description="Now if not given.")
    by: Literal["alias", "model", "version"] = Field(
        "alias", description="`model` and `version` (of the prompt) tell each alias's apart."
    )
    alias: Word | None = None
    model: Word | None = None
    version: Word | None = None


class FiguresShown(Shape):
    """The signals of some answers; rates are shares, null where nothing can be told."""

    at: Time
    answers: int
    checked: int = Field(description="Looked at for the form that was asked for.")
    format_compliance: float | None
    repaired: int
    malformed: int
    unchecked: int
    refusal_rate: float | None
    truncation_rate: float | None
    output_p50: float | None = Field(description="Tokens.")
    output_p90: float | None
    sampled: int = Field(description="Kept answers whose text was looked at.")
    refusal_wording: float | None
    language: str | None
    language_share: float | None
    divergence: float | None = Field(
        description="Of the wording from that of the rest of the time, in bits."
    )
    judged: int
    feedback: float | None = Field(description="Share of the judged answers that were liked.")
    wait_p50_ms: float | None
    wait_p90_ms: float | None
    cost: Money


class LineShown(Shape):
    """One alias, or one of its models or prompt versions."""

    alias: str | None
    model: str | None
    version: str | None
    total: FiguresShown
    series: list[FiguresShown]


class QualityShown(Shape):
    """All of them, the one with most answers first; every series has the same times."""

    since: Time
    until: Time
    part_s: int = Field(description="How long each point of a series is.")
    items: list[LineShown]


class DriftAsked(BaseModel):
    """Which window is compared with seven times as long before it."""

    model_config = ConfigDict(extra="forbid")

    hours: int = Field(24, ge=1, le=_MOST_WINDOW)
    until: Moment | None = Field(None, description="Now if not given.")
    alias: Word | None = None


class DriftShown(Shape):
    """One signal of one alias, or of one of its models and prompt versions."""

    alias: str | None
    model: str | None
    version: str | None
    whole: bool = Field(description="All of the alias, whatever model and version.")
    signal: str
    now: float
    then: float
    answers: int
    answers_before: int
    effect: float = Field(description="How large it is: 1 is the least that is told.")
    chance: float | None = Field(description="How likely it is if nothing has changed.")
    drifted: bool


class Drifts(Shape):
    """Everything that could be compared, what has drifted first."""

    hours: int
    until: Time
    items: list[DriftShown]


@router.get("/quality")
def show_quality(
    asked: Annotated[QualityAsked, Query()], desk: Annotated[Desk, looking("state:read")]
) -> QualityShown:
    """Quality signals over the time, with latency and cost at the same points."""
    until_ns = desk.now_ns() if asked.until is None else asked.until
    query = QualityQuery(
        until_ns, asked.hours, asked.by, asked.alias, asked.model, asked.version
    )  # fmt: skip
    told = quality(desk.database, query)
    return QualityShown.model_validate(
        {
            "since": show_time(told.since_s * NANO),
            "until": show_time(told.until_s * NANO),
            "part_s": told.part_s,
            "items": [_line(each) for each in told.lines],
        }
    )


@router.get("/quality/drift")
def show_drift(
    asked: Annotated[DriftAsked, Query()], desk: Annotated[Desk, looking("state:read")]
) -> Drifts:
    """Which signals are not what they were in the time before."""
    until_ns = desk.now_ns() if asked.until is None else asked.until
    found = compared(desk.database, until_ns, asked.hours, asked.alias)
    return Drifts.model_validate(
        {
            "hours": asked.hours,
            "until": show_time(until_ns),
            "items": [_drift(each) for each in found],
        }
    )


def _line(line: Line) -> Json:
    return {
        "alias": line.alias,
        "model": line.model,
        "version": line.version,
        "total": _figures(line.total),
        "series": [_figures(each) for each in line.series],
    }


def _figures(figures: Figures) -> Json:
    told: dict[str, Any] = {name: getattr(figures, name) for name in _PLAIN}
    at = show_time(figures.began_s * NANO)
    return {"at": at, **told, "cost": money(figures.cost_nanousd)}


def _drift(drift: Drift) -> Json:
    shift = drift.shift
    names = ("signal", "now", "then", "answers", "answers_before", "effect", "chance")
    return {
        **{name: getattr(drift, name) for name in ("alias", "model", "version", "whole")},
        **{name: getattr(shift, name) for name in names},
        "drifted": drift.drifted,
    }
