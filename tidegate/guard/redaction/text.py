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
    mask_keys,
    mask_passwords,
    mask_private_keys,
    mask_said,
)
from tidegate.guard.redaction.glance import is_suspicious, shows
from tidegate.guard.redaction.numbers import mask_ipv6, mask_numbers
from tidegate.guard.redaction.steps import WINDOW, Pace, Steps, outright, replaced, seek

KINDS: Final = (
    "email", "phone", "card", "iban", "ip", "ssn", "api_key", "token", "password", "private_key",
)  # fmt: skip
CREDENTIALS: Final = frozenset({"api_key", "token", "password", "private_key"})
"""Those that open something; the others are of somebody."""
Findings = dict[str, int]
"""How much of each kind was found."""

_MARKS: Final = {kind: f"[{kind.upper()}]".encode() for kind in KINDS}

_ESCAPED: Final = re.compile(rb"\\u[0-9A-Fa-f]{4}")
_CREATED: Final = re.compile(rb'"created(?:_at)?": ?[0-9]{10}(?![0-9])')
"""When an answer was made: ten digits that are in each."""
_UNCLEAR: Final = re.compile(rb"\\[ut/]")
_COLONS: Final = re.compile(rb":[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]")

_ESCAPE: Final = re.compile(rb"\\u00([2-7][0-9A-Fa-f])")
_HARMLESS: Final = frozenset((string.ascii_letters + string.digits + "@.+-_:/ ()%=").encode())
_LABEL = rb"[A-Za-z0-9\x80-\xff](?:[A-Za-z0-9\-\x80-\xff]{0,61}[A-Za-z0-9\x80-\xff])?"
_TOP = rb"(?:[A-Za-z\x80-\xff]{2,48}[\x80-\xbf]{0,3}|xn--[A-Za-z0-9\-]{2,59})"
_AT: Final = re.compile(rb"@(?:" + _LABEL + rb"\.){1,8}" + _TOP)
_AT_ESCAPED: Final = re.compile(rb"%40(?:" + _LABEL + rb"\.){1,8}" + _TOP)
_LOCAL: Final = re.compile(rb"[\w\x80-\xff.!#$%*+~^\-]+")
_LOCAL_BYTES: Final = 96
_UNICODE_ESCAPE: Final = re.compile(rb"u[0-9A-Fa-f]{4}")


def is_clean_json(asked: bytes, said: bytes, pace: Pace) -> Steps[bool]:
    """Whether two bodies of JSON are known to hold nothing to be masked, without reading them.

    What is written in escapes is not known. Of `said` it does not matter when it was made.
    """
    at = said.find(b'"created')
    made = _CREATED.match(said, at) if at >= 0 else None
    rest = said if made is None else said[:at] + said[made.end() :]
    both = asked + b"\n" + rest
    if both.find(b"\\") >= 0 and _UNCLEAR.search(both) is not None:
        return False
    if len(both) > WINDOW:
        return not (yield from is_suspicious(both, pace))
    return not shows(both)


def mask_text(text: str, found: Findings) -> str:
    """`text`, a short one, with marks for everything that was found, which is added to `found`.

    Raises: `TooHard`.
    """
    return outright(masked_text(text, found, Pace()))


def masked_text(text: str, found: Findings, pace: Pace) -> Steps[str]:
    """The same in steps."""
    said = text.encode(errors="surrogatepass")
    if not (yield from is_suspicious(said, pace)):
        return text
    return (yield from masked_bytes(said, found, pace)).decode(errors="surrogatepass")


def masked_bytes(text: bytes, found: Findings, pace: Pace) -> Steps[bytes]:
    """The same for text as UTF-8, which is known to be suspicious."""
    if b"\\u" in text and _ESCAPED.search(text) is not None:
        # JSON within prose: `\u0040` is an `@` to whoever reads it.
        more = Findings()
        unescaped = yield from replaced(_ESCAPE, text, _unescaped, pace)
        plain = yield from _masked(unescaped, more, pace)
        if more:
            add(found, more)
            return plain
    return (yield from _masked(text, found, pace))


def mark_of(kind: str, found: Findings) -> str:
    """The mark for something of `kind`, which is added to `found`."""
    found[kind] = found.get(kind, 0) + 1
    return _MARKS[kind].decode()


def add(found: Findings, more: Findings) -> None:
    """Add `more` to `found`."""
    for kind, count in more.items():
        found[kind] = found.get(kind, 0) + count


def _masked(text: bytes, found: Findings, pace: Pace) -> Steps[bytes]:
    def mark(kind: str) -> bytes:
        found[kind] = found.get(kind, 0) + 1
        return _MARKS[kind]

    if b"PRIVATE KEY" in text:
        text = yield from mask_private_keys(text, mark, pace)
    text = yield from mask_keys(text, mark, pace)
    text = yield from mask_said(text, mark, pace)
    if b"@" in text:
        if b"://" in text or b":\\/" in text:
            text = yield from mask_passwords(text, mark, pace)
        text = yield from _without_emails(text, _AT, mark, pace)
    if b"%40" in text:
        text = yield from _without_emails(text, _AT_ESCAPED, mark, pace)
    if (yield from seek(_COLONS, text, 0, pace)) is not None:
        text = yield from mask_ipv6(text, mark, pace)
    return (yield from mask_numbers(text, mark, pace))


def _unescaped(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return bytes((code,)) if code in _HARMLESS else found[0]


def _without_emails(text: bytes, at: re.Pattern[bytes], mark: Mark, pace: Pace) -> Steps[bytes]:
    parts: list[bytes] = []
    place = seen = 0
    while (found := (yield from seek(at, text, seen, pace))) is not None:
        seen = found.end()
        begin = _local_begin(text, max(place, found.start() - _LOCAL_BYTES), found.start())
        if begin < found.start():
            parts += (text[place:begin], mark("email"))
            place = seen
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
