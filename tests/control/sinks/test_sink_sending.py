"""Records on their way to a sink: all of them, in order, whatever the sink does."""

from __future__ import annotations

import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from otlp_reading import traces
from receiving import Receiver, receiver
from spools import record
from store.storing import put, row

from tidegate.clock import Clock, SystemClock
from tidegate.control.sinks.all import way_to
from tidegate.control.sinks.sending import MOST_UNFIT, Sending
from tidegate.control.sinks.settings import Receiver as To
from tidegate.control.sinks.settings import Traces, Webhook
from tidegate.control.sinks.way import Way
from tidegate.net.dns import Resolver
from tidegate.store.records import RecordStore
from tidegate.store.sinks import SinkStore
from tidegate.telemetry.spans import sampled, trace_id

NOW_NS = SystemClock().now_ns()
PATH = "/v1/traces"


class Stage:
    """A store, and sinks that are opened upon it."""

    def __init__(self, store: RecordStore, resolver: Resolver) -> None:
        self.store = store
        self.ways: list[Way] = []
        self._resolver = resolver
        self._count = 0

    def add(self, count: int, **fields: Any) -> list[str]:
        """Put records into the store; their ids."""
        names = [f"req_{self._count + n}" for n in range(count)]
        self._count += count
        rows = [
            row(0, request_id=name, started_ns=NOW_NS, payload=record(name, **fields))
            for name in names
        ]
        put(self.store, *rows)
        return names

    def open(
        self, to: Receiver | None = None, spool: str = "here", clock: Clock | None = None,
        settings: Traces | Webhook | None = None,
    ) -> Sending:  # fmt: skip
        if settings is None:
            assert to is not None
            settings = Traces(To(to.origin, PATH, {"x-key": "secret"}, allow_private=True))
        clock = clock or SystemClock()
        self.ways.append(way_to(settings, self._resolver, clock))
        store = SinkStore(self.store.database, "traces", spool)
        return Sending("traces", self.ways[-1], store, clock=clock)


@pytest.fixture
async def stage(store: RecordStore) -> AsyncIterator[Stage]:
    resolver = Resolver()
    stage = Stage(store, resolver)
    yield stage
    for way in stage.ways:
        await way.close()
    await resolver.close()


def told(to: Receiver) -> list[str]:
    """The ids of the requests that were told, in the order they came."""
    return [
        str(span["attributes"]["tidegate.request_id"])
        for body in to.taken
        for span in traces(body)[1]
        if span["kind"] == 2
    ]


async def through(sending: Sending) -> None:
    """Turn until there is nothing left to be told."""
    while await sending.turn() == 0.0:
        pass


def refusing(status: int, **headers: str) -> Callable[[bytes], Any]:
    return lambda _: (status, {name.replace("_", "-"): text for name, text in headers.items()}, b"")


async def test_every_record_arrives_once_and_in_order(stage: Stage) -> None:
    names = stage.add(1200)
    with receiver() as to:
        sending = stage.open(to)
        await through(sending)
        assert told(to) == names
        assert set(to.paths) == {PATH}
        assert to.heads[0]["content-type"] == "application/x-protobuf"
        assert to.heads[0]["x-key"] == "secret"
        assert len(to.taken) == 3
        more = stage.add(2)
        await through(sending)
    assert told(to) == names + more
    assert (sending.standing.sent, sending.standing.behind) == (1202, 0)


async def test_a_sink_that_was_down_is_told_of_everything(stage: Stage) -> None:
    with receiver() as to:
        port = to.port
    names = stage.add(600)
    sending = stage.open(to)
    pauses = [await sending.turn() for _ in range(4)]
    assert all(0.0 < pause <= 15.0 for pause in pauses)
    assert pauses[3] > pauses[0]
    names += stage.add(600)
    assert await sending.turn() > 0.0
    assert sending.standing.failing is not None
    assert sending.standing.behind == 1200
    with receiver(port=port) as to:
        await through(sending)
    assert told(to) == names
    assert sending.standing.failing is None
    assert sending.standing.failed == 0


async def test_another_process_of_the_spool_goes_on_where_the_first_one_stopped(
    stage: Stage,
) -> None:
    with receiver() as to:
        first = stage.add(3)
        await through(stage.open(to))  # and it is killed: nothing is given back
        second = stage.add(3)
        await through(stage.open(to))
        assert told(to) == first + second


