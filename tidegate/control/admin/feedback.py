"""What people say of answers: listed, and its trend."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, cast

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.problems import Invalid
from tidegate.control.admin.shapes import (
    MOST_ITEMS,
    Json,
    Moment,
    Shape,
    Time,
    Word,
    show_time,
)
from tidegate.money import NANO
from tidegate.store.feedback import FeedbackFilter, FeedbackStore

router = APIRouter()

_DAY_NS: Final = 86_400 * NANO
_MONTH_NS: Final = 30 * _DAY_NS
_MOST_DIGITS, _LAST = 19, 2**63 - 1
_NAMES: Final = ("alias", "model", "version", "key", "user", "team", "request_id", "verdict")

Verdict = Literal["up", "down", "neutral"]


class FeedbackAsked(BaseModel):
    """Which feedback is meant; filters pass what is exactly so."""

    model_config = ConfigDict(extra="forbid")

    since: Moment | None = None
    until: Moment | None = None
    alias: Word | None = None
    model: Word | None = None
    version: Word | None = Field(None, description="Of the prompt.")
    key: Word | None = None
    user: Word | None = None
    team: Word | None = None
    request_id: Word | None = None
    verdict: Verdict | None = None

    def filter(self, before: tuple[int, str] | None = None) -> FeedbackFilter:
        """The same for the store."""
        names: Any = {name: getattr(self, name) for name in _NAMES}
        return FeedbackFilter(since_ns=self.since, until_ns=self.until, before=before, **names)


class FeedbackList(FeedbackAsked):
    """Which part of the list is wanted."""

    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="At most so many.")
    before: Word | None = Field(None, description="`next` of the page before.")


class TrendAsked(FeedbackAsked):
    """What is counted apart."""

    by: Literal["alias", "model", "version", "day"] = "day"


class FeedbackShown(Shape):
    """What somebody says of an answer, and whose answer it was."""

    request_id: str
    trace_id: str | None
    feedback_id: str | None
    at: Time
    verdict: Verdict | None = Field(
        description="By thumbs, or by rating: up to 2 is `down`, from 4 on `up`."
    )
    thumbs: Literal["up", "down"] | None
    rating: int | None
    text: str | None
    labels: dict[str, str]
    by_key: str | None = Field(description="The key that says it.")
    asked_at: Time = Field(description="When the request began.")
    alias: str | None
    model: str | None
    version: str | None
    key: str | None
    user: str | None
    team: str | None
    organisation: str | None
    feature: str | None


class FeedbackPage(Shape):
    """Some of it, the newest first."""

    items: list[FeedbackShown]
    next: str | None = Field(description="What to send as `before` for more; null at the end.")


class TrendShown(Shape):
    """How many said what."""

    name: str | None
    up: int
    down: int
    neutral: int
    none: int = Field(description="That say something, but not whether.")
    score: float | None = Field(description="Share of `up` among `up` and `down`.")


class Trend(Shape):
    """Days in their order, anything else the most disliked first."""

    by: str
    items: list[TrendShown]


@router.get("/feedback")
def list_feedback(
    wanted: Annotated[FeedbackList, Query()], desk: Annotated[Desk, looking("feedback:read")]
) -> FeedbackPage:
    """What people say of answers."""
    before = None if wanted.before is None else _place(wanted.before)
    rows = FeedbackStore(desk.database).find(wanted.filter(before), wanted.limit + 1)
    items = [_shown(row) for row in rows[: wanted.limit]]
    last = rows[wanted.limit - 1] if len(rows) > wanted.limit else None
    following = None if last is None else f"{last.at_ns}.{last.request_id}"
    return FeedbackPage.model_validate({"items": items, "next": following})


@router.get("/feedback/trend")
def show_feedback_trend(
    asked: Annotated[TrendAsked, Query()], desk: Annotated[Desk, looking("feedback:read")]
) -> Trend:
    """How feedback goes; of the last 30 days if nothing else is said, by days of UTC."""
    if asked.since is None:
        until_ns = desk.now_ns() if asked.until is None else asked.until
        asked = asked.model_copy(update={"since": max(0, until_ns - _MONTH_NS)})
    counts: dict[str | None, dict[str, int]] = {}
    for name, verdict, count in FeedbackStore(desk.database).trend(asked.filter(), [asked.by]):
        shown = _day(name) if asked.by == "day" else name
        counts.setdefault(shown, {})[verdict or "none"] = count
    items = [_trend(name, count) for name, count in counts.items()]
    if asked.by == "day":
        items.sort(key=lambda each: each["name"])
    else:
        items.sort(key=lambda each: (-each["down"], -each["up"], each["name"] or ""))
    return Trend.model_validate({"by": asked.by, "items": items[:MOST_ITEMS]})


def _place(text: str) -> tuple[int, str]:
    at_ns, _, request_id = text.partition(".")
    if not at_ns.isdecimal() or len(at_ns) > _MOST_DIGITS or not at_ns.isascii():
        raise Invalid("`before` is no `next` of a page.", param="before")
    return min(int(at_ns), _LAST), request_id


def _day(number: int) -> str:
    return datetime.fromtimestamp(int(number) * 86_400, UTC).strftime("%Y-%m-%d")


def _trend(name: str | None, counts: dict[str, int]) -> Json:
    up, down = counts.get("up", 0), counts.get("down", 0)
    return {
        "name": name,
        "up": up,
        "down": down,
        "neutral": counts.get("neutral", 0),
        "none": counts.get("none", 0),
        "score": up / (up + down) if up + down else None,
    }


def _shown(row: Any) -> Json:
    names = (
        "request_id", "verdict", "thumbs", "rating", "text", "alias", "model", "version", "key",
        "user", "team", "organisation", "feature",
    )  # fmt: skip
    return {
        **{name: getattr(row, name) for name in names},
        "trace_id": row.trace,
        "feedback_id": row.feedback_id or None,
        "at": show_time(row.at_ns),
        "labels": cast("dict[str, str]", msgspec.json.decode(row.labels)),
        "by_key": row.by_key or None,
        "asked_at": show_time(row.started_ns),
    }
