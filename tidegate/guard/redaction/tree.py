"""Mask a JSON value: every string in it, the names too, and numbers that are cards.

What comes out is JSON again, however much was masked or cut. Strings that hold JSON themselves (the
arguments of tools) are read and written as such, so that they stay what they are. A value may be as
large and as deep as somebody made it: everything that goes through it does so in steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from tidegate.guard.redaction.credentials import SECRET_NAME
from tidegate.guard.redaction.glance import is_suspicious, suspicious
from tidegate.guard.redaction.numbers import is_card
from tidegate.guard.redaction.steps import Pace, Steps, TooHard, outright
from tidegate.guard.redaction.text import (
    Findings,
    add,
    mark_of,
    masked_bytes,
    masked_text,
)

CUT: Final = "…[cut]"
_MARGIN: Final = 1024
"""How much more of a long string is read than is kept, so that what is found is found whole."""
_SHORT: Final = 5
"""Strings up to this length hold nothing."""
_MOST_DEPTH: Final = 4
"""Of JSON within strings."""
_LEAST_CARD: Final = 10**12
_NODE: Final = 32
"""The effort that a value is, whatever is in it."""
_VECTOR: Final = 16
"""A list of so many floats is an embedding, in which nothing is to be found."""
_FLOAT_BYTES: Final = 4
"""No number in a vector takes less."""
_FEW: Final = 8
_SUSPICIOUS: Final = "@"
_NAME_CHARACTERS, _NAMES = 64, 4096

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def masked_json(value: Any, most_bytes: int, found: Findings) -> tuple[bytes, bool]:
    """`value` as JSON with marks for what was found, and whether something was cut off.

    It is at most `most_bytes` long: first its longest strings are shortened, then of long lists
    the newest is kept. Raises: `TooHard`.
    """
    return outright(masked_value(value, most_bytes, found, Pace(most_bytes)))


def masked_value(
    value: Any, most_bytes: int, found: Findings, pace: Pace
) -> Steps[tuple[bytes, bool]]:
    """The same in steps. Raises: `TooHard`, `RecursionError`."""
    texts = yield from _texts(value, pace, most_bytes // _FLOAT_BYTES)
    long = sum(map(len, texts)) > most_bytes
    if long:
        limit = _fair(texts, most_bytes)
        value = yield from _shortened(value, limit + _MARGIN, "", pace)
        texts = yield from _texts(value, pace, most_bytes // _FLOAT_BYTES)
    joined = "\n".join(texts).encode(errors="surrogatepass")
    if (yield from is_suspicious(joined, pace)):
        value = yield from _masked(value, found, 0, pace)
    body = _encode(value)
    if len(body) <= most_bytes and not long:
        return body, False
    limit = _fair(texts, most_bytes)
    while limit >= _FEW:
        body = _encode((yield from _shortened(value, limit, CUT, pace)))
        if len(body) <= most_bytes:
            return body, True
        limit //= 2
    value = yield from _shortened(value, _FEW, CUT, pace)
    while len(body := _encode(value)) > most_bytes:
        value, before = (yield from _thinned(value, pace)), value
        if value == before:
            return _encode(CUT), True
    return body, True


def _texts(value: Any, pace: Pace, floats: int) -> Steps[list[str]]:
    """The strings in `value`, without recursion: it is as deep as the caller made it.

    Raises: `TooHard` when there are more than so many `floats` in its vectors.
    """
    texts: list[str] = []
    rest: list[Any] = [value]
    while rest:
        each = rest.pop()
        if pace.spend(_NODE):
            yield
        if isinstance(each, str):
            if len(each) > _SHORT:
                texts.append(each)
        elif isinstance(each, dict):
            inside = cast("dict[str, Any]", each)
            rest.extend(inside.values())
            yield from _odd_names(inside, texts, pace)
        elif isinstance(each, list):
            items = cast("list[Any]", each)
            if pace.spend(len(items)):
                yield
            is_vector = _is_vector(items)
            floats -= len(items) if is_vector else 0
            if floats < 0:
                raise TooHard
            rest.extend(() if is_vector else items)
        elif isinstance(each, int) and each >= _LEAST_CARD:
            texts.append(str(each))
    return texts


def _odd_names(names: Iterable[str], texts: list[str], pace: Pace) -> Steps[None]:
    """Let `texts` be suspicious if a field's name is."""
    for name in names:
        if len(name) > _SHORT:
            if pace.spend(_NODE + len(name)):
                yield
            if not _is_plain(name):
                texts.append(_SUSPICIOUS)


