"""The composition root: from a `Config` to the `Rooms` that a request may touch.

The only file that names concrete classes. Everything is resolved here, once; the hot path merges
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.config.model import Alias, Config, Timeout
from tidegate.config.model import Target as TargetSettings
from tidegate.config.provider import Upstream
from tidegate.conversations.keeper import Conversations, Policy
from tidegate.gateway.passthrough import Doors
from tidegate.gateway.serve import Rooms
from tidegate.guard.keys import KeyRing
from tidegate.house.lasting import Lasting
from tidegate.house.vendors import Vendors
from tidegate.ledger.price import Price, cost
from tidegate.net.dns import Resolver
from tidegate.policy.breaker import BreakerSettings
from tidegate.policy.health import Health, HealthSettings, Wards
from tidegate.policy.hedge import HedgeSettings
from tidegate.policy.retry import RetrySettings
from tidegate.providers.http import HttpProvider
from tidegate.routing.plan import Route, Router
from tidegate.types import Choice, Principal, Target, Terms, Timeouts, Usage

FREE = Price(0, 0, label="free")
"""What runs on the operator's own machine costs nothing per token unless a price is set."""


@dataclass(slots=True)
class House:
    """One configuration, ready to serve. `in_flight` requests still use it."""

    config: Config
    rooms: Rooms
    providers: Mapping[str, HttpProvider]
    resolver: Resolver
    in_flight: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the house is retired and the last request has left it."""

    async def close(self) -> None:
        """Close every upstream connection; for when nobody uses them any more."""
        for provider in self.providers.values():
            await provider.close()
        await self.resolver.close()


def build(config: Config, lasting: Lasting) -> House:
    """The house of `config`.

    Raises: `KeyError` when a local or simulated provider has no port, `MissingPart`.
    """
    resolver = Resolver()
    vendors = Vendors(resolver, lasting.sidecars)
    providers = {name: vendors.build(name, each) for name, each in config.providers.items()}
    rooms = Rooms(
        keys=_keys(config),
        router=Router({name: _route(name, alias) for name, alias in config.models.items()}),
        providers=providers,
        health=_watched(config, lasting.wards),
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
        cost=_costs(config),
        spool=lasting.spool,
        loop_time=asyncio.get_running_loop().time,
        config_version=config.version,
        body_limit_bytes=config.server.body_limit,
        read_timeout_s=config.server.read_timeout,
    )
    for provider in providers.values():  # only now: nobody would end what a refused house began
        provider.start()
    return House(config, rooms, providers, resolver)


def _keys(config: Config) -> KeyRing:
    return KeyRing(
        {
            key.secret.reveal(): Principal(key=key.name, team=key.team, models=key.models)
            for key in config.keys
        },
        anonymous=config.anonymous,
    )


def _route(name: str, alias: Alias) -> Route:
    return Route(
        alias=name,
        targets=tuple(_target(name, target, alias) for target in alias.targets),
        fallback=alias.fallback,
        total_s=alias.timeout.total,
        bodies=alias.records.bodies,
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


def _watched(config: Config, wards: Wards) -> Callable[[Choice], Health]:
    """The health of a choice, under the terms of the alias that its target stands in."""
    settings = {name: _health(alias) for name, alias in config.models.items()}
    for name, alias in config.models.items():  # so that they can be told of before they are asked
        for target in alias.targets:
            wards.of(f"{target.provider}/{target.model}", settings[name])

    def of(choice: Choice) -> Health:
        return wards.of(choice.target.name, settings[choice.target.alias])

    return of


def _costs(config: Config) -> Callable[[Target, Usage], tuple[int | None, str | None]]:
    prices: dict[tuple[str, str], Price] = {}
    for alias in config.models.values():
        for target in alias.targets:
            place = (target.provider, target.model)
            if target.price is not None:
                prices[place] = Price(
                    target.price.input,
                    target.price.output,
                    target.price.cached_input,
                    target.price.cache_write,
                    target.price.reasoning,
                )
            elif config.providers[target.provider].kind in ("local", "simulated"):
                prices.setdefault(place, FREE)

    def price(target: Target, usage: Usage) -> tuple[int | None, str | None]:
        found = prices.get((target.provider, target.model))
        return (None, None) if found is None else (cost(found, usage), found.label)

    return price
