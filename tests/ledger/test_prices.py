"""Which price holds: what was set before what is listed, the latest before the earlier."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tidegate.ledger.price import Price
from tidegate.ledger.prices import (
    FREE,
    MOST_CHARACTERS,
    MOST_PAIRS,
    OWN,
    Place,
    Prices,
    set_price,
)
from tidegate.providers.compatible import ROWS

PLACES = {
    "openai": Place("openai", ("https://api.openai.com/v1",)),
    "proxy": Place("openai", ("https://llm.example.com/v1",)),
    "gpu": Place("vllm", ("http://10.0.0.1:8000/v1",)),
    "hosted": Place("vllm", ("https://api.avian.io/v1",)),
    "rented": Place("vllm", ("https://gpu.example.com/v1",)),
    "phone": Place("local"),
}
NOW_NS = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * 10**9
DAY_NS = 24 * 3600 * 10**9
PRICE = Price(1, 2)


def label(prices: Prices, provider: str, model: str, unix_ns: int = NOW_NS) -> str | None:
    price = prices.of(provider, model, unix_ns)
    return None if price is None else price.label


def test_listed_price_is_known_without_being_set() -> None:
    price = Prices(PLACES).of("openai", "gpt-4o-mini", NOW_NS)
    assert price is not None
    assert (price.input_nanousd, price.output_nanousd) == (150_000_000, 600_000_000)
    assert price.label.endswith(" openai/gpt-4o-mini")


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-nothing"), ("proxy", "gpt-4o-mini"), ("nobody", "m")]
)
def test_what_nobody_lists_or_sets_is_not_known(provider: str, model: str) -> None:
    prices = Prices(PLACES)
    assert prices.of(provider, model, NOW_NS) is None
    assert prices.context_tokens(provider, model) is None


@pytest.mark.parametrize("provider", ["gpu", "phone", "rented"])
def test_ones_own_servers_are_free(provider: str) -> None:
    assert Prices(PLACES).of(provider, "anything", NOW_NS) == FREE


def test_a_vendor_that_runs_such_a_server_is_not_free() -> None:
    assert Prices(PLACES).of("hosted", "no-such-model", NOW_NS) is None


def test_every_local_row_is_ones_own() -> None:
    assert {kind for kind, row in ROWS.items() if row.local} | {"local", "simulated"} == OWN


@pytest.mark.parametrize("provider", PLACES)
def test_price_that_is_set_goes_before_the_list(provider: str) -> None:
    prices = Prices(PLACES, [set_price(provider, "gpt-4o-mini", PRICE)])
    assert prices.of(provider, "gpt-4o-mini", NOW_NS) == Price(1, 2, label="configured")


def test_price_of_zero_is_set_too() -> None:
    prices = Prices(PLACES, [set_price("openai", "gpt-4o-mini", Price(0, 0))])
    assert prices.of("openai", "gpt-4o-mini", NOW_NS) == Price(0, 0)


def test_list_holds_until_the_first_price_that_is_set_begins() -> None:
    prices = Prices(PLACES, [set_price("openai", "gpt-4o-mini", PRICE, NOW_NS)])
    assert label(prices, "openai", "gpt-4o-mini", NOW_NS) == "configured 2026-11-20"
    before = label(prices, "openai", "gpt-4o-mini", NOW_NS - 1)
    assert before is not None
    assert before.startswith("genai-prices ")


def test_what_was_set_last_holds() -> None:
    prices = Prices(
        PLACES,
        [
            set_price("proxy", "m", PRICE, NOW_NS, admin=True),
            set_price("proxy", "m", PRICE),
            set_price("proxy", "m", PRICE, NOW_NS + DAY_NS),
        ],
    )
    assert label(prices, "proxy", "m", 0) == "configured"
    assert label(prices, "proxy", "m", NOW_NS) == "admin 2026-11-20"
    assert label(prices, "proxy", "m", NOW_NS + DAY_NS) == "configured 2026-11-21"


def test_admin_goes_before_the_configuration_from_the_same_time_on() -> None:
    both = [set_price("proxy", "m", PRICE, NOW_NS, admin=admin) for admin in (True, False)]
    assert label(Prices(PLACES, both), "proxy", "m") == "admin 2026-11-20"
    assert label(Prices(PLACES, both[::-1]), "proxy", "m") == "admin 2026-11-20"


def test_name_goes_before_pattern_and_the_longer_pattern_before_the_shorter() -> None:
    some = ("*", "gpt-*", "gpt-4o*", "gpt-4o-mini")
    prices = Prices(
        PLACES, [set_price("proxy", model, Price(at, 0)) for at, model in enumerate(some)]
    )
    for at, model in enumerate(("llama", "gpt-3", "gpt-4o-2", "gpt-4o-mini")):
        assert prices.of("proxy", model, NOW_NS) == Price(at, 0)
    assert prices.of("openai", "gpt-nothing", NOW_NS) is None


def test_label_tells_the_time_of_the_day_if_it_is_not_midnight() -> None:
    assert set_price("p", "m", PRICE, NOW_NS + 3_600 * 10**9).price.label == (
        "configured 2026-11-20T01:00:00Z"
    )


def test_context_of_a_listed_model_is_known() -> None:
    prices = Prices(PLACES, [set_price("openai", "gpt-4o-mini", PRICE)])
    assert prices.context_tokens("openai", "gpt-4o-mini") == 128_000
    assert prices.context_tokens("gpu", "gpt-4o-mini") is None


def test_names_of_callers_do_not_fill_the_memory() -> None:
    prices = Prices(PLACES, [set_price("proxy", "*", PRICE)])
    for at in range(MOST_PAIRS + 10):
        assert prices.of("proxy", f"m{at}", NOW_NS) is not None
    assert prices.kept == MOST_PAIRS


def test_a_name_that_is_too_long_is_no_models_and_is_not_kept() -> None:
    name = "gpt-4o-mini".ljust(MOST_CHARACTERS + 1, "x")
    prices = Prices(PLACES)
    assert prices.of("openai", name, NOW_NS) is None
    assert prices.of("gpu", name, NOW_NS) == FREE
    assert prices.kept == 0
