"""A user is erased from a Tidegate that is killed meanwhile: asked again, nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner
from control.sinks.receiving import receiver
from exporting import Exporting, is_done, written
from servers import free_port
from store.storing import put, row

from tidegate.cli import main
from tidegate.store.erasure import digest_of
from tidegate.store.records import RecordStore
from tidegate.store.rows import Row
from tidegate.telemetry.record import Record, encode

CONFIG = """
exports:
  hook: {{kind: webhook, endpoint: "http://127.0.0.1:{port}/", allow_private: true}}
"""
MANY = 5_000
PATH = os.pathsep.join(filter(None, sys.path))


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def gateway(tmp_path: Path, provider: str, port: int) -> Iterator[Exporting]:
    gateway = Exporting(written(tmp_path, provider, CONFIG.format(port=port)))
    yield gateway
    gateway.close()


def remember(directory: Path, name: str) -> None:
    """Put so much of the user into the store that erasing it takes a while."""
    rows: list[Row] = []
    for number in range(MANY):
        began_ns = time.time_ns()
        record = Record(
            request_id=f"req_{digest_of(name)[:8]}_{number}", started_ns=began_ns, worker="gw-0",
            wire="chat", path="/", config_version="c", user=name, request_body=b"{}",
        )  # fmt: skip
        rows.append(
            row(0, request_id=record.request_id, payload=encode(record), started_ns=began_ns,
                user=name, team="red", cost_nanousd=1)
        )  # fmt: skip
    store = RecordStore(f"sqlite:///{directory}/tidegate.db")
    try:
        put(store, *rows, segment=f"{digest_of(name)}.spool1")
    finally:
        store.close()


def erase(gateway: Exporting, name: str) -> subprocess.Popen[str]:
    words = ["erase", "--user", name, "--yes", "--config", str(gateway.path)]
    return subprocess.Popen(
        [sys.executable, "-m", "tidegate", *words],
        env={**os.environ, "PYTHONPATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def left(gateway: Exporting, name: str) -> int:
    """How many records of the user there are."""
    return gateway.rows(f"SELECT count(*) FROM records WHERE user = '{name}'")[0]


def naming(directory: Path, name: str) -> list[Path]:
    """Files that have the name in them."""
    return [
        path
        for path in directory.rglob("*")
        if path.is_file() and name.encode() in path.read_bytes()
    ]


class Interrupted(NamedTuple):
    """Someone whose erasure was killed under way."""

    name: str
    asked: str
    """What they asked just before, which may have been in the spool until then."""
    is_left: bool
    """Whether something of them is."""


def interrupted(gateway: Exporting, directory: Path, number: int) -> Interrupted:
    """Erase someone, and kill the process that does it, and the command that asked for it."""
    name = f"ann{number}@example.com"
    remember(directory, name)
    asked = gateway.ask(**{"x-tidegate-user": name})
    with erase(gateway, name) as command:
        while command.poll() is None and left(gateway, name) >= MANY:
            pass
        gateway.kill("control")
        command.kill()
    gateway.back()
    assert left(gateway, name) < MANY
    return Interrupted(name, asked, left(gateway, name) > 0)


def test_erasing_that_was_killed_leaves_nothing_when_it_is_asked_for_again(
    tmp_path: Path, gateway: Exporting, port: int
) -> None:
    users = [interrupted(gateway, tmp_path, 0)]
    while not users[-1].is_left:  # it was over too soon
        users.append(interrupted(gateway, tmp_path, len(users)))
    name, asked = users[-1].name, users[-1].asked
    with erase(gateway, name) as again:
        told, _ = again.communicate()
    assert again.returncode == 0, told
    assert left(gateway, name) == 0
    assert name not in told
    assert asked in gateway.rows("SELECT request_id FROM records WHERE user = 'erased'")
    query = "SELECT sum(nanousd) FROM charges WHERE kind = 'user' AND name = "
    assert gateway.rows(f"{query}'erased'") == [MANY * len(users)]
    assert gateway.rows(f"{query}'{name}'") == [None]
    shown = f"user:{digest_of(name)[:16]}"
    trail = "SELECT object FROM audit WHERE action = 'user.erase' ORDER BY seq"
    assert gateway.rows(trail)[-1] == shown
    assert len(gateway.rows(trail)) == len(users)  # to go on with it is no other one
    verified = CliRunner().invoke(main, ["audit", "--verify", "--config", str(gateway.path)])
    assert verified.exit_code == 0, verified.output
    with receiver(port=port) as to:  # what was not told before is told without the name
        gateway.wait("hook", is_done)
        heard = b"".join(to.taken)
    assert asked.encode() in heard
    assert b"@example.com" not in heard
    assert gateway.end() == 0
    assert naming(tmp_path, name) == []
