"""Delivery: in order, again until it works, nobody delayed by anybody, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from receivers import Receiver as Receiving
from receivers import receiving
from test_alerts_sinks import AT_NS, a_notice

from tidegate.alerts.courier import OLD_NS, PAUSES_S, Courier
from tidegate.alerts.machine import Memory
from tidegate.alerts.outbox import MOST_OWED, Outbox
from tidegate.alerts.settings import AlertSettings, Receiver, open_sinks
from tidegate.net.dns import Resolver


def to(at: Receiving) -> Receiver:
    return Receiver("webhook", at.url, allow_private=True)


class Delivering:
    def __init__(self, outbox: Outbox, now_ns: int) -> None:
        self.outbox = outbox
        self.now_ns = now_ns
        self.pauses: list[float] = []

    async def pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)
        await asyncio.sleep(0)

    async def until_owed(self, count: int) -> None:
        """Wait until no more than so many are owed."""
        while len(self.outbox.kept.owed) > count:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0)


@asynccontextmanager
async def delivering(
    outbox: Outbox, now_ns: int = AT_NS, **sinks: Receiver
) -> AsyncGenerator[Delivering]:
    resolver, this = Resolver(), Delivering(outbox, now_ns)
    opened = open_sinks(AlertSettings(sinks=sinks), resolver, lambda: AT_NS)
    courier = Courier(outbox, opened, lambda: this.now_ns, this.pause)
    task = asyncio.create_task(courier.run())
    try:
        yield this
    finally:
        task.cancel()
        await asyncio.wait([task])
        await resolver.close()


def ids(at: Receiving) -> list[str]:
    return [at.next().told["alerts"][0]["id"] for _ in range(at.posted.qsize())]


async def test_message_is_tried_again_until_it_arrives_and_order_is_kept(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice(id="1"), a_notice(id="2")], ["hook"])
    with receiving([500, 429, 503]) as at:
        async with delivering(outbox, hook=to(at)) as this:
            await this.until_owed(0)
        assert ids(at) == ["1", "1", "1", "1", "2"]
    assert tuple(this.pauses) == PAUSES_S[:3]


async def test_what_can_never_arrive_is_given_up(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice(id="1"), a_notice(id="2")], ["hook"])
    with receiving([404]) as at:
        async with delivering(outbox, hook=to(at)) as this:
            await this.until_owed(0)
        assert ids(at) == ["1", "2"]
    assert this.pauses == []


async def test_what_did_not_arrive_in_a_day_is_given_up(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice()], ["hook"])
    with receiving([500] * 9) as at:
        async with delivering(outbox, AT_NS + OLD_NS + 1, hook=to(at)) as this:
            await this.until_owed(0)
        assert at.posted.qsize() == 1


async def test_a_sink_that_fails_delays_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice(id="1"), a_notice(id="2")], ["good", "bad"])
    with receiving() as good, receiving(iter(lambda: 500, 0)) as bad:
        async with delivering(outbox, good=to(good), bad=to(bad)):
            while outbox.next("good") is not None:  # noqa: ASYNC110  it tells nobody
                await asyncio.sleep(0)
        assert ids(good) == ["1", "2"]
    assert [each.sinks for each in outbox.kept.owed] == [("bad",), ("bad",)]


async def test_what_was_delivered_is_not_after_a_restart_and_the_rest_is(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    Outbox(file).add([a_notice(id="1")], ["hook"])
    with receiving() as at:
        async with delivering(Outbox(file), hook=to(at)) as this:
            await this.until_owed(0)
        again = Outbox(file)
        assert again.add([a_notice(id="1")], ["hook"]) == []
        assert len(again.add([a_notice(id="2")], ["hook"])) == 1
        async with delivering(again, hook=to(at)) as this:
            await this.until_owed(0)
        assert ids(at) == ["1", "2"]


def test_an_outbox_is_bounded_and_the_oldest_go(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice(id=str(n)) for n in range(MOST_OWED + 5)], ["hook"])
    first = outbox.next("hook")
    assert first is not None
    assert first.alerts[0].id == "5"
    assert len(Outbox(tmp_path / "out.json").kept.owed) == MOST_OWED


def test_a_damaged_file_is_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    file.write_text("{")
    outbox = Outbox(file)
    assert outbox.kept.memory == Memory()
    outbox.add([a_notice()], ["hook"])
    assert Outbox(file).next("hook") == a_notice()


def test_nobody_to_tell_owes_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    assert len(outbox.add([a_notice()], [])) == 1
    assert outbox.kept.owed == ()


async def test_a_sink_that_cannot_work_at_all_stops_nothing(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "out.json")
    outbox.add([a_notice(id="1"), a_notice(id="2")], ["bad", "good"])
    with receiving() as at:
        bad = Receiver("webhook", f"{at.url}/?a b", allow_private=True)
        async with delivering(outbox, bad=bad, good=to(at)) as this:
            await this.until_owed(0)
        assert ids(at) == ["1", "2"]
