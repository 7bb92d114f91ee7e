"""Reload: build the new house beside the old one, swap, let the old one empty; or keep the old.

The swap is one assignment between two requests. A request keeps the house it began in, and the old
house's connections are closed when its last request has left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.gateway.rooms import Rooms
from tidegate.guard.access import Access
from tidegate.house import House
from tidegate.providers.local import MissingPart

log = logging.getLogger("tidegate.live")


class Live:
    """The house that serves now, and those that are still emptying."""

    def __init__(self, load: Callable[[], Config], build: Callable[[Config], House]) -> None:
        """Start with what `load` gives. Raises: `ConfigError`."""
        self._load = load
        self._build = build
        self._house = build(load())
        self._houses = {id(self._house.rooms): self._house}
        self._retiring: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._house.config

    @property
    def house(self) -> House:
        """The house that serves now."""
        return self._house

    @property
    def running(self) -> int:
        """Requests that are being answered, in all houses."""
        return sum(house.in_flight for house in self._houses.values())

    def adopt(self, access: Access) -> None:
        """Go by other keys, limits and so on of the admin API from the next request on."""
        self._house.adopt(access)

    def enter(self) -> Rooms:
        """The rooms for one more request."""
        self._house.in_flight += 1
        return self._house.rooms

    def leave(self, rooms: Rooms) -> None:
        """One request less in `rooms`."""
        house = self._houses[id(rooms)]
        house.in_flight -= 1
        if house is not self._house and house.in_flight == 0:
            house.left.set()

    async def reload(self) -> bool:
        """Serve the file as it is now from the next request on; whether that could be done.

        It is read in a thread: what secrets refer to may stand behind a network.
        """
        async with self._reloading:
            return self._swap(await _outcome(self._load))

    def _swap(self, load: Callable[[], Config]) -> bool:
        try:
            house = self._build(load())
        except ConfigError as error:
            log.error(  # noqa: TRY400 - the mistakes say it all, the trace nothing
                "the new configuration is refused, the old one goes on",
                extra={"fields": {"mistakes": [str(mistake) for mistake in error.mistakes]}},
            )
            return False
        except MissingPart as error:
            log.error(  # noqa: TRY400
                "the new configuration needs something that is not installed, the old one goes on",
                extra={"fields": {"missing": str(error)}},
            )
            return False
        except KeyError as error:
            log.error(  # noqa: TRY400
                "the new configuration needs a restart, the old one goes on",
                extra={"fields": {"provider": str(error.args[0])}},
            )
            return False
        old, self._house = self._house, house
        self._houses[id(house.rooms)] = house
        if old.in_flight == 0:
            old.left.set()
        task = asyncio.get_running_loop().create_task(self._retire(old))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)
        log.info("now serving", extra={"fields": {"version": house.config.version}})
        return True

    async def close(self) -> None:
        """Close every house; for when no request is left."""
        for house in self._houses.values():
            house.left.set()
        await asyncio.gather(*self._retiring)
        await self._house.close()

    async def _retire(self, house: House) -> None:
        await house.left.wait()
        await house.close()
        if house.in_flight == 0:
            del self._houses[id(house.rooms)]


async def _outcome(load: Callable[[], Config]) -> Callable[[], Config]:
    """What `load` gives or raises, once a thread has run it."""
    loading = asyncio.get_running_loop().run_in_executor(None, load)
    await asyncio.wait([loading])
    return loading.result
