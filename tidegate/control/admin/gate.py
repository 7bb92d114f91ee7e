"""Before the application: who asks is known, and the whole body is here, or it is refused.

So nobody without a token gets anything parsed, and nobody at all holds memory or time that is not
bounded. Behind it every failure becomes an answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from tidegate.control.admin.problems import (
    Broken,
    Malformed,
    Problem,
    StoreUnavailable,
    TooLarge,
    TooSlow,
)
from tidegate.control.admin.signin import Caller, SignIn

PREFIX: Final = "/admin/v1"
OPENAPI: Final = f"{PREFIX}/openapi.json"
CALLER, BODY, OFFICE = "tidegate.caller", "tidegate.body", "tidegate.office"
MOST_BYTES: Final = 1 << 20
BODY_S: Final = 10.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_log = logging.getLogger("tidegate.control")


class Gate:
    """An ASGI application around `app`, whose requests find `office` in their scope."""

    def __init__(self, app: App, sign_in: SignIn, office: object) -> None:
        self._app = app
        self._office = office
        self._sign_in = sign_in

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._pass(scope, receive, sending)
        except Problem as problem:
            await answer(send, problem)
        except SQLAlchemyError as error:
            _log.error("the admin API cannot use the store: %s", plain(error))
            await answer(send, unavailable())
        except Exception:  # noqa: BLE001  the root of a request: it is logged and answered
            _log.exception("a request to the admin API failed")
            if not begun:
                await answer(send, Broken("Something went wrong here."))

    async def ask(
        self,
        caller: Caller,
        method: str,
        path: str,
        query: bytes,
        body: bytes,
        *,
        once: str | None = None,
    ) -> tuple[int, bytes]:
        """What the API answers to somebody of this process who knows that it is `caller`.

        `once` is the `Idempotency-Key`.
        """
        headers = [(b"content-type", b"application/json")] if body else []
        if once is not None:
            headers.append((b"idempotency-key", once.encode()))
        scope: Message = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": headers,
            "client": None,
            "server": None,
            CALLER: caller,
        }
        status, pieces = 0, list[bytes]()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                pieces.append(message.get("body", b""))

        await self(scope, receive, send)
        return status, b"".join(pieces)

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        # A server's scope knows of no caller; only `ask` says who it is.
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["path"] != OPENAPI and CALLER not in scope:
            scope[CALLER] = await self._identify(scope, headers)
        scope[OFFICE] = self._office
        scope[BODY] = body = await body_of(headers, receive)
        told = False

        async def receiving() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, receiving, send)

    async def _identify(self, scope: Message, headers: dict[bytes, bytes]) -> Caller:
        word = headers.get(b"authorization", b"")
        address = (scope.get("client") or ("",))[0]
        # Threads of the API's own: those of the event loop are for the loader and its pages.
        return await run_in_threadpool(self._sign_in.caller, word, address)


async def body_of(headers: dict[bytes, bytes], receive: Receive) -> bytes:
    """The whole body. Raises: `Malformed`, `TooLarge`, `TooSlow`."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 9 or int(length) > MOST_BYTES:  # noqa: PLR2004
        raise TooLarge("The body is longer than 1 MiB.")
    pieces, size_bytes = list[bytes](), 0
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Malformed("The body ended before its end.")
                pieces.append(message.get("body", b""))
                size_bytes += len(pieces[-1])
                if size_bytes > MOST_BYTES:
                    raise TooLarge("The body is longer than 1 MiB.")
                if not message.get("more_body", False):
                    return b"".join(pieces)
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {BODY_S:.0f} seconds.") from None


def plain(error: SQLAlchemyError) -> str:
    """What the driver said, without the statement and its parameters."""
    return str(getattr(error, "orig", None) or type(error).__name__).partition("\n")[0]


def unavailable() -> StoreUnavailable:
    """What is answered when the store fails."""
    return StoreUnavailable("The store cannot be used now.", retry_after_s=2)


def headers_of(problem: Problem) -> dict[str, str]:
    """The headers that go with a refusal."""
    headers = {"cache-control": "no-store"}
    if problem.retry_after_s is not None:
        headers["retry-after"] = str(problem.retry_after_s)
    if problem.status == 401:  # noqa: PLR2004
        headers["www-authenticate"] = "Bearer"
    return headers


async def answer(send: Send, problem: Problem) -> None:
    """Answer with `problem`; the rest of the body is not read."""
    headers = headers_of(problem) | {"content-type": "application/json", "connection": "close"}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": raw})
    await send({"type": "http.response.body", "body": msgspec.json.encode(problem.told())})
