"""A console with something to see, and a browser before it. Both last as long as a test file."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from console_browser import SCREENSHOTS, Browsing, chromium
from console_house import House, busy, house
from console_records import day
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def busy_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A control process with two gateways and a day of requests."""
    with house(tmp_path_factory.mktemp("house")) as at:
        at.add(day(40_000 if SCREENSHOTS else 4_000, time.time_ns()))
        busy(at)
        yield at


@pytest.fixture
def browsing(browser: Browser, busy_house: House) -> Iterator[Browsing]:
    """A window in which nobody is signed in; when it is closed, nothing may have gone wrong."""
    window = Browsing(browser, busy_house)
    yield window
    window.close()
