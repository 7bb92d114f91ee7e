"""A real PostgreSQL, a real ClickHouse, each on a free port, for as long as the tests run."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

_NOBODY = "nobody"
_QUIET = (
    "fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=64MB",
    "listen_addresses=127.0.0.1", "max_connections=100", "autovacuum=off",
)  # fmt: skip


_CLICKHOUSE = """<yandex>
 <logger><level>error</level><console>1</console></logger>
 <http_port>{port}</http_port><listen_host>127.0.0.1</listen_host>
 <path>{directory}/data/</path><tmp_path>{directory}/tmp/</tmp_path>
 <mark_cache_size>16777216</mark_cache_size>
 <users_config>users.xml</users_config>
 <default_profile>default</default_profile><default_database>default</default_database>
</yandex>"""
_CLICKHOUSE_USERS = """<yandex>
 <profiles>
  <default><allow_experimental_low_cardinality_type>1</allow_experimental_low_cardinality_type>
   <max_threads>2</max_threads></default>
  <reading><readonly>1</readonly></reading>
 </profiles>
 <users>
  <tidegate><password>s3cret</password><networks><ip>::/0</ip></networks>
   <profile>default</profile><quota>default</quota></tidegate>
  <reader><password>s3cret</password><networks><ip>::/0</ip></networks>
   <profile>reading</profile><quota>default</quota></reader>
 </users>
 <quotas><default></default></quotas>
</yandex>"""


def free_port() -> int:
    """A port that stays free until somebody in this process, or started by it, listens on it.

    It is below those that the kernel gives to whoever asks for any, and the same port of UDP says
    to other processes of tests that it is taken, for as long as this one runs.
    """
    for port in random.sample(range(10_000, 32_000), 1_000):
        mark = socket.socket(type=socket.SOCK_DGRAM)
        with suppress(OSError):
            mark.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
            mark.detach()  # nobody closes it
            return port
        mark.close()
    raise AssertionError("there is no free port")


def program(name: str) -> str | None:
    """Where a program of PostgreSQL is: on the PATH, or where Debian puts it."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(installed[-1]) if installed else None)


def answers(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5).close()
        return True
    return False


@contextmanager
def postgres_server() -> Generator[str]:
    """The URL of a server, without the name of a database."""
    initdb, postgres = program("initdb"), program("postgres")
    if initdb is None or postgres is None:
        pytest.skip("NOT TESTED: there is no PostgreSQL on the PATH")
    # PostgreSQL refuses to run as root, and needs a directory that its own user may enter.
    user = _NOBODY if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="tidegate-postgres-") as directory:
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(directory, entry.pw_uid, entry.pw_gid)
        data = f"{directory}/data"
        initialise = [initdb, "-D", data, "-U", "tidegate", "-A", "trust", "-E", "UTF8",
                      "--locale=C", "--no-sync", "--no-instructions"]  # fmt: skip
        subprocess.run(initialise, check=True, user=user, cwd=directory, stdout=subprocess.DEVNULL)
        port = free_port()
        serve = [postgres, "-D", data, "-p", str(port), "-k", directory]
        for setting in _QUIET:
            serve += ["-c", setting]
        url = f"postgresql://tidegate@127.0.0.1:{port}"
        with (Path(directory) / "log").open("wb") as log:
            process = subprocess.Popen(serve, user=user, cwd=directory, stderr=log)
        with process:
            try:
                until_s = time.monotonic() + 60
                while not answers(f"{url}/postgres"):
                    assert process.poll() is None, "postgres has ended"
                    assert time.monotonic() < until_s, "postgres does not answer"
                yield url
            finally:
                process.send_signal(signal.SIGQUIT)  # stops at once, its children too


@contextmanager
def postgres_database(server: str, name: str, like: str = "template1") -> Generator[str]:
    """The URL of a database on `server`, a copy of the one called `like`, dropped at the end."""
    with closing(psycopg.connect(f"{server}/postgres", autocommit=True)) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{like}"'.encode())
        try:
            yield f"{server}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


@dataclass
class ClickHouseServer:
    """One whose users are `tidegate` and `reader`, both with the password `s3cret`."""

    port: int
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again with the data it has; returns when it answers."""
        program = shutil.which("clickhouse-server", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("NOT TESTED: there is no clickhouse-server on the PATH")
        argv = [program, f"--config-file={self.directory}/config.xml"]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=self.directory, stdout=log, stderr=log)
        until_s = time.monotonic() + 60
        while True:
            with suppress(OSError):
                self.ask("SELECT 1")
                return
            assert self.process.poll() is None, "clickhouse-server has ended"
            assert time.monotonic() < until_s, "clickhouse-server does not answer"

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def ask(self, query: str) -> list[str]:
        """The lines of the answer."""
        headers = {"X-ClickHouse-User": "tidegate", "X-ClickHouse-Key": "s3cret"}
        asked = urllib.request.Request(f"{self.url}/", query.encode(), headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.read().decode().splitlines()


@contextmanager
def clickhouse_server() -> Generator[ClickHouseServer]:
    """A server with no table."""
    with tempfile.TemporaryDirectory(prefix="tidegate-clickhouse-") as directory:
        server = ClickHouseServer(free_port(), Path(directory))
        text = _CLICKHOUSE.format(port=server.port, directory=directory)
        (server.directory / "config.xml").write_text(text)
        (server.directory / "users.xml").write_text(_CLICKHOUSE_USERS)
        server.start()
        try:
            yield server
        finally:
            server.kill()
