"""Who belongs to whom: a key to a user, a user to a team, a team to an organisation.

People may be in the store or in the configuration file. A link must lead to somebody who is there,
and links must not contradict each other.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Literal

from sqlalchemy import Connection, Table, select

from tidegate.control.admin.configured import Configured
from tidegate.control.admin.problems import Conflict, NotFound
from tidegate.store.tables.admin import organisations, teams, users

Noun = Literal["user", "team", "organisation"]

_TABLES: dict[Noun, Table] = {"user": users, "team": teams, "organisation": organisations}
_CREATE: dict[Noun, str] = {
    "user": "tidegate users create",
    "team": "tidegate teams create",
    "organisation": "tidegate organisations create",
}


class Owners:
    """The people there are."""

    def __init__(self, connection: Connection, configured: Configured) -> None:
        self._connection = connection
        self._configured = configured

    def check(self, user: str | None, team: str | None, organisation: str | None) -> None:
        """Raises: `Conflict` when one is not there, or they do not belong together."""
        said: dict[Noun, str | None] = {"user": user, "team": team, "organisation": organisation}
        for noun, name in said.items():
            if name is not None:
                self.require(noun, name)
        of_user = self._team_of(user) if user is not None else None
        if of_user is not None and team is not None and team != of_user:
            raise Conflict(f"The user `{user}` is in the team `{of_user}`.", param="team")
        team = team or of_user
        of_team = self._organisation_of(team) if team is not None else None
        if of_team is not None and organisation is not None and organisation != of_team:
            raise Conflict(
                f"The team `{team}` is in the organisation `{of_team}`.", param="organisation"
            )

    def require(self, noun: Noun, name: str) -> None:
        """Raises: `Conflict` when there is no such one."""
        if name in self._configured_ones(noun) or self._row(noun, name) is not None:
            return
        table = _TABLES[noun]
        known = [*self._configured_ones(noun), *self._connection.scalars(select(table.c.name))]
        close = get_close_matches(name, known, n=1, cutoff=0.6)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        raise Conflict(
            f"There is no {noun} `{name}`.{hint}",
            param=noun,
            remedy=f"Make it first: `{_CREATE[noun]} {name}`.",
        )

    def refuse_taken(self, noun: Noun, name: str) -> None:
        """Raises: `Conflict` when the name is not free."""
        if name in self._configured_ones(noun):
            raise Conflict(
                f"The configuration file has the {noun} `{name}`.",
                param="name",
                remedy="Take another name.",
            )
        if self._row(noun, name) is not None:
            raise Conflict(f"There is the {noun} `{name}` already.", param="name")

    def _configured_ones(self, noun: Noun) -> frozenset[str]:
        match noun:
            case "user":
                return self._configured.users
            case "team":
                return frozenset(self._configured.teams)
            case "organisation":
                return self._configured.organisations

    def _team_of(self, user: str) -> str | None:
        row = self._row("user", user)
        return None if row is None else row.team

    def _organisation_of(self, team: str) -> str | None:
        row = self._row("team", team)
        if row is not None:
            return row.organisation
        filed = self._configured.teams.get(team)
        return None if filed is None else filed.organisation

    def _row(self, noun: Noun, name: str) -> Any:
        return _row(self._connection, noun, name)


def find(connection: Connection, noun: Noun, name: str) -> Any:
    """The row of one that the admin API made. Raises: `NotFound`."""
    row = _row(connection, noun, name)
    if row is None:
        raise NotFound(f"There is no {noun} `{name}` that the admin API made.", param="name")
    return row


def _row(connection: Connection, noun: Noun, name: str) -> Any:
    table = _TABLES[noun]
    return connection.execute(select(table).where(table.c.name == name)).one_or_none()
