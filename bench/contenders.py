"""Who takes part: how each is installed, configured for one process, started and asked.

Each peer runs with the settings that suit it best here: no access logs, no retries to hide
errors, one worker, no key check where its own can be left out. Tidegate keeps its records on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from bench.goals import SUBJECT, WHOLE
from bench.install import (
    node_package,
    output,
    own_python,
    python_environment,
    python_package,
    tool,
)
from bench.nginx import proxy_configuration
from bench.process import free_port
from bench.target import ALIAS, UPSTREAM_MODEL
from tidegate.ledger.segment import segments

SMG = "1.13.0"
LITELLM = "1.106.2"
PORTKEY = "1.15.2"
FLOOR = "floor"
BY_NAME_ONLY = frozenset({WHOLE, "nginx-plain", FLOOR})
"""Who takes part only where it is named: all of Tidegate on one core, nginx as it comes, a relay
that looks at nothing."""
PORTKEY_OVERRIDES = {"@hono/node-server": "1.13.5", "hono": "4.9.7"}
"""The server it was released with: with newer ones every stream is a 500."""
KEY = "sk-bench-0123456789abcdef"

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Beside:
    """A process that a contender needs, which is not measured: it has the core of the load."""

    name: str
    argv: list[str]
    port: int
    stays: bool = True
    """Whether it is there for as long as the contender, or for its first answer only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a contender and how to ask it."""

    argv: list[str]
    model: str
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    start_timeout_s: float = 30.0
    warm_up_s: float = 1.0
    beside: Sequence[Beside] = ()


class Contender(Protocol):
    """One gateway that can be measured."""

    name: str

    def prepare(self) -> str:
        """Install what is missing and return the version; raises Unavailable."""
        ...

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        """Write its configuration into `directory`; it will listen on `port`."""
        ...

    def sweep(self, directory: Path) -> None:
        """Remove what it wrote during a measurement and nobody here reads."""
        ...


class _Plain:
    """A contender that leaves nothing behind."""

    def sweep(self, directory: Path) -> None:
        """Nothing to remove."""


class Nginx(_Plain):
    """`proxy_pass`, one worker: what a proxy in C costs that does not look inside."""

    def __init__(self, name: str, *, kept: bool) -> None:
        """`kept`: connections to the mock are kept, which nginx 1.22 does only when told to."""
        self.name = name
        self._kept = kept

    def prepare(self) -> str:
        return output([tool("nginx"), "-v"]).rpartition("/")[2]

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        configuration = directory / "nginx.conf"
        configuration.write_text(
            proxy_configuration(directory, port, upstream, streaming=streaming, kept=self._kept)
        )
        argv = [tool("nginx"), "-c", str(configuration), "-e", "stderr"]
        return Plan(argv, UPSTREAM_MODEL)


class Floor(_Plain):
    """A relay on the loop that Tidegate runs on: what the loop and the kernel alone cost."""

    name = FLOOR

    def prepare(self) -> str:
        return f"uvloop {version('uvloop')}"

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        del directory, streaming
        argv = [own_python(), "-m", "bench.floor", str(port), str(upstream)]
        return Plan(argv, UPSTREAM_MODEL, env=python_environment())


class Tidegate:
    """One gateway process as the supervisor starts it, metadata records on."""

    def __init__(self, name: str, *, with_key: bool = False, whole: bool = False) -> None:
        """`with_key`: callers show a key; `whole`: `tidegate serve`, which also loads records."""
        self.name = name
        self._with_key = with_key
        self._whole = whole

    def prepare(self) -> str:
        try:
            found = version("tidegate")
        except PackageNotFoundError:
            found = "checkout"
        commit = output([tool("git"), "describe", "--always", "--dirty"])
        return f"{found} ({commit})"

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        del streaming
        configuration = directory / "tidegate.yaml"
        configuration.write_text(self.configuration(port, upstream))
        argv = [own_python(), "-m", "tidegate.worker"]
        argv += ["--config", str(configuration), "--worker", "bench-0"]
        if self._whole:
            argv = [own_python(), "-m", "tidegate", "serve", "--config", str(configuration)]
        return Plan(argv, ALIAS, env=python_environment())

    def configuration(self, port: int, upstream: int) -> str:
        """The file's content: one alias on the mock."""
        keys = [{"name": "bench", "secret": KEY}] if self._with_key else []
        models = {ALIAS: {"targets": [{"provider": "mock", "model": UPSTREAM_MODEL}]}}
        return written(port, {"mock": upstream_provider("openai", upstream)}, models, keys)

    def sweep(self, directory: Path) -> None:
        """Drop finished segments: the control process, which does not run here, would load them."""
        if self._whole:
            return
        for segment in segments(directory / "spool")[:-1]:
            if segment.stat().st_size > 0:
                segment.unlink()


