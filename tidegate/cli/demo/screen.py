"""What the demo shows: progress, the answer as it arrives, the record, and what to try next."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tidegate.money import show_usd
from tidegate.telemetry.record import Record

_INDENT = "  "
_MOST_COLUMNS = 100
_SECOND_MS = 1000


class Screen:
    """The terminal, or the file that standard output goes to."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._width = min(self._console.width, _MOST_COLUMNS)

    def say(self, text: str = "", style: str = "") -> None:
        """One line, not broken: commands and paths in it can be copied."""
        self._console.print(Text(text, style=style), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something unexpected that does not stop the demo."""
        self._console.print(Text(f"! {text}", style="yellow"))

    @contextmanager
    def step(self, doing: str, done: str) -> Generator[None]:
        """Show `doing` with a spinner while the body runs, then `done` and how long it took."""
        began = time.monotonic()
        with self._console.status(f"{doing} …", spinner="dots"):
            yield
        took = f"{time.monotonic() - began:.1f} s"
        self._console.print(
            Text.assemble(("✓ ", "green"), done, (f"  {took}", "dim")), soft_wrap=True
        )

    def question(self, text: str, alias: str) -> None:
        """What is asked, and of whom."""
        self._console.print()
        self._console.print(Text.assemble(("you", "bold cyan"), f" → {alias}"))
        self._paragraph(text)

    def answer(self, pieces: Iterable[str]) -> None:
        """Write the answer word by word as it arrives, lines broken between words."""
        self._console.print(Text("the model", style="bold green"))
        column = 0
        for word in _words(pieces):
            lines = word.split("\n")
            for number, part in enumerate(lines):
                if number:
                    self._write("\n")
                    column = 0
                if column and column + len(part.rstrip()) > self._width - len(_INDENT):
                    self._write("\n")
                    column = 0
                if part and not column:
                    part = part.lstrip(" ")  # noqa: PLW2901
                    self._write(_INDENT)
                self._write(part)
                column += len(part)
        self._write("\n\n")

    def record(self, record: Record) -> None:
        """The record, as a table of what a person wants to know first."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in _facts(record):
            table.add_row(name, value)
        self._console.print(
            Panel(
                table,
                title="the record of this request",
                title_align="left",
                border_style="cyan",
                width=self._width,
                padding=(0, 1),
            )
        )

    def next_steps(self, steps: Iterable[tuple[str, str]]) -> None:
        """Each title with the lines to copy below it."""
        for title, lines in steps:
            self.say(title, style="bold")
            self.say(lines)  # not indented: Python would refuse the paste
            self.say()

    def failure(self, what: str, remedy: str = "") -> None:
        """Why the demo cannot go on, and what helps."""
        self._console.print(Text(f"✗ {what}", style="bold red"))
        if remedy:
            self._console.print(Text(f"  {remedy}"), soft_wrap=True)

    def _paragraph(self, text: str) -> None:
        self.say(
            textwrap.fill(text, self._width, initial_indent=_INDENT, subsequent_indent=_INDENT)
        )
        self.say()

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


def _words(pieces: Iterable[str]) -> Iterator[str]:
    """The text of `pieces` cut before its spaces, each word as soon as it is known to be whole.

    What a terminal would obey instead of showing (escape codes) is left out.
    """
    held = ""
    for piece in pieces:
        held += "".join(char for char in piece if char.isprintable() or char == "\n")
        *whole, held = _cut(held)
        yield from whole
    yield held


def _cut(text: str) -> list[str]:
    words = [""]
    for char in text:
        if char in " \n" and words[-1].strip(" \n"):
            words.append("")
        words[-1] += char
    return words


def _facts(record: Record) -> Iterator[tuple[str, str]]:
    yield "request", record.request_id
    yield "outcome", f"{record.outcome} (HTTP {record.status})"
    reason = f" — {record.reason}" if record.reason else ""
    yield "target", (record.target or "none") + reason
    yield "tokens", _tokens(record)
    yield "cost", _cost(record)
    yield "time to first token", _ms(record.ttft_ms)
    yield "speed", f"{record.tokens_per_s:.0f} tokens/s" if record.tokens_per_s else "unknown"
    yield "total", _ms(record.duration_ms)
    if record.gateway_ms is not None:
        yield "of it in the gateway", f"{record.gateway_ms:.2f} ms before the model was asked"


def _tokens(record: Record) -> str:
    if record.input_tokens is None or record.output_tokens is None:
        return "unknown"
    cached = f" ({record.cached_input_tokens} cached)" if record.cached_input_tokens else ""
    return f"{record.input_tokens} in{cached}, {record.output_tokens} out"


def _cost(record: Record) -> str:
    if record.cost_nanousd is None:
        return "unknown: the target has no price"
    return show_usd(record.cost_nanousd)


def _ms(duration_ms: float | None) -> str:
    if duration_ms is None:
        return "unknown"
    return f"{duration_ms:.0f} ms" if duration_ms < _SECOND_MS else f"{duration_ms / 1000:.2f} s"
