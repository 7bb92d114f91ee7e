"""The ASGI edge: finds out what is asked for and hands it on; no framework, no middleware.

`POST` on a model endpoint goes to `serve.py`. What is answered here is small: the model list,
health, and requests for what does not exist.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from secrets import token_hex

from tidegate.errors import TidegateError, UnknownModel, UnknownPath, WrongMethod
from tidegate.gateway.exchange import JSON, Exchange, Message, Receive, Send
from tidegate.gateway.openai import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Wire,
    model_list,
    model_one,
)
from tidegate.gateway.serve import Ending, Rooms, failed, serve, settle
from tidegate.telemetry.record import Record

WIRES: dict[str, Wire] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
}
MODELS = "/v1/models"
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
PATH_LIMIT = 200


class App:
    """The gateway as an ASGI application."""

    def __init__(
        self, enter: Callable[[], Rooms], leave: Callable[[Rooms], None], worker: str
    ) -> None:
        """Serve with the rooms that `enter` lends for one request and `leave` takes back."""
        self._enter = enter
        self._leave = leave
        self._worker = worker
        self._nonce = token_hex(4)
        self._count = 0
        self.ready = True

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        loop = asyncio.get_running_loop()
        path: str = scope["path"]
        if path in ("/healthz", "/readyz"):
            await _health(send, fine=self.ready or path == "/healthz")
            return
        rooms = self._enter()
        try:
            wire = WIRES.get(path)
            self._count += 1
            record = Record(
                request_id=f"req_{self._nonce}{self._count:010x}",
                started_ns=time.time_ns(),
                worker=self._worker,
                wire=wire.name if wire else "models" if path.startswith(MODELS) else "none",
                path=path[:PATH_LIMIT],
                config_version=rooms.config_version,
            )
            exchange = Exchange(scope, receive, send, record, loop.time())
            if wire is not None and scope["method"] == "POST":
                await serve(rooms, wire, exchange)
            else:
                await _other(rooms, exchange, path, scope["method"], wire)
        finally:
            self._leave(rooms)


async def _other(
    rooms: Rooms, exchange: Exchange, path: str, method: str, wire: Wire | None
) -> None:
    """Answer what needs no provider."""
    try:
        ending = _look_up(rooms, exchange, path, method, wire)
    except TidegateError as error:
        ending = failed(exchange, error)
        if isinstance(error, WrongMethod):
            ending.headers.append((b"allow", b"POST" if wire else b"GET"))
        await settle(rooms, exchange, ending)
    await exchange.start(ending.status, ending.headers)
    await exchange.finish(b"" if method == "HEAD" else ending.body)


def _look_up(rooms: Rooms, exchange: Exchange, path: str, method: str, wire: Wire | None) -> Ending:
    asks_models = path == MODELS or path.startswith(MODELS + "/")
    if wire is None and not asks_models:
        raise UnknownPath(
            f"There is nothing at {path[:PATH_LIMIT]!r}. OpenAI's API is served below /v1."
        )
    if wire is not None or method not in ("GET", "HEAD"):
        raise WrongMethod(f"{path} does not take {method}.")
    names = rooms.router.usable(rooms.keys.identify(exchange.headers))
    if path == MODELS:
        body = model_list(names)
    else:
        name = path[len(MODELS) + 1 :]
        if name not in names:
            shown = ", ".join(names[:20]) or "none"
            raise UnknownModel(
                f"There is no model {name[:PATH_LIMIT]!r} here. Models you can use: {shown}.",
                param="model",
            )
        body = model_one(name)
    return Ending(200, [JSON, (b"content-length", b"%d" % len(body))], body)


async def _health(send: Send, *, fine: bool) -> None:
    body = b"ok\n" if fine else b"draining\n"
    headers = [PLAIN, (b"content-length", b"%d" % len(body))]
    status = 200 if fine else 503
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
