"""What the control process needs to know of sinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.telemetry.attributes import Place


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who takes what is sent, and how it is reached."""

    origin: str
    """Scheme, host and port."""
    path: str
    """With its query, which may hold a secret as well as a header may."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    allow_private: bool = False
    ca: Path | None = None
    """PEM file of certificate authorities to trust besides the usual ones."""
    proxy: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Traces:
    """Records as traces, by OTLP."""

    to: Receiver
    sample: float = 1.0
    """The share of traces that are sent."""
    errors: bool = True
    """Whether what failed is sent in any case."""
    content: bool = False
    """Whether prompts and answers go along, where the record has them."""
    service: str = "tidegate"
    places: Mapping[str, Place] = field(default_factory=dict[str, Place])
    """What is known of providers, by name."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Records as lines of JSON."""

    to: Receiver
    secret: str | None = field(default=None, repr=False)
    """What they are signed with."""
    bodies: bool = False
    """Whether prompts and answers go along, where the record has them."""


@dataclass(frozen=True, slots=True)
class ClickHouse:
    """Records as rows of a table in ClickHouse."""

    to: Receiver
    """User and password are in its headers."""
    database: str = "default"
    table: str = "tidegate_records"
    ttl_days: int | None = None
    """How long rows are kept, if the table is made by us; None is for ever."""
    bodies: bool = False


@dataclass(frozen=True, slots=True)
class Parquet:
    """Records as Parquet files."""

    directory: Path
    rows: int = 50_000
    """The most in a file."""
    every_s: float = 300.0
    """How old a record gets at most before it is written."""
    keep_days: int | None = None
    """How long files are kept; None is for ever."""
    bodies: bool = False


Settings = Traces | Webhook | ClickHouse | Parquet
Sinks = Mapping[str, Settings]
"""By name; the name is that of its place in the store too."""
