"""The page Cost, in a browser, and what it reckons."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from console_browser import Browsing
from console_house import House
from playwright.sync_api import expect

from tidegate.console.pages.cost.reckoned import as_csv, forecast, series_of, used_up_s
from tidegate.store.spend import Bar, Spent

NOON_S = int(datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp())


def test_forecast_goes_on_at_the_pace_of_the_days_that_are_known() -> None:
    told = forecast(2_000, [0, 0, 100, 300], NOON_S)
    assert told is not None
    assert (told.days, told.per_day_nanousd) == (2, 200)
    assert told.whole_nanousd == 2_000 + 200 * 19 // 2  # nine days and a half are left
    assert forecast(50, [0, 0], NOON_S) is None


def test_budget_is_used_up_at_its_pace_or_not_in_its_period() -> None:
    assert used_up_s(50, 100, 0, 1_000, 100) == 200
    assert used_up_s(50, 100, 0, 150, 100) is None
    assert used_up_s(100, 100, 0, 150, 100) == 100
    assert used_up_s(0, 100, 0, 150, 100) is None


def test_series_are_all_of_the_cost() -> None:
    bars = [Bar(0, "a", 1), Bar(0, None, 2), Bar(60, "b", 4), Bar(60, "c", 8)]
    told = series_of(bars, ["c", None], [0, 60])
    assert [(each.name, list(each.values)) for each in told] == [
        ("c", [0, 8]), ("(none)", [2, 0]), ("everything else", [1, 4]),
    ]  # fmt: skip


def test_no_name_is_a_formula_in_a_file() -> None:
    told = as_csv("user", [Spent("=cmd()", 1, 0, 0, 1_500_000_000, 3, 0, 0, 4)]).decode()
    assert told.splitlines() == [
        "user,usd,requests,errors,unpriced,input_tokens,output_tokens", "'=cmd(),1.50,1,0,0,3,4",
    ]  # fmt: skip


def test_one_looks_by_another_dimension_and_into_one_name(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/cost")
    table = page.get_by_role("region", name="Cost by team")
    expect(table.locator("tbody tr")).to_have_count(3)
    table.get_by_role("link", name="search").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**team=search**")
    page.get_by_label("By", exact=True).get_by_role("link", name="feature").click()
    page.wait_for_url("**by=feature**")
    names = page.get_by_role("region", name="Cost by feature").locator("tbody th a").all()
    assert sorted(each.inner_text() for each in names) == ["ranking", "suggest"]
    page.get_by_role("link", name="Without team").click()
    expect(page.get_by_role("region", name="Cost by feature").locator("tbody tr")).to_have_count(5)


def test_table_is_taken_along_as_a_file(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/cost?by=alias&range=30d")
    with page.expect_download() as waited:
        page.get_by_role("link", name="CSV").click()
    assert waited.value.suggested_filename == "cost-by-alias.csv"
    lines = Path(waited.value.path()).read_text().splitlines()
    assert lines[0].startswith("alias,usd,requests")
    assert {each.partition(",")[0] for each in lines[1:]} == {"assistant", "fast", "careful"}


def test_budget_says_when_it_is_used_up(browsing: Browsing, busy_house: House) -> None:
    budget = {"amount": {"usd": "1000000"}, "period": "month"}
    busy_house.api("PUT", "/limits/team/search", {"budgets": [budget]})
    page = browsing.sign_in(path="/cost")
    row = page.get_by_role("region", name="Budgets").locator("tbody tr")
    expect(row).to_contain_text("team search")
    expect(row).to_contain_text("not in this period")


def test_cost_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look("/cost?range=24h", "cost")
    browsing.picture("/cost?range=24h", "cost")
