"""The page itself, which the functions of this folder stand on."""

from __future__ import annotations

from typing import Final

from tidegate.console.page import Page

page: Final = Page("keys", "Keys & limits", needs="keys:read")
