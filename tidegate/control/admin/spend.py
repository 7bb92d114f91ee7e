"""What was spent, by whom and by what, and when."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tidegate.control.admin.desk import Desk, looking
from tidegate.control.admin.shapes import Json, Moment, Money, Shape, Time, Word, money, show_time
from tidegate.money import NANO
from tidegate.store.spend import SpendQuery, SpendStore, Spent

router = APIRouter()

MOST_ROWS: Final = 1_000
_MONTH_NS: Final = 30 * 86_400 * NANO

By = Literal[
    "key", "user", "team", "organisation", "feature", "alias", "model", "provider", "outcome",
    "conversation", "day", "hour",
]  # fmt: skip
_FILTERS: Final = (
    "key", "user", "team", "organisation", "feature", "alias", "model", "provider", "outcome",
    "conversation",
)  # fmt: skip
_COUNTS: Final = (
    "requests", "errors", "unpriced", "input_tokens", "cached_input_tokens", "cache_write_tokens",
    "output_tokens", "reasoning_tokens", "audio_input_tokens", "audio_output_tokens",
)  # fmt: skip


class SpendAsked(BaseModel):
    """Which spending is wanted; filters pass what is exactly so."""

    model_config = ConfigDict(extra="forbid")

    by: By = "team"
    since: Moment | None = Field(None, description="30 days before `until` if not given.")
    until: Moment | None = Field(None, description="Now if not given.")
    top: int = Field(100, ge=1, le=MOST_ROWS, description="Only the dearest so many.")
    key: Word | None = None
    user: Word | None = None
    team: Word | None = None
    organisation: Word | None = None
    feature: Word | None = None
    alias: Word | None = None
    model: Word | None = None
    provider: Word | None = None
    outcome: Word | None = None
    conversation: Word | None = None

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.since is not None and self.until is not None and self.since > self.until:
            raise PydanticCustomError("span", "`since` must not be after `until`")
        return self


class SpentShown(Shape):
    """Sums over the requests of one name; null where they are not known."""

    name: str | None = Field(description="Null for requests that have none.")
    cost: Money
    requests: int
    errors: int
    unpriced: int = Field(description="Requests whose cost nobody knows; it is not in `cost`.")
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    audio_input_tokens: int | None
    audio_output_tokens: int | None


class Spend(Shape):
    """What was spent: the dearest first, days and hours in their order."""

    by: By
    since: Time
    until: Time
    items: list[SpentShown]
    total: SpentShown


@router.get("/spend")
def show_spend(
    asked: Annotated[SpendAsked, Query()], desk: Annotated[Desk, looking("spend:read")]
) -> Spend:
    """Spending by one dimension; days are those of UTC."""
    until_ns = desk.now_ns() if asked.until is None else asked.until
    since_ns = max(0, until_ns - _MONTH_NS) if asked.since is None else asked.since
    since_ns = min(since_ns, until_ns)
    filters: dict[Any, str] = {
        name: value for name in _FILTERS if (value := getattr(asked, name)) is not None
    }
    query = SpendQuery(asked.by, since_ns, until_ns, filters, asked.top)
    found = SpendStore(desk.database).spend(query)
    told: Json = {
        "by": asked.by,
        "since": show_time(since_ns),
        "until": show_time(until_ns),
        "items": [_shown(each) for each in found.rows],
        "total": _shown(found.total),
    }
    return Spend.model_validate(told)


def _shown(spent: Spent) -> Json:
    counts: Json = {name: getattr(spent, name) for name in _COUNTS}
    return {"name": spent.name, "cost": money(spent.cost_nanousd), **counts}
