"""What is kept of prompts and answers, out of what the configuration says of aliases and teams."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.config.alias import Records
from tidegate.config.model import Config
from tidegate.types import Keeping


def keeping_of(records: Records) -> Keeping:
    """What an alias allows."""
    return Keeping(records.bodies, records.share, records.max_body)


def keeping_of_teams(config: Config) -> Mapping[str | None, Keeping]:
    """What the teams allow that say something of it."""
    most = Keeping("full", 1.0, 1 << 62)
    found: dict[str | None, Keeping] = {}
    for name, team in config.teams.items():
        said = team.records
        if said.model_fields_set:
            found[name] = Keeping(
                said.bodies or most.bodies,
                most.share if said.share is None else said.share,
                said.max_body or most.most_bytes,
            )
    return found
