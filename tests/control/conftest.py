"""A spool and a store for records to go from one to the other."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from spools import Spool

from tidegate.store.records import RecordStore


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tidegate.db"


@pytest.fixture
def store(made_sqlite: Path, store_url: str) -> Iterator[RecordStore]:
    shutil.copy(made_sqlite, store_url.removeprefix("sqlite:///"))
    store = RecordStore(store_url)
    yield store
    store.close()


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
