"""The composition root: from a `Config` to the `Rooms` that a request may touch.

The only file that names concrete classes. Everything is resolved here, once; the hot path merges
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.config.alias import Alias, Timeout
from tidegate.config.alias import Target as TargetSettings
from tidegate.config.limits import Key
from tidegate.config.model import Config
from tidegate.config.provider import Provider, Upstream
from tidegate.conversations.keeper import Conversations, Policy
from tidegate.gateway.admit import Desk
from tidegate.gateway.passthrough import Doors
from tidegate.gateway.rooms import Rooms, Teams
from tidegate.gateway.tracing import Tracing
from tidegate.guard.access import Access
from tidegate.guard.keys import KeyRing, nameable
from tidegate.house.counting import Counting
from tidegate.house.keeping import keeping_of, keeping_of_teams
from tidegate.house.lasting import Lasting
from tidegate.house.money import prices_of, rules_of
from tidegate.house.paces import hearing
from tidegate.house.vendors import Vendors
from tidegate.net.dns import Resolver
from tidegate.policy.breaker import BreakerSettings
from tidegate.policy.health import Health, HealthSettings, Wards
from tidegate.policy.hedge import HedgeSettings
from tidegate.policy.retry import RetrySettings
from tidegate.policy.slots.lane import Lane, LaneSettings
from tidegate.policy.slots.limit import LimitSettings
from tidegate.policy.slots.line import QueueSettings
from tidegate.policy.slots.register import Slots
from tidegate.providers.http import HttpProvider
from tidegate.routing.plan import Route, Router
from tidegate.types import Choice, Principal, Target, Terms, Timeouts


@dataclass(slots=True)
class House:
    """One configuration, ready to serve. `in_flight` requests still use it."""

    config: Config
    rooms: Rooms
    providers: Mapping[str, HttpProvider]
    resolver: Resolver
    ring: KeyRing
    counting: Counting
    in_flight: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the house is retired and the last request has left it."""

    def adopt(self, access: Access) -> None:
        """Go by other keys, limits and so on of the admin API from the next request on."""
        self.ring.take(access)
        self.rooms.teams.keeping = keeping_of_teams(self.config, access.records)
        rules = rules_of(self.config, access)
        self.counting.go_by(rules)
        desk = self.rooms.desk
        desk.prices = prices_of(self.config, access.prices)
        desk.go_by(rules)

    async def close(self) -> None:
        """Close every upstream connection; for when nobody uses them any more."""
        for provider in self.providers.values():
            await provider.close()
        await self.resolver.close()


def build(config: Config, lasting: Lasting) -> House:
    """The house of `config`.

    Raises: `KeyError` when a local or simulated provider has no port, `MissingPart`.
    """
    resolver, ring = Resolver(), _keys(config)
    vendors = Vendors(resolver, lasting.sidecars)
    providers = {name: vendors.build(name, each) for name, each in config.providers.items()}
    lane = _lanes(config, lasting.slots)
    rooms = Rooms(
        keys=ring,
        router=Router({name: _route(name, alias) for name, alias in config.models.items()}),
        providers=providers,
        health=_watched(config, lasting.wards),
        lane=lane,
        retry={
            name: RetrySettings(alias.retry.attempts, *alias.retry.backoff)
            for name, alias in config.models.items()
        },
        doors=Doors(
            {
                name: provider
                for name, provider in providers.items()
                if isinstance(settings := config.providers[name], Upstream) and settings.passthrough
            },
            _timeouts(Timeout.model_validate({})),
        ),
        conversations=Conversations(
            lasting.spool,
            lasting.archive,
            lasting.recent,
            Policy(config.responses.store, config.responses.retention),
        ),
        desk=Desk(
            lasting.counting.engine,
            prices_of(config),
            unpriced=config.ledger.unpriced == "allow",
            output_tokens=config.ledger.output_tokens,
        ),
        teams=Teams(keeping_of_teams(config)),
        spool=lasting.spool,
        stepper=lasting.stepper,
        tracing=Tracing(
            frozenset(name for name, each in config.providers.items() if _is_traced(each)),
            None if config.traces.endpoint is None else config.traces.sample,
        ),
        loop_time=asyncio.get_running_loop().time,
        config_version=config.version,
        body_limit_bytes=config.server.body_limit,
        read_timeout_s=config.server.read_timeout,
    )
    for provider in providers.values():  # only now: nobody would end what a refused house began
        provider.hear = hearing(lane)
        provider.start()
    house = House(config, rooms, providers, resolver, ring, lasting.counting)
    house.adopt(lasting.watch.access)
    return house


