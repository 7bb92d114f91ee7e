"""The way in and out of the console, in a browser."""

from __future__ import annotations

from console_browser import Browsing
from console_house import House


def test_stranger_comes_to_the_page_asked_for_by_signing_in(browsing: Browsing) -> None:
    page = browsing.sign_in(path="/now?range=6h")
    assert page.url.endswith("/console/now?range=6h")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Admin token").wait_for()
    browsing.open("/now")
    assert "/console/sign-in?" in page.url


def test_the_way_in_can_be_seen(browsing: Browsing) -> None:
    browsing.look("/sign-in", "sign-in")


def test_wrong_token_is_refused(browsing: Browsing) -> None:
    browsing.expected = ["401"]
    browsing.open("/now")
    page = browsing.page
    page.get_by_label("Admin token").fill("tga-no")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("No valid admin token was sent.").wait_for()


def test_deleted_token_ends_its_session(browsing: Browsing, busy_house: House) -> None:
    made = busy_house.api("POST", "/tokens", {"name": "gone", "role": "viewer"})
    browsing.sign_in(made["token"])
    busy_house.api("DELETE", "/tokens/gone")
    page = browsing.open("/now")
    page.get_by_label("Admin token").wait_for()
