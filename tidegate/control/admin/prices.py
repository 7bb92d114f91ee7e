"""Prices: what the operator says that a model costs, from a time on."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import ColumnElement, Connection, and_, delete, select

from tidegate.control.admin.changes import Made
from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.control.admin.shapes import (
    MOST_ITEMS,
    Amount,
    Json,
    Moment,
    Money,
    Page,
    Shape,
    Time,
    Word,
    money,
    money_or_none,
    show_time,
)
from tidegate.control.admin.trail import Change
from tidegate.guard.access import PriceEntry
from tidegate.store.tables.admin import prices

router = APIRouter()

_CLASSES = ("cached_input", "cache_write", "reasoning")


class NewPrice(Shape):
    """A price for a million tokens of each class."""

    provider: Word
    model: Word = Field(description="The provider's own name; `*` stands for anything.")
    starts_at: Moment | None = Field(None, description="From then on it holds; now if null.")
    input: Amount
    output: Amount
    cached_input: Amount | None = Field(None, description="As `input` if null.")
    cache_write: Amount | None = Field(None, description="As `input` if null.")
    reasoning: Amount | None = Field(None, description="As `output` if null.")


class PriceShown(Shape):
    """A price for a million tokens of each class."""

    provider: str
    model: str
    starts_at: Time
    input: Money
    output: Money
    cached_input: Money | None
    cache_write: Money | None
    reasoning: Money | None
    created_at: Time


class PriceList(BaseModel):
    """Which prices are wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="At most so many.")
    after: int = Field(0, ge=0, le=1_000_000, description="`next` of the page before.")
    provider: Word | None = None
    model: Word | None = None


class PriceRef(BaseModel):
    """Which price is meant."""

    model_config = ConfigDict(extra="forbid")

    provider: Word
    model: Word
    starts_at: Moment


@router.post("/prices", status_code=201)
def set_price(new: NewPrice, desk: Annotated[Desk, changing("prices:write")]) -> PriceShown:
    """Set a price from a time on. What was charged before stays as it was."""

    def work(connection: Connection, now_ns: int) -> Made:
        from_ns = now_ns if new.starts_at is None else new.starts_at
        if _row(connection, new.provider, new.model, from_ns) is not None:
            raise Conflict(
                "There is a price from the same time on.",
                param="starts_at",
                remedy="Delete that one first, or let this one begin at another time.",
            )
        connection.execute(
            prices.insert().values(
                provider=new.provider,
                model=new.model,
                from_ns=from_ns,
                price=msgspec.json.encode(_entry(new, from_ns)).decode(),
                created_ns=now_ns,
            )
        )
        shown = _shown(_row(connection, new.provider, new.model, from_ns))
        return Made(Change("price.set", _object(shown), None, shown), shown)

    return PriceShown.model_validate(desk.change(work))


@router.get("/prices")
def list_prices(
    wanted: Annotated[PriceList, Query()], desk: Annotated[Desk, looking("prices:read")]
) -> Page[PriceShown]:
    """The prices that the admin API set, by provider, model and time."""
    order = (prices.c.provider, prices.c.model, prices.c.from_ns)
    query = select(prices).order_by(*order).offset(wanted.after).limit(wanted.limit + 1)
    conditions = wanted.model_dump(include={"provider", "model"}, exclude_none=True)
    query = query.where(*(prices.c[name] == value for name, value in conditions.items()))
    with desk.reading() as connection:
        items = [_shown(row) for row in connection.execute(query)]
    shown = items[: wanted.limit]
    more = str(wanted.after + len(shown)) if len(items) > len(shown) else None
    return Page[PriceShown].model_validate({"items": shown, "next": more})


@router.delete("/prices")
def delete_price(
    which: Annotated[PriceRef, Query()], desk: Annotated[Desk, changing("prices:write")]
) -> PriceShown:
    """Delete a price; the one before it, or the vendor's own, holds again."""

    def work(connection: Connection, _now_ns: int) -> Made:
        row = _row(connection, which.provider, which.model, which.starts_at)
        if row is None:
            raise NotFound("The admin API has set no such price.", param="starts_at")
        shown = _shown(row)
        connection.execute(delete(prices).where(_is(row.provider, row.model, row.from_ns)))
        return Made(Change("price.delete", _object(shown), shown, None), shown)

    return PriceShown.model_validate(desk.change(work))


def _entry(new: NewPrice, from_ns: int) -> PriceEntry:
    own = {name: getattr(new, name) for name in _CLASSES}
    return PriceEntry(
        new.provider,
        new.model,
        from_ns,
        new.input.value,
        new.output.value,
        **{f"{name}_nanousd": each and each.value for name, each in own.items()},
    )


def _row(connection: Connection, provider: str, model: str, from_ns: int) -> Any:
    query = select(prices).where(_is(provider, model, from_ns))
    return connection.execute(query).one_or_none()


def _is(provider: str, model: str, from_ns: int) -> ColumnElement[bool]:
    return and_(prices.c.provider == provider, prices.c.model == model, prices.c.from_ns == from_ns)


def _object(shown: Json) -> str:
    return f"price:{shown['provider']}/{shown['model']}"


def _shown(row: Any) -> Json:
    entry = msgspec.json.decode(row.price, type=PriceEntry)
    return {
        "provider": entry.provider,
        "model": entry.model,
        "starts_at": show_time(entry.from_ns),
        "input": money(entry.input_nanousd),
        "output": money(entry.output_nanousd),
        **{name: money_or_none(getattr(entry, f"{name}_nanousd")) for name in _CLASSES},
        "created_at": show_time(row.created_ns),
    }
