"""Numbers that are somebody's: cards, bank accounts, telephones, addresses of machines, SSNs.

What has a checksum is taken only with a good one. Text is UTF-8; digits are those of ASCII, and
between them may stand what people write there.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from itertools import accumulate
from typing import Final

from tidegate.guard.redaction.credentials import Mark

_WIDE = rb"\xc2\xa0|\xe2\x80[\x89\x90-\x93\xaf]"
"""Spaces and hyphens that do not break, and thin ones."""
_SEP = rb"(?:[ \t.\-]|" + _WIDE + rb")"
_PHONE_SEP = rb"(?:[ \t.\-/()]|" + _WIDE + rb")"
_LINES: Final = re.compile(rb"[+(]{0,2}[0-9](?:" + _PHONE_SEP + rb"{0,3}[0-9]){6,}")
"""Digits that may belong together; what is masked of them is looked at in its surroundings."""
_BEFORE, _BEHIND = 48, 1
_OPENS: Final = b"+("

_CARDS: Final = re.compile(rb"[0-9](?:" + _SEP + rb"{0,2}[0-9]){12,}")
_GROUP: Final = re.compile(rb"[0-9]+")
_CARD_DIGITS: Final = (13, 19)
_LEAST_GROUP, _MOST_GROUPS = 3, 6
_BRANDS: Final[Mapping[int, frozenset[int]]] = {
    2: frozenset({16}),
    3: frozenset({14, 15, 16}),
    4: frozenset({13, 16, 19}),
    5: frozenset({16, 18, 19}),
    6: frozenset({16, 17, 18, 19}),
}
"""How long numbers are, by their first digit."""
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_ZERO = ord("0")
_ONLY_DIGITS: Final = bytes(_ZERO if chr(code) in string.digits else 32 for code in range(256))

_IBAN_REST: Final = re.compile(rb"(?:(?:[ \-]|\xc2\xa0)?[A-Za-z0-9]){11,30}")
_IBANS = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 "
    "EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 "
    "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 "
    "NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SD18 SE24 SI19 SK24 SM27 ST25 SV28 "
    "TL23 TN24 TR26 UA29 VA22 VG24 XK20"
)
_IBAN_LENGTH: Final = {
    _IBANS[at : at + 2]: int(_IBANS[at + 2 : at + 4]) for at in range(0, len(_IBANS), 5)
}
"""Source: SWIFT's IBAN registry."""

_IBAN_BETWEEN: Final = b" -\xc2\xa0"
_LETTERS: Final = {ord(char): str(int(char, 36)) for char in string.ascii_uppercase}

_DASH = rb"(?:[ \-]|\xe2\x80[\x90-\x93])"
_SSN: Final = re.compile(
    rb"(?<![0-9])(?!000|666|9)[0-9]{3}(" + _DASH + rb")(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![0-9])"
    rb"|(?i:ssn|social security number)(?i: is)?[ :#=]{1,4}(?P<plain>[0-9]{9})(?![0-9])"
)
_START = rb"(?:(?<!\w)(?<![0-9][./\-])|(?<=\\[nrtbf]))"
_PHONES: Final = re.compile(
    rb"(?<![0-9+])\+[1-9](?:" + _PHONE_SEP + rb"{0,3}[0-9]){6,14}(?![0-9])"
    rb"|" + _START + rb"(?:1[ .\-])?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}[ .\-])"
    rb"[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9])"
    rb"|" + _START + rb"\(?0(?!00|[0-9]?[/.\-][0-9]{1,2}[/.\-][0-9]{2,4}(?![0-9]))[0-9]"
    rb"(?:(?:[ \-/()]|" + _WIDE + rb"){0,2}[0-9]){7,13}(?!\w)"
)
_CALLED: Final = re.compile(
    rb"((?i:(?<![a-z])(?:phone|telephone|telefon|tel|mobile|cell|fax|whatsapp|sms|call)"
    rb"(?: (?:number|no|nr|me|us|is|at|on)){0,3})[ .:=#]{1,4})"
    rb"\(?[0-9](?:" + _PHONE_SEP + rb"{0,2}[0-9]){6,14}(?![0-9])"
)

