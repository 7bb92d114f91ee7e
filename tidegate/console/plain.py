r"""Text that strangers wrote, fit to be shown: what steers or hides is spelled out.

Markup needs nothing here, templates escape it. But an order to write from right to left, or a
character that cannot be seen, would have a reader take one text for another.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_KEPT: Final = "\n\t"
_SEEN_ELSEWHERE: Final = {"Zs", "Zl", "Zp", "Co"}


def plain(text: str) -> str:
    r"""`text` with control characters, direction marks and the like as `\u202e`."""
    if text.isprintable():
        return text
    return "".join(each if _is_harmless(each) else _spelled(each) for each in text)


def _is_harmless(each: str) -> bool:
    return each.isprintable() or each in _KEPT or unicodedata.category(each) in _SEEN_ELSEWHERE


def _spelled(each: str) -> str:
    return each.encode("unicode_escape").decode()
