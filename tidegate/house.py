"""The composition root: from a `Config` to the `Rooms` that a request may touch.

The only file that names concrete classes. Everything is resolved here, once; the hot path merges
nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tidegate.config.model import Alias, Config
from tidegate.config.model import Target as TargetSettings
from tidegate.config.provider import OpenAIProvider as OpenAISettings
from tidegate.config.provider import Provider as ProviderSettings
from tidegate.gateway.serve import Provider, Rooms, Spool
from tidegate.guard.keys import KeyRing
from tidegate.ledger.price import Price, cost
from tidegate.net.dial import verified_tls
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool
from tidegate.providers.openai import OpenAIProvider
from tidegate.routing.plan import Route, Router
from tidegate.types import Principal, Target, Timeouts, Usage

OPENAI_HOST = "https://api.openai.com/"
FREE = Price(0, 0, label="free")
"""What runs on the operator's own machine costs nothing per token unless a price is set."""


@dataclass(slots=True)
class House:
    """One configuration, ready to serve. `in_flight` requests still use it."""

    config: Config
    rooms: Rooms
    resolver: Resolver
    in_flight: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the house is retired and the last request has left it."""

    async def close(self) -> None:
        """Close every upstream connection; for when nobody uses them any more."""
        for provider in self.rooms.providers.values():
            await provider.close()
        await self.resolver.close()


def build(config: Config, spool: Spool, sidecars: Mapping[str, int]) -> House:
    """The house of `config`; `sidecars` are the ports of the providers that run beside us.

    Raises: `KeyError` when a local or simulated provider has no port there.
    """
    resolver = Resolver()
    rooms = Rooms(
        keys=_keys(config),
        router=Router({name: _route(name, alias) for name, alias in config.models.items()}),
        providers={
            name: _provider(name, settings, resolver, sidecars)
            for name, settings in config.providers.items()
        },
        cost=_costs(config),
        spool=spool,
        loop_time=asyncio.get_running_loop().time,
        config_version=config.version,
        body_limit_bytes=config.server.body_limit,
        read_timeout_s=config.server.read_timeout,
    )
    return House(config, rooms, resolver)


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
        targets=tuple(_target(target, alias) for target in alias.targets),
        fallback=alias.fallback,
        total_s=alias.timeout.total,
        bodies=alias.records.bodies,
    )


def _target(settings: TargetSettings, alias: Alias) -> Target:
    timeout = settings.timeout
    return Target(
        provider=settings.provider,
        model=settings.model,
        timeouts=Timeouts(timeout.connect, timeout.first_token, timeout.idle, timeout.total),
        weight=settings.weight,
        output_default=alias.output_tokens.default,
        output_max=alias.output_tokens.max,
    )


def _provider(
    name: str, settings: ProviderSettings, resolver: Resolver, sidecars: Mapping[str, int]
) -> Provider:
    if not isinstance(settings, OpenAISettings):
        pool = Pool(f"http://127.0.0.1:{sidecars[name]}/v1", allow_private=True, resolver=resolver)
        return OpenAIProvider(pool, api_key=None, headers={})
    ca = settings.tls.ca
    tls = verified_tls(ca) if ca is not None or settings.base_url.startswith("https:") else None
    pool = Pool(
        settings.base_url,
        allow_private=settings.allow_private,
        tls=tls,
        proxy=settings.proxy.reveal() if settings.proxy else None,
        max_connections=settings.max_connections,
        resolver=resolver,
    )
    return OpenAIProvider(
        pool,
        api_key=settings.api_key.reveal() if settings.api_key else None,
        headers={header: value.reveal() for header, value in settings.headers.items()},
        output_field=(
            "max_completion_tokens" if settings.base_url.startswith(OPENAI_HOST) else "max_tokens"
        ),
    )


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
            elif config.providers[target.provider].kind != "openai":
                prices.setdefault(place, FREE)

    def price(target: Target, usage: Usage) -> tuple[int | None, str | None]:
        found = prices.get((target.provider, target.model))
        return (None, None) if found is None else (cost(found, usage), found.label)

    return price
