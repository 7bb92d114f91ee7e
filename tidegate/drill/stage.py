"""Where a drill is played: processes of its own, or a gateway and simulators that run already.

A stage is opened once; for each scenario it gives a `Site`. With processes of its own every site
has a fresh gateway, so that no scenario inherits the breakers and the records of another.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from tidegate.clock import SystemClock
from tidegate.config.load import load
from tidegate.config.model import Config
from tidegate.drill.checks import Charge
from tidegate.drill.gateway import OwnGateway, records_in, waiting
from tidegate.drill.load import Place
from tidegate.drill.redis import Redis, is_installed
from tidegate.drill.scenarios import Need, Scenario
from tidegate.drill.simulators import OwnSimulator, Simulator
from tidegate.drill.staging import CALLER_KEY, aliases, servers, shares, staged, victim
from tidegate.house.money import prices_of
from tidegate.ledger.price import cost
from tidegate.telemetry.record import Record
from tidegate.types import Usage

_UNKNOWN_WAIT_S: Final = 60.0
_PATIENCE_MARGIN_S: Final = 5.0
_SETTLED_POLL_S: Final = 0.5
_SETTLED_AFTER: Final = 4
_LOADED_WITHIN_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of waiting and of prices."""

    first_token_s: float = _UNKNOWN_WAIT_S
    """The longest that any alias waits for a first token."""
    patience_s: float = 2 * _UNKNOWN_WAIT_S
    """Longer than any alias waits for an answer."""
    openings: int = 0
    """The failures that it takes to open the breakers of all the victim's targets."""
    charge: Charge | None = None


@dataclass(slots=True)
class Site:
    """One running gateway with its simulated providers."""

    place: Place
    aliases: Sequence[str]
    victims: Sequence[Simulator]
    """The servers of the provider that is struck."""
    simulators: Sequence[Simulator]
    terms: Terms
    gateway: OwnGateway | None = None
    """None when the gateway is not the drill's own."""
    redis: Redis | None = None
    """Where breakers are shared, if they are."""
    records: Sequence[Record] | None = None
    """Filled when the site is closed; None when they cannot be read."""


class Stage(Protocol):
    """Gives a site for each scenario."""

    def lacks(self, scenario: Scenario) -> Need | None:
        """What `scenario` needs and is not here."""
        ...

    def site(self, scenario: Scenario) -> Any:
        """A context manager with the `Site`. Raises: `Absent`."""
        ...


class OwnStage:
    """Simulators and gateways of the drill's own, from a copy of a configuration."""

    def __init__(self, document: dict[str, Any], directory: Path, only: Sequence[str] = ()) -> None:
        """Make one that asks for `only` these models, or for all."""
        self._document = document
        self._aliases = [name for name in aliases(document) if not only or name in only]
        self._directory = directory
        self._victim = victim(document) or ""
        shared = shares(document) and is_installed()
        self._redis = Redis(directory / "redis") if shared else None
        self._simulators = [
            OwnSimulator(name, number)
            for name, count in servers(document).items()
            for number in range(count)
        ]

    @property
    def runs(self) -> bool:
        """Whether there is anything to drill."""
        return bool(self._victim and self._simulators)

    async def open(self) -> None:
        """Start the simulated providers. Raises: `Absent`."""
        await asyncio.gather(*(each.start() for each in self._simulators))
        if self._redis is not None:
            await self._redis.start()

    async def close(self) -> None:
        """End the simulated providers."""
        for each in self._simulators:
            each.kill()
        if self._redis is not None:
            await self._redis.close()

    def lacks(self, scenario: Scenario) -> Need | None:
        """See `Stage.lacks`."""
        if Need.REPLICAS in scenario.needs and self._replicated() is None:
            return Need.REPLICAS
        if Need.REDIS in scenario.needs and self._redis is None:
            return Need.REDIS
        return None

    @asynccontextmanager
    async def site(self, scenario: Scenario) -> AsyncGenerator[Site]:
        """See `Stage.site`."""
        directory = self._directory / scenario.name
        await asyncio.to_thread(_made_anew, directory)
        ports: dict[str, list[int]] = {}
        for each in self._simulators:
            ports.setdefault(each.provider, []).append(each.port)
        path = directory / "tidegate.yaml"
        redis_port = self._redis.port if self._redis is not None else None
        document = staged(self._document, ports, redis_port=redis_port)
        path.write_bytes(msgspec.json.encode(document))  # all JSON is YAML
        config = load(path)
        await asyncio.gather(*(each.reset() for each in self._simulators))
        struck = self._replicated() if Need.REPLICAS in scenario.needs else self._victim
        gateway = OwnGateway(path, directory / "gateway.log")
        site = Site(
            Place(gateway.host, gateway.port, CALLER_KEY),
            self._aliases,
            [each for each in self._simulators if each.provider == struck],
            self._simulators,
            terms_of(config, struck or ""),
            gateway,
            self._redis,
        )
        try:
            await gateway.until_ready()
            yield site
            await gateway.stop()
            if waiting(config.spool.directory):
                # Its control process was not there to load them at the end: the next one has to.
                gateway = OwnGateway(path, directory / "gateway-again.log")
                await gateway.until_ready()
                await _loaded(config.spool.directory)
                await gateway.stop()
            site.records = await asyncio.to_thread(records_in, config.store.reveal())
        finally:
            gateway.abandon()

    def _replicated(self) -> str | None:
        """A provider with several servers, the usual victim before others."""
        counts = servers(self._document)
        several = [name for name, count in counts.items() if count > 1]
        return self._victim if self._victim in several else next(iter(several), None)


