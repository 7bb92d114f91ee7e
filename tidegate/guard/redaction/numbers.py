"""Numbers that are somebody's: cards, bank accounts, telephones, addresses of machines, SSNs.

What has a checksum is taken only with a good one. Text is UTF-8; digits are those of ASCII, and
between them may stand what people write there.
"""

from __future__ import annotations

import re
import socket
import string
from collections.abc import Mapping
from typing import Final

from tidegate.guard.redaction.credentials import Mark
from tidegate.guard.redaction.steps import MATCH, WINDOW, Pace, Steps, replaced, seek

_WIDE = rb"\xc2\xa0|\xe2\x80[\x89\x90-\x93\xaf]"
"""Spaces and hyphens that do not break, and thin ones."""
_SEP = rb"(?:[ \t.\-]|" + _WIDE + rb")"
_PHONE_SEP = rb"(?:[ \t.\-/()]|" + _WIDE + rb")"
_NUMBERS: Final = re.compile(
    rb"[0-9](?:" + _PHONE_SEP + rb"{0,3}+[0-9]){6}"
    rb"|[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
    rb"|(?<=[A-Za-z][A-Za-z])[0-9]{2}(?:(?:[ \-]|\xc2\xa0)?[A-Za-z0-9]){11}"
)
"""How everything begins that is looked for here."""
_LINE: Final = re.compile(rb"(?:[ \t.\-/()]{0,3}+[0-9]++|" + _PHONE_SEP + rb"{1,3}+[0-9]++)*+")
"""Digits that may belong together; what is masked of them is looked at in its surroundings."""
_BEFORE, _BEHIND = 48, 1
_LEAST_LINE, _LEAST_SSN, _LEAST_CARD, _DOTS = 7, 9, 13, 3
_SAYS: Final = (b" ", b".", b":", b"=", b"#")
"""What stands between a word such as `phone` and the number."""
_OPENS: Final = b"+("

_CARD: Final = re.compile(rb"(?<![0-9])[2-6][0-9]{2}(?:" + _SEP + rb"{0,2}+[0-9]){10}")
"""How one may begin."""
_GROUP: Final = re.compile(rb"[0-9]+")
_BETWEEN: Final = re.compile(_SEP + rb"{0,2}")
_CARD_DIGITS: Final = 19
_LEAST_GROUP, _MOST_GROUPS = 3, 6
_BRANDS: Final[Mapping[int, frozenset[int]]] = {
    2: frozenset({16}),
    3: frozenset({14, 15, 16}),
    4: frozenset({13, 16, 19}),
    5: frozenset({16, 18, 19}),
    6: frozenset({16, 17, 18, 19}),
}
"""How long numbers are, by their first digit."""
_ZERO = ord("0")
_VALUES: Final = bytes((code - _ZERO) % 256 for code in range(256))
_DOUBLED: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9, *range(10, 256)))
_NOT_DIGITS: Final = bytes(code for code in range(256) if chr(code) not in string.digits)

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
    rb"(?<![0-9+])\+[1-9](?:" + _PHONE_SEP + rb"{0,3}+[0-9]){6,14}(?![0-9])"
    rb"|" + _START + rb"(?:1[ .\-])?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}[ .\-])"
    rb"[2-9][0-9]{2}[ .\-][0-9]{4}(?![0-9])"
    rb"|" + _START + rb"\(?0(?!00|[0-9]?[/.\-][0-9]{1,2}[/.\-][0-9]{2,4}(?![0-9]))[0-9]"
    rb"(?:(?:[ \-/()]|" + _WIDE + rb"){0,2}+[0-9]){7,13}(?!\w)"
)
_CALLED: Final = re.compile(
    rb"((?i:(?<![a-z])(?:phone|telephone|telefon|tel|mobile|cell|fax|whatsapp|sms|call)"
    rb"(?: (?:number|no|nr|me|us|is|at|on)){0,3})[ .:=#]{1,4})"
    rb"\(?[0-9](?:" + _PHONE_SEP + rb"{0,2}+[0-9]){6,14}(?![0-9])"
)

_IPV4: Final = re.compile(
    rb"(?<![0-9])(?<![0-9]\.)[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"
    rb"(?![0-9]|\.[0-9])"
)
_IPV6: Final = re.compile(
    rb":(?:[0-9A-Fa-f]{0,4}+:){1,6}+(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4})(?![\w:])"
)
_ESCAPES: Final = frozenset({b"\\n", b"\\r", b"\\t", b"\\b", b"\\f"})
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{1,4}")
_NOBODY: Final = frozenset(
    {
        *(socket.inet_pton(socket.AF_INET, each) for each in ("127.0.0.1", "0.0.0.0")),  # noqa: S104
        socket.inet_pton(socket.AF_INET, "255.255.255.255"),
        *(socket.inet_pton(socket.AF_INET6, each) for each in ("::1", "::")),
    }
)


