"""The admin API as one ASGI application: the nouns, the gate before them, errors as answers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from functools import cache, partial
from typing import Any, Final, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from tidegate import __version__
from tidegate.clock import Clock, SystemClock
from tidegate.control.admin import (
    alerts,
    aliases,
    audit,
    budgets,
    configurations,
    erasures,
    exports,
    feedback,
    keys,
    limits,
    organisations,
    prices,
    quality,
    slos,
    spend,
    targets,
    teams,
    tokens,
    users,
)
from tidegate.control.admin.changes import Changes
from tidegate.control.admin.configured import AdminSettings
from tidegate.control.admin.desk import Office
from tidegate.control.admin.gate import OPENAPI, PREFIX, Gate, headers_of, plain, unavailable
from tidegate.control.admin.problems import (
    Broken,
    Conflict,
    Invalid,
    Malformed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    ProblemTold,
    StoreUnavailable,
    TooLarge,
    TooManyFailures,
    TooSlow,
    WrongMethod,
)
from tidegate.control.admin.publish import Publisher
from tidegate.control.admin.signin import SignIn, make_first
from tidegate.control.admin.trail import cut, record
from tidegate.money import NANO
from tidegate.store.database import Database

_NOUNS: Final = (
    keys, users, teams, organisations, limits, budgets, prices, spend, targets, aliases, audit,
    tokens, alerts, slos, quality, feedback, configurations, erasures, exports,
)  # fmt: skip
_PROBLEMS: Final[Iterable[type[Problem]]] = (
    Malformed, NotSignedIn, NotAllowed, NotFound, TooSlow, Conflict, TooLarge, Invalid,
    TooManyFailures, StoreUnavailable,
)  # fmt: skip
_SCOPE, _STEP = re.compile(r"(?<=\{kind\}/)\{name\}"), re.compile(r"\{\w+\}")
_CUT_EVERY_S = 3_600.0
_WRONG_METHOD, _NOT_FOUND = 405, 404
_NO_OBJECT = ("missing", "dict_type", "model_type", "model_attributes_type")

_log = logging.getLogger("tidegate.control")


class Admin:
    """The admin API over `database`, whose tables are there."""

    def __init__(
        self, database: Database, settings: AdminSettings, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock or SystemClock()
        self._next_cut_s = 0.0
        self._publisher = Publisher(database, settings.access, settings.configured)
        changes = Changes(database, self._publisher, self._clock)
        app = _app()
        parameters = partial(_parameters, app)
        office = Office(database, changes, settings, self._clock, parameters)
        self.sign_in = SignIn(database, self._clock)
        self.app = Gate(app, self.sign_in, office)

    def look(self) -> None:
        """Make the first token if there is none, and tell the gateways what has changed.

        To be called when the store is ready, and twice a second from then on. Raises: `OSError`,
        `SQLAlchemyError`.
        """
        if make_first(self._database, self._settings.token, self._clock.now_ns()):
            _log.warning(
                "the first admin token was made", extra={"fields": {"file": self._settings.token}}
            )
        self._publisher.publish()
        self._cut()

    def _cut(self) -> None:
        # Now and then only: it takes the turn of all changes.
        now_s, kept_s = self._clock.monotonic(), self._settings.audit_s
        if kept_s is None or now_s < self._next_cut_s:
            return
        self._next_cut_s = now_s + _CUT_EVERY_S
        now_ns = self._clock.now_ns()
        with self._database.writing("admin") as connection:
            change = cut(connection, now_ns - kept_s * NANO)
            if change is not None:
                record(connection, "control", "owner", change, now_ns)

    def note_failure(self, error: Exception) -> None:
        """Log that `look` failed, once until it does not."""
        self._publisher.note_failure(error)


@cache
def _app() -> FastAPI:
    # It holds nothing of one store, and takes its time to be made.
    app = FastAPI(
        title="Tidegate admin API",
        description="Keys, people, limits, prices, and what was spent.",
        version=__version__,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    nouns = APIRouter(
        prefix=PREFIX,
        responses={
            problem.status: {"model": ProblemTold, "description": (problem.__doc__ or "").strip()}
            for problem in _PROBLEMS
        },
    )
    for noun in _NOUNS:
        nouns.include_router(noun.router, tags=[noun.__name__.rpartition(".")[2]])
    app.include_router(nouns)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(SQLAlchemyError, _store)
    return app


def _parameters(app: FastAPI) -> dict[str, frozenset[str]]:
    described: dict[str, dict[str, dict[str, Any]]] = app.openapi()["paths"]
    return {
        operation["operationId"]: frozenset(
            each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"
        )
        for operations in described.values()
        for operation in operations.values()
    }


async def _problem(_request: Request, error: Exception) -> JSONResponse:
    return _answer(cast("Problem", error))


async def _store(_request: Request, error: Exception) -> JSONResponse:
    _log.error("the admin API cannot use the store: %s", plain(cast("SQLAlchemyError", error)))
    return _answer(unavailable())


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    first = cast("RequestValidationError", error).errors()[0]
    if first["type"] == "json_invalid":
        return _answer(Malformed("The body is not JSON."))
    place = [str(step) for step in first["loc"]]
    param = ".".join(place[1:]) or None
    if first["type"] == "unknown_field":
        field = first["ctx"]["field"]
        param = f"{param}.{field}" if param else field
    if param is None and first["type"] in _NO_OBJECT:
        return _answer(Malformed("The body must be one JSON object."))
    return _answer(Invalid(f"`{param or 'body'}`: {_lowered(first['msg'])}.", param=param))


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


async def _http(request: Request, error: Exception) -> JSONResponse:
    refused = cast("HTTPException", error)
    if refused.status_code == _WRONG_METHOD:
        allow = ", ".join(_methods(request.app, request.url.path))
        problem: Problem = WrongMethod(f"This path allows {allow}.")
        return _answer(problem, {"allow": allow})
    if refused.status_code == _NOT_FOUND:
        return _answer(
            NotFound(
                "This path does not exist.", remedy=f"`{OPENAPI}` describes all that there is."
            )
        )
    if refused.status_code < Broken.status:
        return _answer(Malformed("The request cannot be understood."))
    return _answer(Broken("Something went wrong here."))


def _methods(app: FastAPI, path: str) -> list[str]:
    # Starlette names those of the first function at the path only.
    found = {
        method.upper()
        for template, operations in app.openapi()["paths"].items()
        if re.fullmatch(_STEP.sub("[^/]+", _SCOPE.sub(".+", template)), path)
        for method in operations
    }
    return sorted(found or {"GET"})


def _answer(problem: Problem, more: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(problem.told(), problem.status, headers_of(problem) | (more or {}))
