"""From a provider's settings to what asks it: its dialect, its servers, our accounts with it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tidegate.clock import SystemClock
from tidegate.config.provider import (
    Address,
    AnthropicProvider,
    AzureProvider,
    BedrockProvider,
    CompatibleProvider,
    GeminiProvider,
    Keyed,
    OpenAIProvider,
    Provider,
    Upstream,
    VertexProvider,
)
from tidegate.net.dial import verified_tls
from tidegate.net.dns import Resolver
from tidegate.net.http import MAX_STARTS, Pool
from tidegate.providers.accounts import Account, Accounts
from tidegate.providers.anthropic import Anthropic
from tidegate.providers.azure import Azure
from tidegate.providers.bedrock import ApiKey, Bedrock, Credential, KeyChain, Keys, Signer
from tidegate.providers.compatible import ANY, row_for
from tidegate.providers.dialect import Dialect
from tidegate.providers.gemini import Gemini, Vertex
from tidegate.providers.google_auth import Tokens, application_default, service_account
from tidegate.providers.http import HttpProvider, Keeper
from tidegate.providers.openai import OpenAI
from tidegate.providers.replicas import Health, Replica, Replicas

Tls = Callable[[Path | None], ssl.SSLContext]
ToLines = Callable[[str | None, dict[str, str]], bytes]
"""From a key and the configured headers to the header lines of an account."""


class Vendors:
    """Builds the providers of one configuration; what they can share is made once."""

    def __init__(self, resolver: Resolver, sidecars: Mapping[str, int]) -> None:
        """`sidecars` are the ports of the providers that run beside us."""
        self._resolver = resolver
        self._sidecars = sidecars
        self._tls: Tls = cache(verified_tls)

    def build(self, name: str, settings: Provider) -> HttpProvider:
        """The provider `name`. Raises: `KeyError` when it runs beside us and has no port."""
        if not isinstance(settings, Upstream):
            return self._sidecar(name)
        dialect, health_path = _dialect(settings)
        accounts, keeper = self._accounts(name, settings)
        replicas = self._replicas(name, settings, addresses(settings), health_path)
        return HttpProvider(dialect, replicas, accounts, keeper)

    def _sidecar(self, name: str) -> HttpProvider:
        url = f"http://127.0.0.1:{self._sidecars[name]}/v1"
        pool = Pool(url, allow_private=True, resolver=self._resolver)
        account = Account("default", OpenAI.credential(None, {}))
        replicas = Replicas(name, [Replica(url, pool)])
        return HttpProvider(OpenAI(ANY), replicas, Accounts(name, [account]))

    def _accounts(self, name: str, settings: Upstream) -> tuple[Accounts, Keeper | None]:
        keeper: Keeper | None = None
        headers = _headers(settings)
        if isinstance(settings, VertexProvider):
            keeper = self._tokens(settings)
            credentials: list[tuple[str, Any]] = [("default", keeper)]
        elif isinstance(settings, BedrockProvider):
            credential, keeper = _aws(settings, headers)
            credentials = [("default", credential)]
        elif isinstance(settings, AzureProvider) and settings.token is not None:
            credentials = [("default", OpenAI.credential(settings.token.reveal(), headers))]
        else:
            to_lines = _to_lines(settings)
            keys = settings.keys if isinstance(settings, Keyed) else ()
            credentials = [(account, to_lines(key, headers)) for account, key in keys]
        return Accounts(name, [Account(*each) for each in credentials]), keeper

    def _tokens(self, settings: VertexProvider) -> Tokens:
        tls = self._tls(settings.tls.ca)
        source = (
            application_default(tls)
            if settings.credentials is None
            else service_account(settings.credentials.reveal())
        )
        return Tokens(source, clock=SystemClock(), tls=tls)

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
        probed = len(addresses) > 1 and health.probe is not None
        each_one = [
            Replica(
                each.url,
                self._pool(each.url, settings),
                each.weight,
                self._pool(_root(each.url), settings) if probed else None,
            )
            for each in addresses
        ]
        return Replicas(name, each_one, balance=settings.balance, health=health)

    def _pool(self, url: str, settings: Upstream) -> Pool:
        ca = settings.tls.ca
        return Pool(
            url,
            allow_private=settings.allow_private,
            tls=self._tls(ca) if ca is not None or url.startswith("https:") else None,
            proxy=settings.proxy.reveal() if settings.proxy else None,
            max_connections=settings.max_connections,
            max_starts=0 if isinstance(settings, BedrockProvider) else MAX_STARTS,
            resolver=self._resolver,
        )


def _dialect(settings: Upstream) -> tuple[Dialect, str | None]:
    """What `settings` speaks, and the path that says whether a server of it is well."""
    match settings:
        case OpenAIProvider():
            own, quirks = settings.own, settings.quirks.known
            row = row_for("openai", own=own, api=settings.api, quirks=quirks)
            found: tuple[Dialect, str | None] = OpenAI(row), row.health
        case CompatibleProvider():
            row = row_for(settings.kind, api=settings.api, quirks=settings.quirks.known)
            found = OpenAI(row), row.health
        case AzureProvider():
            found = Azure(settings.api_version), None
        case AnthropicProvider():
            found = Anthropic(), None
        case GeminiProvider():
            found = Gemini(), None
        case VertexProvider():
            found = Vertex(settings.project, settings.location, _headers(settings)), None
        case BedrockProvider():
            found = Bedrock(), None
        case _:
            raise NotImplementedError(settings.kind)
    return found


def _to_lines(settings: Upstream) -> ToLines:
    match settings:
        case AzureProvider():
            return Azure.credential
        case AnthropicProvider():
            return _dated(settings.version)
        case GeminiProvider():
            return Gemini.credential
        case _:
            return OpenAI.credential


def _dated(version: str) -> ToLines:
    """Anthropic's header lines, which also say which version of the API is meant."""

    def lines(secret: str | None, headers: dict[str, str]) -> bytes:
        return Anthropic.credential(secret, {"anthropic-version": version, **headers})

    return lines


def _aws(settings: BedrockProvider, headers: dict[str, str]) -> tuple[Credential, KeyChain | None]:
    if settings.api_key is not None:
        return ApiKey(settings.api_key.reveal(), headers), None
    region, base_url = settings.region, settings.addresses[0].url
    if settings.access_key_id is None or settings.secret_access_key is None:
        chain = KeyChain(settings.profile)
        return Signer(chain, region=region, base_url=base_url, headers=headers), chain
    token = settings.session_token
    keys = Keys(
        settings.access_key_id.reveal(),
        settings.secret_access_key.reveal(),
        token.reveal() if token else None,
    )
    return Signer(keys, region=region, base_url=base_url, headers=headers), None


def addresses(settings: Upstream) -> Sequence[Address]:
    """The servers that a provider is reached at."""
    if isinstance(settings, VertexProvider | BedrockProvider):
        return settings.addresses
    return settings.base_url


def _headers(settings: Upstream) -> dict[str, str]:
    return {header: value.reveal() for header, value in settings.headers.items()}


def _root(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