class RemoteStage:
    """A gateway and simulated providers that somebody else started.

    `config` is the gateway's own configuration: it tells where its records are and what things
    cost. Without it neither can be checked.
    """

    def __init__(
        self,
        place: Place,
        simulators: Sequence[Simulator],
        names: Sequence[str],
        config: Config | None,
    ) -> None:
        self._place = place
        self._simulators = simulators
        self._aliases = names
        self._config = config

    def lacks(self, scenario: Scenario) -> Need | None:
        """See `Stage.lacks`."""
        if Need.OWN_PROCESSES in scenario.needs:
            return Need.OWN_PROCESSES
        victim_servers = [one for one in self._simulators if one.provider == self._victim]
        if Need.REPLICAS in scenario.needs and len(victim_servers) < 2:  # noqa: PLR2004
            return Need.REPLICAS
        return None

    @property
    def _victim(self) -> str:
        return self._simulators[0].provider

    @asynccontextmanager
    async def site(self, scenario: Scenario) -> AsyncGenerator[Site]:
        """See `Stage.site`."""
        del scenario
        began_ns = SystemClock().now_ns()
        for each in self._simulators:
            await each.start()
            await each.reset()
        site = Site(
            self._place,
            self._aliases,
            [each for each in self._simulators if each.provider == self._victim],
            self._simulators,
            terms_of(self._config, self._victim) if self._config else Terms(),
        )
        yield site
        if self._config is not None:
            found = await _settled(self._config.store.reveal())
            site.records = [record for record in found if record.started_ns >= began_ns]


def _made_anew(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)
    directory.mkdir(parents=True)


async def _loaded(spool: Path) -> None:
    """Return when what the last gateway left in the spool is loaded, or is not going to be."""
    left = waiting(spool)
    for _ in range(round(_LOADED_WITHIN_S / _SETTLED_POLL_S)):
        if not left & waiting(spool):
            return
        await asyncio.sleep(_SETTLED_POLL_S)


async def _settled(store: str) -> list[Record]:
    """The records, once no more are added."""
    found: list[Record] = []
    same = 0
    while same < _SETTLED_AFTER:
        await asyncio.sleep(_SETTLED_POLL_S)
        now = await asyncio.to_thread(records_in, store)
        same = same + 1 if len(now) == len(found) else 0
        found = now
    return found


def terms_of(config: Config, struck: str) -> Terms:
    """What `config` says of waiting, of prices, and of breakers of the provider `struck`."""
    waits = [target.timeout for alias in config.models.values() for target in alias.targets]
    totals = [alias.timeout.total for alias in config.models.values()]
    failures = [
        alias.breaker.failures
        for alias in config.models.values()
        for target in alias.targets
        if target.provider == struck and alias.breaker is not None
    ]
    return Terms(
        max((wait.first_token for wait in waits), default=_UNKNOWN_WAIT_S),
        max(totals, default=_UNKNOWN_WAIT_S) + _PATIENCE_MARGIN_S,
        sum(failures) * config.server.workers,
        _charge(config),
    )


def _charge(config: Config) -> Charge:
    prices = prices_of(config)

    def charge(target: str, usage: Usage) -> Collection[int | None]:
        provider, _, model = target.partition("/")
        price = prices.of(provider, model, SystemClock().now_ns())
        return {None if price is None else cost(price, usage)}

    return charge
