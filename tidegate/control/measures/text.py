"""How measures are written for Prometheus, and what each of them says of itself.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"

Kind = Literal["counter", "gauge", "histogram"]
Value = float | int | None
"""None is not known, and left out."""


class Meaning(NamedTuple):
    """What a measure is: its line in the reference, and its head on the page."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    said: str

    def head(self) -> str:
        """The lines before its samples."""
        said = self.said.replace("\\", r"\\").replace("\n", r"\n")
        return f"# HELP {self.name} {said}\n# TYPE {self.name} {self.kind}\n"


def labelled(names: Iterable[str], values: Iterable[str]) -> str:
    """The labels of a sample, without braces; empty when there are none."""
    pairs = zip(names, values, strict=True)
    return ",".join(f'{name}="{escaped(value)}"' for name, value in pairs)


def escaped(text: str) -> str:
    """`text` as the value of a label."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def shown(value: float) -> str:
    """A number as Prometheus reads it; whole ones whole."""
    return repr(value) if isinstance(value, float) else str(int(value))


def family(meaning: Meaning, samples: Iterable[tuple[tuple[str, ...], Value]]) -> Iterator[str]:
    """Head and samples of a counter or gauge; nothing at all when no value is known."""
    begun = False
    for values, value in samples:
        if value is None:
            continue
        if not begun:
            begun = True
            yield meaning.head()
        inside = labelled(meaning.labels, values)
        yield f"{meaning.name}{f'{{{inside}}}' if inside else ''} {shown(value)}\n"
