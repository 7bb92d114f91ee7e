from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.providers.quota import Window, read_quota

NOW = 1_735_689_600.0  # 2025-01-01T00:00:00Z
RECORDED = Path(__file__).parents[3] / "shared/data/wire/recorded_part.jsonl.gz"

Headers = list[tuple[bytes, bytes]]


def quota(**headers: str) -> dict[str, Window]:
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {window.kind: window for window in read_quota(lines, NOW)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("1s", 1),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2m59.56s", 179.56),
        ("1d", 86400),
        ("85us", 0),
        ("120µs", 0),
        ("0", 0),
        ("10", 10),
        ("59.3", 59.3),
        ("-5", 0),
        ("1735689660", 60),
        ("1735689660000", 60),
        ("1735689000", 0),
        ("2025-01-01T00:01:00Z", 60),
        ("2025-01-01T00:01:00+00:00", 60),
        ("2025-01-01T01:01:00+01:00", 60),
        ("2025-01-01T00:00:00.250Z", 0.25),
        ("2024-12-31T00:00:00Z", 0),
        ("2125-01-01T00:00:00Z", 31 * 86400),
        ("", None),
        ("soon", None),
        ("1x", None),
        ("6m 0s", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 30, None),
    ],
)
def test_a_reset_is_read_in_every_vendors_form(text: str, seconds: float | None) -> None:
    headers: Headers = [
        (b"x-ratelimit-remaining-requests", b"1"),
        (b"x-ratelimit-reset-requests", text.encode()),
    ]
    (window,) = read_quota(headers, NOW)
    assert window.reset_s == (None if seconds is None else pytest.approx(seconds))


def test_openai() -> None:
    assert quota(
        x_ratelimit_limit_requests="60",
        x_ratelimit_limit_tokens="150000",
        x_ratelimit_remaining_requests="59",
        x_ratelimit_remaining_tokens="149984",
        x_ratelimit_reset_requests="1s",
        x_ratelimit_reset_tokens="6m0s",
    ) == {
        "requests": Window("requests", 59, 60, 1),
        "tokens": Window("tokens", 149984, 150000, 360),
    }


def test_anthropic() -> None:
    found = quota(
        anthropic_ratelimit_requests_limit="50",
        anthropic_ratelimit_requests_remaining="49",
        anthropic_ratelimit_requests_reset="2025-01-01T00:00:01Z",
        anthropic_ratelimit_input_tokens_limit="40000",
        anthropic_ratelimit_input_tokens_remaining="39000",
        anthropic_ratelimit_output_tokens_remaining="8000",
    )
    assert found == {
        "requests": Window("requests", 49, 50, 1),
        "input_tokens": Window("input_tokens", 39000, 40000),
        "output_tokens": Window("output_tokens", 8000),
    }


def test_vendors_with_names_of_their_own() -> None:
    cerebras = quota(
        x_ratelimit_remaining_requests_day="14399", x_ratelimit_remaining_tokens_minute="60000"
    )
    assert {kind: window.remaining for kind, window in cerebras.items()} == {
        "requests": 14399,
        "tokens": 60000,
    }
    together = quota(
        x_ratelimit_limit="10", x_ratelimit_remaining="0", x_ratelimit_reset="4",
        x_tokenlimit_remaining="100",
    )  # fmt: skip
    assert together["requests"] == Window("requests", 0, 10, 4)
    assert together["tokens"] == Window("tokens", 100)
    fireworks = quota(x_ratelimit_remaining_tokens_prompt="5")
    assert fireworks["input_tokens"].remaining == 5
    assert quota(x_ratelimit_remaining_req_minute="3")["requests"].remaining == 3


def test_what_remains_must_be_said() -> None:
    assert quota(x_ratelimit_limit_requests="60", x_ratelimit_reset_requests="1s") == {}
    assert quota(x_ratelimit_remaining_requests="many") == {}
    assert quota(content_type="application/json") == {}


@given(st.integers(0, 100), st.integers(0, 59), st.integers(0, 59))
def test_any_duration_is_read(hours: int, minutes: int, seconds: int) -> None:
    text = f"{hours}h{minutes}m{seconds}s"
    window = quota(x_ratelimit_remaining_tokens="1", x_ratelimit_reset_tokens=text)["tokens"]
    assert window.reset_s == pytest.approx(hours * 3600 + minutes * 60 + seconds)


@given(st.floats(0, 30 * 86400))
def test_any_time_is_read(seconds: float) -> None:
    at = datetime.fromtimestamp(NOW + seconds, UTC).isoformat()
    window = quota(anthropic_ratelimit_tokens_remaining="1", anthropic_ratelimit_tokens_reset=at)
    assert window["tokens"].reset_s == pytest.approx(seconds, abs=1e-3)


_NAMES = st.sampled_from(
    [
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-reset-tokens",
        b"anthropic-ratelimit-tokens-reset",
        b"anthropic-ratelimit-tokens-remaining",
        b"x-ratelimit-reset",
        b"retry-after",
    ]
)


_VALUES = st.binary(max_size=30) | st.text("0123456789.:-TZmsh").map(str.encode)


@given(st.lists(st.tuples(_NAMES, _VALUES)))
def test_whatever_headers_hold_what_comes_of_them_is_sound(headers: Headers) -> None:
    for window in read_quota(headers, NOW):
        assert window.remaining >= 0
        assert window.limit is None or window.limit >= 0
        assert window.reset_s is None or 0 <= window.reset_s <= 31 * 86400


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded exchanges are not here")
def test_recorded_headers_are_read() -> None:
    with gzip.open(RECORDED, "rt") as lines:
        exchanges: list[dict[str, Any]] = [json.loads(line) for line in lines]
    read = 0
    for exchange in exchanges:
        told: dict[str, str] = exchange.get("headers") or {}
        headers = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        remaining = dict(headers).get(b"x-ratelimit-remaining-requests")
        windows = {window.kind: window for window in read_quota(headers, NOW)}
        if remaining is not None:
            read += 1
            assert windows["requests"].remaining == int(remaining)
    assert read > 0
