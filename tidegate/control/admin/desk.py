"""What an endpoint works with: who asks, the store to read, and the way to make a change."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request, Response, Security
from fastapi.security import HTTPBearer
from sqlalchemy import Connection

from tidegate.clock import Clock
from tidegate.control.admin.changes import Asked, Changes, Work, digest_of_request
from tidegate.control.admin.configured import AdminSettings, Configured
from tidegate.control.admin.gate import BODY, CALLER, OFFICE
from tidegate.control.admin.problems import Invalid, NotAllowed
from tidegate.control.admin.roles import PERMISSIONS, Permission, may
from tidegate.control.admin.shapes import Json
from tidegate.control.admin.signin import Caller
from tidegate.store.database import Database

_bearer = HTTPBearer(auto_error=False, description="An admin token, `tga-…`.")
_KEY = r"^[!-~]{1,200}$"


@dataclass(frozen=True, slots=True)
class Office:
    """What all desks share."""

    database: Database
    changes: Changes
    settings: AdminSettings
    clock: Clock
    parameters: Callable[[], Mapping[str, frozenset[str]]]
    """The query parameters of each operation, which is named as its function is."""


@dataclass(frozen=True, slots=True)
class Desk:
    """One request's."""

    caller: Caller
    _office: Office
    _asked: Asked
    _response: Response

    @property
    def database(self) -> Database:
        """The whole store."""
        return self._office.database

    @property
    def settings(self) -> AdminSettings:
        """What the admin API was started with."""
        return self._office.settings

    @property
    def configured(self) -> Configured:
        """What the configuration file says now."""
        return self._office.settings.configured()

    def now_ns(self) -> int:
        """The time."""
        return self._office.clock.now_ns()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A look into the store."""
        with self._office.database.reading() as connection:
            yield connection

    def change(self, work: Work) -> Json:
        """Make a change, or tell again what an earlier request under the same key was answered."""
        answer, repeated = self._office.changes.make(self.caller, self._asked, work)
        if repeated:
            self._response.headers["idempotency-replayed"] = "true"
        return answer


def looking(permission: Permission) -> Any:
    """A desk for those who have `permission`, to read at."""

    async def sit(
        request: Request, response: Response, _token: Annotated[object, Security(_bearer)]
    ) -> Desk:
        return _desk(request, response, permission, None)

    return Depends(sit)


def changing(permission: Permission) -> Any:
    """A desk for those who have `permission`, to make a change at."""

    async def sit(
        request: Request,
        response: Response,
        _token: Annotated[object, Security(_bearer)],
        idempotency_key: Annotated[
            str | None,
            Header(
                pattern=_KEY,
                description="Makes the change once, however often it is asked for within 24 hours.",
            ),
        ] = None,
    ) -> Desk:
        return _desk(request, response, permission, idempotency_key)

    return Depends(sit)


def _desk(request: Request, response: Response, permission: Permission, key: str | None) -> Desk:
    office: Office = request.scope[OFFICE]
    caller: Caller = request.scope[CALLER]
    if not may(caller.role, permission):
        allowed = ", ".join(sorted(PERMISSIONS[permission]))
        raise NotAllowed(f"The role `{caller.role}` may not do this; allowed: {allowed}.")
    operation = cast("str", request.scope["endpoint"].__name__)
    if request.query_params:
        _refuse_unknown(request, office.parameters()[operation])
    asked = Asked(None, "")
    if key is not None:
        query: bytes = request.scope["query_string"]
        asked = Asked(
            key,
            digest_of_request(request.method, request.url.path, query, request.scope[BODY]),
        )
    response.headers["cache-control"] = "no-store"
    return Desk(caller, office, asked, response)


def _refuse_unknown(request: Request, known: frozenset[str]) -> None:
    for name in request.query_params:
        if name not in known:
            shown = "".join(char if char.isprintable() else "?" for char in name[:100])
            close = get_close_matches(shown.casefold(), known, n=1, cutoff=0.5)
            if close:
                hint = f"; did you mean `{close[0]}`?"
            else:
                hint = f"; allowed: {', '.join(sorted(known)) or 'none'}"
            raise Invalid(f"There is no parameter `{shown}`{hint}", param=shown)
        if len(request.query_params.getlist(name)) > 1:
            raise Invalid(f"The parameter `{name}` was given more than once.", param=name)