def mask_numbers(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without cards, accounts, SSNs, telephones and addresses of IPv4.

    It goes from one group of digits to the next.
    """
    parts: list[bytes] = []
    place = seen = 0
    while (found := (yield from seek(_NUMBERS, text, seen, pace))) is not None:
        begin, seen, said = yield from _number(text, place, found.start(), mark, pace)
        if said is not None:
            parts += (text[place:begin], said)
            place = seen
    return b"".join((*parts, text[place:])) if parts else text


def mask_ipv6(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without addresses of IPv6."""
    parts: list[bytes] = []
    place = seen = 0
    while (found := (yield from seek(_IPV6, text, seen, pace))) is not None:
        seen = found.end()
        begin = _ipv6_begin(text, place, found.start())
        if begin is not None and _is_somebody(text[begin:seen]):
            parts += (text[place:begin], mark("ip"))
            place = seen
    return b"".join((*parts, text[place:])) if parts else text


def is_card(digits: str) -> bool:
    """Whether so many digits are the number of a card."""
    return len(digits) in _BRANDS.get(int(digits[:1]), ()) and _has_check_digit(digits.encode())


def _number(
    text: bytes, least: int, at: int, mark: Mark, pace: Pace
) -> Steps[tuple[int, int, bytes | None]]:
    """Where what begins with the digit at `at` begins and ends, and what is left of it.

    None stands for nothing that is known: then its end is where to look on.
    """
    if b"." in text[at + 1 : at + 4]:
        address = _IPV4.match(text, at)
        if address is not None and _is_somebody(address[0]):
            return at, address.end(), mark("ip")
    if at >= least + 2 and text[at - 2 : at].isalpha() and text[at : at + 2].isdigit():
        end = _iban_end(text, at - 2)
        if end is not None:
            return at - 2, end, mark("iban")
    begin, end = at, at + 1
    while begin > max(least, at - 2) and text[begin - 1] in _OPENS:
        begin -= 1
    while (more := _LINE.match(text, end, end + WINDOW)) is not None and more.end() > end:
        if pace.spend(more.end() - end):
            yield
        end = more.end()
    if len(text[at : min(end, at + WINDOW)].translate(None, _NOT_DIGITS)) < _LEAST_LINE:
        group = _GROUP.match(text, at)
        return at, at + 1 if group is None else group.end(), None
    # What was looked at already is nothing to look at once more.
    before = text[max(least, begin - _BEFORE) : begin]
    said = yield from _without_lines(before, text[begin:end], text[end : end + _BEHIND], mark, pace)
    return begin, end, said


def _is_somebody(address: bytes) -> bool:
    if b":" in address and not any(map(_is_digit, address)):
        return False  # such as `a::b` in a program
    family = socket.AF_INET6 if b":" in address else socket.AF_INET
    try:
        return socket.inet_pton(family, address.decode()) not in _NOBODY
    except OSError:
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


def _without_lines(
    before: bytes, line: bytes, behind: bytes, mark: Mark, pace: Pace
) -> Steps[bytes]:
    digits = len(line.translate(None, _NOT_DIGITS))
    said = before + line + behind
    if pace.spend(MATCH):
        yield
    if line.count(b".") >= _DOTS:
        said = yield from replaced(
            _IPV4, said, lambda each: mark("ip") if _is_somebody(each[0]) else each[0], pace
        )
    if digits >= _LEAST_CARD:
        said = yield from _without_cards(said, mark, pace)
    if digits >= _LEAST_SSN:
        said = yield from replaced(_SSN, said, lambda each: _without_ssn(each, mark), pace)
    if digits >= _LEAST_SSN or b"+" in line:
        said = yield from replaced(_PHONES, said, lambda _each: mark("phone"), pace)
    if before[-1:] in _SAYS:
        said = yield from replaced(_CALLED, said, lambda each: each[1] + mark("phone"), pace)
    return said.removeprefix(before).removesuffix(behind)


def _without_ssn(found: re.Match[bytes], mark: Mark) -> bytes:
    plain = found["plain"]
    return mark("ssn") if plain is None else found[0][: -len(plain)] + mark("ssn")


def _without_cards(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    parts: list[bytes] = []
    place = seen = 0
    while (found := (yield from seek(_CARD, text, seen, pace))) is not None:
        begin = found.start()
        end = _card_end(text, begin)
        if end is None:
            group = _GROUP.match(text, begin)
            seen = found.end() if group is None else group.end()
        else:
            parts += (text[place:begin], mark("card"))
            place = seen = end
    return b"".join((*parts, text[place:])) if parts else text


def _card_end(text: bytes, begin: int) -> int | None:
    """Where the longest row of groups ends, from `begin` on, that is the number of a card."""
    lengths = _BRANDS[text[begin] - _ZERO]
    digits, at, found = b"", begin, None
    for _ in range(_MOST_GROUPS):
        group = _GROUP.match(text, at)
        if group is None:
            break
        digits += group[0]
        if len(digits) > _CARD_DIGITS:
            break
        if len(digits) in lengths and _has_check_digit(digits):
            found = group.end()
        if len(group[0]) < _LEAST_GROUP:  # a short one is the last
            break
        between = _BETWEEN.match(text, group.end())
        at = group.end() if between is None else between.end()
    return found


def _has_check_digit(digits: bytes) -> bool:
    """Whether the last of some digits is the check digit of the rest. Source: ISO/IEC 7812-1."""
    values = digits.translate(_VALUES)
    return (sum(values[-1::-2]) + sum(values.translate(_DOUBLED)[-2::-2])) % 10 == 0


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
