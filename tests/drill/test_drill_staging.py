"""The drill's copy of a configuration: the same names and terms, and no way to the outside."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tidegate.config.load import load
from tidegate.config.provider import KINDS
from tidegate.drill.scenarios import NAMES, SCENARIOS, Action, Need, named
from tidegate.drill.staging import CALLER_KEY, aliases, servers, shares, staged, victim
from tidegate.providers.simulated.faults import parse_faults

OPENAI: dict[str, Any] = {"kind": "openai", "api_key": "${env:NOT_SET_ANYWHERE}"}
PROVIDERS: dict[str, dict[str, Any]] = {
    "azure": {"base_url": "https://mine.openai.azure.com", "token": "${env:NOT_SET}"},
    "vertex": {"project": "p", "location": "global", "credentials": "${file:/nowhere.json}"},
    "bedrock": {"region": "eu-central-1", "profile": "prod"},
    "local": {"threads": 2},
    "simulated": {"ttft": "1s"},
}


def document(**providers: dict[str, Any]) -> dict[str, Any]:
    """A configuration with an alias for each provider, `NAME-model` by `NAME`."""
    return {
        "providers": providers,
        "models": {
            f"{name}-model": {"targets": [{"provider": name, "model": "m"}]} for name in providers
        },
    }


def ports(made: dict[str, Any]) -> dict[str, list[int]]:
    drawn = iter(range(40_000, 41_000))
    return {name: [next(drawn) for _ in range(count)] for name, count in servers(made).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_provider_has_a_stand_in_on_this_machine(kind: str, tmp_path: Path) -> None:
    real = {"kind": kind, "api_key": "${env:NOT_SET}", **PROVIDERS.get(kind, {})}
    if kind in ("vertex", "bedrock", "local", "simulated"):
        del real["api_key"]
    path = tmp_path / "tidegate.yaml"
    made = staged(document(it=real), {"it": [40_000]})
    path.write_text(json.dumps(made))
    config = load(path, {})
    provider: Any = config.providers["it"]
    (address,) = provider.addresses
    assert address.url.startswith("http://127.0.0.1:40000")
    assert list(config.models) == ["it-model"]
    assert "NOT_SET" not in path.read_text()


def test_servers_weights_accounts_and_quirks_stay(tmp_path: Path) -> None:
    accounts = [{"name": "eu", "api_key": "${env:EU}"}, {"name": "us", "api_key": "${env:US}"}]
    real = {
        "kind": "vllm",
        "base_url": ["https://a.example/v1", {"url": "https://b.example/v1", "weight": 3}],
        "accounts": accounts,
        "quirks": {"several": False},
        "balance": "peak_ewma",
        "headers": {"x-secret": "${env:SECRET}"},
        "tls": {"ca": "/nowhere.pem"},
    }
    made = staged(document(it=real), {"it": [40_000, 40_001]})
    path = tmp_path / "tidegate.yaml"
    path.write_text(json.dumps(made))
    provider: Any = load(path, {}).providers["it"]
    assert [(each.url, each.weight) for each in provider.addresses] == [
        ("http://127.0.0.1:40000/v1", 1),
        ("http://127.0.0.1:40001/v1", 3),
    ]
    assert provider.keys == (("eu", "drill-eu"), ("us", "drill-us"))
    assert (provider.quirks.several, provider.balance) == (False, "peak_ewma")
    assert not provider.headers


def test_where_it_listens_and_keeps_things_becomes_the_drill_s_own(tmp_path: Path) -> None:
    real: dict[str, Any] = {
        **document(it=OPENAI),
        "server": {"host": "0.0.0.0", "port": 443, "workers": 3, "tls": {"certificate": "/x"}},
        "store": "sqlite:////var/lib/tidegate.db",
        "spool": {"directory": "/var/spool/tidegate", "segment": "1MiB"},
        "shared": "redis://prod:6379",
        "keys": [{"name": "web", "secret": "${env:WEB_KEY}"}],
        "log": {"level": "error"},
    }
    path = tmp_path / "tidegate.yaml"
    path.write_text(json.dumps(staged(real, ports(real))))
    config = load(path, {})
    assert (config.server.host, config.server.workers, config.server.tls) == ("127.0.0.1", 3, None)
    assert str(tmp_path) in config.store.reveal()
    assert config.spool.directory == tmp_path / "spool"
    assert [key.secret.reveal() for key in config.keys] == [CALLER_KEY]
    assert config.shared is None
    assert shares(real)
    shared = staged(real, ports(real), redis_port=7000)["shared"]
    assert shared == "redis://127.0.0.1:7000"
    assert real["server"]["port"] == 443, "the operator's own is left as it is"


def test_the_victim_is_whom_most_aliases_ask_first() -> None:
    made = document(one=OPENAI, two=OPENAI)
    assert victim(made) == "one"
    targets = [{"provider": "one", "model": "m"}, {"provider": "two", "model": "m", "weight": 2}]
    made["models"]["more"] = {"targets": targets}
    assert victim(made) == "two"
    assert victim({}) is None
    assert aliases({"models": {"gpt-*": {}}}) == ["gpt-drill"]


def test_every_scenario_is_one_that_can_be_played() -> None:
    assert len(set(NAMES)) == len(SCENARIOS) == 11
    assert named(()) == SCENARIOS
    assert [each.name for each in named((NAMES[3], NAMES[0]))] == [NAMES[0], NAMES[3]]
    for scenario in SCENARIOS:
        parse_faults("", scenario.fault.format(slow="4s"))
        faulty = scenario.action in (
            Action.FAULT,
            Action.FLAP,
            Action.SLOW_REDIS,
            Action.STOP_REDIS,
        )
        assert faulty == bool(scenario.fault)
        kills = scenario.action in (Action.KILL_CONTROL, Action.KILL_GATEWAY)
        assert kills == (scenario.needs == (Need.OWN_PROCESSES,))


def test_any_document_gives_a_copy_or_none_of_the_operator_s_secrets() -> None:
    rng = Random(1)
    for _ in range(50):
        kinds = rng.sample(sorted(KINDS), 3)
        made = document(
            **{
                kind: {
                    "kind": kind,
                    "api_key": "${env:S}",
                    "session_token": "${env:S}",
                    "headers": {"a": "${env:S}"},
                    "proxy": "${env:S}",
                }
                for kind in kinds
            }
        )
        assert "${env:S}" not in json.dumps(staged(made, ports(made)))