async def test_one_process_of_several_has_the_turn(stage: Stage) -> None:
    class Later(SystemClock):
        def now_ns(self) -> int:
            return super().now_ns() + 3600 * 10**9

    names = stage.add(3)
    with receiver() as to:
        here, there = stage.open(to, "here"), stage.open(to, "there")
        await through(here)
        assert await there.turn() > 1.0
        names += stage.add(3)
        assert await there.turn() > 1.0
        late = stage.open(to, "there", Later())  # the first one is long dead
        await through(late)
        assert told(to) == names


@pytest.mark.parametrize("status", [401, 404, 415, 429, 500, 503])
async def test_what_is_refused_for_now_stays(stage: Stage, status: int) -> None:
    names = stage.add(5)
    with receiver(refusing(status, retry_after="120")) as to:
        sending = stage.open(to)
        assert await sending.turn() == 120.0
        assert sending.standing.failing == f"it answered {status}"
        to.judge = lambda _: (200, {}, b"")
        await through(sending)
        assert told(to) == names


async def test_a_record_that_is_unfit_is_found_and_passed_over(stage: Stage) -> None:
    names = stage.add(100)

    def judge(body: bytes) -> tuple[int, dict[str, str], bytes]:
        ids = [span["attributes"].get("tidegate.request_id") for span in traces(body)[1]]
        return (400 if "req_42" in ids else 200), {}, b""

    with receiver(judge) as to:
        sending = stage.open(to)
        await through(sending)
        assert told(to) == [name for name in names if name != "req_42"]
    assert (sending.standing.sent, sending.standing.failed) == (99, 1)
    assert sending.standing.failing is None


async def test_a_sink_that_finds_everything_unfit_is_wrong_itself(stage: Stage) -> None:
    names = stage.add(100)
    with receiver(refusing(400)) as to:
        sending = stage.open(to)
        await through(sending)
        assert sending.standing.failed == MOST_UNFIT
        assert sending.standing.failing is not None
        to.judge = lambda _: (200, {}, b"")
        await through(sending)
        assert told(to) == names[MOST_UNFIT:]


async def test_spans_that_were_rejected_are_counted(stage: Stage) -> None:
    stage.add(5)
    with receiver(lambda _: (200, {}, b"\x0a\x07\x08\x03\x12\x03bad")) as to:
        sending = stage.open(to)
        await through(sending)
    assert (sending.standing.sent, sending.standing.failed) == (5, 3)


async def test_a_share_is_sent_and_what_failed_in_any_case(stage: Stage) -> None:
    names = stage.add(300)
    failed = stage.add(10, outcome="upstream_timeout", status=504)
    wanted = [each for each in names if sampled(trace_id(each, None), 0.1)]
    with receiver() as to:
        settings = Traces(To(to.origin, PATH, allow_private=True), sample=0.1)
        sending = stage.open(settings=settings)
        await through(sending)
        assert told(to) == wanted + failed
        assert sending.standing.left_out == 300 - len(wanted)
        settings = replace(settings, errors=False, sample=0.0)
        stage.add(3, outcome="upstream_timeout", status=504)
        await through(stage.open(settings=settings))
        assert told(to) == wanted + failed


async def test_what_is_no_record_stops_nobody(stage: Stage) -> None:
    put(stage.store, row(0, request_id="other", started_ns=NOW_NS, payload=b"\xc1 none"))
    names = stage.add(2)
    with receiver() as to:
        sending = stage.open(to)
        await through(sending)
        assert told(to) == names
    assert sending.standing.failed == 1


async def test_a_private_address_is_refused_unless_it_is_meant(stage: Stage) -> None:
    stage.add(1)
    with receiver() as to:
        sending = stage.open(settings=Traces(To(to.origin, PATH)))
        assert await sending.turn() > 0.0
        assert not to.heads
    assert "loopback" in str(sending.standing.failing)


async def test_a_webhook_gets_signed_lines(stage: Stage) -> None:
    names = stage.add(3, request_body=b"my secret prompt")
    with receiver() as to:
        address = To(to.origin, "/hook?token=a", allow_private=True)
        await through(stage.open(settings=Webhook(address, secret="s")))
        lines = [json.loads(line) for line in to.taken[0].splitlines()]
        assert [line["request_id"] for line in lines] == names
        assert "request_body" not in lines[0]
        assert to.paths == ["/hook?token=a"]
        unix, _, said = to.heads[0]["tidegate-signature"].partition(",v1=")
        signed = unix.removeprefix("t=").encode() + b"." + to.taken[0]
        assert said == hmac.new(b"s", signed, sha256).hexdigest()
