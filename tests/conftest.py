"""Databases for whoever needs one, empty or made; `any_` of a name means each kind in turn."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from servers import postgres_database, postgres_server

from tidegate.store.records import RecordStore

_NUMBERS = itertools.count()
settings.register_profile("tidegate", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("tidegate")
for size in ("COLUMNS", "LINES"):
    os.environ.pop(size, None)  # a worker has them from pytest, for which readline sets them


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """An empty database of PostgreSQL."""
    with postgres_database(postgres, f"test_{next(_NUMBERS)}") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def any_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tidegate.db"
    url: str = request.getfixturevalue("postgres_url")
    return url


def _made(url: str) -> None:
    store = RecordStore(url)
    store.create()
    store.close()


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("made") / "tidegate.db"
    _made(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def made_postgres(postgres: str) -> Iterator[str]:
    """The name of a database that others are copies of."""
    with postgres_database(postgres, "made") as url:
        _made(url)
        yield "made"


@pytest.fixture
def sqlite_store_url(made_sqlite: Path, tmp_path: Path) -> str:
    """A store with nothing in it: a copy, as to make one takes longer than most tests."""
    shutil.copy(made_sqlite, tmp_path / "tidegate.db")
    return f"sqlite:///{tmp_path}/tidegate.db"


@pytest.fixture
def postgres_store_url(postgres: str, made_postgres: str) -> Iterator[str]:
    """The same in PostgreSQL."""
    with postgres_database(postgres, f"test_{next(_NUMBERS)}", made_postgres) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def any_made_url(request: pytest.FixtureRequest) -> str:
    """The same of either kind."""
    url: str = request.getfixturevalue(f"{request.param}_store_url")
    return url


@pytest.fixture
def any_store(any_made_url: str) -> Iterator[RecordStore]:
    store = RecordStore(any_made_url)
    yield store
    store.close()
