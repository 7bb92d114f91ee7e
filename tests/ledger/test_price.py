"""What a call costs."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from tidegate.ledger.price import Price, bound, cost
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


CLASSES = 9
"""Text, two of cached, two of written, audio; text, reasoning, audio."""


def usage_of(counts: list[int]) -> Usage:
    """A usage with so many tokens of each class."""
    text, cached, cached_audio, written, kept, heard, said, reasoning, spoken = counts
    return Usage(
        input=text + cached + cached_audio + written + kept + heard,
        output=said + reasoning + spoken,
        cached_input=cached + cached_audio,
        cache_write=written + kept,
        reasoning=reasoning,
        audio_input=heard,
        audio_output=spoken,
        cached_audio_input=cached_audio,
        cache_write_1h=kept,
    )


@st.composite
def rates(draw: st.DrawFn) -> Price:
    some = [draw(st.none() | NANO) for _ in range(CLASSES - 2)]
    cached, cached_audio, written, kept, heard, reasoning, spoken = some
    return Price(
        draw(NANO),
        draw(NANO),
        cached,
        written,
        reasoning,
        audio_input_nanousd=heard,
        audio_output_nanousd=spoken,
        cached_audio_input_nanousd=cached_audio,
        cache_write_1h_nanousd=kept,
    )


@st.composite
def tiered(draw: st.DrawFn) -> Price:
    starts = sorted(draw(st.sets(TOKENS, max_size=3)))
    return replace(draw(rates()), tiers=tuple((above, draw(rates())) for above in starts))


COUNTS = st.lists(TOKENS, min_size=CLASSES, max_size=CLASSES)


@given(tiered(), COUNTS, TOKENS, TOKENS)
def test_no_usage_costs_more_than_its_bound(
    price: Price, counts: list[int], more_input: int, more_output: int
) -> None:
    usage = usage_of(counts)
    most = bound(price, usage.input + more_input, usage.output + more_output)
    assert cost(price, usage) <= most


@given(rates(), COUNTS, st.integers(0, CLASSES - 1), TOKENS)
def test_more_of_a_class_never_costs_less(
    price: Price, counts: list[int], which: int, more: int
) -> None:
    larger = [count + (more if place == which else 0) for place, count in enumerate(counts)]
    assert cost(price, usage_of(counts)) <= cost(price, usage_of(larger))


@given(rates(), COUNTS, COUNTS)
def test_two_usages_cost_together_what_they_cost_apart_but_for_rounding(
    price: Price, one: list[int], other: list[int]
) -> None:
    together = cost(price, usage_of([a + b for a, b in zip(one, other, strict=True)]))
    apart = cost(price, usage_of(one)) + cost(price, usage_of(other))
    assert apart - 1 <= together <= apart


@given(tiered())
def test_nothing_costs_nothing(price: Price) -> None:
    assert cost(price, Usage(0, 0)) == bound(price, 0, 0) == 0


def test_all_of_a_request_above_a_tier_costs_what_the_tier_says() -> None:
    price = Price(1_000_000, 1_000_000, tiers=((100, Price(2_000_000, 3_000_000)),))
    assert cost(price, Usage(100, 10)) == 110
    assert cost(price, Usage(101, 10)) == 101 * 2 + 10 * 3


def test_bound_takes_the_cheaper_tier_for_no_less_than_the_dearer_one_before_it() -> None:
    price = Price(5_000_000, 0, tiers=((100, Price(1_000_000, 0)),))
    assert bound(price, 101, 0) >= cost(price, Usage(100, 0)) == 500


def test_price_served_in_an_unknown_way_is_the_price() -> None:
    batch = Price(1, 1, label="batch")
    price = Price(2, 2, variants={"batch": batch})
    assert price.served("batch") is batch
    assert price.served("fast", "batch") is batch
    assert price.served("auto") is price.served(None, ["batch"]) is price.served() is price
