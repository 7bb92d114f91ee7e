"""What a caller is told of trying again is never too early."""

from __future__ import annotations

import pytest

from tidegate.errors import LimitReached
from tidegate.gateway.quotas import duration, retry_headers


@pytest.mark.parametrize(
    ("wait_s", "seconds", "milliseconds"),
    [(64.0971004, b"65", b"64098"), (1.0, b"1", b"1000"), (0.0001, b"1", b"1")],
)
def test_waits_are_rounded_up(wait_s: float, seconds: bytes, milliseconds: bytes) -> None:
    error = LimitReached("Too many.", limit="key web requests_per_minute", retry_after_s=wait_s)
    assert dict(retry_headers(error)) == {b"retry-after": seconds, b"retry-after-ms": milliseconds}


def test_what_never_fits_is_not_to_be_tried_again() -> None:
    error = LimitReached("Too much.", limit="key web tokens_per_minute")
    assert dict(retry_headers(error)) == {b"x-should-retry": b"false"}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0121, b"13ms"), (1.2, b"2s"), (360.0, b"6m0s"), (3600.0, b"1h0m0s")],
)
def test_durations_are_those_of_openai(seconds: float, told: bytes) -> None:
    assert duration(seconds) == told
