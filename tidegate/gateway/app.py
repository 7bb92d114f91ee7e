"""Find out what is asked for and hand it on; no framework, no middleware.

`POST` on a model endpoint goes to `serve.py`. What is answered here is small: the model list,
health, feedback, and requests for what does not exist.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import token_hex

from tidegate.errors import TidegateError, UnknownModel, UnknownPath, WrongMethod
from tidegate.gateway.anthropic import COUNT_TOKENS, MESSAGES
from tidegate.gateway.exchange import JSON, CallerGone, Ending, Exchange
from tidegate.gateway.feedback import FEEDBACK, take, wire_of
from tidegate.gateway.openai import CHAT, COMPLETIONS, EMBEDDINGS, model_list, model_one
from tidegate.gateway.passthrough import PREFIX
from tidegate.gateway.responses import RESPONSES
from tidegate.gateway.rooms import Rooms
from tidegate.gateway.serve import failed, serve, settle
from tidegate.gateway.wires import Wire
from tidegate.telemetry.record import Record

WIRES: dict[str, Wire] = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
    "/v1/messages/count_tokens": COUNT_TOKENS,
}
MODELS = "/v1/models"
RESPONSE = "/v1/responses/"
PLAIN = (b"content-type", b"text/plain; charset=utf-8")
PATH_LIMIT = 200
NAMES_SHOWN = 20


class App:
    """The gateway: what answers an exchange."""

    def __init__(
        self, enter: Callable[[], Rooms], leave: Callable[[Rooms], None], worker: str
    ) -> None:
        """Serve with the rooms that `enter` lends for one request and `leave` takes back."""
        self._enter = enter
        self._leave = leave
        self._worker = worker
        self._nonce = token_hex(8)
        self._count = 0
        self.ready = True

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request; raises nothing."""
        path = exchange.path
        wire = WIRES.get(path)
        self._count += 1
        rooms = self._enter()
        exchange.record = Record(
            request_id=f"req_{self._nonce}{self._count:08x}",
            started_ns=time.time_ns(),
            worker=self._worker,
            wire=wire.name if wire else "none",
            path=path[:PATH_LIMIT],
            config_version=rooms.config_version,
        )
        try:
            if wire is not None and exchange.method == b"POST":
                await serve(rooms, wire, exchange)
            elif path.startswith(PREFIX):
                exchange.record.wire = "passthrough"
                await serve(rooms, None, exchange)
            elif path in ("/healthz", "/readyz"):
                _health(exchange, fine=self.ready or path == "/healthz")
            else:
                await _other(rooms, exchange, wire)
        finally:
            self._leave(rooms)


async def _other(rooms: Rooms, exchange: Exchange, wire: Wire | None) -> None:
    """Answer what needs no provider. Only a refusal leaves a record: listing models is no call."""
    try:
        if exchange.path.startswith(RESPONSE):
            ending = await _kept(rooms, exchange)
        elif exchange.path == FEEDBACK:
            wire = wire_of(exchange)
            ending = await _judged(rooms, exchange)
        else:
            ending = _look_up(rooms, exchange, wire)
    except CallerGone:
        return
    except TidegateError as error:
        ending = failed(wire, exchange, error)
        if isinstance(error, WrongMethod):
            ending.headers.append((b"allow", _methods(exchange.path)))
        await settle(rooms, exchange, ending)
    exchange.respond(ending.status, ending.headers, ending.body)


def _look_up(rooms: Rooms, exchange: Exchange, wire: Wire | None) -> Ending:
    path = exchange.path
    if wire is None and path != MODELS and not path.startswith(MODELS + "/"):
        raise UnknownPath(
            f"There is nothing at {path[:PATH_LIMIT]!r}. OpenAI's and Anthropic's API are served "
            "below /v1."
        )
    if wire is not None or exchange.method not in (b"GET", b"HEAD"):
        raise WrongMethod(f"{path[:PATH_LIMIT]} does not take {exchange.method.decode('latin-1')}.")
    names = rooms.router.usable(rooms.keys.identify(exchange.headers))
    if path == MODELS:
        return Ending(200, [JSON], model_list(names))
    name = path[len(MODELS) + 1 :]
    if name in names:
        return Ending(200, [JSON], model_one(name))
    shown = ", ".join(names[:NAMES_SHOWN]) or "none"
    raise UnknownModel(
        f"There is no model {name[:PATH_LIMIT]!r} here. Models you can use: {shown}.",
        param="model",
    )


async def _kept(rooms: Rooms, exchange: Exchange) -> Ending:
    """Give back or delete a response that was kept."""
    caller = rooms.keys.identify(exchange.headers)
    id_ = exchange.path[len(RESPONSE) :]
    if exchange.method == b"GET":
        return Ending(200, [JSON], await rooms.conversations.find(caller, id_))
    if exchange.method == b"DELETE":
        return Ending(200, [JSON], await rooms.conversations.forget(caller, id_))
    raise WrongMethod(f"{RESPONSE}ID does not take {exchange.method.decode('latin-1')}.")


async def _judged(rooms: Rooms, exchange: Exchange) -> Ending:
    """Take feedback."""
    if exchange.method != b"POST":
        raise WrongMethod(f"{FEEDBACK} does not take {exchange.method.decode('latin-1')}.")
    return await take(rooms, exchange)


def _methods(path: str) -> bytes:
    if path.startswith(RESPONSE):
        return b"GET, DELETE"
    return b"POST" if path in WIRES or path == FEEDBACK else b"GET"


def _health(exchange: Exchange, *, fine: bool) -> None:
    exchange.respond(200 if fine else 503, [PLAIN], b"ok\n" if fine else b"draining\n")
