"""Alerts on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alerts.receivers import receiving
from cli.conftest import Shell
from click.testing import CliRunner, Result
from store.storing import put, row

from tidegate.cli import main

CONFIG = """
alerts:
  sinks:
    chat: {{kind: slack, url: "{url}/secret", allow_private: true}}
    hook: {{kind: webhook, url: "{url}", allow_private: true}}
"""


def tried(directory: Path, text: str, *words: str) -> Result:
    config = directory / "tidegate.yaml"
    config.write_text(text)
    return CliRunner().invoke(main, ["alerts", "test", "--config", str(config), *words])


def test_a_test_reaches_everybody(tmp_path: Path) -> None:
    with receiving() as at:
        result = tried(tmp_path, CONFIG.format(url=at.url))
        paths = {at.next().path, at.next().path}
    assert result.exit_code == 0, result.output
    assert paths == {"/secret", "/"}
    assert result.stdout.count("arrived") == 2


def test_a_test_says_who_was_not_reached(tmp_path: Path) -> None:
    with receiving([500, 500]) as at:
        result = tried(tmp_path, CONFIG.format(url=at.url), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["sinks"] == [
        {"name": "chat", "error": "it answered 500"},
        {"name": "hook", "error": "it answered 500"},
    ]
    assert "secret" not in result.output


def test_a_test_that_reaches_nobody_fails(tmp_path: Path) -> None:
    result = tried(tmp_path, "alerts: {}\n")
    assert result.exit_code == 1
    assert "Nobody is to be told" in result.output


def test_silences_are_made_shown_and_ended(shell: Shell) -> None:
    assert "Nothing fires" in shell.run("alerts").output
    words = ("alerts", "silence", "errors", "--label", "alias=fast", "--until", "2090-01-01")
    made = shell.told(*words, "--why", "works")
    assert made["labels"] == {"alias": "fast"}
    assert "alias=fast" in shell.ok("alerts", "list")
    assert shell.told("alerts")["silences"] == [made]
    shell.ok("alerts", "speak", made["id"])
    assert shell.told("alerts")["silences"] == []


def test_silence_of_everything_needs_the_word(shell: Shell) -> None:
    until = ("alerts", "silence", "--until", "2090-01-01")
    assert "--all" in shell.run(*until).output
    assert shell.run(*until, "errors", "--all").exit_code == 2
    assert shell.told(*until, "--all")["rule"] is None


@pytest.mark.parametrize("words", [("errors",), ("none", "--until", "1h"), ("--label", "x")])
def test_silence_that_makes_no_sense_is_a_mistake_of_the_line(
    shell: Shell, words: tuple[str, ...]
) -> None:
    assert shell.run("alerts", "silence", *words).exit_code == 2


def test_rules_are_shown_as_they_are_tuned(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.yaml"
    config.write_text("alerts: {rules: {errors: {threshold: 0.25}, budget: {enabled: false}}}\n")
    words = ["alerts", "rules", "--config", str(config)]
    told = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)["rules"]
    assert {each["name"]: each["threshold"] for each in told}["errors"] == 0.25
    assert "budget" not in {each["name"] for each in told}
    assert "slo-fast-burn" in CliRunner().invoke(main, words).stdout


def test_error_budgets_are_shown(shell: Shell) -> None:
    now_ns = shell.served.clock.ns
    rows = [row(number, started_ns=now_ns, alias="assistant") for number in range(96)]
    slow = [row(n, started_ns=now_ns, alias="assistant", slow=True) for n in range(100, 104)]
    failed = [row(200, started_ns=now_ns, alias="assistant", ended="failed")]
    put(shell.served.store, *rows, *slow, *failed)
    available, prompt = shell.told("alerts", "slo")["items"]
    assert (available["requests"], available["bad"], available["slo"]) == (101, 1, "availability")
    assert available["budget_left"] == pytest.approx(1 - (1 / 101) / 0.01)
    assert (prompt["requests"], prompt["bad"], prompt["under_s"]) == (100, 4, 2.0)
    assert prompt["budget_left"] == pytest.approx(0.2)
    assert [each["rule"] for each in prompt["burning"]] == [
        "slo-fast-burn", "slo-burn", "slo-slow-burn",
    ]  # fmt: skip
    assert prompt["burning"][0]["burn_long"] == pytest.approx(0.8)
    shown = shell.ok("alerts", "slo")
    assert "95% latency under 2 s" in shown
    assert "20.0%" in shown