def _keys(config: Config) -> KeyRing:
    return KeyRing(
        {key.secret.reveal(): _principal(key, config) for key in config.keys},
        anonymous=config.anonymous,
        while_keyless="anonymous" not in config.model_fields_set,
        expires_ns={key.name: key.expires for key in config.keys if key.expires is not None},
    )


def _principal(key: Key, config: Config) -> Principal:
    team = config.teams.get(key.team) if key.team is not None else None
    return Principal(
        key=key.name,
        team=key.team,
        models=key.models,
        user=key.user,
        organisation=team.organisation if team is not None else None,
        environment=key.environment,
        features=key.features,
        may_name=nameable(key.may_name, key.user),
        priority=key.priority,
        weight=team.weight if team is not None else 1,
    )


def _is_traced(settings: Provider) -> bool:
    """Whether a provider is told of traces: by itself, one that the operator runs."""
    if not isinstance(settings, Upstream):
        return False
    return settings.allow_private if settings.traceparent is None else settings.traceparent


def _route(name: str, alias: Alias) -> Route:
    return Route(
        alias=name,
        targets=tuple(_target(name, target, alias) for target in alias.targets),
        fallback=alias.fallback,
        total_s=alias.timeout.total,
        keeping=keeping_of(alias.records),
        terms=_terms(alias),
        on_overflow=alias.on_context_overflow.fallback,
        on_filter=alias.on_content_filter.fallback,
        on_malformed=alias.on_malformed.fallback,
    )


def _target(name: str, settings: TargetSettings, alias: Alias) -> Target:
    return Target(
        provider=settings.provider,
        model=settings.model,
        timeouts=_timeouts(settings.timeout),
        weight=settings.weight,
        output_default=alias.output_tokens.default,
        output_max=alias.output_tokens.max,
        alias=name,
        unsupported=alias.unsupported,
    )


def _timeouts(timeout: Timeout) -> Timeouts:
    return Timeouts(timeout.connect, timeout.first_token, timeout.idle, timeout.total)


def _terms(alias: Alias) -> Terms:
    return Terms(
        truncate=alias.on_context_overflow.truncate == "oldest",
        check=alias.on_malformed.check,
        repairs=alias.on_malformed.repairs,
        hold=alias.on_malformed.streams == "hold",
        degraded=alias.degraded.text,
        hedged=alias.hedge is not None,
        overflow=alias.queue.overflow,
        drain=alias.client_gone == "drain",
        held_bytes=alias.commit.bytes,
    )


def _health(alias: Alias) -> HealthSettings:
    breaker, hedge = alias.breaker, alias.hedge
    return HealthSettings(
        retry_share=alias.retry.budget,
        breaker=breaker
        and BreakerSettings(
            failures=breaker.failures,
            share=breaker.share,
            window_s=breaker.window,
            min_requests=breaker.min_requests,
            cooldown_s=breaker.cooldown,
            max_cooldown_s=breaker.max_cooldown,
            probes=breaker.probes,
        ),
        hedge=hedge
        and HedgeSettings(
            percentile=hedge.percentile or 0.95,
            after_s=hedge.after_s,
            min_s=hedge.least,
            max_share=hedge.max_share,
            max_cost_share=hedge.max_cost,
        ),
    )


def _lanes(config: Config, slots: Slots) -> Callable[[Choice], Lane]:
    """The lane of a choice, under the terms of the alias that its target stands in."""
    settings = {name: _lane(alias) for name, alias in config.models.items()}

    def of(choice: Choice) -> Lane:
        return slots.of(choice.target.name, settings[choice.target.alias])

    return of


def _lane(alias: Alias) -> LaneSettings:
    bounds, queue = alias.concurrency, alias.queue
    return LaneSettings(
        limit=None if bounds is None else LimitSettings(least=bounds.least, most=bounds.most),
        queue=QueueSettings(length=queue.length, per_user=queue.per_user, wait_s=queue.wait),
    )


def _watched(config: Config, wards: Wards) -> Callable[[Choice], Health]:
    """The health of a choice, under the terms of the alias that its target stands in."""
    settings = {name: _health(alias) for name, alias in config.models.items()}
    for name, alias in config.models.items():  # so that they can be told of before they are asked
        for target in alias.targets:
            wards.of(f"{target.provider}/{target.model}", settings[name])

    def of(choice: Choice) -> Health:
        return wards.of(choice.target.name, settings[choice.target.alias])

    return of
