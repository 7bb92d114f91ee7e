"""Take secrets out of text before it is logged, stored or shown.

Only the shapes that this gateway itself handles: keys of the known vendors, our own, bearer
tokens, credentials in URLs. Personal data is another matter, and another room's.
"""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"""
      \b(?:sk|pk|rk|tg|gsk|xai|csk|fw|r8|hf)[-_][A-Za-z0-9_\-]{8,}   # vendors' key prefixes
    | \bAIza[A-Za-z0-9_\-]{20,}                                       # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}                                    # AWS
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*    # JSON web tokens
    | (?<=earer\ )[^\s"',;]{6,}                                       # Authorization: Bearer …
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                                 # scheme://user:password@
    """,
    re.VERBOSE,
)
MASK = "[secret]"


def redact(text: str) -> str:
    """`text` with everything that looks like a secret replaced by `[secret]`."""
    return _SECRET.sub(MASK, text)
