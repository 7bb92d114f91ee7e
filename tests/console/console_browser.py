"""A real chromium before a console: pages are opened in it, and whatever goes wrong is noted.

With `TIDEGATE_SCREENSHOTS=DIRECTORY`, `Browsing.look` leaves pictures there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from console_house import House
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, sync_playwright

WIDE, NARROW = (1440, 900), (390, 844)
SCREENSHOTS = os.environ.get("TIDEGATE_SCREENSHOTS")


@contextmanager
def chromium() -> Generator[Browser]:
    """The browser, which ends with the block."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("NOT TESTED: there is no chromium on the PATH")
    arguments = ["--disable-dev-shm-usage", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Browsing:
    """One window, in which somebody may be signed in."""

    def __init__(self, browser: Browser, house: House) -> None:
        self.house = house
        self.context = browser.new_context(viewport={"width": WIDE[0], "height": WIDE[1]})
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        """Errors in scripts, refusals by the policy, and whatever was asked of other sites."""
        self.expected: list[str] = []
        """Parts of what may be among them: a page that is refused is an error on the console."""
        self.page.on("console", self._note_message)
        self.page.on("pageerror", self._note_error)
        self.page.on("request", self._note_request)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(f"{message.type}: {message.text}")

    def _note_error(self, error: Error) -> None:
        self.wrong.append(f"script: {error}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.house.url}/", "data:", "about:")):
            self.wrong.append(f"elsewhere: {request.url}")

    def open(self, path: str) -> Page:
        """Go to a page of the console: `/now`."""
        self.page.goto(f"{self.house.url}/console{path}")
        return self.page

    def sign_in(self, token: str | None = None, path: str = "/now") -> Page:
        """Come in with `token`, or as the owner."""
        self.open(path)
        self.page.get_by_label("Admin token").fill(token or self.house.token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_selector("header.side")
        return self.page

    def look(self, path: str, name: str, *, whole: bool = True) -> None:
        """Look at a page wide and narrow, light and dark; nothing may stick out at the side."""
        for width, height in (WIDE, NARROW):
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                self.open(path)
                wide = self.page.evaluate("document.documentElement.scrollWidth")
                assert wide <= width, f"{path} is {wide} pixels wide where there are {width}"
                if SCREENSHOTS:
                    file = Path(SCREENSHOTS) / f"{name}-{width}-{scheme}.png"
                    self.page.screenshot(path=file, full_page=whole)
        self.page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        self.page.emulate_media(color_scheme="light")

    def picture(self, path: str, name: str) -> None:
        """Leave a picture for the documentation: `console-NAME.png`."""
        if SCREENSHOTS:
            self.page.set_viewport_size({"width": 1280, "height": 820})
            self.open(path)
            self.page.screenshot(path=Path(SCREENSHOTS) / f"console-{name}.png")

    def close(self) -> None:
        """Close the window; nothing may have gone wrong in it."""
        self.context.close()
        unexpected = [
            each for each in self.wrong if not any(part in each for part in self.expected)
        ]
        assert not unexpected, unexpected
