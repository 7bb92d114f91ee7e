"""Keys and limits in a browser: made, used, taken away; and who may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

import pytest
from console_browser import Browsing
from console_gated import Gated, gated
from console_house import PATIENCE_S, House, house
from console_records import HOSTILE, day
from playwright.sync_api import APIResponse, Browser, Page, expect

FILED = """
keys: [{name: from-file, secret: a-secret-of-the-file, team: core}]
teams: {core: {budget: {usd: 5}, records: {bodies: metadata}}, search: {}}
providers: {sim: {kind: simulated}}
models:
  assistant: {targets: [{provider: sim, model: m}]}
  cheap: {targets: [{provider: sim, model: s}]}
"""


@pytest.fixture(scope="module")
def busy_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One with keys, limits and what was spent of them."""
    with house(tmp_path_factory.mktemp("keyed"), FILED) as at:
        at.add(day(2_000, time.time_ns()))
        at.api("POST", "/users", {"name": "ann@acme.example", "team": "search"})
        at.api("POST", "/keys", {"name": "search-web", "team": "search", "models": ["assistant"]})
        at.api("POST", "/keys", {"name": "support-web", "user": "ann@acme.example"})
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86_400))
        at.api("POST", "/keys", {"name": "growth-web", "expires_at": soon})
        at.api("POST", "/keys", {"name": "old-batch", "priority": "batch"})
        at.api("POST", "/keys/old-batch/block")
        at.api("POST", "/keys/search-web/rotate", {"overlap_s": 86_400})
        budgets = [
            {"amount": {"usd": "0.05"}, "period": "total", "downgrade": "cheap"},
            {"amount": {"usd": "250"}, "period": "month", "soft_percent": 50},
        ]
        limits = {"requests_per_day": 1_000, "tokens_per_hour": 90_000, "concurrency": 8}
        at.api("PUT", "/limits/team/search", {"limits": limits, "budgets": budgets})
        at.api("PUT", "/limits/key/*", {"limits": {"requests_per_day": 700}})
        each = {"amount": {"usd": "0.4"}, "period": "total"}
        at.api("PUT", "/limits/user/*", {"limits": {"requests_per_hour": 60}, "budgets": [each]})
        yield at


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with gated(tmp_path_factory.mktemp("gated")) as gate:
        yield gate


@pytest.fixture
def before_gate(browser: Browser, gate: Gated) -> Iterator[Browsing]:
    window = Browsing(browser, cast("House", gate))
    yield window
    window.close()


def confirmed(page: Page, opener: str, does: str) -> None:
    """Press the button that asks first, and say yes."""
    page.get_by_role("button", name=opener, exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=does).click()


def until(gate: Gated, key: str, status: int) -> str:
    """Ask until the gateway answers so; the code of its refusal."""
    until_s = time.monotonic() + PATIENCE_S
    while (found := gate.ask(key))[0] != status:
        assert time.monotonic() < until_s, found
    return found[1]


def test_key_is_made_works_and_is_taken_away(before_gate: Browsing, gate: Gated) -> None:
    page = before_gate.sign_in(path="/keys")
    page.get_by_text("There is no key yet").wait_for()
    page.get_by_role("link", name="New key").click()
    page.get_by_label("Name", exact=True).fill("web")
    page.get_by_label("Aliases it may use").fill("assistant")
    page.get_by_role("button", name="Make the key").click()
    secret = page.locator("#secret").inner_text()
    assert secret.startswith("tg-")
    until(gate, secret, 200)

    page.reload()  # which sends the form again
    page.get_by_text("its secret was shown then").wait_for()
    assert secret not in page.content()
    page.get_by_role("link", name="To the key").click()
    assert secret not in page.content()

    confirmed(page, "Block", "Block")
    page.get_by_text("The key web is blocked.").wait_for()
    assert until(gate, secret, 403) == "key_blocked"
    confirmed(page, "Unblock", "Unblock")
    until(gate, secret, 200)

    page.get_by_role("button", name="Rotate").click()
    page.get_by_label("The old secret stays good for").select_option("not at all: it ends now")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    fresh = page.locator("#secret").inner_text()
    until(gate, fresh, 200)
    assert until(gate, secret, 401)

    page.get_by_role("link", name="To the key").click()
    confirmed(page, "Delete", "Delete for ever")
    page.get_by_text("The key web is deleted.").wait_for()
    until(gate, fresh, 401)

    actions = [each["action"] for each in gate.api("GET", "/audit")["items"]]
    assert actions[:5] == ["key.delete", "key.rotate", "key.unblock", "key.block", "key.create"]
    for each in gate.directory.rglob("*"):
        if each.is_file():
            assert secret.encode() not in each.read_bytes()
    assert secret not in "".join(gate.written)


