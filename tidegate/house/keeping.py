"""What is kept of prompts and answers, by what is said of aliases and teams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tidegate.config.alias import Records
from tidegate.config.model import Config
from tidegate.guard.access import TeamRecords
from tidegate.types import Keeping

_ANY_BYTES: Final = 1 << 62


def keeping_of(records: Records) -> Keeping:
    """What an alias allows."""
    return Keeping(records.bodies, records.share, records.max_body)


def keeping_of_teams(
    config: Config, records: Mapping[str, TeamRecords] | None = None
) -> dict[str | None, Keeping]:
    """What the teams allow that say something of it; `records` is what the admin API says.

    Of a team that both speak of, the stricter holds.
    """
    found: dict[str | None, Keeping] = {}
    for name, team in config.teams.items():
        said = team.records
        if said.model_fields_set:
            found[name] = _bound(said.bodies, said.share, said.max_body)
    for name, said in (records or {}).items():
        bound = _bound(said.bodies, said.share, said.max_body_bytes)
        found[name] = bound.stricter(found.get(name, bound))
    return found


def _bound(bodies: str | None, share: float | None, most_bytes: int | None) -> Keeping:
    return Keeping(bodies or "full", 1.0 if share is None else share, most_bytes or _ANY_BYTES)
