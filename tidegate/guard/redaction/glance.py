"""The first look: whether anything to be masked could be in a text. Of most texts nothing is.

One pattern says it of everything at once, in a single pass of RE2's automaton, which takes the same
time whatever is in the text. It may suspect what is harmless, for then the searches that mask look
closely; it must not miss what any of them would find.

Source: github.com/google/re2/wiki/Syntax; it knows no look-around, so a context is part of a match.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, cast

import re2

from tidegate.guard.redaction.steps import WINDOW, Pace, Steps

_OVERLAP: Final = 256
"""So much of what follows a window says whether something begins in it."""

_KEY = rb"[A-Za-z0-9_\-]"
_SIGNS: Final = (
    # Addresses, and passwords in URLs.
    rb"@|%40",
    # No number that is looked for has fewer than nine digits; a day in a model's name has eight.
    # Between them may stand spaces, points and brackets, and of other scripts anything.
    rb"[0-9](?:[ \t.\-()/\x80-\xff]*[0-9]){8}",
    # Addresses of machines.
    rb"\.[0-9]{1,3}\.[0-9]",
    rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]",
    # A bank account written in one.
    rb"(?:^|[^A-Za-z0-9_\-]|\\[nrtbf])[A-Za-z]{2}[0-9]{2}[A-Za-z0-9]{11}",
    # Keys and tokens, by how they begin.
    rb"(?:sk|tga?|csk|xai|pplx|glpat|pypi)-" + _KEY + rb"{16}",
    rb"k_(?:live|test)_[A-Za-z0-9]{8}|whsec_[A-Za-z0-9]{16}",
    rb"A(?:KI|SI|BI|CC)A[A-Z0-9]{16}",
    rb"gh[pousr]_[A-Za-z0-9]{20}|github_pat_[A-Za-z0-9_]{20}",
    rb"xox[a-z]-[A-Za-z0-9\-]{8}|xapp-[A-Za-z0-9\-]{8}",
    rb"AIza" + _KEY + rb"{30}|GOCSPX-" + _KEY + rb"{16}",
    rb"(?:gsk|hf|r8|fw|npm)_[A-Za-z0-9]{16}",
    rb"eyJ" + _KEY + rb"{5}|ya29\.|SG\.|hooks\.slack\.com/",
    rb"PRIVATE KEY",
    # Words behind which a secret may be said; of `max_tokens` and the like there are many.
    rb"(?i:bearer|passw|secret|authorization|apikey|[_\-]key|-token|_token(?:[^s]|$))",
)


class _Pattern(Protocol):
    def search(self, text: bytes) -> object | None: ...


def _compiled(pattern: bytes) -> _Pattern:
    options: Any = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are matched
    options.never_capture = True
    options.log_errors = False
    return cast("_Pattern", re2.compile(pattern, options))


_shows = _compiled(b"|".join(_SIGNS)).search
_hides = _compiled(rb"\\u[0-9A-Fa-f]{4}|" + b"|".join(_SIGNS)).search


def shows(text: bytes) -> bool:
    """Whether anything could be in it that is not written in escapes."""
    return _shows(text) is not None


def suspicious(text: bytes) -> bool:
    """Whether anything to be masked could be in `text`, which is UTF-8."""
    return _hides(text) is not None


def is_suspicious(text: bytes, pace: Pace) -> Steps[bool]:
    """The same of a text of any length, in steps."""
    for place in range(0, len(text), WINDOW):
        if pace.spend(WINDOW):
            yield
        if suspicious(text[place : place + WINDOW + _OVERLAP]):
            return True
    return False
