"""Pages from templates: escaping is always on, and a name that is not told is a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tidegate import __version__
from tidegate.console import words
from tidegate.console.files import Files
from tidegate.console.page import Asked, Page, View
from tidegate.console.plain import plain
from tidegate.console.spans import RANGES

_TEMPLATES: Final = Path(__file__).parent / "templates"
_WORDS: Final = (
    words.usd, words.count, words.short, words.size, words.ms, words.seconds, words.lasts,
    words.share, words.moment, words.clock, words.iso, plain,
)  # fmt: skip


class Renderer:
    """The templates; used by many threads at once."""

    def __init__(self, files: Files, pages: tuple[Page, ...]) -> None:
        self._pages = pages
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters.update({each.__name__: each for each in _WORDS})
        known: dict[str, Any] = {
            "static": files.url,
            "version": __version__,
            "ranges": RANGES,
            "unknown": words.UNKNOWN,
        }
        self._templates.globals.update(known)

    def page(self, asked: Asked, view: View, *, fragment: bool) -> str:
        """A whole page, or with `fragment` only what changes by itself."""
        return self._templates.get_template(view.template).render(
            {
                **view.told,
                "layout": "fragment.html" if fragment else "layout.html",
                "asked": asked,
                "live_s": view.live_s,
                "title": view.title or asked.page.title,
                "pages": [each for each in self._pages if asked.may(each.needs)],
                "flashes": [] if fragment else asked.session.take_flashes(),
            }
        )

    def alone(self, template: str, told: Mapping[str, Any]) -> str:
        """A page for somebody who is not signed in."""
        return self._templates.get_template(template).render(told)
