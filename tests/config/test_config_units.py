from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tidegate.config.units import parse_duration, parse_price, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0s", 0),
        ("200ms", 0.2),
        ("2s", 2),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("1d2h3m4s5ms", 93784.005),
    ],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("512B", 512), ("32MiB", 33554432), ("10MB", 10_000_000), ("1.5KiB", 1536), ("1GiB", 2**30)],
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("$0.15/M", 150_000_000),
        ("$15/M", 15_000_000_000),
        ("$0.000000001/M", 1),
        ("$0.002/K", 2_000_000_000),
        ("$0/M", 0),
    ],
)
def test_prices_are_nano_dollars_per_million_tokens(text: str, price: int) -> None:
    assert parse_price(text) == price


@given(st.integers(0, 10**15))
def test_every_price_of_whole_nano_dollars_is_exact(price: int) -> None:
    assert parse_price(f"${Decimal(price) / 10**9:f}/M") == price


@pytest.mark.parametrize("text", ["", "s", "1", "-1s", "1s1m", "1 s", "\u0661s", "1.s", "1e3s"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "1", "-1B", "1mib", "0.5B", "1 MiB", "MiB", "1B\n"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse_size(text)


@pytest.mark.parametrize(
    "text", ["", "1/M", "$1", "$1/T", "$-1/M", "€1/M", "$0.0000000001/M", "free"]
)
def test_what_is_not_a_price_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        parse_price(text)


def _parsed_or_none(parse: Callable[[str], float], text: str) -> float | None:
    try:
        return parse(text)
    except PydanticCustomError:
        return None


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for parse in (parse_duration, parse_size, parse_price):
        quantity = _parsed_or_none(parse, text)
        assert quantity is None or quantity >= 0