def test_secret_is_copied_by_its_button(before_gate: Browsing) -> None:
    before_gate.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = before_gate.sign_in(path="/keys/new")
    page.get_by_label("Name", exact=True).fill("copied")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy").click()
    page.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#secret").inner_text()


def test_all_works_by_keyboard(before_gate: Browsing) -> None:
    page = before_gate.sign_in(path="/keys/new")
    page.keyboard.type("typed")  # the first field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("link", name="To the key").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Block").focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("The key typed is blocked.").wait_for()


def test_mistake_is_told_in_the_form_and_what_was_typed_stays(browsing: Browsing) -> None:
    browsing.expected = ["409", "422"]
    page = browsing.sign_in(path="/keys/new")
    page.get_by_label("Name", exact=True).fill("from-file")
    page.get_by_label("Environment").fill("staging")
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert")).to_contain_text("The configuration file has a key")
    assert page.get_by_label("Environment").input_value() == "staging"
    page.get_by_label("Name", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("alert").wait_for()
    assert page.get_by_label("Name", exact=True).input_value() == HOSTILE
    assert page.locator("main img").count() == 0


def test_keys_of_file_and_store_are_listed_searched_and_said_how_they_are(
    browsing: Browsing,
) -> None:
    page = browsing.sign_in(path="/keys")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(5)
    told = {row.locator("th a").inner_text(): row.inner_text() for row in rows.all()}
    assert "file" in told["from-file"]
    assert "blocked" in told["old-batch"]
    assert "ends soon" in told["growth-web"]
    assert "rotating" in told["search-web"]
    assert "never" in told["old-batch"]
    page.get_by_label("Search").fill("SEARCH")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    page.get_by_label("Search").fill("no such")
    page.keyboard.press("Enter")
    page.get_by_text("No key is like this").wait_for()


def test_key_is_changed_by_its_form(browsing: Browsing, busy_house: House) -> None:
    before = busy_house.api("GET", "/keys/growth-web")
    page = browsing.sign_in(path="/keys/key/growth-web/change")
    page.get_by_label("Team").fill("core")
    page.get_by_label("only what is ticked here").check()
    page.get_by_label("conversation").check()
    page.get_by_role("button", name="Change it").click()
    page.get_by_text("The key growth-web is changed.").wait_for()
    after = busy_house.api("GET", "/keys/growth-web")
    assert after == before | {"team": "core", "may_name": ["conversation"]}


def test_limits_are_set_shown_with_their_use_and_removed(
    browsing: Browsing, busy_house: House
) -> None:
    page = browsing.sign_in(path="/keys/limits/set")
    page.locator("select[name=kind]").select_option("feature")
    page.get_by_label("Name", exact=True).fill("ranking & more/all")
    page.get_by_label("Requests a day").fill("2,000")
    page.get_by_label("Dollars").first.fill("$12.50")
    page.get_by_label("From there on ask").first.select_option("cheap")
    page.get_by_role("button", name="Set these limits").click()
    page.get_by_text("The limits of the feature ranking & more/all are set.").wait_for()
    found = busy_house.api("GET", "/limits/feature/ranking%20&%20more/all")
    assert found["limits"]["requests_per_day"] == 2_000
    assert found["budgets"][0]["amount"]["usd"] == "12.50"

    card = page.get_by_role("region", name="feature ranking & more/all")
    card.get_by_role("link", name="Change").click()
    assert page.get_by_label("Dollars").first.input_value() == "12.50"
    page.get_by_label("Requests a day").fill("many")
    browsing.expected = ["422"]
    page.get_by_role("button", name="Set these limits").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("Requests a day").fill("5")
    page.get_by_role("button", name="Set these limits").click()
    card.get_by_text("5 requests a day").wait_for()
    card.get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("The limits of the feature ranking & more/all are removed.").wait_for()
    expect(card).to_have_count(0)


def test_limits_of_the_file_are_marked_and_cannot_be_changed(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/keys/limits")
    card = page.get_by_role("region", name="team core")
    expect(card.get_by_text("file", exact=True)).to_be_visible()
    expect(card.get_by_role("button")).to_have_count(0)
    over = page.get_by_role("region", name="team search").locator("li").first
    expect(over.locator(".tone-bad")).to_have_count(1)


def test_viewer_sees_no_buttons_and_is_refused(browsing: Browsing, busy_house: House) -> None:
    page = browsing.sign_in(busy_house.token_of("viewer"), "/keys")
    for path in ("/keys", "/keys/key/search-web", "/keys/limits"):
        browsing.open(path)
        expect(page.locator("main form[method=post]")).to_have_count(0)
        expect(page.get_by_role("link", name="New key")).to_have_count(0)
    browsing.expected = ["403"]
    browsing.open("/keys/new")
    page.get_by_text("The role viewer may not do this.").wait_for()
    csrf = page.locator("input[name=csrf]").first.input_value()
    told = sent(browsing, "/keys/key/search-web", {"csrf": csrf, "do": "delete"})
    assert (told.status, "may not do this" in told.text()) == (403, True)
    assert busy_house.api("GET", "/keys/search-web")["name"] == "search-web"


def sent(browsing: Browsing, path: str, form: dict[str, str], **headers: str) -> APIResponse:
    """What is answered to a form that no page sent."""
    address = browsing.house.url
    return browsing.context.request.post(
        f"{address}/console{path}",
        form=dict(form),
        headers={"origin": address} | headers,
        max_redirects=0,
    )


@pytest.mark.parametrize("path", ["/keys/key/search-web", "/keys/limits", "/keys/new"])
def test_form_of_nobody_changes_nothing(browsing: Browsing, path: str) -> None:
    page = browsing.sign_in(path="/keys")
    csrf = page.locator("input[name=csrf]").first.input_value()
    form = {"do": "delete", "kind": "team", "name": "search"}
    assert sent(browsing, path, form).status == 403
    assert sent(browsing, path, form | {"csrf": "wrong"}).status == 403
    foreign = sent(browsing, path, form | {"csrf": csrf}, origin="https://evil.example")
    assert foreign.status == 403
    browsing.open("/keys/key/search-web")
    page.get_by_role("heading", name="search-web", exact=True).wait_for()


def test_session_that_ends_during_a_form_is_told_and_nothing_is_done(
    browsing: Browsing, busy_house: House
) -> None:
    made = busy_house.api("POST", "/tokens", {"name": "brief", "role": "admin"})
    page = browsing.sign_in(made["token"], "/keys/new")
    page.get_by_label("Name", exact=True).fill("never-made")
    busy_house.api("DELETE", "/tokens/brief")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_text("What you sent was not done").wait_for()
    page.get_by_label("Admin token").fill(busy_house.token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("button", name="Make the key").wait_for()
    names = [each["name"] for each in busy_house.api("GET", "/keys")["items"]]
    assert "never-made" not in names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/keys", "keys"),
        ("/keys/new", "keys-new"),
        ("/keys/key/search-web", "keys-one"),
        ("/keys/key/from-file", "keys-filed"),
        ("/keys/limits", "limits"),
        ("/keys/limits/set?kind=team&name=search", "limits-set"),
    ],
)
def test_keys_and_limits_can_be_seen(browsing: Browsing, path: str, name: str) -> None:
    browsing.sign_in()
    browsing.look(path, name)
    if name == "limits":
        browsing.picture(path, name)
