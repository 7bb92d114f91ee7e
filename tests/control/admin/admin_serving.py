"""A real server of the admin API, and what speaks to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from tidegate.alerts.objectives import Objective
from tidegate.control.admin.app import Admin
from tidegate.control.admin.configured import (
    AdminSettings,
    ConfigurationFile,
    Configured,
    ConfiguredKey,
    ConfiguredTarget,
    ConfiguredTeam,
)
from tidegate.guard.access import Access, decode
from tidegate.store.records import RecordStore

CONFIGURED = Configured(
    keys={"from-file": ConfiguredKey(team="file-team")},
    teams={"file-team": ConfiguredTeam("file-org")},
    organisations=frozenset({"file-org"}),
    aliases={
        "assistant": (ConfiguredTarget("openai/gpt", priced=True),),
        "cheap": (ConfiguredTarget("local/smol", priced=False),),
    },
    objectives={"assistant": Objective(availability=0.99, latency=0.95, under_s=2.0)},
)


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.ns = 1_790_000_000 * 10**9

    def now_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 10**9

    def turn(self, seconds: float) -> None:
        self.ns += int(seconds * 10**9)


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        return self.body["error"]["code"]


@dataclass
class Client:
    """Asks with one token."""

    port: int
    token: str | None
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answered:
        raw = body if isinstance(body, bytes) else None
        if body is not None and raw is None:
            raw = json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if raw is not None:
            sent.setdefault("content-type", "application/json")
        if self.token is not None:
            sent.setdefault("authorization", f"Bearer {self.token}")
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        ) as connection:
            connection.request(method, f"/admin/v1{path}", raw, sent)
            answer = connection.getresponse()
            text = answer.read()
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Answered(answer.status, told, json.loads(text) if text else None)

    def ok(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        answered = self(method, path, body, **headers)
        assert answered.status in (200, 201), answered
        return answered.body


class Served:
    """The admin API at work in a directory."""

    def __init__(self, store: RecordStore, directory: Path, port: int, clock: Hands) -> None:
        self.store = store
        self.directory = directory
        self.port = port
        self.clock = clock
        self.owner = Client(port, (directory / "admin.token").read_text().strip())

    def access(self) -> Access:
        return decode((self.directory / "access.json").read_bytes())

    def client(self, role: str) -> Client:
        """A client with a fresh token of that role."""
        made = self.owner.ok("POST", "/tokens", {"name": f"a-{role}", "role": role})
        return Client(self.port, made["token"])


def settings(directory: Path, file: ConfigurationFile | None = None) -> AdminSettings:
    return AdminSettings(
        access=directory / "access.json",
        token=directory / "admin.token",
        boards=directory / "state",
        configured=lambda: CONFIGURED,
        file=file,
    )


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.contextmanager
def serving(url: str, directory: Path, file: ConfigurationFile | None = None) -> Generator[Served]:
    """The admin API over the database at `url`, on a port of its own."""
    store, clock = RecordStore(url), Hands()
    store.create()
    admin = Admin(store.database, settings(directory, file), clock)
    admin.look()
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(admin.app, log_config=None, access_log=False, lifespan="off")
    server = _Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield Served(store, directory, listener.getsockname()[1], clock)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        store.close()
