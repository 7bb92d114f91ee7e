"""What is wrong with a configuration, said so that it can be put right.

Nothing heavy is imported here: the command line catches `ConfigError` without loading pydantic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

YamlPath = tuple[str | int, ...]
"""Keys and indices from the top of the document to a value."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to correct. `line` and `column` count from 1; both are 0 for the whole file."""

    file: str
    line: int
    column: int
    path: str
    """Where in the document, as in `models.assistant.targets[0].model`; empty for all of it."""
    message: str
    """A sentence without its full stop."""
    allowed: tuple[str, ...] = ()
    """What may stand here, where that is a list or a form."""
    nearest: str | None = None
    """What was probably meant."""

    def __str__(self) -> str:
        """`file:line:column: path: message; did you mean …?; allowed: …`, on one line."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        text = f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"
        if self.nearest is not None:
            text += f"; did you mean `{self.nearest}`?"
        if self.allowed:
            text += f"; allowed: {shorten(self.allowed)}"
        return text


class ConfigError(Exception):
    """The configuration cannot be used; `mistakes` says why, in the order of the file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(mistakes)
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        """One mistake a line."""
        return "\n".join(str(mistake) for mistake in self.mistakes)


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake whose line is not known yet. `at_key` points at the key, else at its value."""

    path: YamlPath
    message: str
    allowed: tuple[str, ...] = ()
    nearest: str | None = None
    at_key: bool = False
    needs: str | None = None
    """The section at the top that this follows from, if it is another one."""


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` most likely stands for, or None when none is close."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[close[0]] if close else None


def show_path(path: YamlPath) -> str:
    """`path` as people write it; keys that are not plain words are quoted in brackets."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def shorten(words: Sequence[str]) -> str:
    """The words in a row, the tail of a long row left out."""
    shown = ", ".join(words[:_SHOWN_AT_MOST])
    left_out = len(words) - _SHOWN_AT_MOST
    return f"{shown} and {left_out} more" if left_out > 0 else shown


def whole_file(file: Path | str, message: str) -> ConfigError:
    """An error about the file itself, at no line."""
    return ConfigError([Mistake(str(file), 0, 0, "", message)])
