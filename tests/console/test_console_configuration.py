"""Configurations in a browser: looked at, compared, put back at a gateway that takes it over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import cast

import pytest
from console_browser import Browsing
from console_gated import CONFIG, Gated, gated
from console_house import PATIENCE_S, House
from console_records import HOSTILE
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from tidegate.config.load import version_of
from tidegate.console.pages.configuration import lines_of

BAD = CONFIG.replace("assistant:", "helper:") + "# " + HOSTILE + "\n"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    with gated(tmp_path_factory.mktemp("configured")) as gate:
        write(gate, CONFIG)
        write(gate, BAD)
        yield gate


@pytest.fixture
def browsing(browser: Browser, gate: Gated) -> Iterator[Browsing]:
    window = Browsing(browser, cast("House", gate))
    yield window
    window.close()


def write(gate: Gated, text: str) -> None:
    """Deploy a configuration, and wait until it is known to be in force."""
    Path(gate.directory / "tidegate.yaml").write_text(text)
    until_s = time.monotonic() + PATIENCE_S
    while gate.api("GET", "/configurations")["in_force"] != version_of(text):
        assert time.monotonic() < until_s
    while version_of(text) not in {
        each["version"] for each in gate.api("GET", "/configurations")["items"]
    }:
        assert time.monotonic() < until_s


def until(gate: Gated, status: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while gate.ask()[0] != status:
        assert time.monotonic() < until_s


def test_viewer_may_look_and_not_go_back(browsing: Browsing, gate: Gated) -> None:
    token = gate.api("POST", "/tokens", {"name": "looks", "role": "viewer"})["token"]
    page = browsing.sign_in(token, "/configuration")
    expect(page.get_by_text("in force", exact=True)).to_have_count(1)
    expect(page.locator("main form[method=post]")).to_have_count(0)
    csrf = page.locator("input[name=csrf]").first.input_value()
    address = f"{gate.url}/console/configuration/version/{version_of(CONFIG)}"
    send = browsing.context.request.post
    told = send(address, form={"csrf": csrf}, headers={"origin": gate.url})
    assert (told.status, "may not do this" in told.text()) == (403, True)
    assert send(address, form={}, headers={"origin": gate.url}).status == 403
    assert send(address, form={"csrf": "wrong"}, headers={"origin": gate.url}).status == 403
    assert gate.api("GET", "/configurations")["in_force"] == version_of(BAD)


def other(gate: Gated) -> str:
    """Where the one of the two that is not in force is put back."""
    now = (gate.directory / "tidegate.yaml").read_text()
    version = version_of(CONFIG if now != CONFIG else BAD)
    return f"{gate.url}/console/configuration/version/{version}"


def standing(gate: Gated) -> tuple[str, str, int]:
    """The file, what is in force, and how many changes the trail has."""
    file = (gate.directory / "tidegate.yaml").read_text()
    in_force = gate.api("GET", "/configurations")["in_force"]
    done = [each["action"] for each in gate.api("GET", "/audit")["items"]]
    return file, in_force, done.count("configuration.rollback")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", None])
def test_going_back_asked_for_from_elsewhere_changes_nothing(
    browsing: Browsing, gate: Gated, origin: str | None
) -> None:
    page = browsing.sign_in(path="/configuration")
    csrf = page.locator("input[name=csrf]").first.input_value()
    before = standing(gate)
    headers = {} if origin is None else {"origin": origin}
    told = browsing.context.request.post(other(gate), form={"csrf": csrf}, headers=headers)
    assert told.status == 403
    assert standing(gate) == before


def test_session_that_ended_shows_no_configuration_and_changes_none(
    browsing: Browsing, gate: Gated
) -> None:
    token = gate.api("POST", "/tokens", {"name": "leaves", "role": "owner"})["token"]
    page = browsing.sign_in(token, "/configuration")
    csrf = page.locator("input[name=csrf]").first.input_value()
    gate.api("DELETE", "/tokens/leaves")
    before = standing(gate)
    told = browsing.context.request.post(
        other(gate), form={"csrf": csrf}, headers={"origin": gate.url}, max_redirects=0
    )
    assert told.status == 303
    assert "/console/sign-in" in told.headers["location"]
    assert standing(gate) == before
    browsing.open("/configuration")
    expect(page.get_by_label("Admin token")).to_be_visible()
    expect(page.get_by_text(version_of(CONFIG))).to_have_count(0)


def test_configurations_can_be_seen(browsing: Browsing) -> None:
    browsing.sign_in()
    one = f"/configuration/version/{version_of(CONFIG)}"
    for path, name in (
        ("/configuration", "configuration"),
        ("/configuration/compare", "configuration-diff"),
        (one, "configuration-one"),
    ):
        browsing.look(path, name)


def test_two_are_compared_and_names_are_text(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/configuration")
    page.locator("select[name=old]").select_option(version_of(CONFIG))
    page.locator("select[name=new]").select_option(version_of(BAD))
    page.get_by_role("button", name="Compare").click()
    changes = page.get_by_role("region", name="What changed").last
    expect(changes.locator(".removed")).to_contain_text("assistant:")
    expect(changes.locator(".added").first).to_contain_text("helper:")
    expect(changes.locator(".added .sign").first).to_have_text("+")
    expect(changes.locator(".added").last).to_contain_text(HOSTILE)
    assert page.locator("main img").count() == 0
    page.get_by_role("link", name="The other way").click()
    expect(changes.locator(".removed").first).to_contain_text("helper:")


def test_going_back_is_asked_done_and_taken_over_by_the_gateway(
    browsing: Browsing, gate: Gated
) -> None:
    until(gate, 404)
    page = browsing.sign_in(path=f"/configuration/version/{version_of(CONFIG)}")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Roll back").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Roll back").press("Enter")
    done = page.get_by_text(f"says {version_of(CONFIG)} again")
    done.wait_for()
    expect(page.get_by_role("row", name=f"{version_of(CONFIG)} in force")).to_be_visible(
        timeout=PATIENCE_S * 1_000
    )
    expect(page.get_by_text("in force", exact=True)).to_have_count(1)
    expect(done).to_be_visible()
    until(gate, 200)
    assert (gate.directory / "tidegate.yaml").read_text() == CONFIG
    entry = gate.api("GET", "/audit")["items"][0]
    assert (entry["action"], entry["actor"]) == ("configuration.rollback", "first")


def test_mistakes_of_what_is_put_back_are_told(browsing: Browsing, gate: Gated) -> None:
    needed = gate.directory / "needed.txt"
    needed.write_text("a-long-secret-of-the-file")
    filed = CONFIG + f"keys: [{{name: web, secret: '${{file:{needed}}}'}}]\n"
    write(gate, filed)
    write(gate, CONFIG)
    needed.unlink()
    page = browsing.sign_in(path=f"/configuration/version/{version_of(filed)}")
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator(".flash.bad")).to_contain_text("This configuration cannot be used any more")
    expect(page.locator(".flash.bad")).to_contain_text("keys[0].secret")
    assert (gate.directory / "tidegate.yaml").read_text() == CONFIG


TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "+c\n", "-d\n", "\n", "@@ e\n"]), max_size=30)


@given(TEXTS, TEXTS)
def test_difference_has_both_texts_in_it(old: list[str], new: list[str]) -> None:
    found = list(lines_of("".join(unified_diff(old, new, "x", "y", n=99))))
    if old != new:
        assert [f"{each.text}\n" for each in found if each.old is not None] == old
        assert [f"{each.text}\n" for each in found if each.new is not None] == new
        numbers = [each.new for each in found if each.new is not None]
        assert numbers == list(range(1, len(new) + 1))
    else:
        assert not found