def _is_plain(name: str) -> bool:
    """Whether nothing is to be masked in a field's name, nor because of it."""
    return len(name) <= _NAME_CHARACTERS and _is_plain_short(name)


@lru_cache(_NAMES)
def _is_plain_short(name: str) -> bool:
    return not suspicious(name.encode(errors="surrogatepass")) and not SECRET_NAME.fullmatch(name)


def _is_vector(value: list[Any]) -> bool:
    return len(value) >= _VECTOR and type(value[0]) is float and set(map(type, value)) == {float}


def _masked(value: Any, found: Findings, depth: int, pace: Pace) -> Steps[Any]:
    if pace.spend(_NODE):
        yield
    if isinstance(value, str):
        return (yield from _masked_string(value, found, depth, pace))
    if isinstance(value, dict):
        return (yield from _masked_object(cast("dict[str, Any]", value), found, depth, pace))
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if _is_vector(items):
            return items
        masked: list[Any] = []
        for each in items:
            one = yield from _masked(each, found, depth, pace)
            masked.append(one)
        return masked
    if isinstance(value, int | float) and value >= _LEAST_CARD and is_card(f"{value:.0f}"):
        return mark_of("card", found)
    return value


def _masked_object(
    value: dict[str, Any], found: Findings, depth: int, pace: Pace
) -> Steps[dict[str, Any]]:
    masked: dict[str, Any] = {}
    for name, inner in value.items():
        if len(name) <= _SHORT or _is_plain(name):
            masked[name] = yield from _masked(inner, found, depth, pace)
            continue
        shown = yield from masked_text(name, found, pace)
        if shown in masked:  # another one has become the same
            shown = f"{shown} {len(masked)}"
        if isinstance(inner, str) and inner and SECRET_NAME.fullmatch(name) is not None:
            masked[shown] = mark_of("password" if "assw" in name.lower() else "api_key", found)
        else:
            masked[shown] = yield from _masked(inner, found, depth, pace)
    return masked


def _masked_string(text: str, found: Findings, depth: int, pace: Pace) -> Steps[str]:
    if len(text) <= _SHORT:
        return text
    said = text.encode(errors="surrogatepass")
    if not (yield from is_suspicious(said, pace)):
        return text
    if depth < _MOST_DEPTH and text.lstrip()[:1] in ("{", "["):
        try:
            inner = _decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
            pass
        else:
            more = Findings()
            masked = yield from _masked(inner, more, depth + 1, pace)
            if more:
                add(found, more)
                return _encode(masked).decode()
    return (yield from masked_bytes(said, found, pace)).decode(errors="surrogatepass")


def _fair(texts: list[str], most: int) -> int:
    """How long each string may be, so that all together are about three quarters of `most`."""
    left = most * 3 // 4
    lengths = sorted(map(len, texts))
    for place, length in enumerate(lengths):
        share = left // (len(lengths) - place)
        if length > share:
            return share
        left -= length
    return most


def _shortened(value: Any, limit: int, end: str, pace: Pace) -> Steps[Any]:
    if pace.spend(_NODE):
        yield
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + end
    if isinstance(value, dict):
        shorter: dict[str, Any] = {}
        for name, inner in cast("dict[str, Any]", value).items():
            shown = name if len(name) <= limit else name[:limit] + end
            shorter[shown] = yield from _shortened(inner, limit, end, pace)
        return shorter
    if isinstance(value, list):
        items: list[Any] = []
        for each in cast("list[Any]", value):
            one = yield from _shortened(each, limit, end, pace)
            items.append(one)
        return items
    return value


def _thinned(value: Any, pace: Pace) -> Steps[Any]:
    """The newer half of every list that is not short, the first half of such objects."""
    if pace.spend(_NODE):
        yield
    if isinstance(value, dict):
        named = list(cast("dict[str, Any]", value).items())
        if len(named) > _FEW:
            named = named[: len(named) // 2]
        fewer: dict[str, Any] = {}
        for name, inner in named:
            fewer[name] = yield from _thinned(inner, pace)
        return fewer
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) > _FEW:
            items = items[len(items) // 2 :]
        less: list[Any] = []
        for each in items:
            one = yield from _thinned(each, pace)
            less.append(one)
        return less
    return value
