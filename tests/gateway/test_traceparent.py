"""What providers are told of a request's place in a trace, and who of them is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from tidegate.gateway.tracing import STATE_BYTES, Tracing
from tidegate.net import trace_context
from tidegate.telemetry.record import Record
from tidegate.telemetry.spans import CLIENT, spans

from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted

TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"
CONFIG = """
providers:
  one: {{kind: openai, base_url: "{one}", allow_private: true, passthrough: true}}
  quiet: {{kind: openai, base_url: "{one}", allow_private: true, traceparent: false,
    passthrough: true}}
  vendor: {{kind: openai, api_key: none}}
  friend: {{kind: openai, api_key: none, traceparent: true}}
models:
  mine: {{targets: [{{provider: one, model: m}}], retry: {{attempts: 3, backoff: 1ms..2ms}}}}
  theirs: {{targets: [{{provider: quiet, model: m}}]}}
"""
SENT = """
traces: {{endpoint: "http://127.0.0.1:9", allow_private: true, sample: 100%}}
"""


class House:
    """A gateway with a provider that keeps the heads of what it is asked."""

    def __init__(self, gateway: Gateway, one: Scripted) -> None:
        self.gateway = gateway
        self.one = one

    async def ask(self, model: str = "mine", **headers: str) -> Record:
        before = len(self.gateway.records())
        async with AsyncOpenAI(
            base_url=f"{self.gateway.url}/v1", api_key="k", max_retries=0
        ) as client:
            create: Any = client.chat.completions.create
            said = [{"role": "user", "content": "Hello"}]
            await create(model=model, messages=said, extra_headers=headers)
        return await self.gateway.record(before + 1)

    def told(self, name: str) -> list[str | None]:
        """What each request to the provider had as the header `name`."""
        found = [re.search(rf"(?im)^{name}: (.*?)\r?$", head) for head in self.one.heads]
        return [None if each is None else each[1] for each in found]


@pytest.fixture
async def build(open_gateway: Open) -> AsyncGenerator[Any]:
    async with AsyncExitStack() as stack:

        async def build_(*steps: Step, traces: str = SENT) -> House:
            one = await stack.enter_async_context(scripted(*steps))
            return House(await open_gateway(CONFIG + traces, None, one=one.url), one)

        yield build_


async def test_each_try_is_told_as_the_span_that_the_trace_has_of_it(build: Any) -> None:
    house = await build(Step(503), Step(503))
    record = await house.ask(traceparent=GIVEN, tracestate="vendor=1,other=2")
    asked = [each for each in spans(record) if each.kind == CLIENT]
    assert len(asked) == 3
    assert house.told("traceparent") == [f"00-{TRACE}-{each.span_id.hex()}-01" for each in asked]
    assert house.told("tracestate") == ["vendor=1,other=2"] * 3


async def test_request_without_a_trace_begins_one_of_ours(build: Any) -> None:
    house = await build()
    record = await house.ask(tracestate="vendor=1")  # which means nothing alone
    (asked,) = [each for each in spans(record) if each.kind == CLIENT]
    assert house.told("traceparent") == [f"00-{asked.trace_id.hex()}-{asked.span_id.hex()}-01"]
    assert house.told("tracestate") == [None]


async def test_where_no_traces_are_sent_the_callers_place_is_passed_on_as_it_came(
    build: Any,
) -> None:
    house = await build(traces="")
    await house.ask(traceparent=GIVEN, tracestate="vendor=1")
    await house.ask()
    await house.ask(traceparent="00-no-trace-00", tracestate="vendor=1")
    assert house.told("traceparent") == [GIVEN, None, None]
    assert house.told("tracestate") == ["vendor=1", None, None]


async def test_who_is_not_meant_to_know_is_told_nothing(build: Any) -> None:
    house = await build()
    await house.ask("theirs", traceparent=GIVEN, tracestate="vendor=1")
    assert (house.told("traceparent"), house.told("tracestate")) == ([None], [None])


async def test_by_default_only_ones_own_providers_are_told(build: Any) -> None:
    house = await build()
    assert house.gateway.live.house.rooms.tracing.providers == {"one", "friend"}


@pytest.mark.parametrize(("name", "known"), [("one", True), ("quiet", False)])
async def test_what_is_handed_on_as_it_is_tells_no_more(build: Any, name: str, known: bool) -> None:
    house = await build()
    body = b'{"model": "m", "messages": []}'
    reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port)
    writer.write(
        b"POST /passthrough/%b/v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"traceparent: %b\r\ntracestate: a=b\r\ncontent-length: %d\r\n\r\n%b"
        % (name.encode(), GIVEN.encode(), len(body), body)
    )
    assert b" 200 " in await reader.read()
    writer.close()
    record = await house.gateway.record()
    (asked,) = [each for each in spans(record) if each.kind == CLIENT]
    mine = f"00-{TRACE}-{asked.span_id.hex()}-01"
    assert house.told("traceparent") == [mine if known else None]
    assert house.told("tracestate") == ["a=b" if known else None]


RECORD = Record("req_1", 1, "gw-0", "chat", "/", "c", trace_parent=GIVEN)


def test_flags_of_the_caller_stay_and_ours_say_whether_we_send_it() -> None:
    quiet = Record("req_1", 1, "gw-0", "chat", "/", "c", trace_parent=GIVEN[:-2] + "00")
    alone = Record("req_1", 1, "gw-0", "chat", "/", "c")
    for record, share, flags in ((quiet, 1.0, b"00"), (alone, 1.0, b"01"), (alone, 0.0, b"00")):
        assert Tracing(share=share).lines((), record, 1).endswith(b"-" + flags + b"\r\n")


@given(st.lists(st.binary(max_size=STATE_BYTES), max_size=4), st.none() | st.floats(0.0, 1.0))
def test_lines_are_whole_whatever_the_caller_sends(
    states: list[bytes], share: float | None
) -> None:
    headers = [(b"tracestate", each) for each in states]
    lines = Tracing(share=share).lines(headers, RECORD, 64)
    parent, *state, end = lines.split(b"\r\n")
    assert trace_context.read(parent.removeprefix(b"traceparent: ")) is not None
    assert end == b""
    assert len(state) <= 1
    for each in state:
        assert each.startswith(b"tracestate: ")
        assert len(each) <= STATE_BYTES + 20
        assert all(0x20 <= byte < 0x7F or byte == 0x09 for byte in each)
