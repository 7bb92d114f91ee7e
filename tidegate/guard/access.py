"""The keys and rules that the control process hands to the gateways: one document, one file.

Gateways read it beside what their configuration says, and never ask a database. A key is in it as
the SHA-256 of its secret, never as itself.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tidegate.limits import Rule

FILE = "access.json"
"""Beside the spool, readable by its owner only; written anew and put in its place as a whole."""

Nameable = Literal["user", "feature", "conversation", "tags"]


class Digest(Struct, frozen=True, omit_defaults=True):
    """One secret of a key: its SHA-256 in hexadecimal, and until when it is good."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    until_ns: int | None = None
    """Set for the old secret while a new one is taken into use; None does not end."""


class KeyEntry(Struct, frozen=True, omit_defaults=True):
    """A virtual key. `name` stands in records and limits; names are unique, the file's included."""

    id: str
    name: str
    digests: tuple[Digest, ...]
    user: str | None = None
    team: str | None = None
    organisation: str | None = None
    environment: str | None = None
    models: tuple[str, ...] | None = None
    """Aliases it may use, `*` standing for anything; None is all of them."""
    features: tuple[str, ...] | None = None
    """Features that its requests may be for; None is any."""
    may_name: tuple[Nameable, ...] | None = None
    """What its callers may say of a request themselves; None is all that the key does not fix."""
    priority: Literal["interactive", "batch"] = "interactive"
    expires_ns: int | None = None
    blocked: bool = False


class TeamRecords(Struct, frozen=True, omit_defaults=True):
    """What may be kept of a team's requests; None is no bound. An alias may allow less."""

    bodies: Literal["none", "metadata", "redacted", "full"] | None = None
    share: Annotated[float, Meta(ge=0, le=1)] | None = None
    max_body_bytes: Annotated[int, Meta(ge=1)] | None = None


class PriceEntry(Struct, frozen=True, omit_defaults=True):
    """A price set through the admin API, from a time on: nano-dollars per million tokens."""

    provider: str
    model: str
    from_ns: int
    input_nanousd: int
    output_nanousd: int
    cached_input_nanousd: int | None = None
    cache_write_nanousd: int | None = None
    reasoning_nanousd: int | None = None


class Access(Struct, frozen=True, omit_defaults=True):
    """The whole document. `version` grows with every change."""

    version: int = 0
    keys: tuple[KeyEntry, ...] = ()
    rules: tuple[Rule, ...] = ()
    organisations: dict[str, str] = {}
    """Which organisation a team belongs to."""
    teams: dict[str, str] = {}
    """Which team a user belongs to."""
    weights: dict[str, int] = {}
    """A team's share when requests wait; 1 if it is not here."""
    records: dict[str, TeamRecords] = {}
    """What teams allow to be kept that bound it."""
    prices: tuple[PriceEntry, ...] = ()
    guarded: bool = False
    """Whether a want of keys lets nobody in any more: one was deleted, and whoever had it must not
    go on as nobody."""


def encode(access: Access) -> bytes:
    """`access` as JSON."""
    return msgspec.json.encode(access)


def decode(data: bytes) -> Access:
    """What `encode` wrote. Raises: `msgspec.DecodeError`."""
    return msgspec.json.decode(data, type=Access)
