"""Databases for whoever needs one: `postgres_url`, and `any_store_url` for both kinds in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from servers import postgres_database, postgres_server

_NUMBERS = itertools.count()


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
