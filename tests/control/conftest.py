"""A spool and a store for records to go from one to the other."""

import os
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
def store(store_url: str) -> Iterator[RecordStore]:
    store = RecordStore(store_url)
    store.create()
    yield store
    store.close()


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
