"""What a drill shows: the scenarios as they are played, what held of each, and why what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidegate.drill.checks import CHECKS, Check
from tidegate.drill.run import Progress, Result
from tidegate.drill.scenarios import Scenario

_HEADINGS: Mapping[str, str] = {
    "kept": "kept",
    "recovery": "recovery",
    "first token": "ttft",
    "calls": "calls",
    "records": "records",
    "charges": "charges",
    "truncations": "cut",
}
_PLAIN_WIDTH = 10_000


class Screen:
    """A table that fills up while it is played; without a terminal, a line for each scenario."""

    def __init__(
        self, scenarios: Sequence[Scenario], *, quiet: bool, console: Console | None = None
    ) -> None:
        self._console = console or Console(highlight=False)
        self._scenarios = scenarios
        self._quiet = quiet
        self._results: dict[str, Result] = {}
        self._now: Progress | None = None
        live = self._console.is_terminal and not quiet
        self._live = Live(console=self._console, auto_refresh=False) if live else None
        if not self._console.is_terminal:
            self._console.width = _PLAIN_WIDTH

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self._refresh()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._refresh()
            self._live.stop()

    def progress(self, progress: Progress) -> None:
        """A scenario has come further."""
        self._now = progress
        self._refresh()

    def result(self, result: Result) -> None:
        """A scenario is over."""
        self._results[result.scenario.name] = result
        self._now = None
        self._refresh()
        if self._live is None and not self._quiet:
            self._console.print(_line(result))

    def verdict(self, results: Sequence[Result], *, passed: bool, kept: Path | None) -> None:
        """The end: why what failed has failed, and what is left to look at."""
        for result in results:
            if self._live is not None and result.lacks is not None:
                self._console.print(_line(result))
            for check in result.checks:
                if check.ok is False:
                    self._console.print(_reason(result.scenario, check))
        played = [result for result in results if result.checks]
        held = sum(result.passed is True for result in played)
        text = f"{held} of {len(played)} scenarios held"
        if skipped := len(results) - len(played):
            text += f", {skipped} not played"
        self._console.print(Text(f"{text}.", style="bold green" if passed else "bold red"))
        if kept is not None:
            self._console.print(f"Configurations, logs and records: {kept}", markup=False)

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), caption_justify="left")
        for heading in ("", "scenario", *_HEADINGS.values()):
            table.add_column(heading, no_wrap=True)
        now = self._now
        for scenario in self._scenarios:
            result = self._results.get(scenario.name)
            if result is not None:
                table.add_row(*_row(result))
            elif now is not None and now.scenario is scenario:
                table.add_row(Text("…", style="cyan"), Text(scenario.name, style="cyan"))
            else:
                table.add_row("", Text(scenario.name, style="dim"))
        if now is not None:
            counts = f"{now.sent} sent, {now.good} good, {now.bad} not"
            table.caption = Text(f"{now.scenario.what} · {now.phase} · {counts}", style="cyan")
        return table


def _row(result: Result) -> list[Text]:
    name = result.scenario.name
    if result.lacks is not None:
        return [Text("-"), Text(name, style="dim"), Text("not played", style="dim")]
    mark = Text("✓", style="green") if result.passed else Text("✗", style="red")
    by_name = {check.name: check for check in result.checks}
    return [mark, Text(name), *(_cell(by_name[name]) for name in CHECKS)]


def _cell(check: Check) -> Text:
    style = {True: "green", False: "bold red", None: "dim"}[check.ok]
    return Text(check.shown, style=style)


def _line(result: Result) -> Text:
    name = result.scenario.name
    if result.lacks is not None:
        return Text(f"not played  {name}: {_lacking(result)}")
    verdict = "passed" if result.passed else "FAILED"
    told = ", ".join(f"{check.name} {check.shown}" for check in result.checks)
    return Text(f"{verdict}      {name}: {told}")


def _lacking(result: Result) -> str:
    return f"needs {result.lacks.value}" if result.lacks is not None else ""


def _reason(scenario: Scenario, check: Check) -> Text:
    text = Text.assemble(
        (scenario.name, "bold"), f": {check.name} {check.shown}, wanted {check.limit}"
    )
    for reason in check.reasons:
        text.append(f"\n    {reason}", style="dim")
    return text


def as_json(results: Sequence[Result], passed: bool, kept: Path | None) -> dict[str, Any]:
    """The whole drill, for programs."""
    return {
        "ok": passed,
        "directory": None if kept is None else str(kept),
        "scenarios": [
            {
                "name": result.scenario.name,
                "what": result.scenario.what,
                "ok": result.passed,
                "lacks": result.lacks.value if result.lacks is not None else None,
                "outcomes": result.outcomes,
                "checks": {
                    check.name.replace(" ", "_"): {
                        "ok": check.ok,
                        "value": check.value,
                        "limit": check.limit,
                        "reasons": check.reasons,
                    }
                    for check in result.checks
                },
            }
            for result in results
        ],
    }
