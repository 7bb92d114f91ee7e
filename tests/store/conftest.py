"""A store with nothing in it, of each kind in turn."""

import pytest

from tidegate.store.records import RecordStore


@pytest.fixture
def store(any_store: RecordStore) -> RecordStore:
    return any_store
