"""Every page by keyboard alone, and every word on it as it is drawn: WCAG 2.2, AA."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from console_browser import NARROW, WIDE, Browsing
from console_house import House, busy, house
from console_records import day
from playwright.sync_api import Page

FILED = """
keys: [{name: web, secret: a-secret-of-the-file, team: search}]
teams: {search: {budget: {usd: 5}}}
providers: {sim: {kind: simulated}}
models: {assistant: {targets: [{provider: sim, model: m}]}}
"""
REQUEST = "/requests/req-7-000000"
PAGES = [
    "/now", "/requests", REQUEST, "/cost", "/keys", "/keys/new", "/keys/key/made", "/keys/limits",
    "/keys/limits/set", "/keys/teams", "/keys/teams/law/kept", "/quality", "/alerts",
    "/alerts/runbooks/errors", "/configuration",
]  # fmt: skip
_ROUND = 2
"""The end of the page, and what was reached first."""
ACTS = "a[href], button, input:not([type=hidden]), select, textarea, summary"
UNREACHED = """
(acts) => {
  const shown = [...document.querySelectorAll(acts)].filter((each) =>
    each.checkVisibility() && !each.disabled && !each.closest("svg"));
  return shown.filter((each) => !window.reached.has(each) &&
    !(each.type === "radio" && !each.checked)).map((each) => each.outerHTML.slice(0, 120));
}
"""
FOCUSED = """
() => {
  const each = document.activeElement;
  const again = each === window.last;  // a date has several fields
  if (each === null || each === document.body || (window.reached.has(each) && !again)) return null;
  window.reached.add(each);
  window.last = each;
  const style = getComputedStyle(each), box = each.getBoundingClientRect();
  const drawn = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  return { what: each.outerHTML.slice(0, 120), drawn, seen };
}
"""
PALE = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const over = (ground, colour) => {
    canvas.fillStyle = `rgb(${ground.join(" ")})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => colour.map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (each) => {
    const above = [];
    for (let at = each; at !== null; at = at.parentElement) above.unshift(at);
    return above.reduce((colour, at) => over(colour, getComputedStyle(at).backgroundColor),
      [255, 255, 255]);
  };
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const pale = new Set();
  while (words.nextNode()) {
    const each = words.currentNode.parentElement;
    if (!words.currentNode.nodeValue.trim() || !each.checkVisibility() ||
        each.closest("svg, :disabled, .visually-hidden, .skip")) continue;
    const style = getComputedStyle(each), below = ground(each);
    const [dark, bright] = [light(below), light(over(below, style.color))].sort((a, b) => a - b);
    const large = parseFloat(style.fontSize) >= 24 ||
      (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < (large ? 3 : 4.5)) {
      pale.add(`${contrast.toFixed(2)} ${each.outerHTML.slice(0, 120)}`);
    }
  }
  return [...pale];
}
"""


@pytest.fixture(scope="module")
def busy_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One with something on every page."""
    with house(tmp_path_factory.mktemp("reached"), FILED) as at:
        at.add(day(600, time.time_ns()))
        busy(at)
        at.api("POST", "/keys", {"name": "made"})
        at.api("POST", "/teams", {"name": "law", "records": {"bodies": "none"}})
        at.api("PUT", "/limits/team/law", {"limits": {"requests_per_day": 700}})
        yield at


@pytest.fixture
def inside(browsing: Browsing) -> Browsing:
    browsing.sign_in()
    return browsing


def walk(page: Page) -> list[str]:
    """Go through the page by Tab, from wherever the focus is and round; where it is not seen."""
    page.evaluate("window.reached = new Set(), window.last = null")
    unseen: list[str] = []
    ends = 0
    while ends < _ROUND:
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at is None:
            ends += 1
        elif not (at["drawn"] and at["seen"]):
            unseen.append(at["what"])
    return unseen


@pytest.mark.parametrize("path", PAGES)
def test_everything_is_reached_by_tab_and_the_focus_is_seen(inside: Browsing, path: str) -> None:
    page = inside.open(path)
    assert walk(page) == []
    assert page.evaluate(UNREACHED, ACTS) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", [*PAGES, "/sign-in", "/nothing"])
def test_every_word_can_be_read(inside: Browsing, path: str, scheme: str) -> None:
    inside.expected = ["404"]
    for width, height in (WIDE, NARROW):
        inside.page.set_viewport_size({"width": width, "height": height})
        inside.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page = inside.open(path)
        assert page.evaluate(PALE) == []


def test_dialog_takes_the_focus_and_gives_it_back(inside: Browsing) -> None:
    page = inside.open("/alerts")
    opener = page.get_by_role("button", name="New silence")
    opener.press("Enter")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    assert page.evaluate(PALE) == []
    page.keyboard.press("Escape")
    assert opener.evaluate("(each) => each === document.activeElement")


def test_a_word_too_pale_is_found(inside: Browsing) -> None:
    page = inside.open("/keys")
    page.evaluate("document.querySelector('h1').style.color = 'rgb(150 150 150)'")
    assert "Keys" in page.evaluate(PALE)[0]


def test_what_no_tab_reaches_is_found(inside: Browsing) -> None:
    page = inside.open("/keys")
    page.evaluate("document.querySelector('main a').tabIndex = -1")
    page.evaluate("document.querySelector('main input').style.outline = 'none'")
    assert len(walk(page)) == 1
    assert len(page.evaluate(UNREACHED, ACTS)) == 1
