"""The one way a change is made: change, audit entry and version in one transaction, then the file.

Under an `Idempotency-Key` a change is made once: within a day the same request gets the same
answer, but for secrets, which are told once only; another request under the same key is refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, func, select, update

from tidegate.clock import Clock
from tidegate.control.admin.chain import canonical
from tidegate.control.admin.problems import KeyReused, NotPublished
from tidegate.control.admin.publish import VERSION, Publisher
from tidegate.control.admin.shapes import Json
from tidegate.control.admin.signin import Caller
from tidegate.control.admin.trail import Change, record
from tidegate.store.database import Database
from tidegate.store.tables.admin import idempotency, state

KEPT_NS: Final = 24 * 3_600 * 10**9
MOST_KEPT: Final = 10_000
_OK: Final = 200

_log = logging.getLogger("tidegate.control")


class Asked(Struct, frozen=True):
    """A request as far as repeating it matters."""

    key: str | None
    """Its `Idempotency-Key`."""
    digest: str


class Made(Struct, frozen=True):
    """A change that was made: what is recorded of it, and what is answered."""

    change: Change
    answer: Json
    once: Json = {}
    """What is answered over it the first time only: secrets."""


Work = Callable[[Connection, int], Made]
"""Makes a change in a transaction, at that time. Raises: `Problem`, then nothing is changed."""


def digest_of_request(method: str, path: str, query: bytes, body: bytes) -> str:
    """The same for the same request, however its JSON is laid out."""
    try:
        said = canonical(json.loads(body)) if body else ""
    except (ValueError, RecursionError):  # it is refused anyway
        said = body.hex()
    return sha256(msgspec.json.encode((method, path, query.decode("latin-1"), said))).hexdigest()


class Changes:
    """Makes changes; used by many threads at once."""

    def __init__(self, database: Database, publisher: Publisher, clock: Clock) -> None:
        self._database = database
        self._publisher = publisher
        self._clock = clock

    def make(self, caller: Caller, asked: Asked, work: Work) -> tuple[Json, bool]:
        """The answer, and whether it is a repeated one. The gateways of this machine know by then.

        Raises: what `work` raises, `KeyReused`, `NotPublished`, `SQLAlchemyError`.
        """
        now_ns = self._clock.now_ns()
        with self._database.writing("admin") as connection:
            answer = _kept(connection, caller, asked, now_ns)
            repeated = answer is not None
            if answer is None:
                made = work(connection, now_ns)
                if made.change.before != made.change.after:
                    record(connection, caller.name, caller.role, made.change, now_ns)
                    _bump(connection)
                if asked.key is not None:
                    _keep(connection, caller, asked, made.answer, now_ns)
                answer = made.answer | made.once
        try:
            self._publisher.publish()
        except OSError as error:
            self._publisher.note_failure(error)
            raise NotPublished(
                "The change is stored, but the file for the gateways cannot be written."
            ) from error
        return answer, repeated


def _kept(connection: Connection, caller: Caller, asked: Asked, now_ns: int) -> Json | None:
    if asked.key is None:
        return None
    found: Any = connection.execute(
        select(idempotency).where(
            idempotency.c.actor == caller.name,
            idempotency.c.key == asked.key,
            idempotency.c.at_ns > now_ns - KEPT_NS,
        )
    ).one_or_none()
    if found is None:
        return None
    if found.request_hash != asked.digest:
        raise KeyReused(
            "This `Idempotency-Key` came with another request before.", param="Idempotency-Key"
        )
    return msgspec.json.decode(found.body)


def _keep(connection: Connection, caller: Caller, asked: Asked, answer: Json, now_ns: int) -> None:
    own = (idempotency.c.actor == caller.name, idempotency.c.key == asked.key)
    connection.execute(delete(idempotency).where(*own))
    connection.execute(delete(idempotency).where(idempotency.c.at_ns <= now_ns - KEPT_NS))
    over = connection.execute(select(func.count()).select_from(idempotency)).scalar_one()
    if over >= MOST_KEPT:  # the oldest makes place
        oldest = select(func.min(idempotency.c.at_ns)).scalar_subquery()
        connection.execute(delete(idempotency).where(idempotency.c.at_ns == oldest))
    connection.execute(
        idempotency.insert().values(
            actor=caller.name,
            key=asked.key,
            request_hash=asked.digest,
            status=_OK,
            body=msgspec.json.encode(answer),
            at_ns=now_ns,
        )
    )


def _bump(connection: Connection) -> None:
    mine = state.c.name == VERSION
    done = connection.execute(update(state).where(mine).values(value=state.c.value + 1))
    if not done.rowcount:
        connection.execute(state.insert().values(name=VERSION, value=1))
