"""What may be kept of a configuration's text: all of it, but for secrets that stand in it.

Secrets are meant to be references. One that stands in the file itself is hidden before the text
leaves the file; where it cannot be found in the text (it is escaped, or folded over lines), none of
the text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from pydantic import BaseModel

from tidegate.config.mistakes import YamlPath, show_path
from tidegate.config.model import Config
from tidegate.config.secrets import REFERENCE, Secret
from tidegate.config.source import read
from tidegate.redact import MASK, redact

SHORTEST: Final = 4
"""A shorter secret is not looked for in the text: it would be found everywhere."""
TELLING: Final = 16
"""A part of a URL's path that is as long may be a word that opens it."""

_TELLING_HEADER = re.compile(r"auth|key|token|secret|cookie|pass|cred|sign", re.IGNORECASE)
_HOLE: Final = "\u2028"
"""Stands for a reference while the rest is looked at: no secret has it inside."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a text."""

    text: str | None
    """None where a secret stands in it that cannot be hidden."""
    hidden: tuple[str, ...] = ()
    """The settings whose secrets stand in the file: such a text cannot be put back."""


def keepable(text: str, config: Config) -> Kept:
    """What may be kept of `text`, which `config` was made of."""
    standing = [each for each in _secrets(config, ()) if _stands_open(*each)]
    hidden = tuple(show_path(path) for path, _ in standing)
    found = sorted({secret.written() for _, secret in standing}, key=len, reverse=True)
    if any(len(each) < SHORTEST or each not in text for each in found):
        return Kept(None, hidden)
    for each in found:
        text = text.replace(each, MASK)
    # Once more as a reader of YAML has it: it may have been written in two ways.
    said = read(text, "")
    if found and (said.mistakes or _hold(_texts(said.value), found)):
        return Kept(None, hidden)
    return Kept(text, hidden)


def _hold(texts: Iterable[str], secrets: list[str]) -> bool:
    return any(each in text for text in texts for each in secrets)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in cast("dict[object, object]", value).items():
            yield str(key)
            yield from _texts(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            yield from _texts(each)
    else:
        yield str(value)


def _secrets(value: object, path: YamlPath) -> Iterator[tuple[YamlPath, Secret]]:
    if isinstance(value, Secret):
        yield path, value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name), (*path, name))
    elif isinstance(value, Mapping):
        for key, each in cast("Mapping[object, object]", value).items():
            yield from _secrets(each, (*path, str(key)))
    elif isinstance(value, tuple):
        for number, each in enumerate(cast("tuple[object, ...]", value)):
            yield from _secrets(each, (*path, number))


def _stands_open(path: YamlPath, secret: Secret) -> bool:
    """Whether a secret can be read in the file."""
    written = secret.written()
    if not written:
        return False
    if secret.source != "literal":
        rest = REFERENCE.sub(_HOLE, written)
        return redact(rest) != rest
    if len(path) > 1 and path[-2] == "headers":
        return _TELLING_HEADER.search(str(path[-1])) is not None or redact(written) != written
    return not _is_plain_url(written)


def _is_plain_url(text: str) -> bool:
    """Whether `text` is an address that says nothing but where."""
    try:
        parts = urlsplit(text)
        password = parts.password
    except ValueError:
        return False
    if "://" not in text or password is not None or parts.query:
        return False
    if parts.scheme == "sqlite":
        return True
    if parts.username is not None and not parts.scheme.startswith("postgresql"):
        return False
    return all(len(step) < TELLING for step in parts.path.split("/"))
