"""Breakers shared through a real Redis, also one that stalls or dies."""

import asyncio
import logging
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import uvloop
from redises import PASSWORD, Proxy, proxy, redis_server
from servers import free_port

from tidegate.errors import UpstreamFailed, UpstreamRateLimited
from tidegate.policy.board import SharedState
from tidegate.policy.breaker import BreakerSettings, Change
from tidegate.policy.health import Health, HealthSettings, Wards
from tidegate.policy.link import Link, LinkBroken
from tidegate.policy.shared import Shared

SETTINGS = HealthSettings(
    breaker=BreakerSettings(failures=2, cooldown_s=60.0, max_cooldown_s=300.0)
)
PATIENT_S = 5.0
HASTY_S = 0.2
NAME = "p/m"


class Gateway:
    """A gateway's wards, shared."""

    def __init__(
        self, port: int, *, timeout_s: float = PATIENT_S, password: str = PASSWORD,
        silence_s: float = 60.0, catch_up_s: float = 60.0,
    ) -> None:  # fmt: skip
        self.wards = Wards()
        self.health = self.wards.of(NAME, SETTINGS)
        self.changed = asyncio.Event()
        self.wards.listen(self._note)
        self.changes: list[Change] = []
        link = Link(f"redis://:{password}@127.0.0.1:{port}/0", timeout_s=timeout_s)
        self.shared = Shared(
            link, self.wards, draw=lambda: 0.0, silence_s=silence_s, catch_up_s=catch_up_s
        )
        self.running = asyncio.create_task(self.shared.run())

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self.changed.set()

    def fail(self, health: Health | None = None) -> None:
        now_s = asyncio.get_running_loop().time()
        for _ in range(2):
            trial = (health or self.health).begin(now_s, anyway=True)
            assert trial is not None
            trial.failed(UpstreamFailed("It failed."), now_s)

    def be_limited(self, retry_after_s: float) -> None:
        now_s = asyncio.get_running_loop().time()
        trial = self.health.begin(now_s, anyway=True)
        assert trial is not None
        trial.failed(UpstreamRateLimited("Slow down.", retry_after_s=retry_after_s), now_s)

    def rests_s(self) -> float:
        return self.health.breaker.retry_in_s(asyncio.get_running_loop().time())

    async def rests(self) -> None:
        await until(lambda: self.rests_s() > 0)

    async def is_(self, state: str) -> SharedState:
        await until(lambda: self.shared.state().state == state)
        return self.shared.state()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - it is another process that makes it so
            await asyncio.sleep(0.002)


Start = Callable[..., Gateway]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    begun: list[Gateway] = []

    def start(port: int, **options: object) -> Gateway:
        begun.append(Gateway(port, **options))  # pyright: ignore[reportArgumentType]
        return begun[-1]

    yield start
    for gateway in begun:
        gateway.running.cancel()
    await asyncio.gather(*(gateway.running for gateway in begun), return_exceptions=True)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield port


@pytest.fixture
def redis_port(port: int) -> int:
    """A Redis that holds nothing."""
    with redis.Redis(port=port, password=PASSWORD) as client:
        client.flushall()
    return port


@pytest.fixture
async def stalling(redis_port: int) -> AsyncIterator[Proxy]:
    async with proxy(redis_port) as before:
        yield before


async def test_opening_reaches_the_others_with_its_end_and_reason(
    redis_port: int, start: Start
) -> None:
    one, two = start(redis_port), start(redis_port)
    await one.is_("up")
    await two.is_("up")
    one.fail()
    await two.rests()
    assert two.rests_s() == pytest.approx(one.rests_s(), abs=1.0)
    assert two.health.breaker.heard
    assert two.health.breaker.reason == "another gateway says: 2 failures in a row"
    assert not one.health.breaker.heard
    assert len(one.changes) == len(two.changes) == 1


async def test_newcomer_learns_what_holds(redis_port: int, start: Start) -> None:
    one = start(redis_port)
    one.fail()  # before the line is even open
    two = start(redis_port)
    await two.rests()
    three = start(redis_port)
    await three.rests()
    assert three.rests_s() == pytest.approx(one.rests_s(), abs=1.0)


async def test_shorter_verdict_shortens_nothing_and_a_longer_one_lengthens(
    redis_port: int, start: Start
) -> None:
    one, witness = start(redis_port), start(redis_port)
    await one.is_("up")
    await witness.is_("up")
    one.be_limited(200.0)
    await witness.rests()
    late = start(redis_port)
    late.be_limited(20.0)
    await until(lambda: late.rests_s() > 150)
    other = late.wards.of("q/n", SETTINGS)
    late.fail(other)  # told after the shorter one
    with redis.Redis(port=redis_port, password=PASSWORD) as client:
        await until(lambda: bool(client.exists("tidegate:open:q/n")))
    assert witness.rests_s() > 150
    newcomer = start(redis_port)
    await newcomer.rests()
    assert newcomer.rests_s() > 150
    one.be_limited(250.0)
    await until(lambda: min(each.rests_s() for each in (witness, late, newcomer)) > 225)