_IPV4: Final = re.compile(
    rb"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
    rb"(?![0-9]|\.[0-9])"
)
_IPV6: Final = re.compile(
    rb":(?:[0-9A-Fa-f]{0,4}:){1,6}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])"
)
_ESCAPES: Final = frozenset({b"\\n", b"\\r", b"\\t", b"\\b", b"\\f"})
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,4}")
_NOBODY: Final = frozenset({"127.0.0.1", "0.0.0.0", "255.255.255.255", "::1", "::"})  # noqa: S104


def mask_numbers(text: bytes, mark: Mark) -> bytes:
    """Without cards, accounts, SSNs, telephones and addresses of IPv4.

    It goes from one group of digits to the next.
    """
    digits = text.translate(_ONLY_DIGITS)
    parts: list[bytes] = []
    place, at = 0, digits.find(b"0")
    while at >= 0:
        found = _number(text, place, at, mark)
        if found is None:
            end = digits.find(b" ", at)
        else:
            begin, end, said = found
            parts += (text[place:begin], said)
            place = end
        at = digits.find(b"0", end) if end >= 0 else -1
    return b"".join((*parts, text[place:])) if parts else text


def mask_ipv6(text: bytes, mark: Mark) -> bytes:
    """Without addresses of IPv6."""
    parts: list[bytes] = []
    place = 0
    for found in _IPV6.finditer(text):
        begin = _ipv6_begin(text, place, found.start())
        if begin is not None and _is_somebody(text[begin : found.end()]):
            parts += (text[place:begin], mark("ip"))
            place = found.end()
    return b"".join((*parts, text[place:])) if parts else text


def is_card(digits: str) -> bool:
    """Whether so many digits are the number of a card."""
    length = len(digits)
    return length in _BRANDS.get(int(digits[:1]), ()) and _Luhn(digits.encode()).fits(0, length)


def _number(text: bytes, least: int, at: int, mark: Mark) -> tuple[int, int, bytes] | None:
    """Where what begins with the digit at `at` begins and ends, and what is left of it."""
    if b"." in text[at + 1 : at + 4]:
        address = _IPV4.match(text, at)
        if address is not None and _is_somebody(address[0]):
            return at, address.end(), mark("ip")
    if at >= least + 2 and text[at - 2 : at].isalpha() and text[at : at + 2].isdigit():
        end = _iban_end(text, at - 2)
        if end is not None:
            return at - 2, end, mark("iban")
    begin = at
    while begin > max(least, at - 2) and text[begin - 1] in _OPENS:
        begin -= 1
    line = _LINES.match(text, begin)
    return None if line is None else (begin, line.end(), _without_lines(line, mark))


def _is_somebody(address: bytes) -> bool:
    if b":" in address and not any(map(_is_digit, address)):
        return False  # such as `a::b` in a program
    try:
        return str(ip_address(address.decode())) not in _NOBODY
    except ValueError:
        return False


def _is_digit(code: int) -> bool:
    return 0 <= code - _ZERO <= 9  # noqa: PLR2004 - ten digits


def _ipv6_begin(text: bytes, least: int, colon: int) -> int | None:
    before = text[max(least, colon - 6) : colon]
    hexes = _HEX.match(before[::-1])
    begin = colon - (hexes.end() if hexes else 0)
    outside = text[max(least, begin - 2) : begin]
    if outside[-1:].isalnum() or outside[-1:] in (b"_", b":"):
        return begin if outside in _ESCAPES else None
    if outside[-1:] == b"\\" and begin < colon and text[begin : begin + 1] in (b"b", b"f"):
        return begin + 1  # an escape of JSON within a text
    return begin


