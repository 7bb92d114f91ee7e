"""What a chart is to a template, and the few words of SVG."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

Unit = Callable[[float | None], str]
"""A number as people read it."""
Cells = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and the same as a table."""

    title: str
    svg: Markup
    heads: Cells
    rows: tuple[Cells, ...]
    legend: tuple[tuple[str, str], ...] = ()
    """Name and tone of each series, where there are several."""
    empty: bool = False
    """Whether there is nothing in it."""


def tag(name: str, inside: object = "", **attributes: str | float | None) -> Markup:
    """An element. Names are written `text_anchor`, and `class_`; None leaves one out."""
    said = [
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _shown(value))
        for key, value in attributes.items()
        if value is not None
    ]
    # `name` is ours; everything else is escaped here or was before.
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), joined(said), escape(inside))  # noqa: S704


def joined(parts: Iterable[Markup]) -> Markup:
    """All of them, one after the other."""
    return Markup().join(parts)


def percent(part: float) -> str:
    """A share of the width."""
    return f"{part * 100:.3f}".rstrip("0").rstrip(".") + "%"


def _shown(value: str | float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
