"""The load, played to a simulated provider, which speaks what callers speak too."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from tidegate.drill.judge import Outcome
from tidegate.drill.load import MIX, Load, Place, Seen
from tidegate.drill.simulators import RemoteSimulator
from tidegate.providers.simulated import Server, Settings, start

RATE = 200.0


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with await start(Settings(length="4")) as running:
        yield running


async def play(server: Server, fault: str = "", *, patience_s: float = 10.0) -> list[Seen]:
    """Two rounds of the mix, all of them under the same fault."""
    simulator = RemoteSimulator("sim", f"http://127.0.0.1:{server.port}")
    await simulator.fail(fault)
    place = Place("127.0.0.1", server.port, "sk-drill")
    load = Load(place, ["a", "b"], RATE, patience_s, most=4 * len(MIX))
    await load.run()
    assert load.under_way == 0
    return load.seen


async def test_good_answers_of_every_format_are_known_as_good(server: Server) -> None:
    seen = await play(server)
    assert {one.outcome for one in seen} == {Outcome.GOOD}
    assert {(one.wire, one.stream) for one in seen} == set(MIX)
    assert {one.alias for one in seen} == {"a", "b"}
    assert all("sim-" in one.answer_id and one.request_id for one in seen if one.wire != "messages")
    assert all(one.due_s < one.first_s <= one.ended_s for one in seen)
    calls = await RemoteSimulator("sim", f"http://127.0.0.1:{server.port}").calls()
    assert {call.id for call in calls} == {
        one.answer_id[one.answer_id.index("sim-") :] for one in seen
    }
    assert all(call.complete and call.provider == "sim" for call in calls)


@pytest.mark.parametrize(
    ("fault", "streamed", "whole"),
    [
        ("status=503", Outcome.REFUSED, Outcome.REFUSED),
        ("reset", Outcome.UNANSWERED, Outcome.UNANSWERED),
        ("not-http", Outcome.UNANSWERED, Outcome.UNANSWERED),
        ("cut=2", Outcome.CUT, Outcome.CUT),
        ("truncate=2", Outcome.TRUNCATED, Outcome.TRUNCATED),
        ("error-event=2", Outcome.FAILED, Outcome.FAILED),
        ("malformed-json", Outcome.GOOD, Outcome.TRUNCATED),
    ],
)
async def test_every_other_end_is_known_for_what_it_is(
    server: Server, fault: str, streamed: Outcome, whole: Outcome
) -> None:
    for one in await play(server, fault):
        assert one.outcome is (streamed if one.stream else whole)
        assert one.detail or one.outcome is Outcome.GOOD or fault == "reset"


async def test_whoever_waits_too_long_is_late(server: Server) -> None:
    seen = await play(server, "hang", patience_s=0.2)
    assert Counter(one.outcome for one in seen) == {Outcome.LATE: len(seen)}


async def test_a_load_can_be_stopped(server: Server) -> None:
    load = Load(Place("127.0.0.1", server.port), ["a"], RATE, 1.0)
    load.stop()
    await load.run()
    assert not load.seen


async def test_nobody_there_is_no_answer() -> None:
    async with await start(Settings()) as gone:
        port = gone.port
    load = Load(Place("127.0.0.1", port), ["a"], RATE, 1.0, most=3)
    await load.run()
    assert {one.outcome for one in load.seen} == {Outcome.UNANSWERED}


async def test_a_gateway_that_stalls_is_not_spared(server: Server) -> None:
    """Requests are sent when they are due, however many wait."""
    seen = await play(server, "ttft=300ms")
    dues = [one.due_s for one in seen]
    gaps = [later - earlier for earlier, later in pairwise(dues)]
    assert gaps == pytest.approx([1 / RATE] * len(gaps))
    assert dues[-1] < min(one.ended_s for one in seen)


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1", ""])
def test_a_simulator_is_named_by_scheme_host_and_port(url: str) -> None:
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        RemoteSimulator("sim", url)
