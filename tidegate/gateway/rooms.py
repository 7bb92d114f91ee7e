"""What one request may touch. Rooms satisfy these by shape; only `house` names them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from tidegate.conversations.keeper import Conversations
from tidegate.gateway.admit import Desk
from tidegate.gateway.attempt import Provider
from tidegate.gateway.exchange import Header
from tidegate.gateway.passthrough import Doors
from tidegate.gateway.stepper import Stepper
from tidegate.gateway.tracing import Tracing
from tidegate.policy.health import Health
from tidegate.policy.retry import RetrySettings
from tidegate.policy.slots.lane import Lane
from tidegate.types import Call, Choice, Keeping, Plan, Principal, Usage


class Keys(Protocol):
    """Who asks."""

    def identify(self, headers: list[Header], now_ns: int | None = None) -> Principal:
        """The caller. Raises: `Unauthenticated`, `KeyExpired`, `KeyBlocked`."""
        ...


class Router(Protocol):
    """Where a request goes."""

    def plan(self, principal: Principal, model: str, draw: float) -> Plan:
        """The targets to try. Raises: `UnknownModel`."""
        ...

    def usable(self, principal: Principal) -> list[str]:
        """The names that the caller may ask for."""
        ...


class Spool(Protocol):
    """Where records go."""

    @property
    def healthy(self) -> bool:
        """Whether records can still be taken."""
        ...

    def append(self, payload: bytes) -> asyncio.Future[None]:
        """Queue one record; the future is done when it is safe. Raises: `Unavailable`."""
        ...


@dataclass(slots=True)
class Teams:
    """What is known of teams, by name; the admin API may change it as a whole."""

    keeping: Mapping[str | None, Keeping]
    """What they allow to be kept of prompts and answers."""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that one request may touch, resolved once when the configuration is loaded."""

    keys: Keys
    router: Router
    providers: Mapping[str, Provider]
    health: Callable[[Choice], Health]
    lane: Callable[[Choice], Lane]
    retry: Mapping[str, RetrySettings]
    doors: Doors
    conversations: Conversations
    desk: Desk
    teams: Teams
    spool: Spool
    stepper: Stepper
    """Does what would hold the loop for too long."""
    tracing: Tracing
    loop_time: Callable[[], float]
    """The event loop's clock, in seconds: what deadlines are told in."""
    config_version: str
    body_limit_bytes: int
    read_timeout_s: float

    def cost(
        self, choice: Choice, call: Call, usage: Usage, unix_ns: int
    ) -> tuple[int | None, str | None]:
        """What `call` costs at `choice` when it is asked at `unix_ns`, and by which price."""
        return self.desk.cost(choice, call, usage, unix_ns)
