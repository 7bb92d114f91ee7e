"""The pages of the docs, and what a reader finds on them between fences."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```(?:\n\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """What stands between fences; `told` is what is shown to come out of it, if anything is."""

    language: str
    text: str
    told: str
    page: Path
    line: int


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def on(page: Path) -> Iterator[Block]:
    """The blocks of a page."""
    prose = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(prose):
        line = prose.count("\n", 0, found.start()) + 1
        yield Block(found[1], found[2], found[3] or "", page, line)


def blocks(language: str, holding: str = "") -> list[ParameterSet]:
    """Every block in a language that holds this text, as the parameters of a test."""
    return [
        pytest.param(block, id=f"{name(page)}:{block.line}")
        for page in PAGES
        for block in on(page)
        if block.language == language and holding in block.text
    ]


def commands(script: str) -> Iterator[str]:
    """The commands of a shell script, those over several lines in one piece."""
    waiting = ""
    for line in script.splitlines():
        waiting += line
        if waiting.endswith("\\") or not _is_whole(waiting):
            waiting += "\n"
            continue
        yield waiting
        waiting = ""
    assert not waiting, f"a quote is left open: {waiting}"


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True
