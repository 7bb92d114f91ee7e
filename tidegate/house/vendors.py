"""From a provider's settings to what asks it: its dialect, its servers, our accounts with it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from tidegate.config.provider import (
    Address,
    AnthropicProvider,
    CompatibleProvider,
    Keyed,
    LocalProvider,
    OpenAIProvider,
    Provider,
    SimulatedProvider,
    Upstream,
)
from tidegate.net.dial import verified_tls
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool
from tidegate.providers.accounts import Account, Accounts
from tidegate.providers.compatible import ANY, row_for
from tidegate.providers.dialect import Dialect
from tidegate.providers.http import HttpProvider
from tidegate.providers.openai import OpenAI
from tidegate.providers.replicas import Health, Replica, Replicas

Tls = Callable[[Path | None], ssl.SSLContext]


class Vendors:
    """Builds the providers of one configuration; what they can share is made once."""

    def __init__(self, resolver: Resolver, sidecars: Mapping[str, int]) -> None:
        """`sidecars` are the ports of the providers that run beside us."""
        self._resolver = resolver
        self._sidecars = sidecars
        self._tls: Tls = cache(verified_tls)

    def build(self, name: str, settings: Provider) -> HttpProvider:
        """The provider `name`. Raises: `KeyError` when it runs beside us and has no port."""
        match settings:
            case LocalProvider() | SimulatedProvider():
                return self._sidecar(name)
            case OpenAIProvider():
                own = settings.own
                row = row_for("openai", own=own, api=settings.api, quirks=settings.quirks.known)
                return self._keyed(name, settings, OpenAI(row), OpenAI.credential, row.health)
            case CompatibleProvider():
                row = row_for(settings.kind, api=settings.api, quirks=settings.quirks.known)
                return self._keyed(name, settings, OpenAI(row), OpenAI.credential, row.health)
            case AnthropicProvider():
                raise NotImplementedError
            case _:
                raise NotImplementedError

    def _sidecar(self, name: str) -> HttpProvider:
        url = f"http://127.0.0.1:{self._sidecars[name]}/v1"
        pool = Pool(url, allow_private=True, resolver=self._resolver)
        account = Account("default", OpenAI.credential(None, {}))
        return HttpProvider(
            OpenAI(ANY), Replicas(name, [Replica(url, pool)]), Accounts(name, [account])
        )

    def _keyed(
        self,
        name: str,
        settings: Keyed,
        dialect: Dialect,
        credential: Callable[[str | None, dict[str, str]], bytes],
        health_path: str | None,
    ) -> HttpProvider:
        headers = {header: value.reveal() for header, value in settings.headers.items()}
        accounts = [Account(each, credential(key, headers)) for each, key in settings.keys]
        replicas = self._replicas(name, settings, settings.base_url, health_path)
        return HttpProvider(dialect, replicas, Accounts(name, accounts))

    def _replicas(
        self, name: str, settings: Upstream, addresses: Sequence[Address], health_path: str | None
    ) -> Replicas:
        rules = settings.health
        probe = rules.probe or health_path
        health = Health(
            failures=rules.failures,
            ejection_s=rules.ejection[0],
            longest_ejection_s=rules.ejection[1],
            max_ejected=rules.max_ejected,
            slow_start_s=rules.slow_start,
            probe=None if probe == "none" else probe,
            interval_s=rules.interval,
            timeout_s=rules.timeout,
        )
        several = len(addresses) > 1
        replicas = Replicas(
            name,
            [
                Replica(
                    each.url,
                    self._pool(each.url, settings),
                    each.weight,
                    self._pool(_root(each.url), settings) if several and health.probe else None,
                )
                for each in addresses
            ],
            balance=settings.balance,
            health=health,
        )
        replicas.start()
        return replicas

    def _pool(self, url: str, settings: Upstream) -> Pool:
        ca = settings.tls.ca
        return Pool(
            url,
            allow_private=settings.allow_private,
            tls=self._tls(ca) if ca is not None or url.startswith("https:") else None,
            proxy=settings.proxy.reveal() if settings.proxy else None,
            max_connections=settings.max_connections,
            resolver=self._resolver,
        )


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
