"""What a call costs."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tidegate.ledger.price import Price, cost
from tidegate.types import Usage

NANO = st.integers(min_value=0, max_value=10**12)
TOKENS = st.integers(min_value=0, max_value=10**7)


def test_usual_price_is_exact() -> None:
    # $0.15 and $0.60 per million tokens: 150 and 600 nano-dollars a token.
    price = Price(150_000_000, 600_000_000)
    assert cost(price, Usage(input=1000, output=10)) == 1000 * 150 + 10 * 600


def test_each_kind_has_its_own_price() -> None:
    price = Price(
        1_000_000, 2_000_000, cached_input_nanousd=100_000, cache_write_nanousd=1_250_000,
        reasoning_nanousd=3_000_000,
    )  # fmt: skip
    usage = Usage(input=100, output=50, cached_input=40, cache_write=20, reasoning=30)
    assert cost(price, usage) == 40 * 1 + 4 + 25 + 20 * 2 + 30 * 3


def test_kind_without_price_costs_what_its_whole_does() -> None:
    plain = Usage(input=70, output=30)
    parts = Usage(input=70, output=30, cached_input=20, cache_write=10, reasoning=30)
    price = Price(123_456, 654_321)
    assert cost(price, parts) == cost(price, plain)


def test_price_of_zero_is_a_price() -> None:
    price = Price(1_000_000, 1_000_000, cached_input_nanousd=0)
    assert cost(price, Usage(input=5, output=0, cached_input=5)) == 0


def test_rest_is_rounded_up_once() -> None:
    # Two halves make one, not two.
    price = Price(500_000, 500_000)
    assert cost(price, Usage(input=1, output=1)) == 1
    assert cost(price, Usage(input=1, output=0)) == 1


def test_part_larger_than_its_whole_is_charged() -> None:
    price = Price(1_000_000, 1_000_000)
    assert cost(price, Usage(input=0, output=0, cached_input=7, reasoning=3)) == 10


@given(st.lists(NANO, min_size=5, max_size=5), st.lists(TOKENS, min_size=5, max_size=5))
def test_kinds_add_up(prices: list[int], tokens: list[int]) -> None:
    plain, cached, write, output, reasoning = prices
    usage = Usage(
        input=sum(tokens[:3]), output=sum(tokens[3:]), cached_input=tokens[1],
        cache_write=tokens[2], reasoning=tokens[4],
    )  # fmt: skip
    exact = sum(Fraction(n * p, 10**6) for n, p in zip(tokens, prices, strict=True))
    assert 0 <= cost(Price(plain, output, cached, write, reasoning), usage) - exact < 1
