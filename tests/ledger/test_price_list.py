"""The vendors' prices, as they are read from the installed package."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)
from genai_prices.types import Provider as Vendor
from hypothesis import given
from hypothesis import strategies as st

from tidegate.ledger.catalogue import VENDORS, Catalogue, bundled
from tidegate.ledger.listed import Schedule, schedule
from tidegate.ledger.price import Price, cost
from tidegate.providers.compatible import ROWS
from tidegate.types import Usage

D = Decimal
LATE_NS = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()) * 10**9


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    """Unix nanoseconds of a moment in UTC."""
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 10**9


def listed(
    prices: ModelPrice | list[ConditionalPrice],
    variants: list[PriceVariant] | None = None,
    name: str = "m",
) -> Schedule:
    model = ModelInfo(id=name, match=ClauseEquals(name), prices=prices, context_window=1000)
    return schedule(model, variants or [], "list")


def test_no_http_client_is_imported_by_reading_the_list() -> None:
    program = (
        "import sys\n"
        "from tidegate.ledger.prices import Place, Prices\n"
        "prices = Prices({'o': Place('openai'), 'r': Place('openrouter')})\n"
        f"assert prices.of('o', 'gpt-4o-mini', {LATE_NS}) is not None\n"
        f"assert prices.of('r', 'anthropic/claude-sonnet-4.5', {LATE_NS}) is not None\n"
        f"assert prices.of('r', 'no-such-thing', {LATE_NS}) is None\n"
        "known = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(known & {'httpx', 'httpx2', 'requests', 'aiohttp', 'genai_prices'}))\n"
        "import genai_prices\n"
        "print(genai_prices.calc_price.__name__)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert said.stdout.split() == ["[]", "calc_price"]


def test_every_kind_of_vendor_is_in_the_list() -> None:
    for kind, vendor in VENDORS.items():
        assert bundled().vendor(kind) == vendor
        assert vendor in {each.id for each in get_snapshot().providers}


def test_every_compatible_kind_is_a_vendor_or_ones_own() -> None:
    assert {kind for kind, row in ROWS.items() if not row.local} <= VENDORS.keys()


def test_who_speaks_like_openai_is_known_by_the_address() -> None:
    known = bundled()
    assert known.vendor("openai", ["https://api.openai.com/v1"]) == "openai"
    assert known.vendor("openai", ["https://api.perplexity.ai"]) == "perplexity"
    assert known.vendor("openai", ["http://gpu-1:8000/v1"]) is None
    two = ["https://api.openai.com/v1", "https://api.perplexity.ai"]
    assert known.vendor("openai", two) is None


@pytest.mark.parametrize(
    ("vendor", "model", "found"),
    [
        ("openai", "gpt-4o-mini-2024-07-18", "openai/gpt-4o-mini"),
        ("azure", "gpt-4o-mini", "azure/gpt-4o-mini"),
        ("aws", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("google", "models/gemini-2.5-flash", "google/gemini-2.5-flash"),
        ("google", "publishers/anthropic/models/claude-sonnet-4-5", "google/claude-sonnet-4-5"),
    ],
)
def test_names_with_versions_and_places_are_found(vendor: str, model: str, found: str) -> None:
    price = schedule_of(vendor, model).at(LATE_NS)
    assert price is not None
    assert price.label.startswith("genai-prices ")
    assert price.label.endswith(f" {found}")


def test_a_bedrock_profile_of_a_region_is_found_by_name_and_by_arn() -> None:
    name = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
    arn = f"arn:aws:bedrock:us-east-1:123456789012:inference-profile/{name}"
    assert schedule_of("aws", name) == schedule_of("aws", arn)


def schedule_of(vendor: str, model: str) -> Schedule:
    found = bundled().find(vendor, model)
    assert found is not None
    return found


def test_what_is_not_listed_is_not_found() -> None:
    assert bundled().find("openai", "gpt-nothing") is None
    assert bundled().find("azure", "our-deployment") is None


def test_dollars_become_nano_dollars_exactly() -> None:
    price = listed(ModelPrice(input_mtok=D("0.0028"), output_mtok=D("0.1"))).at(LATE_NS)
    assert price == Price(2_800_000, 100_000_000, label="list")


def test_what_is_finer_is_rounded_up() -> None:
    price = listed(ModelPrice(input_mtok=D("0.18000000000000002"), output_mtok=D(0))).at(0)
    assert price == Price(180_000_001, 0, label="list")


def test_vectors_have_no_price_for_output() -> None:
    assert listed(ModelPrice(input_mtok=D("0.02"))).at(0) == Price(20_000_000, 0, label="list")


@pytest.mark.parametrize(
    "prices",
    [
        ModelPrice(),
        ModelPrice(audio_hours=D("0.36")),
        ModelPrice(input_mtok=D(1), output_mtok=D(1), requests_kcount=D(5)),
        ModelPrice(input_mtok=D(1), output_mtok=D(1), something_new_mtok=D(5)),
    ],
)
def test_what_is_charged_by_other_things_has_no_price(prices: ModelPrice) -> None:
    assert listed(prices).at(0) is None


def test_what_says_that_it_is_free_is() -> None:
    assert listed(ModelPrice(), name="llama:free").at(0) == Price(0, 0, label="list")


def test_searches_are_not_counted() -> None:
    prices = ModelPrice(input_mtok=D(1), output_mtok=D(2), web_searches_kcount=D(10))
    assert listed(prices).at(0) == Price(10**9, 2 * 10**9, label="list")


def test_images_cost_what_is_dearest() -> None:
    prices = ModelPrice(input_mtok=D(1), output_mtok=D(2), output_image_mtok=D(30))
    assert listed(prices).at(0) == Price(10**9, 30 * 10**9, label="list")


def test_every_class_has_its_price() -> None:
    prices = ModelPrice(
        input_mtok=D(1),
        output_mtok=D(2),
        cache_read_mtok=D(3),
        cache_write_mtok=D(4),
        cache_write_1h_mtok=D(5),
        output_reasoning_mtok=D(6),
        input_audio_mtok=D(7),
        output_audio_mtok=D(8),
        cache_audio_read_mtok=D(9),
    )
    n = 10**9
    assert listed(prices).at(0) == Price(
        1 * n, 2 * n, 3 * n, 4 * n, 6 * n, "list", 7 * n, 8 * n, 9 * n, 5 * n
    )


def test_tiers_of_all_classes_are_one_list() -> None:
    prices = ModelPrice(
        input_mtok=TieredPrices(base=D(1), tiers=[Tier(200, D(2)), Tier(100, D("1.5"))]),
        output_mtok=TieredPrices(base=D(3), tiers=[Tier(200, D(4))]),
        cache_read_mtok=D("0.5"),
    )
    price = listed(prices).at(0)
    assert price is not None
    assert [(above, rates.input_nanousd, rates.output_nanousd) for above, rates in price.tiers] == [
        (100, 1_500_000_000, 3 * 10**9),
        (200, 2 * 10**9, 4 * 10**9),
    ]
    assert cost(price, Usage(200, 10, cached_input=100)) == 100 * 1500 + 100 * 500 + 10 * 3000


def test_a_context_with_a_price_beyond_it_is_not_known() -> None:
    flat, tiered = D(1), TieredPrices(base=D(1), tiers=[Tier(1000, D(2))])
    assert listed(ModelPrice(input_mtok=flat)).context_tokens == 1000
    assert listed(ModelPrice(input_mtok=tiered)).context_tokens is None


def test_prices_hold_from_midnight_of_their_date() -> None:
    prices = listed(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=D(1))),
            ConditionalPrice(
                StartDateConstraint(date(2026, 11, 1)), prices=ModelPrice(input_mtok=D(2))
            ),
        ]
    )
    assert prices.at(at(2026, 11, 1) - 1) == Price(10**9, 0, label="list")
    assert prices.at(at(2026, 11, 1)) == Price(2 * 10**9, 0, label="list")
    assert prices.at(-1) == Price(10**9, 0, label="list")


def test_prices_of_the_night_hold_over_midnight() -> None:
    prices = listed(
        [
            ConditionalPrice(prices=ModelPrice(input_mtok=D(2))),
            ConditionalPrice(
                TimeOfDateConstraint(time(16, 30, tzinfo=UTC), time(0, 30, tzinfo=UTC)),
                prices=ModelPrice(input_mtok=D(1)),
            ),
        ]
    )
    cheap, dear = Price(10**9, 0, label="list"), Price(2 * 10**9, 0, label="list")
    assert prices.at(at(2026, 11, 1, 0, 29)) == cheap
    assert prices.at(at(2026, 11, 1, 0, 30)) == dear
    assert prices.at(at(2026, 11, 1, 16, 30) - 1) == dear
    assert prices.at(at(2026, 11, 1, 16, 30)) == cheap


def test_a_variant_is_the_price_with_what_it_changes() -> None:
    prices = listed(
        ModelPrice(input_mtok=D(2), output_mtok=D(4), cache_read_mtok=D(1)),
        [
            PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=D(1), output_mtok=D(2))),
            PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=D(9))),
            PriceVariant({"service_tier": "default"}, ModelPrice()),
            PriceVariant({"route": "somewhere"}, ModelPrice(input_mtok=D(7))),
        ],
    )
    price = prices.at(0)
    assert price is not None
    assert price.variants.keys() == {"batch"}
    assert price.served("batch") == Price(10**9, 2 * 10**9, 10**9, label="list batch")


def test_a_vendors_variants_are_not_anothers() -> None:
    model = ModelInfo(
        id="m",
        match=ClauseEquals("m"),
        prices=ModelPrice(input_mtok=D(1)),
        price_variants=[PriceVariant({"processing": "batch"}, ModelPrice(input_mtok=D("0.5")))],
    )
    first = Vendor(id="first", name="", api_pattern="https://first", models=[model])
    other = Vendor(id="other", name="", api_pattern="https://o", fallback_model_providers=["first"])
    known = Catalogue([first, other], "1")
    owned, lent = known.find("first", "m"), known.find("other", "m")
    assert owned is not None
    assert lent is not None
    here, there = owned.at(0), lent.at(0)
    assert here is not None
    assert there is not None
    assert here.variants.keys() == {"batch"}
    assert there == Price(10**9, 0, label="genai-prices 1 other/m")


EVERY = [
    (vendor, model)
    for vendor in get_snapshot().providers
    if vendor.id in VENDORS.values()
    for model in vendor.models
]


@given(
    st.sampled_from(EVERY),
    st.datetimes(datetime(2023, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001
    st.lists(st.integers(0, 400_000), min_size=6, max_size=6),
)
def test_costs_are_those_that_the_package_works_out(
    listing: tuple[Vendor, ModelInfo], moment: datetime, counts: list[int]
) -> None:
    vendor, model = listing
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    unix_ns = int(moment.timestamp()) * 10**9
    price = schedule(model, model.price_variants or [], "").at(unix_ns)
    prices = model.get_prices(moment)
    if price is None or any(name.endswith(("image_mtok", "video_mtok")) for name in vars(prices)):
        return
    text, cached, written, kept, said, reasoning = counts
    usage = Usage(
        text + cached + written + kept, said + reasoning, cached, written + kept, reasoning,
        cache_write_1h=kept,
    )  # fmt: skip
    theirs = TheirUsage(
        input_tokens=usage.input,
        output_tokens=usage.output,
        cache_read_tokens=cached,
        cache_write_tokens=written + kept,
        cache_write_1h_tokens=kept,
        output_reasoning_tokens=reasoning,
    )
    exact = model.calc_price(theirs, vendor, genai_request_timestamp=moment).total_price
    # They do not round; rates finer than ours add less than three for so many tokens.
    assert 0 <= cost(price, usage) - exact * 10**9 < 4


def test_a_wellknown_cost_is_the_packages() -> None:
    theirs = calc_price(
        TheirUsage(input_tokens=1000, output_tokens=100),
        "gpt-4o-mini",
        provider_id="openai",
        genai_request_timestamp=datetime(2026, 11, 1, tzinfo=UTC),
    )
    price = schedule_of("openai", "gpt-4o-mini").at(at(2026, 11, 1))
    assert price is not None
    assert cost(price, Usage(1000, 100)) == theirs.total_price * 10**9 == 210_000