def _without_lines(found: re.Match[bytes], mark: Mark) -> bytes:
    text, begin, end = found.string, found.start(), found.end()
    before, behind = text[max(0, begin - _BEFORE) : begin], text[end : end + _BEHIND]
    said = before + found[0] + behind
    if b"." in found[0]:
        said = _IPV4.sub(lambda each: mark("ip") if _is_somebody(each[0]) else each[0], said)
    said = _CARDS.sub(lambda run: _without_cards(run[0], mark), said)
    said = _SSN.sub(lambda each: _without_ssn(each, mark), said)
    said = _PHONES.sub(lambda _each: mark("phone"), said)
    said = _CALLED.sub(lambda each: each[1] + mark("phone"), said)
    return said.removeprefix(before).removesuffix(behind)


def _without_ssn(found: re.Match[bytes], mark: Mark) -> bytes:
    plain = found["plain"]
    return mark("ssn") if plain is None else found[0][: -len(plain)] + mark("ssn")


class _Luhn:
    """The sums of all stretches of some digits, each in one step. Source: ISO/IEC 7812-1."""

    def __init__(self, digits: bytes) -> None:
        pairs = [(code - _ZERO, _DOUBLED[code - _ZERO]) for code in digits]
        ways = [pair[place & 1] for place, pair in enumerate(pairs)]
        others = [pair[~place & 1] for place, pair in enumerate(pairs)]
        self._sums = list(accumulate(ways, initial=0)), list(accumulate(others, initial=0))

    def fits(self, begin: int, end: int) -> bool:
        """Whether the last of them is the check digit of the rest."""
        sums = self._sums[~end & 1]  # in which the last one is not doubled
        return (sums[end] - sums[begin]) % 10 == 0


def _without_cards(run: bytes, mark: Mark) -> bytes:
    groups = [(found.start(), found.end()) for found in _GROUP.finditer(run)]
    ends = list(accumulate((end - begin for begin, end in groups), initial=0))
    digits = b"".join(run[begin:end] for begin, end in groups)
    parts: list[bytes] = []
    place = first = 0
    luhn: _Luhn | None = None
    while first < len(groups):
        if ends[first + 1] - ends[first] < _LEAST_GROUP:
            first += 1
            continue
        lengths = _BRANDS.get(digits[ends[first]] - _ZERO)
        last = -1
        if lengths is not None:
            for behind in _spans(groups, first):
                if ends[behind] - ends[first] in lengths:
                    luhn = luhn or _Luhn(digits)
                    if luhn.fits(ends[first], ends[behind]):
                        last = behind
        if last < 0:
            first += 1
            continue
        parts += (run[place : groups[first][0]], mark("card"))
        place, first = groups[last - 1][1], last
    return b"".join((*parts, run[place:])) if parts else run


def _spans(groups: list[tuple[int, int]], first: int) -> Iterator[int]:
    # Ends of the stretches of groups, beginning with `first`, that could be one number.
    count = 0
    for place in range(first, min(first + _MOST_GROUPS, len(groups))):
        size = groups[place][1] - groups[place][0]
        count += size
        if count > _CARD_DIGITS[1]:
            return
        if count >= _CARD_DIGITS[0]:
            yield place + 1
        if size < _LEAST_GROUP:  # a short one is the last
            return


def _iban_end(text: bytes, begin: int) -> int | None:
    head = text[begin : begin + 4].decode().upper()
    length = _IBAN_LENGTH.get(head[:2])
    if length is None:
        return None
    rest = _IBAN_REST.match(text, begin + 4)
    if rest is None:
        return None
    said = rest[0].translate(None, _IBAN_BETWEEN).upper()[: length - 4]
    moved = said.decode() + head
    if len(moved) < length or int(moved.translate(_LETTERS)) % 97 != 1:
        return None
    left = length - 4
    for place, code in enumerate(rest[0]):
        left -= code not in _IBAN_BETWEEN
        if not left:
            return begin + 4 + place + 1
    return None
