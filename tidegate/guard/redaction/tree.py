"""Mask a JSON value: every string in it, the names too, and numbers that are cards.

What comes out is JSON again, however much was masked or cut. Strings that hold JSON themselves (the
arguments of tools) are read and written as such, so that they stay what they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from tidegate.guard.redaction.credentials import SECRET_NAME
from tidegate.guard.redaction.numbers import is_card
from tidegate.guard.redaction.text import (
    Findings,
    add,
    mark_of,
    mask_bytes,
    mask_text,
    suspicious,
)

CUT: Final = "…[cut]"
_MARGIN: Final = 1024
"""How much more of a long string is read than is kept, so that what is found is found whole."""
_SHORT: Final = 5
"""Strings up to this length hold nothing."""
_MOST_DEPTH: Final = 4
"""Of JSON within strings."""
_LEAST_CARD: Final = 10**12
_VECTOR: Final = 16
"""A list of so many floats is an embedding, in which nothing is to be found."""
_FEW: Final = 8
_SUSPICIOUS: Final = "@"
_NAME_CHARACTERS, _NAMES = 64, 4096

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def masked_json(value: Any, most_bytes: int, found: Findings) -> tuple[bytes, bool]:
    """`value` as JSON with marks for what was found, and whether something was cut off.

    It is at most `most_bytes` long: first its longest strings are shortened, then of long lists
    the newest is kept.
    """
    texts = list(_texts(value))
    long = sum(map(len, texts)) > most_bytes
    if long:
        limit = _fair(texts, most_bytes)
        value = _shortened(value, limit + _MARGIN, "")
        texts = list(_texts(value))
    if suspicious("\n".join(texts).encode(errors="surrogatepass")):
        value = _masked(value, found, 0)
    body = _encode(value)
    if len(body) <= most_bytes and not long:
        return body, False
    limit = _fair(texts, most_bytes)
    while limit >= _FEW:
        body = _encode(_shortened(value, limit, CUT))
        if len(body) <= most_bytes:
            return body, True
        limit //= 2
    value = _shortened(value, _FEW, CUT)
    while len(body := _encode(value)) > most_bytes:
        value, before = _thinned(value), value
        if value == before:
            return _encode(CUT), True
    return body, True


def _texts(value: Any) -> Iterable[str]:
    """The strings in `value`, without recursion: it is as deep as the caller made it."""
    rest: list[Any] = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            if len(each) > _SHORT:
                yield each
        elif isinstance(each, dict):
            for name, inner in cast("dict[str, Any]", each).items():
                if len(name) > _SHORT and not _is_plain(name):
                    yield _SUSPICIOUS
                rest.append(inner)
        elif isinstance(each, list):
            items = cast("list[Any]", each)
            if not _is_vector(items):
                rest.extend(items)
        elif isinstance(each, int) and each >= _LEAST_CARD:
            yield str(each)


def _is_plain(name: str) -> bool:
    """Whether nothing is to be masked in a field's name, nor because of it."""
    return len(name) <= _NAME_CHARACTERS and _is_plain_short(name)


@lru_cache(_NAMES)
def _is_plain_short(name: str) -> bool:
    return not suspicious(name.encode(errors="surrogatepass")) and not SECRET_NAME.fullmatch(name)


def _is_vector(value: list[Any]) -> bool:
    return len(value) >= _VECTOR and type(value[0]) is float and set(map(type, value)) == {float}


def _masked(value: Any, found: Findings, depth: int) -> Any:
    if isinstance(value, str):
        return _masked_string(value, found, depth) if len(value) > _SHORT else value
    if isinstance(value, dict):
        return _masked_object(cast("dict[str, Any]", value), found, depth)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return items if _is_vector(items) else [_masked(each, found, depth) for each in items]
    if isinstance(value, int | float) and value >= _LEAST_CARD and is_card(f"{value:.0f}"):
        return mark_of("card", found)
    return value


def _masked_object(value: dict[str, Any], found: Findings, depth: int) -> dict[str, Any]:
    masked: dict[str, Any] = {}
    for name, inner in value.items():
        if len(name) <= _SHORT or _is_plain(name):
            masked[name] = _masked(inner, found, depth)
            continue
        shown = mask_text(name, found)
        if shown in masked:  # another one has become the same
            shown = f"{shown} {len(masked)}"
        if isinstance(inner, str) and inner and SECRET_NAME.fullmatch(name) is not None:
            masked[shown] = mark_of("password" if "assw" in name.lower() else "api_key", found)
        else:
            masked[shown] = _masked(inner, found, depth)
    return masked


def _masked_string(text: str, found: Findings, depth: int) -> str:
    said = text.encode(errors="surrogatepass")
    if not suspicious(said):
        return text
    if depth < _MOST_DEPTH and text.lstrip()[:1] in ("{", "["):
        try:
            inner = _decode(text)
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
            pass
        else:
            more = Findings()
            masked = _masked(inner, more, depth + 1)
            if more:
                add(found, more)
                return _encode(masked).decode()
    return mask_bytes(said, found).decode(errors="surrogatepass")


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


def _shortened(value: Any, limit: int, end: str) -> Any:
    if isinstance(value, str):
        return value if len(value) <= limit else value[:limit] + end
    if isinstance(value, dict):
        return {
            name if len(name) <= limit else name[:limit] + end: _shortened(inner, limit, end)
            for name, inner in cast("dict[str, Any]", value).items()
        }
    if isinstance(value, list):
        return [_shortened(each, limit, end) for each in cast("list[Any]", value)]
    return value


def _thinned(value: Any) -> Any:
    """The newer half of every list that is not short, the first half of such objects."""
    if isinstance(value, dict):
        items = list(cast("dict[str, Any]", value).items())
        if len(items) > _FEW:
            items = items[: len(items) // 2]
        return {name: _thinned(inner) for name, inner in items}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if len(items) > _FEW:
            items = items[len(items) // 2 :]
        return [_thinned(each) for each in items]
    return value
