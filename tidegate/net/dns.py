"""Names to addresses, from a cache that answers at once while it refreshes itself behind.

A request waits for DNS only the first time a name is asked for, or when the last answer is older
than `ttl_s + stale_s`. However many ask, one look-up per name is under way.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

AddressInfo: TypeAlias = tuple[
    int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]
Lookup: TypeAlias = Callable[[str, int], Awaitable[list[AddressInfo]]]


async def look_up(host: str, port: int) -> list[AddressInfo]:
    """Ask the operating system, on a thread of the loop.

    Raises:
        OSError: The name is not known, or nobody could be asked.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    except UnicodeError as error:  # a label too long for DNS
        raise socket.gaierror(socket.EAI_NONAME, "not a valid name") from error
    return list(found)


@dataclass(frozen=True, slots=True)
class _Answer:
    addresses: list[AddressInfo]
    fresh_until_s: float


class Resolver:
    """A cache of look-ups, for one event loop.

    Args:
        ttl_s: How long an answer is used without asking again.
        stale_s: How much longer it is still used while a look-up runs behind, or keeps failing.
        max_names: The bound; the name that was looked up longest ago goes first.
        lookup: What asks; tests bring their own.
    """

    def __init__(
        self,
        *,
        ttl_s: float = 30.0,
        stale_s: float = 600.0,
        max_names: int = 1024,
        lookup: Lookup = look_up,
    ) -> None:
        self._ttl_s = ttl_s
        self._stale_s = stale_s
        self._max_names = max_names
        self._lookup = lookup
        self._answers: dict[tuple[str, int], _Answer] = {}
        self._asking: dict[tuple[str, int], asyncio.Task[list[AddressInfo]]] = {}

    async def resolve(self, host: str, port: int) -> list[AddressInfo]:
        """The addresses of `host`, in the order of preference of the operating system; not empty.

        Raises:
            OSError: The name is not known, or nobody could be asked.
        """
        name = (host, port)
        answer = self._answers.get(name)
        if answer is not None:
            overdue_s = asyncio.get_running_loop().time() - answer.fresh_until_s
            if overdue_s >= 0:
                asking = self._ask(name)
                if overdue_s >= self._stale_s:
                    return await asyncio.shield(asking)
            return answer.addresses
        # Shielded: others may wait for the same answer when this caller is cancelled.
        return await asyncio.shield(self._ask(name))

    async def close(self) -> None:
        """Stop the look-ups under way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _ask(self, name: tuple[str, int]) -> asyncio.Task[list[AddressInfo]]:
        task = self._asking.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._refresh(name))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._asked(name, done))
        return task

    async def _refresh(self, name: tuple[str, int]) -> list[AddressInfo]:
        addresses = await self._lookup(*name)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no addresses")
        fresh_until_s = asyncio.get_running_loop().time() + self._ttl_s
        self._answers.pop(name, None)
        self._answers[name] = _Answer(addresses, fresh_until_s)
        if len(self._answers) > self._max_names:
            del self._answers[next(iter(self._answers))]
        return addresses

    def _asked(self, name: tuple[str, int], task: asyncio.Task[list[AddressInfo]]) -> None:
        del self._asking[name]
        if not task.cancelled():
            # A refresh behind has nobody waiting for its failure: the old answer stays in use.
            task.exception()
