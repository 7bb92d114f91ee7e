"""Quality and feedback on the command line."""

from __future__ import annotations

import re
import shlex

import pytest
from cli.conftest import Shell
from pages import ROOT, commands, on
from store.storing import answered, judged, put

from tidegate.cli.quality import sparkline
from tidegate.store.rows import Batch, Place

HOSTILE = "\x1b[2J[bold]" + "x" * 300


@pytest.fixture
def filled(shell: Shell) -> Shell:
    before = [answered(number, 24 + number) for number in range(1, 141)]
    lately = [answered(number, 1, "malformed" if number % 2 else "good") for number in
              range(200, 260)]  # fmt: skip
    put(shell.served.store, *before, *lately)
    feedback = [judged(200, "down", 0.5, text=HOSTILE), judged(201, "up", 0.25)]
    shell.served.store.insert(Batch(feedback=feedback), Place("here", "two.spool1", 1))
    return shell


def test_signals_are_shown_with_a_small_chart(filled: Shell) -> None:
    lines = filled.ok("quality").splitlines()
    assert "format" in lines[0]
    assert re.search(r"^fast +- +- +▁+█▁ +60 +50\.0% +0\.0% +0\.0% +\d+ ", lines[1])
    assert "fast" in filled.ok("quality", "--by", "version", "--signal", "refusal_rate")
    assert filled.told("quality")["items"][0]["total"]["answers"] == 60
    empty = filled.run("quality", "--alias", "none")
    assert "No model has answered" in empty.stderr


def test_drift_is_shown(filled: Shell) -> None:
    result = filled.run("quality", "--drift")
    assert re.search(r"fast +all +format_compliance +100\.0% +50\.0% .* drifted", result.stdout)
    assert "1 signal has drifted" in result.stderr
    assert filled.told("quality", "--drift")["items"][0]["drifted"] is True
    assert filled.run("quality", "--drift", "--hours", "500").exit_code == 2
    assert "too few" in filled.run("quality", "--drift", "--alias", "none").stderr


def test_feedback_is_shown_and_cannot_steer_the_terminal(filled: Shell) -> None:
    shown = filled.ok("feedback")
    assert "\x1b" not in shown
    assert shown.index("req_200") < shown.index("req_201")
    only = filled.ok("feedback", "--down")
    assert "req_200" in only
    assert "req_201" not in only
    assert len(only) < 700
    assert [each["request_id"] for each in filled.told("feedback", "--down")["items"]] == [
        "req_200"
    ]
    trend = filled.ok("feedback", "--trend", "alias", "--since", "2026-01-01")
    assert re.search(r"fast +█{12} +50% +1 +1 +0 +0", trend)
    assert "Nobody" in filled.run("feedback", "--alias", "none").stderr


def test_every_command_on_the_page_does_what_it_says(filled: Shell) -> None:
    lines = [
        line
        for block in on(ROOT / "docs" / "how-to" / "collect-feedback.md")
        if block.language == "sh"
        for line in commands(block.text)
        if line.startswith("tidegate ")
    ]
    assert len(lines) == 5
    for line in lines:
        filled.ok(*shlex.split(line)[1:])


def test_small_chart_has_gaps_and_means() -> None:
    assert sparkline([]) == ""
    assert sparkline([0.0, None, 7.0]) == "▁ █"
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([0.0, 10.0] * 24 + [None, None]) != ""
    assert len(sparkline([1.0] * 1_000)) <= 24
