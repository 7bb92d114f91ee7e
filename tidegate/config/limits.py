"""Settings of what may be spent: limits on scopes, budgets, and who belongs to whom."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from tidegate import limits
from tidegate.config.alias import TeamRecords
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, OneOrMore, Settings, required, setting
from tidegate.config.surroundings import refusal
from tidegate.config.units import Moment, Share, Usd

Names = Annotated[tuple[Name, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=0, le=1 << 50)] | None

_WINDOWS = (
    ("minute", limits.MINUTE_S),
    ("hour", limits.HOUR_S),
    ("day", limits.DAY_S),
)


class Budget(Settings):
    """Money that may be spent in a period."""

    usd: Usd = required("Dollars that may be spent in each period; a hard cap.")
    period: Literal["day", "week", "month", "total"] = setting(
        "month", "The period; `total` never begins anew."
    )
    timezone: Name = setting("UTC", "Time zone in which days begin, such as `Europe/Berlin`.")
    soft: Share = setting("80%", "Share from which on it is warned of, or `downgrade` is asked.")
    downgrade: Name | None = setting(
        None, "Alias that is asked instead once the soft share is spent; only a warning without."
    )

    @field_validator("usd")
    @classmethod
    def _can_be_counted(cls, value: int) -> int:
        if value > limits.MOST_NANOUSD:
            most = limits.MOST_NANOUSD // 10**9
            raise refusal("is too much to be counted exactly", allowed=(f"at most {most:,}",))
        return value

    @field_validator("timezone")
    @classmethod
    def _exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise refusal("is no time zone", allowed=("UTC", "Europe/Berlin")) from error
        return value

    def value(self) -> limits.Budget:
        """As the engines know it."""
        return limits.Budget(self.usd, self.period, self.timezone, self.soft, self.downgrade)


class Limited(Settings):
    """Rates and concurrency of one scope; what is not given is not limited."""

    requests_per_minute: Count = setting(None, "Requests within any minute.")
    requests_per_hour: Count = setting(None, "Requests within any hour.")
    requests_per_day: Count = setting(None, "Requests within any 24 hours.")
    tokens_per_minute: Count = setting(None, "Input and output tokens within any minute.")
    tokens_per_hour: Count = setting(None, "Input and output tokens within any hour.")
    tokens_per_day: Count = setting(None, "Input and output tokens within any 24 hours.")
    concurrency: Count = setting(None, "Requests at the same time.")
    steps: Count = setting(None, "Requests in all, against agents that never stop; conversations.")


class Owner(Settings):
    """Somebody that limits and a budget may be set for."""

    limits: Limited = setting({}, "Rates and concurrency.")
    budget: Annotated[tuple[Budget, ...], Field(strict=False), OneOrMore()] = setting(
        (), "Money that may be spent: one budget, or a list of them."
    )

    def values(self) -> limits.Limits:
        """As the engines know it."""
        own = self.limits
        return limits.Limits(
            requests=_rates(own, "requests"),
            tokens=_rates(own, "tokens"),
            concurrency=own.concurrency,
            budgets=tuple(each.value() for each in self.budget),
            steps=own.steps,
        )


class LimitRule(Owner):
    """Limits on one scope, or on each scope of a kind apart."""

    scope: limits.Kind = required("Kind of scope.")
    name: Name | None = setting(None, "Its name; each one of the kind apart if not given.")

    def rule(self) -> limits.Rule:
        """As the engines know it."""
        return limits.Rule(self.scope, self.values(), self.name)


class Organisation(Owner):
    """What an organisation may spend."""


class Team(Owner):
    """What a team may spend, and where it belongs."""

    organisation: Name | None = setting(None, "Organisation that the team belongs to.")
    weight: Annotated[int, Field(ge=1, le=1000)] = setting(
        1, "Its share when requests wait for their turn, relative to other teams."
    )
    records: TeamRecords = setting(
        {}, "What may be kept of its requests, whatever alias they are for."
    )


class Key(Owner):
    """A caller's key."""

    name: Name = required("Name of the key in records; never the key itself.")
    secret: Secret = required("The key that callers send; a reference such as `${env:WEB_KEY}`.")
    user: Name | None = setting(None, "User that the key's requests are counted for.")
    team: Name | None = setting(None, "Team that the key's requests are counted for.")
    environment: Name | None = setting(None, "Environment it is used in, for records.")
    models: Names | None = setting(
        None, "Aliases that the key may use, `*` standing for anything; all if not given."
    )
    features: Names | None = setting(
        None, "Features that its requests may be for; any if not given."
    )
    may_name: (
        Annotated[
            tuple[Literal["user", "feature", "conversation", "tags"], ...], Field(strict=False)
        ]
        | None
    ) = setting(
        None, "What its callers may say of a request; all that the key does not fix if not given."
    )
    priority: Literal["interactive", "batch"] = setting(
        "interactive", "Which of two waiting requests goes first."
    )
    expires: Moment | None = setting(None, "When the key ends; never if not given.")


def _rates(own: Limited, what: str) -> tuple[limits.Rate, ...]:
    found = ((getattr(own, f"{what}_per_{name}"), window_s) for name, window_s in _WINDOWS)
    return tuple(limits.Rate(limit, window_s) for limit, window_s in found if limit is not None)
