"""The admin API over each kind of store; each test has a fresh copy of an empty one."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from admin_serving import Client, Served, serving
from servers import postgres_database

from tidegate.store.records import RecordStore

_NUMBERS = itertools.count()


def _made(url: str) -> None:
    store = RecordStore(url)
    store.create()
    store.close()


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("empty") / "tidegate.db"
    _made(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def empty_postgres(postgres: str) -> Iterator[str]:
    with postgres_database(postgres, "admin_empty") as url:
        _made(url)
        yield postgres


@pytest.fixture(params=["sqlite", "postgres"])
def ready_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store of either kind."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: str = request.getfixturevalue("empty_postgres")
    name = f"admin_{next(_NUMBERS)}"
    with closing(psycopg.connect(f"{server}/postgres", autocommit=True)) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE admin_empty".encode())
        yield f"{server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def sqlite_url(empty_sqlite: Path, tmp_path: Path) -> str:
    file = tmp_path / "tidegate.db"
    shutil.copy(empty_sqlite, file)
    return f"sqlite:///{file}"


@pytest.fixture
def served(ready_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(ready_url, tmp_path / "beside") as served:
        yield served


@pytest.fixture
def sqlite_served(sqlite_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(sqlite_url, tmp_path / "beside") as served:
        yield served


@pytest.fixture
def owner(served: Served) -> Client:
    return served.owner
