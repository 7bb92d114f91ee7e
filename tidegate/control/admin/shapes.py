"""What requests and answers are made of: strict objects, names, times, money, pages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from difflib import get_close_matches
from typing import Annotated, Any, Final, Generic, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tidegate.limits import MOST_NANOUSD
from tidegate.money import NANO, nanousd

Json = dict[str, Any]
Item = TypeVar("Item")

MOST_ITEMS: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_NS: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp()) * NANO

NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._@+:-]{0,99}$"
WORD: Final = r"^[^\x00-\x1f\x7f]{1,200}$"
USD: Final = r"^([0-9]{1,6}|[1-8][0-9]{6})(\.[0-9]{1,9})?$"

Name = Annotated[
    str,
    StringConstraints(pattern=NAME),
    Field(description="Letters, digits and `._@+:-`, at most 100."),
]
Word = Annotated[
    str,
    StringConstraints(pattern=WORD),
    Field(description="Anything without control characters, at most 200 characters."),
]


class Shape(BaseModel):
    """An object whose fields are all known; what is not is refused with a suggestion."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_all(cls, value: object) -> object:
        said = cast("dict[object, object]", value) if isinstance(value, dict) else {}
        for key in said:
            if key not in cls.model_fields:
                raise unknown(str(key), list(cls.model_fields))
        return cast("object", value)


def unknown(field: str, known: Sequence[str]) -> PydanticCustomError:
    """The error about a field that does not exist."""
    shown = "".join(char if char.isprintable() else "?" for char in field[:100])
    close = get_close_matches(shown.casefold(), known, n=1, cutoff=0.5)
    hint = f"; did you mean `{close[0]}`?" if close else f"; allowed: {', '.join(known)}"
    return PydanticCustomError(
        "unknown_field", "there is no field `{field}`{hint}", {"field": shown, "hint": hint}
    )


def read_time(moment: str) -> int:
    """The Unix nanoseconds of what `show_time` wrote, to the microsecond."""
    return _moment(moment[:26].rstrip("Z") + "Z")


def _moment(value: object) -> int:
    if not isinstance(value, str) or "T" not in value.upper():
        raise PydanticCustomError("moment", "must be a time such as 2026-01-31T12:00:00Z")
    try:
        moment = datetime.fromisoformat(value.upper())
    except ValueError:
        raise PydanticCustomError("moment", "is no time such as 2026-01-31T12:00:00Z") from None
    if moment.tzinfo is None:
        raise PydanticCustomError("moment", "must say its offset from UTC, such as a final Z")
    try:
        unix_us = (moment - _EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        return _LAST_NS
    return min(max(0, unix_us * 1_000), _LAST_NS)


Moment = Annotated[
    int,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""Unix nanoseconds, from a time as RFC 3339 has it; later than the year 2199 is never."""
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time as it is answered."""


def show_time(unix_ns: int) -> str:
    """The moment as RFC 3339 has it, in UTC."""
    moment = datetime.fromtimestamp(unix_ns // NANO, UTC)
    fraction = f".{unix_ns % NANO:09d}".rstrip("0") if unix_ns % NANO else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def show_time_or_none(unix_ns: int | None) -> str | None:
    """The moment, if there is one."""
    return None if unix_ns is None else show_time(unix_ns)


def _whole(value: object) -> object:
    # 5.0 is a whole number in JSON, and exact below 2^53.
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE: Final = BeforeValidator(_whole)
"""Takes a whole number however JSON spells it."""


class Money(Shape):
    """An amount as it is answered: the same twice, for people and for programs."""

    usd: str = Field(description="Dollars, exactly: `0.15`.")
    nanousd: int = Field(description="Nano-dollars.")


def money(amount_nanousd: int) -> Json:
    """The amount as `Money` has it."""
    sign = "-" if amount_nanousd < 0 else ""
    whole, part = divmod(abs(amount_nanousd), NANO)
    decimals = f"{part:09d}".rstrip("0").ljust(2, "0")
    return {"usd": f"{sign}{whole}.{decimals}", "nanousd": amount_nanousd}


def money_or_none(amount_nanousd: int | None) -> Json | None:
    """The amount, if it is known."""
    return None if amount_nanousd is None else money(amount_nanousd)


def _split(schema: Json) -> None:
    # One object for each way to say it, because the fields exclude each other.
    fields = schema.pop("properties")
    for name in ("type", "additionalProperties"):
        schema.pop(name)
    for field in fields.values():
        field.pop("default", None)
    schema["oneOf"] = [
        {
            "type": "object",
            "properties": {name: fields[name]},
            "required": [name],
            "additionalProperties": False,
        }
        for name in ("usd", "nanousd")
    ]


class Amount(Shape):
    """An amount as it is asked for: either in dollars or in nano-dollars."""

    model_config = ConfigDict(json_schema_extra=_split)

    usd: Annotated[str, StringConstraints(pattern=USD)] = Field("", description="`0.15`.")
    nanousd: Annotated[int, Field(ge=0, le=MOST_NANOUSD), WHOLE] = 0

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("amount", "must be given by either `usd` or `nanousd`")
        return self

    @property
    def value(self) -> int:
        """Nano-dollars."""
        return nanousd(Decimal(self.usd)) if self.usd else self.nanousd


class Page(Shape, Generic[Item]):
    """Some of a list."""

    items: list[Item]
    next: str | None = Field(description="What to send as `after` for more; null at the end.")


class Paging(BaseModel):
    """Which part of a list is wanted."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=MOST_ITEMS, description="At most so many.")
    after: Word | None = Field(None, description="`next` of the page before.")


def page(items: list[Json], by: str, limit: int) -> Json:
    """A `Page` of `items`, of which one more was asked for than is wanted; they go on `by`."""
    shown = items[:limit]
    return {"items": shown, "next": str(shown[-1][by]) if len(items) > limit else None}
