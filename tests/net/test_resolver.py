"""The cache of names answers at once, asks once, forgets in time and stays small."""

import asyncio
import socket

import pytest

from tidegate.net.dns import AddressInfo, Resolver, look_up


class Dns:
    """Answers with a new address each time, when it is let."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.fails = False

    async def __call__(self, host: str, port: int) -> list[AddressInfo]:
        self.asked.append(host)
        number = len(self.asked)
        await self.answers.wait()
        if self.fails:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"192.0.2.{number}", port))]


async def address(resolver: Resolver, host: str = "h") -> str:
    return str((await resolver.resolve(host, 80))[0][4][0])


async def test_answer_is_kept() -> None:
    dns = Dns()
    resolver = Resolver(lookup=dns)
    assert [await address(resolver) for _ in range(3)] == ["192.0.2.1"] * 3


async def test_many_who_ask_at_once_ask_once() -> None:
    dns = Dns()
    dns.answers.clear()
    resolver = Resolver(lookup=dns)
    asking = [asyncio.create_task(address(resolver)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    dns.answers.set()
    assert await asyncio.gather(*asking[1:]) == ["192.0.2.1"] * 4
    assert dns.asked == ["h"]


async def test_old_answer_is_used_while_a_new_one_is_fetched() -> None:
    dns = Dns()
    resolver = Resolver(ttl_s=0, lookup=dns)
    assert await address(resolver) == "192.0.2.1"
    dns.answers.clear()
    assert [await address(resolver) for _ in range(3)] == ["192.0.2.1"] * 3
    await asyncio.sleep(0)
    assert dns.asked == ["h", "h"]
    dns.answers.set()
    await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
    dns.answers.clear()
    assert await address(resolver) == "192.0.2.2"
    await resolver.close()


async def test_old_answer_is_used_while_nobody_can_be_asked() -> None:
    dns = Dns()
    resolver = Resolver(ttl_s=0, lookup=dns)
    assert await address(resolver) == "192.0.2.1"
    dns.fails = True
    while len(dns.asked) < 5:
        assert await address(resolver) == "192.0.2.1"
        await asyncio.sleep(0)
    await resolver.close()


async def test_answer_that_is_too_old_is_not_used() -> None:
    dns = Dns()
    resolver = Resolver(ttl_s=0, stale_s=0, lookup=dns)
    assert [await address(resolver) for _ in range(3)] == [f"192.0.2.{n}" for n in (1, 2, 3)]


async def test_failure_is_told_to_all_and_not_kept() -> None:
    dns = Dns()
    dns.fails = True
    resolver = Resolver(lookup=dns)
    outcomes = await asyncio.gather(*(address(resolver) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [socket.gaierror] * 3
    dns.fails = False
    assert await address(resolver) == "192.0.2.2"


async def test_cache_is_bounded() -> None:
    dns = Dns()
    resolver = Resolver(max_names=2, lookup=dns)
    for host in ("a", "b", "c", "c", "b", "a"):
        await address(resolver, host)
    assert dns.asked == ["a", "b", "c", "a"]


async def test_closing_ends_who_waits() -> None:
    dns = Dns()
    dns.answers.clear()
    resolver = Resolver(lookup=dns)
    waiting = asyncio.create_task(address(resolver))
    await asyncio.sleep(0)
    await resolver.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("host", ["a" * 64, "nothing..here", ""])
async def test_name_that_cannot_be_one_is_not_found(host: str) -> None:
    with pytest.raises(socket.gaierror):
        await Resolver(lookup=look_up).resolve(host + ".invalid", 80)


async def test_system_knows_this_machine() -> None:
    assert await address(Resolver(), "127.0.0.1") == "127.0.0.1"
