"""Each vendor's dialect in process: calls for it, and its answers by the simulated provider.

There is no network and no event loop here: what a dialect would read is there already, so none of
its coroutines ever has to wait.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from bench.target import ALIAS, PROMPT
from tidegate.clock import SystemClock
from tidegate.formats import chat, messages, responses
from tidegate.formats.words import Ask
from tidegate.gateway.anthropic import MESSAGES
from tidegate.gateway.openai import CHAT
from tidegate.gateway.responses import RESPONSES
from tidegate.net.http import Response
from tidegate.providers.answers import PassedBody, PassedStream
from tidegate.providers.anthropic import Anthropic
from tidegate.providers.bedrock.auth import ApiKey
from tidegate.providers.bedrock.dialect import Bedrock
from tidegate.providers.compatible import row_for
from tidegate.providers.dialect import Dialect
from tidegate.providers.gemini import Gemini
from tidegate.providers.openai import OpenAI
from tidegate.providers.simulated.reply import Request
from tidegate.providers.simulated.settings import Settings
from tidegate.providers.simulated.simulator import Simulator
from tidegate.types import Answer, Call, Choice, Facts, Target, Timeouts

WIRES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
CHUNKS = 300
"""Tokens of a streamed answer."""
WHOLE_TOKENS = 64

Result = TypeVar("Result")
Json = dict[str, Any]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Vendor:
    """A dialect, in whose name it asks, and the path that its base URL ends with."""

    name: str
    dialect: Dialect
    credential: Any
    base: str


def vendors() -> list[Vendor]:
    """Those that are measured. `vllm` stands for all servers that speak chat and nothing else."""
    lines = OpenAI.credential("k", {})
    return [
        Vendor("openai", OpenAI(row_for("openai")), lines, "/v1"),
        Vendor("vllm", OpenAI(row_for("vllm")), lines, "/v1"),
        Vendor("anthropic", Anthropic(), Anthropic.credential("k", {}), "/v1"),
        Vendor("gemini", Gemini(), Gemini.credential("k", {}), "/v1beta"),
        Vendor("bedrock", Bedrock(), ApiKey("k"), ""),
    ]


class Canned(Response):
    """An answer that is all here: `pieces` of its body come one with each read."""

    __slots__ = ("_pieces",)

    def __init__(self, content_type: bytes, pieces: Sequence[bytes]) -> None:
        self.status = 200
        self.headers = [(b"content-type", content_type)]
        self._pieces = iter(pieces)

    async def read(self) -> bytes:
        """The next piece; empty at the end."""
        return next(self._pieces, b"")

    async def read_all(self, limit: int) -> bytes:  # noqa: ARG002 - the real one's signature
        """All of it."""
        return b"".join(self._pieces)

    def leave(self, wait_s: float) -> None:
        """Nobody is left."""

    def close(self) -> None:
        """Nothing is closed."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A call for a vendor, and the answer that the simulated provider gave to it."""

    vendor: Vendor
    choice: Choice
    call: Call
    ask: Ask | None
    content_type: bytes
    pieces: tuple[bytes, ...]

    def say(self) -> None:
        """Say the call in the vendor's words: what there is to do before sending."""
        self.vendor.dialect.request(self.choice, self.call, self.vendor.credential)

    def answer(self) -> Answer:
        """The vendor's answer, unread."""
        response = Canned(self.content_type, self.pieces)
        return self.vendor.dialect.answer(response, self.call, Facts(), self.ask)

    def hear(self) -> bytes:
        """The whole answer in the caller's words."""
        return at_once(self.answer().read())

    @property
    def passes_on(self) -> bool:
        """Whether caller and vendor speak the same format, so that nothing is translated."""
        return isinstance(self.answer(), PassedBody | PassedStream)


def exchange(wire: str, vendor: Vendor, *, stream: bool = False, tools: bool = False) -> Exchange:
    """The same conversation for every pair of formats; ValueError when the vendor refuses it."""
    body = conversation(wire, tools=tools)
    if stream:
        body["stream"] = True
    call = WIRES[wire].understand(_encode(body), [])
    target = Target(vendor.name, "model-1", Timeouts(1, 1, 1, 1))
    choice = Choice(target, target.model, target.name, "only target", b"", b"")
    request = vendor.dialect.request(choice, call, vendor.credential)
    simulator = Simulator(Settings(length=str(CHUNKS if stream else WHOLE_TOKENS)), SystemClock())
    path, _, query = (vendor.base + request.path).partition("?")
    headers = [_pair(line) for line in request.headers.split(b"\r\n") if line]
    reply = simulator.respond(Request(b"POST", path, query, request.body, headers=headers))
    if reply.status != 200:
        raise ValueError(f"{wire} for {vendor.name}: {reply.body.decode(errors='replace')}")
    pieces = (reply.body,) if reply.events is None else (*reply.events, reply.tail)
    return Exchange(vendor, choice, call, request.ask, reply.content_type, pieces)


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b": ")
    return name, value


def at_once(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """What `coroutine` returns, which does not wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coroutine waited where nothing is to be waited for")


def conversation(wire: str, *, tools: bool) -> Json:
    """A request in the format `wire`: a question of 800 bytes, or one in mid-use of three tools."""
    body = _with_tools() if tools else _plain()
    if wire != "chat":
        written, _ = {"messages": messages, "responses": responses}[wire].write_ask(
            chat.read_ask(body)
        )
        body = written | {"model": ALIAS}
    return body


def _plain() -> Json:
    said = [
        {"role": "system", "content": "You answer in one short paragraph."},
        {"role": "user", "content": PROMPT},
    ]
    return {"model": ALIAS, "messages": said, "max_tokens": CHUNKS, "temperature": 0.5}


def _with_tools() -> Json:
    call = {"name": "tide_table", "arguments": '{"harbour":"Husum","days":2}'}
    said = [
        {
            "role": "assistant",
            "tool_calls": [{"id": "call_1", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"high":["04:12","16:31"]}'},
        {"role": "user", "content": "And in plain words?"},
    ]
    plain = _plain()
    return plain | {"messages": plain["messages"] + said, "tools": [_tool(n) for n in range(3)]}


def _tool(number: int) -> Json:
    properties = {
        "harbour": {"type": "string", "description": "Name of the harbour."},
        "days": {"type": "integer", "description": "How many days."},
    }
    name = "tide_table" if number == 0 else f"tide_table_{number}"
    schema = {"type": "object", "properties": properties, "required": ["harbour"]}
    about = "High and low water at a harbour for the coming days."
    return {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": schema},
    }
