"""The admin API over each kind of store; each test has a fresh copy of an empty one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_serving import Client, Served, serving


@pytest.fixture
def served(any_made_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(any_made_url, tmp_path / "beside") as served:
        yield served


@pytest.fixture
def sqlite_served(sqlite_store_url: str, tmp_path: Path) -> Iterator[Served]:
    with serving(sqlite_store_url, tmp_path / "beside") as served:
        yield served


@pytest.fixture
def owner(served: Served) -> Client:
    return served.owner
