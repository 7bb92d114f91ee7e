"""The operator's configuration, with simulated providers in the place of the real ones.

Names, models, chains, timeouts and breakers stay as they are: they are what is drilled. What would
reach the outside goes: addresses, keys, headers, proxies, certificates. Where the gateway listens
and where it keeps its records become the drill's own.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

Json = dict[str, Any]

CALLER_KEY: Final = "drill-caller"
_OURS: Final = frozenset({"kind", "quirks", "api", "api_version", "version", "region", "balance"})
_KEPT: Final = _OURS | {"health", "max_connections", "passthrough"}
_PATHS: Final[Mapping[str, str]] = {"gemini": "/v1beta", "azure": "", "bedrock": ""}
_KINDS: Final[Mapping[str, str]] = {
    # The same format with a key instead of Google's tokens, for which the drill has no issuer.
    "vertex": "gemini",
    # These are started by the gateway itself; the drill has to be able to kill what it drills.
    "local": "openai",
    "simulated": "openai",
}


def servers(document: Json) -> dict[str, int]:
    """How many servers each provider of a configuration has."""
    return {name: len(_addresses(provider)) for name, provider in _providers(document).items()}


def aliases(document: Json) -> list[str]:
    """The models that callers can ask for; what a `*` stands for is made up."""
    models = document.get("models")
    return [name.replace("*", "drill") for name in cast("Json", models or {})]


def victim(document: Json) -> str | None:
    """The provider that most aliases ask first; the first of the file among equals."""
    models = cast("dict[str, Json]", document.get("models") or {})
    firsts = [_first(alias) for alias in models.values()]
    counted = Counter(name for name in firsts if name is not None)
    return max(counted, key=lambda name: counted[name]) if counted else None


def shares(document: Json) -> bool:
    """Whether gateways share what they know through Redis."""
    return document.get("shared") is not None


def _first(alias: Json) -> str | None:
    targets = cast("list[Json]", alias.get("targets") or [])
    heaviest = max(targets, key=lambda target: target.get("weight", 1), default=None)
    return heaviest.get("provider") if heaviest else None


def staged(
    document: Json, ports: Mapping[str, Sequence[int]], *, redis_port: int | None = None
) -> Json:
    """A copy of `document` whose providers are on these ports of this machine.

    Ports are in the order of a provider's servers. Paths in it are relative to the drill's own
    directory.
    """
    made = copy.deepcopy(document)
    made["providers"] = {
        name: _provider(provider, ports[name]) for name, provider in _providers(document).items()
    }
    made["models"] = {
        name: {**alias, "allow_floating": True}
        for name, alias in cast("dict[str, Json]", document.get("models") or {}).items()
    }
    made["server"] = {**(made.get("server") or {}), "host": "127.0.0.1", "port": 0}
    made["server"].pop("tls", None)
    made["control"] = {"host": "127.0.0.1", "port": 0}
    made["store"] = "sqlite:///drill.db"
    made["spool"] = {**(made.get("spool") or {}), "directory": "spool"}
    made["log"] = {"level": "info"}
    made["keys"] = [{"name": "drill", "secret": CALLER_KEY}]
    made.pop("anonymous", None)
    if redis_port is not None:
        made["shared"] = f"redis://127.0.0.1:{redis_port}"
    else:
        made.pop("shared", None)
    return made


def _providers(document: Json) -> dict[str, Json]:
    return cast("dict[str, Json]", document.get("providers") or {})


def _addresses(provider: Json) -> list[Any]:
    given = provider.get("base_url")
    return cast("list[Any]", given) if isinstance(given, list) else [given]


def _provider(provider: Json, ports: Sequence[int]) -> Json:
    kind = str(provider.get("kind", "openai"))
    path = _PATHS.get(_KINDS.get(kind, kind), "/v1")
    made: Json = {name: provider[name] for name in _KEPT if name in provider}
    made["kind"] = _KINDS.get(kind, kind)
    if kind in _KINDS:
        for name in ("region", "version", "api_version", "location"):
            made.pop(name, None)
    made["base_url"] = [
        {"url": f"http://127.0.0.1:{port}{path}", **_weight(address)}
        for port, address in zip(ports, _addresses(provider), strict=True)
    ]
    made["allow_private"] = True
    made["proxy"] = "none"
    if kind == "bedrock":
        return made | {"access_key_id": "AKIDRILL", "secret_access_key": "drill"}
    if accounts := provider.get("accounts"):
        names = [str(account.get("name")) for account in accounts]
        made["accounts"] = [{"name": name, "api_key": f"drill-{name}"} for name in names]
    else:
        made["api_key"] = "drill"
    return made


def _weight(address: object) -> Json:
    weight = cast("Json", address).get("weight") if isinstance(address, dict) else None
    return {} if weight is None else {"weight": weight}
