"""The caller's place in a trace, as the header `traceparent` tells it.

Source: W3C Trace Context, section 3.2.2: hexadecimal digits are lower-case, neither id is all
zeros, version `ff` is none, and what later versions add stands behind another hyphen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

HEADER: Final = b"traceparent"
_LENGTH: Final = 55
_KNOWN: Final = b"00"
_PARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)


def read(value: bytes) -> str | None:
    """`00-TRACE-SPAN-FLAGS`; None of anything that is not a whole `traceparent`."""
    if _PARENT.match(value) is None:
        return None
    if len(value) > _LENGTH and (value.startswith(_KNOWN) or value[_LENGTH] != ord("-")):
        return None
    return "00" + value[2:_LENGTH].decode()


def find(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The one among `headers`; of several nobody knows which is meant."""
    found = [value for name, value in headers if name == HEADER]
    return read(found[0]) if len(found) == 1 else None
