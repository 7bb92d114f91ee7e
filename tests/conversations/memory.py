"""What stands around conversations, by shape: everything that is spooled is there at once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tidegate.conversations.keeper import Conversations, Policy
from tidegate.conversations.kept import Kept, decode
from tidegate.conversations.recent import Recent
from tidegate.conversations.thread import Thread
from tidegate.errors import Unavailable
from tidegate.types import Call, Choice, Principal, Target, Timeouts

Json = dict[str, Any]

ANN = Principal(key="ann")
BOB = Principal(key="bob")
CAT, DAN = Principal(key="cat", team="red"), Principal(key="dan", team="red")


class Time:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def now_ns(self) -> int:
        return int(self.now_s * 1e9)

    def monotonic(self) -> float:
        return self.now_s


class Memory:
    """A spool and a store in one, and a gateway process or two that use them."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.rows: dict[str, Kept] = {}
        self.asked: list[str] = []
        self.full = self.down = False

    def append(self, payload: bytes) -> asyncio.Future[None]:
        if self.full:
            raise Unavailable("The spool is full.")
        kept = decode(payload)
        self.rows.setdefault(kept.id, kept)
        written = asyncio.get_running_loop().create_future()
        written.set_result(None)
        return written

    async def past(self, id_: str, owner: str, most: int) -> list[Kept]:
        if self.down:
            raise Unavailable("Kept answers cannot be read now.")
        self.asked.append(id_)
        past: list[Kept] = []
        kept = self.rows.get(id_)
        if kept is None or kept.owner != owner or kept.expires_ns <= self.time.now_ns():
            return []
        while kept is not None and len(past) < most:
            past.append(kept)
            kept = self.rows.get(kept.previous or "")
        return past

    async def forget(self, id_: str, owner: str) -> bool:
        kept = self.rows.get(id_)
        return kept is not None and kept.owner == owner and bool(self.rows.pop(id_))

    def process(self, *, store: bool = True, retention_s: float = 3600.0) -> Conversations:
        """What one gateway process has of it."""
        recent = Recent(clock=self.time)
        return Conversations(self, self, recent, Policy(store, retention_s), self.time)


def call(text: Any = "hello", *, stream: bool = False, **fields: Any) -> Call:
    """A request in the Responses format."""
    body = {"model": "assistant", "input": text, **fields}
    return Call("responses", "assistant", body, stream=stream, wants_usage=True)


def choice(provider: str = "other") -> Choice:
    times = Timeouts(1.0, 1.0, 1.0, 1.0)
    name = f"{provider}/m"
    return Choice(Target(provider, "m", times), "m", name, "", name.encode(), b"")


def message(text: str, id_: str = "msg_1") -> Json:
    part: Json = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": id_, "role": "assistant", "content": [part]}


def answer(id_: str, *items: Json, status: str = "completed", stream: bool = False) -> bytes:
    """A whole answer, or a stream's last event."""
    response = {"id": id_, "object": "response", "status": status, "output": list(items)}
    if not stream:
        return json.dumps(response).encode()
    event = {"type": f"response.{status}", "response": response, "sequence_number": 9}
    return b"event: response.%b\ndata: %b\n\n" % (status.encode(), json.dumps(event).encode())


async def say(
    process: Conversations,
    id_: str,
    text: str,
    *items: Json,
    caller: Principal = ANN,
    provider: str = "other",
    native: bool = False,
    **fields: Any,
) -> Thread:
    """One turn of a conversation: asked, answered with `items`, and kept as `id_`."""
    thread = await process.thread(caller, call(text, **fields))
    thread.fitted(thread.call, choice(provider), native=native)
    written = process.keep(caller, thread, choice(provider), answer(id_, *items))
    if written is not None:
        await written
    return thread
