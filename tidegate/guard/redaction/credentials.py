"""Credentials in text: keys and tokens of known vendors, private keys, passwords in URLs.

Text is UTF-8. Keys are looked for within whole runs of the characters that keys are made of, each
run once, so that no text makes the search begin again and again. What masks is done in steps
(`steps.py`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from typing import Final

from tidegate.guard.redaction.steps import MATCH, Pace, Steps, replaced, seek

Mark = Callable[[str], bytes]
"""Counts a finding of a kind and returns its mark."""

_RUN_BYTES: Final = 20
"""No key is shorter."""
_IN_KEYS = frozenset((string.ascii_letters + string.digits + "_-").encode())
_RUNS: Final = bytes(ord("a") if code in _IN_KEYS else ord(" ") for code in range(256))
_RUN: Final = b"a" * _RUN_BYTES
_KEY: Final = re.compile(
    rb"""
      sk-(?=[A-Za-z_\-]{0,99}+[0-9])(?=[A-Za-z0-9_\-]{16})
    | (?:tga?|csk|xai|pplx|glpat|pypi)-(?=[A-Za-z0-9_\-]{16})
    | [srp]k_(?:live|test)_(?=[A-Za-z0-9]{8}) | whsec_(?=[A-Za-z0-9]{16})
    | (?:AKIA|ASIA|ABIA|ACCA)(?=[A-Z0-9]{16})
    | gh[pousr]_(?=[A-Za-z0-9]{20}) | github_pat_(?=[A-Za-z0-9_]{20})
    | xox[a-z]-(?=[A-Za-z0-9\-]{8}) | xapp-(?=[A-Za-z0-9\-]{8})
    | AIza(?=[A-Za-z0-9_\-]{30}) | GOCSPX-(?=[A-Za-z0-9_\-]{16})
    | (?:gsk|hf|r8|fw|npm)_(?=[A-Za-z0-9]{16})
    """,
    re.VERBOSE,
)
_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?")
_DOTTED: Final = re.compile(rb"[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]+)?")
_BEFORE: Final = {b"ya29.": 5, b"SG.": 3}
_HOOK, _HOOK_BYTES = b"hooks.slack.com/", 80

_BEARER: Final = re.compile(
    rb"[Bb](?i:earer)([ \t]{1,4})(?=[^\s0-9]{0,99}+[0-9])[A-Za-z0-9._~+/\-]{8,}={0,2}"
)
_IS = rb"""\\?["']?[ \t]{0,4}[:=][ \t]{0,4}\\?["']?(?:(?i:basic|token|bearer)[ ])?"""
_VALUE = rb"""[^\s"'\\,;<>(){}\[\]$]{6,4096}[\x80-\xbf]{0,3}"""
_SAID: Final = tuple(
    (gate, kind, re.compile(rb"(" + name + _IS + rb")" + _VALUE))
    for gate, kind, name in (
        (b"passw", "password", rb"[Pp](?i:assw(?:or)?d)"),
        (b"authorization", "token", rb"[Aa](?i:uthorization)"),
        (b"key", "api_key", rb"[Kk](?i:ey)(?<=(?i:(?:api|ret|ess)[_\-]key))"),
        (b"apikey", "api_key", rb"[Aa](?i:pi)[Kk](?i:ey)"),
        (b"secret", "api_key", rb"[Ss](?i:ecret)"),
        (b"token", "token", rb"[Tt](?i:oken)(?<=(?i:[a-z][_\-]token))"),
    )
)
SECRET_NAME: Final = re.compile(
    r"(?i)(?:.{0,30}[_\-])?(?:authorization|api[_\-]?key|secret(?:[_\-](?:access[_\-])?key)?"
    r"|(?:access|refresh|auth|api)[_\-]?token|passw(?:or)?d)"
)
"""What a field is called whose value is a secret, whatever it looks like."""
_IN_URL: Final = re.compile(rb"(:\\?/\\?/[^/\s:\"'\\<>]{0,256}+:)[^/\s@\"'\\<>]{1,256}+(?=@)")
_PRIVATE: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_ESCAPED: Final = frozenset(b"nrtbf")


def mask_private_keys(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without blocks of private keys; one that does not end is taken to go on to the end."""
    parts: list[bytes] = []
    place = 0
    while (begin := (yield from seek(_PRIVATE, text, place, pace))) is not None:
        parts += (text[place : begin.start()], mark("private_key"))
        end = text.find(b"-----END", begin.end())
        end = -1 if end < 0 else text.find(b"-----", end + len(b"-----END"))
        place = len(text) if end < 0 else end + len(b"-----")
    return b"".join((*parts, text[place:])) if parts else text


def mask_passwords(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without passwords in URLs."""
    return replaced(_IN_URL, text, lambda found: found[1] + mark("password"), pace)


def mask_said(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without what follows `Bearer`, `password:`, `api_key=` and the like."""
    small = text.lower()
    if b"earer" in small:
        text = yield from replaced(
            _BEARER, text, lambda found: b"Bearer" + found[1] + mark("token"), pace
        )
    for gate, kind, pattern in _SAID:
        if gate in small:
            text = yield from replaced(
                pattern, text, lambda found, kind=kind: found[1] + mark(kind), pace
            )
    return text


def mask_keys(text: bytes, mark: Mark, pace: Pace) -> Steps[bytes]:
    """Without keys and tokens that are known by how they begin."""
    parts: list[bytes] = []
    place = 0
    for begin, end in _runs(text):
        if pace.spend(MATCH // 4):
            yield
        if begin < place:
            continue
        found = yield from _key(text, begin, end, place, pace)
        if found is not None:
            begin, end, kind = found  # noqa: PLW2901 - of the run there remains the key
            parts += (text[place:begin], mark(kind))
            place = end
    return b"".join((*parts, text[place:])) if parts else text


def _runs(text: bytes) -> Iterator[tuple[int, int]]:
    runs = text.translate(_RUNS)
    place = 0
    while (inside := runs.find(_RUN, place)) >= 0:
        begin = runs.rfind(b" ", place, inside) + 1 or place
        end = runs.find(b" ", inside)
        end = len(runs) if end < 0 else end
        yield begin, end
        place = end


def _key(
    text: bytes, begin: int, end: int, least: int, pace: Pace
) -> Steps[tuple[int, int, str] | None]:
    """The key in the run from `begin` to `end`; what is before `least` was one already."""
    place = begin
    while (found := (yield from seek(_KEY, text, place, pace, end))) is not None:
        at, place = found.start(), found.end()
        if at == begin or not text[at - 1 : at].isalnum() or _is_escape(text, begin, at):
            return at, end, "api_key"
    at = text.find(b"eyJ", begin, end)
    if at >= 0 and (token := _TOKEN.match(text, at)) is not None:
        return at, token.end(), "token"
    before = _introduced(text, begin, least)
    if before == len(_HOOK):
        return begin, end, "api_key"
    if before:
        dotted = _DOTTED.match(text, begin)
        return begin - before, dotted.end() if dotted else end, "token"
    return None


def _introduced(text: bytes, begin: int, least: int) -> int:
    """How long what says of a run's beginning that it is a key is; 0 where nothing does."""
    if text[begin - 1 : begin] == b".":
        for before, length in _BEFORE.items():
            if begin - length >= least and text.startswith(before, begin - length):
                return length
    return len(_HOOK) if _HOOK in text[max(least, begin - _HOOK_BYTES) : begin] else 0


def _is_escape(text: bytes, begin: int, at: int) -> bool:
    # `\nsk-...` or `\u2028sk-...`, as JSON within a text has it.
    if not begin or text[begin - 1 : begin] != b"\\":
        return False
    one = at == begin + 1 and text[begin] in _ESCAPED
    return one or (at == begin + 5 and text[begin : begin + 1] == b"u")