class Arranged(Tidegate):
    """Tidegate with the providers and aliases of one scenario."""

    def __init__(self, providers: Tree, models: Tree) -> None:
        super().__init__(SUBJECT)
        self._providers = providers
        self._models = models

    def configuration(self, port: int, upstream: int) -> str:
        """The upstreams are in the providers already."""
        del upstream
        return written(port, self._providers, self._models)


def upstream_provider(kind: str, port: int) -> Tree:
    """A provider of `kind` that is simulated on loopback."""
    return {
        "kind": kind,
        "base_url": f"http://127.0.0.1:{port}/v1",
        "api_key": "x",
        "allow_private": True,
        "proxy": "none",
    }


def written(port: int, providers: Tree, models: Tree, keys: Sequence[Tree] = ()) -> str:
    """A configuration with metadata records, and defaults for what is not said."""
    return json.dumps(tree(port, providers, models, keys), indent=2)  # JSON is YAML too


def tree(port: int, providers: Tree, models: Tree, keys: Sequence[Tree] = ()) -> Tree:
    """The same before it is written."""
    return {
        "server": {"host": "127.0.0.1", "port": port},
        "control": {"host": "127.0.0.1", "port": free_port()},
        "spool": {"directory": "spool"},
        "store": "sqlite:///records.db",
        "records": {"bodies": "metadata"},
        "log": {"level": "warning"},
        "keys": list(keys),
        "providers": providers,
        "models": models,
    }


class Smg(_Plain):
    """The Rust gateway, its OpenAI backend, threads as it chooses for one core."""

    name = "smg"

    def prepare(self) -> str:
        python_package(f"smg=={SMG}", "smg")
        return SMG

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        del directory, streaming
        argv = [str(python_package(f"smg=={SMG}", "smg")), "launch"]
        argv += ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
        argv += ["--worker-urls", f"http://127.0.0.1:{upstream}", "--backend", "openai"]
        argv += ["--history-backend", "none", "--log-level", "warn", "--disable-retries"]
        return Plan(argv, UPSTREAM_MODEL)


class Portkey(_Plain):
    """The open-source gateway on Node."""

    name = "portkey"

    def prepare(self) -> str:
        self._script()
        return f"{PORTKEY} (node {output([tool('node'), '--version'])})"

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        del directory, streaming
        argv = [tool("node"), str(self._script()), "--headless", f"--port={port}"]
        headers = {
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
        }
        env = {"NODE_ENV": "production"}
        return Plan(argv, UPSTREAM_MODEL, env=env, headers=headers, warm_up_s=3.0)

    def _script(self) -> Path:
        script = "build/start-server.js"
        return node_package("@portkey-ai/gateway", PORTKEY, script, overrides=PORTKEY_OVERRIDES)


class LiteLLM(_Plain):
    """The Python proxy, one worker, no database, no key check."""

    name = "litellm"

    def prepare(self) -> str:
        python_package(f"litellm[proxy]=={LITELLM}", "litellm")
        return LITELLM

    def plan(self, directory: Path, port: int, upstream: int, *, streaming: bool) -> Plan:
        del streaming
        configuration = directory / "litellm.yaml"
        settings = {
            "model": f"openai/{UPSTREAM_MODEL}",
            "api_base": f"http://127.0.0.1:{upstream}/v1",
            "api_key": "x",
        }
        tree = {
            "model_list": [{"model_name": ALIAS, "litellm_params": settings}],
            "litellm_settings": {"telemetry": False, "num_retries": 0},
        }
        configuration.write_text(json.dumps(tree))
        program = python_package(f"litellm[proxy]=={LITELLM}", "litellm")
        argv = [str(program), "--config", str(configuration), "--host", "127.0.0.1"]
        argv += ["--port", str(port), "--num_workers", "1"]
        env = {
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
            "NO_DOCS": "True",
        }
        return Plan(argv, ALIAS, env=env, start_timeout_s=180.0, warm_up_s=3.0)


def contenders() -> dict[str, Contender]:
    """Everybody who can take part, by name, in the order of the tables."""
    everybody: list[Contender] = [
        Nginx("nginx", kept=True),
        Nginx("nginx-plain", kept=False),
        Floor(),
        Tidegate(SUBJECT),
        Tidegate("tidegate-key", with_key=True),
        Tidegate(WHOLE, whole=True),
        Smg(),
        Portkey(),
        LiteLLM(),
    ]
    return {contender.name: contender for contender in everybody}
