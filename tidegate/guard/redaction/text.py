"""Mask one text: which searches are worth making in it, and the searches.

A mark tells what stood there: `[EMAIL]`, `[PHONE]`, `[CARD]`, `[IBAN]`, `[IP]`, `[SSN]`,
`[API_KEY]`, `[TOKEN]`, `[PASSWORD]`, `[PRIVATE_KEY]`. None of its characters means anything within
a string of JSON, and nothing is found in a mark.
"""

from __future__ import annotations

import re
import string
from typing import Final

from tidegate.guard.redaction.credentials import (
    Mark,
    has_key,
    mask_keys,
    mask_passwords,
    mask_private_keys,
    mask_said,
    speaks_of_secrets,
)
from tidegate.guard.redaction.numbers import mask_ipv6, mask_numbers

KINDS: Final = (
    "email", "phone", "card", "iban", "ip", "ssn", "api_key", "token", "password", "private_key",
)  # fmt: skip
Findings = dict[str, int]
"""How much of each kind was found."""

_MARKS: Final = {kind: f"[{kind.upper()}]".encode() for kind in KINDS}

_BETWEEN: Final = b" \t.-()/" + bytes(range(0x80, 0x100))
"""What may stand between the digits of one number; of other scripts any byte."""
_DIGITS: Final = bytes(ord("0") if chr(code) in string.digits else code for code in range(256))
_NUMBER: Final = b"0" * 9
"""No number that is looked for has fewer digits; a day in a model's name has eight."""
_ESCAPED: Final = re.compile(rb"\\u[0-9A-Fa-f]{4}")
_CREATED: Final = re.compile(rb'"created(?:_at)?": ?[0-9]{10}(?![0-9])')
"""When an answer was made: ten digits that are in each."""
_QUAD: Final = re.compile(rb"\.[0-9]{1,3}\.[0-9]")
_COLONS: Final = re.compile(rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]")

_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")
_HARMLESS: Final = frozenset((string.ascii_letters + string.digits + "@.+-_:/ ()%=").encode())
_LABEL = rb"[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\-\x80-\xff]{0,61}[A-Za-z0-9\x80-\xff])?"
_TOP = rb"(?:[A-Za-z\x80-\xff]{2,48}|xn--[A-Za-z0-9\-]{2,59})"
_AT: Final = re.compile(rb"@(?:" + _LABEL + rb"\.){1,8}" + _TOP)
_AT_ESCAPED: Final = re.compile(rb"%40(?:" + _LABEL + rb"\.){1,8}" + _TOP)
_LOCAL: Final = re.compile(rb"[\w\x80-\xff.!#$%*+~^\-]+")
_LOCAL_BYTES: Final = 96
_UNICODE_ESCAPE: Final = re.compile(rb"u[0-9A-Fa-f]{4}")


def suspicious(text: bytes) -> bool:
    """Whether anything to be masked could be in `text`, which is UTF-8."""
    return (
        b"@" in text
        or _has_number(text)
        or _ESCAPED.search(text) is not None
        or _QUAD.search(text) is not None
        or _COLONS.search(text) is not None
        or (b"%" in text and b"%40" in text)
        or b"PRIVATE KEY-" in text
        or speaks_of_secrets(text)
        or has_key(text)
    )


def is_clean_json(body: bytes) -> bool:
    """Whether a body of JSON is known to hold nothing to be masked, without reading it.

    What is written in escapes is not known.
    """
    if b"\\u" in body or b"\\t" in body or b"\\/" in body:
        return False
    return not suspicious(_CREATED.sub(b"", body))


def mask_text(text: str, found: Findings) -> str:
    """`text` with marks for everything that was found, which is added to `found`."""
    said = text.encode(errors="surrogatepass")
    if not suspicious(said):
        return text
    return mask_bytes(said, found).decode(errors="surrogatepass")


def mask_bytes(text: bytes, found: Findings) -> bytes:
    """The same for text as UTF-8, which is known to be suspicious."""
    if _ESCAPED.search(text) is not None:
        # JSON within prose: `\u0040` is an `@` to whoever reads it.
        more = Findings()
        plain = _masked(_ESCAPE.sub(_unescaped, text), more)
        if more:
            add(found, more)
            return plain
    return _masked(text, found)


def mark_of(kind: str, found: Findings) -> str:
    """The mark for something of `kind`, which is added to `found`."""
    found[kind] = found.get(kind, 0) + 1
    return _MARKS[kind].decode()


def add(found: Findings, more: Findings) -> None:
    """Add `more` to `found`."""
    for kind, count in more.items():
        found[kind] = found.get(kind, 0) + count


def _masked(text: bytes, found: Findings) -> bytes:
    def mark(kind: str) -> bytes:
        found[kind] = found.get(kind, 0) + 1
        return _MARKS[kind]

    if b"PRIVATE KEY-" in text:
        text = mask_private_keys(text, mark)
    text = mask_keys(text, mark)
    if speaks_of_secrets(text):
        text = mask_said(text, mark)
    if b"@" in text:
        text = mask_passwords(text, mark)
        text = _without_emails(text, _AT, mark)
    if b"%40" in text:
        text = _without_emails(text, _AT_ESCAPED, mark)
    if _COLONS.search(text) is not None:
        text = mask_ipv6(text, mark)
    return mask_numbers(text, mark)


def _has_number(text: bytes) -> bool:
    return _NUMBER in text.translate(_DIGITS, _BETWEEN)


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return bytes((code,)) if code in _HARMLESS else found[0]


def _without_emails(text: bytes, at: re.Pattern[bytes], mark: Mark) -> bytes:
    parts: list[bytes] = []
    place = 0
    for found in at.finditer(text):
        begin = _local_begin(text, max(place, found.start() - _LOCAL_BYTES), found.start())
        if begin < found.start():
            parts += (text[place:begin], mark("email"))
            place = found.end()
    return b"".join((*parts, text[place:])) if parts else text


def _local_begin(text: bytes, least: int, end: int) -> int:
    """Where the part before the `@` begins: its letters are read backwards, each once."""
    name = _LOCAL.match(text[least:end][::-1])
    begin = end if name is None else end - name.end()
    while begin < end and text[begin] & 0xC0 == 0x80:  # noqa: PLR2004 - within a character
        begin += 1
    if begin < end and begin and text[begin - 1 : begin] == b"\\":  # JSON within a text
        escape = _UNICODE_ESCAPE.match(text, begin, end)
        if escape is not None:
            return min(escape.end(), end - 1)
        if text[begin : begin + 1] in (b"n", b"r", b"t", b"b", b"f") and begin + 1 < end:
            return begin + 1
    return begin