async def test_what_is_held_goes_with_its_time(redis_port: int, start: Start) -> None:
    one = start(redis_port)
    await one.is_("up")
    one.be_limited(100.0)
    with redis.Redis(port=redis_port, password=PASSWORD) as client:
        await until(lambda: bool(client.exists(f"tidegate:open:{NAME}")))
        left_ms = client.pttl(f"tidegate:open:{NAME}")
    assert isinstance(left_ms, int)
    assert 0 < left_ms <= 100_000


async def test_missed_opening_is_caught_up_with(
    redis_port: int, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tidegate.policy")
    late = start(redis_port, catch_up_s=0.02)
    one = start(redis_port)
    await late.is_("up")
    other = one.wards.of("q/n", SETTINGS)
    one.fail(other)
    with redis.Redis(port=redis_port, password=PASSWORD) as client:
        await until(lambda: bool(client.exists("tidegate:open:q/n")))
    assert late.wards.get("q/n") is None  # heard, and not known here
    health = late.wards.of("q/n", SETTINGS)
    await until(lambda: health.breaker.heard)
    assert [line.message for line in caplog.records].count(
        "breakers are shared with other gateways"
    ) == 2  # once for each, however often they caught up


async def test_opening_that_is_over_before_it_can_be_told_is_not_told(
    redis_port: int, start: Start
) -> None:
    one = start(redis_port)
    one.shared._note(Change("over", "closed", "open", "many", 60.0, 0.0))  # pyright: ignore[reportPrivateUsage]
    await one.is_("up")
    one.fail()
    with redis.Redis(port=redis_port, password=PASSWORD) as client:
        await until(lambda: bool(client.exists(f"tidegate:open:{NAME}")))
        assert not client.exists("tidegate:open:over")
    assert one.shared.state().state == "up"


async def test_recovery_is_for_each_to_find_out(redis_port: int, start: Start) -> None:
    one, two = start(redis_port), start(redis_port)
    await one.is_("up")
    await two.is_("up")
    one.fail()
    await two.rests()
    now_s = asyncio.get_running_loop().time()
    trial = two.health.begin(now_s, anyway=True)
    assert trial is not None
    trial.answered(now_s)
    assert two.rests_s() == 0.0
    assert one.rests_s() > 0
    one.be_limited(200.0)  # what is only heard does not outweigh what was just seen
    newcomer = start(redis_port)
    await newcomer.rests()
    assert two.rests_s() == 0.0


async def test_breaker_that_is_switched_off_stays_so(redis_port: int, start: Start) -> None:
    one, two, witness = (start(redis_port) for _ in range(3))
    for gateway in (one, two, witness):
        await gateway.is_("up")
    two.wards.of(NAME, HealthSettings(breaker=None))
    one.fail()
    await witness.rests()
    newcomer = start(redis_port)
    await newcomer.rests()
    assert two.changes == []


@pytest.mark.parametrize(
    "message",
    [
        b"", b"x", b"1 {}", b"1 " + b"[" * 5000, b"\xff\xfe", b'9 {"target": 5}',
        b'9 {"target":"p/m","until_ms":%s,"reason":"","by":"x"}' % (b"9" * 2000),
        b'9 {"target":"p/m","until_ms":-1,"reason":"","by":"x"}',
        b'9 {"target":"p/m","until_ms":1,"reason":"","by":"x"}',
    ],
    ids=range(9),
)  # fmt: skip
async def test_what_is_no_opening_is_passed_over(
    redis_port: int, start: Start, message: bytes
) -> None:
    with redis.Redis(port=redis_port, password=PASSWORD) as client:
        client.set(f"tidegate:open:{NAME}", message)
        one = start(redis_port)
        await one.is_("up")
        client.publish("tidegate:openings", message)
    two = start(redis_port)
    await two.is_("up")
    two.fail()
    await one.rests()
    assert len(one.changes) == 1
    assert one.shared.state().state == "up"


async def test_redis_that_is_not_there_changes_nothing_but_is_seen(
    tmp_path: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tidegate.policy")
    port = free_port()
    one = start(port)
    state = await one.is_("down")
    assert "refused" in state.reason or "connect" in state.reason.lower()
    one.fail()
    assert one.rests_s() > 0
    with ExitStack() as stack:
        stack.enter_context(redis_server(tmp_path, port))
        await one.is_("up")
        two = start(port)
        await two.rests()  # what happened meanwhile was told
        stack.close()
        await one.is_("down")
        await two.is_("down")
        stack.enter_context(redis_server(tmp_path, port))
        await one.is_("up")
        await two.is_("up")
    said = [line.message for line in caplog.records if "share" in line.message]
    assert sum("are shared" in line for line in said) == 4
    assert sum("are not shared" in line for line in said) == 3


@pytest.mark.parametrize("silence_s", [60.0, 0.01])
async def test_redis_that_stalls_changes_nothing_but_is_seen(
    stalling: Proxy, start: Start, silence_s: float
) -> None:
    one = start(stalling.port, timeout_s=HASTY_S, silence_s=silence_s)
    await one.is_("up")
    stalling.stall()
    before_s = time.perf_counter()
    one.fail()
    assert one.rests_s() > 0
    assert time.perf_counter() - before_s < HASTY_S  # nobody waited for an answer
    state = await one.is_("down")
    assert state.reason in {"it did not answer within 200 ms", "it has fallen silent"}
    stalling.flow()
    await one.is_("up")
    two = start(stalling.port)
    await two.rests()


async def test_idle_line_that_falls_silent_is_noticed(stalling: Proxy, start: Start) -> None:
    one = start(stalling.port, timeout_s=HASTY_S, silence_s=0.01)
    await one.is_("up")
    stalling.stall()
    await one.is_("down")
    stalling.flow()
    await one.is_("up")


async def test_password_that_is_not_accepted_is_said_and_not_shown(
    redis_port: int, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = start(redis_port, password="wrong-wrong-wrong")
    state = await one.is_("down")
    assert state.reason
    assert "wrong-wrong" not in state.reason
    assert "wrong-wrong" not in caplog.text


async def test_nothing_is_left_when_it_ends(redis_port: int) -> None:
    one = Gateway(redis_port)
    await one.is_("up")
    with redis.Redis(port=redis_port, password=PASSWORD) as client:

        def ours() -> int:
            clients = client.client_list()
            assert isinstance(clients, list)
            return len(clients) - 1

        assert ours() >= 2
        one.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one.running
        await until(lambda: ours() == 0)


class BreaksWhenCancelled(Link):
    """A line whose driver turns being cancelled into an error of its own."""

    def __init__(self, *, open_: bool) -> None:
        super().__init__("redis://127.0.0.1")
        self.waited_for = asyncio.Event()
        self._open = open_

    async def open(self) -> None:
        if not self._open:
            await self.wait_for_nothing()

    async def held(self, targets: Sequence[str]) -> list[bytes]:  # noqa: ARG002 - the shape
        return []

    async def hear(self, silence_s: float) -> bytes | None:  # noqa: ARG002
        await self.wait_for_nothing()

    async def wait_for_nothing(self) -> None:
        self.waited_for.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LinkBroken("the connection was closed") from None


@pytest.mark.parametrize("open_", [True, False])
async def test_line_that_breaks_as_it_is_cancelled_does_not_keep_it_running(*, open_: bool) -> None:
    line = BreaksWhenCancelled(open_=open_)
    running = asyncio.create_task(Shared(line, Wards()).run())
    await line.waited_for.wait()
    running.cancel()
    await asyncio.wait([running], timeout=60)
    assert running.cancelled()


async def test_untold_openings_are_bounded(start: Start) -> None:
    one = start(free_port())
    await one.is_("down")
    one.wards = Wards(limit=3000)
    for number in range(1500):
        change = Change(f"t/{number}", "closed", "open", "many", 0.0, 60.0)
        one.shared._note(change)  # pyright: ignore[reportPrivateUsage]
    assert len(one.shared._untold) == 1000  # pyright: ignore[reportPrivateUsage]


def test_it_works_on_the_loop_that_gateways_run_on(redis_port: int) -> None:
    async def share() -> None:
        one, two = Gateway(redis_port), Gateway(redis_port)
        await one.is_("up")
        await two.is_("up")
        one.fail()
        await two.rests()
        for gateway in (one, two):
            gateway.running.cancel()
        await asyncio.gather(one.running, two.running, return_exceptions=True)

    uvloop.run(share())


def test_driver_is_loaded_only_where_breakers_are_shared() -> None:
    script = """
        import sys
        from tidegate.policy import health, link, shared
        assert not [name for name in sys.modules if name.partition(".")[0] == "redis"]
        sys.modules["redis.asyncio"] = None  # as where it is not installed
        try:
            link.Link("redis://127.0.0.1")
        except ImportError as error:
            print(error)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "pip install 'tidegate[redis]'" in done.stdout


def test_url_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="redis://"):
        Link("http://127.0.0.1")
