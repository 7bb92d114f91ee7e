"""The runbooks of the documentation, as pages: they come with the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

_INSTALLED: Final = Path(__file__).parents[2] / "runbooks"
_CHECKED_OUT: Final = Path(__file__).parents[4] / "docs" / "runbooks"
_SUFFIX: Final = ".md"


@dataclass(frozen=True, slots=True)
class Runbook:
    """What to do about one kind of alert."""

    title: str
    html: Markup


class Runbooks:
    """All of them, read once."""

    def __init__(self) -> None:
        found = next((each for each in (_INSTALLED, _CHECKED_OUT) if each.is_dir()), None)
        paths = [] if found is None else sorted(found.glob(f"*{_SUFFIX}"))
        self.names = frozenset(path.stem for path in paths)
        self._read = {path.stem: _read(path, self.names) for path in paths}

    def find(self, name: str) -> Runbook | None:
        """The one of that name."""
        return self._read.get(name)


def _read(path: Path, names: frozenset[str]) -> Runbook:
    # Markup inside the text stays text; links lead to other runbooks, or nowhere.
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(path.read_text(encoding="utf-8"))
    title = path.stem
    if tokens and tokens[0].type == "heading_open":
        title, tokens = tokens[1].content, tokens[3:]
    for token in tokens:
        token.children = None if token.children is None else _linked(token.children, names)
    html = parser.renderer.render(tokens, parser.options, {})
    return Runbook(title, Markup(html))  # noqa: S704  our own words, and no markup of theirs


def _linked(tokens: list[Token], names: frozenset[str]) -> list[Token]:
    kept: list[Token] = []
    closes: list[bool] = []
    for token in tokens:
        if token.type == "link_open":
            name = str(token.attrGet("href") or "").partition("#")[0].removesuffix(_SUFFIX)
            closes.append(name in names)
            if name not in names:
                continue
            token.attrs = {"href": f"/console/alerts/runbooks/{name}"}
        elif token.type == "link_close" and not closes.pop():
            continue
        kept.append(token)
    return kept
