"""Teams in a browser: what is kept of each, who may change it, and what is said of a mistake."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from console_browser import Browsing
from console_house import House, house
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect

from tidegate.console.pages.keys.teams import fields_of, kept_words, said
from tidegate.console.refusals import Refusal

FILED = """
teams:
  core: {records: {bodies: metadata, share: 10%, max_body: 4KiB}, budget: {usd: 5}}
  wide: {}
"""
BOUNDS = st.fixed_dictionaries(
    {
        "bodies": st.sampled_from([None, "none", "metadata", "redacted", "full"]),
        "share": st.none() | st.floats(1e-6, 1) | st.just(0.0),
        "max_body_bytes": st.none() | st.integers(1, 1 << 40),
    }
)


@pytest.fixture(scope="module")
def busy_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One with two teams of its file and two of its store."""
    with house(tmp_path_factory.mktemp("teams"), FILED) as at:
        at.api("POST", "/teams", {"name": "law", "records": {"bodies": "none"}})
        at.api("POST", "/teams", {"name": "support"})
        at.api("PUT", "/limits/team/law", {"limits": {"requests_per_day": 700}})
        yield at


def test_teams_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    browsing.look("/keys/teams", "teams")
    browsing.look("/keys/teams/law/kept", "teams-kept")


def test_what_is_kept_is_shown_of_file_and_store(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/keys/teams")
    rows = {row.locator("th").inner_text(): row for row in page.locator("tbody tr").all()}
    assert list(rows) == ["core file", "wide file", "law", "support"]
    expect(rows["core file"]).to_contain_text("metadata, of 10 % of requests, 4 KiB of each body")
    expect(rows["law"]).to_contain_text("none")
    expect(rows["support"]).to_contain_text("whatever the alias keeps")
    expect(rows["core file"].get_by_role("link")).to_have_count(0)
    browsing.open("/keys/limits")
    for name, kept in (("core", "metadata"), ("law", "none")):
        expect(page.get_by_role("region", name=f"team {name}")).to_contain_text(
            f"At most kept of its requests: {kept}"
        )


def test_what_is_kept_is_changed_and_bounds_are_taken_away(
    browsing: Browsing, busy_house: House
) -> None:
    page = browsing.sign_in(path="/keys/teams")
    page.get_by_role("link", name="Change what is kept of support").click()
    page.get_by_label("At most kept").select_option("redacted")
    page.get_by_label("Of so many").fill("12.5 %")
    page.get_by_label("Most of each").fill("64 kib")
    page.get_by_role("button", name="Keep so much").click()
    page.get_by_text("What is kept of the team support is changed.").wait_for()
    bounds = {"bodies": "redacted", "share": 0.125, "max_body_bytes": 65_536}
    assert busy_house.api("GET", "/teams/support")["records"] == bounds
    entry = busy_house.api("GET", "/audit")["items"][0]
    assert (entry["action"], entry["object"]) == ("team.change", "team:support")

    page.get_by_role("link", name="Change what is kept of support").click()
    assert page.get_by_label("Of so many").input_value() == "12.5%"
    assert page.get_by_label("Most of each").input_value() == "64KiB"
    for label in ("Of so many", "Most of each"):
        page.get_by_label(label).fill("")
    page.get_by_label("At most kept").select_option("")
    page.get_by_role("button", name="Keep so much").click()
    page.get_by_text("What is kept of the team support is changed.").wait_for()
    assert busy_house.api("GET", "/teams/support")["records"] is None


@pytest.mark.parametrize(
    ("label", "typed", "told"),
    [
        ("Of so many", "101%", "Write it like 10%."),
        ("Of so many", "most", "Write it like 10%."),
        ("Most of each", "64 potatoes", "Write it like 64KiB."),
        ("Most of each", "0", "greater than or equal to 1"),
    ],
)
def test_mistake_is_told_in_the_form_and_changes_nothing(
    browsing: Browsing, busy_house: House, label: str, typed: str, told: str
) -> None:
    browsing.expected = ["422"]
    page = browsing.sign_in(path="/keys/teams/law/kept")
    page.get_by_label(label).fill(typed)
    page.get_by_role("button", name="Keep so much").click()
    expect(page.get_by_role("alert")).to_contain_text(told)
    assert page.get_by_label(label).input_value() == typed
    assert busy_house.api("GET", "/teams/law")["records"]["bodies"] == "none"


@pytest.mark.parametrize("role", ["viewer", "service"])
def test_role_that_may_not_change_it_sees_it_and_is_refused(
    browsing: Browsing, busy_house: House, role: str
) -> None:
    browsing.expected = ["403"]
    page = browsing.sign_in(busy_house.token_of(role), "/keys/teams")
    expect(page.get_by_role("row", name="law — 1 none")).to_be_visible()
    expect(page.get_by_role("link", name="Change what is kept of law")).to_have_count(0)
    browsing.open("/keys/teams/law/kept")
    page.get_by_text(f"The role {role} may not do this.").wait_for()
    address = browsing.house.url
    told = browsing.context.request.post(
        f"{address}/console/keys/teams/law/kept",
        form={"csrf": page.locator("input[name=csrf]").first.input_value(), "bodies": "full"},
        headers={"origin": address},
    )
    assert told.status == 403
    assert busy_house.api("GET", "/teams/law")["records"]["bodies"] == "none"


@given(BOUNDS)
def test_form_says_what_is_kept(bounds: dict[str, object]) -> None:
    assert said(fields_of(bounds)) == bounds
    assert (kept_words(bounds) is None) == (set(bounds.values()) == {None})


@pytest.mark.parametrize("typed", ["-1%", "1e2", "100.1", "%", "٣"])
def test_what_is_no_share_is_refused(typed: str) -> None:
    with pytest.raises(Refusal):
        said({"share": typed})
