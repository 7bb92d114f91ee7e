"""Runbooks say it all, and every command in them runs, against a gateway that was just asked."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from pages import ROOT, commands, on
from run.supervised import Supervised

from tidegate.alerts.rules import DEFAULTS
from tidegate.cli import main
from tidegate.control.generated.prometheus import GONE

RUNBOOKS = ROOT / "docs" / "runbooks"
INDEX, POSTMORTEM = RUNBOOKS / "README.md", RUNBOOKS / "postmortem.md"
PAGES = sorted(page for page in RUNBOOKS.glob("*.md") if page not in {INDEX, POSTMORTEM})
SECTIONS = ["## Symptom", "## First minute", "## Diagnosis", "## Fix", "## Aftermath"]
SCENARIOS = {
    "provider-outage", "cost-spike", "scaling-event", "rate-limit-cascade", "runaway-agent",
    "injection-attack", "deprecation", "key-leak", "disk-full", "redis-lost", "postgresql-lost",
    "bad-deploy",
}  # fmt: skip
CONTROL = "127.0.0.1:8081"
CONFIG = """
server: {port: 0}
control: {port: 0}
anonymous: true
providers: {sim: {kind: simulated}}
models:
  assistant:
    targets: [{provider: sim, model: m, price: {input: $1/M, output: $2/M}}]
    slo: {availability: 99%}
"""
BEFOREHAND = (
    "teams create product", "teams create search", "users create ann", "keys create web",
    "prices list",
)  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_it_all(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^#+ .*$", text, re.MULTILINE) == [f"# {page.stem}", *SECTIONS]
    assert "\nSeverity: " in text
    assert any(block.language == "sh" for block in on(page))


def test_every_alert_and_every_scenario_has_its_runbook_and_stands_in_the_index() -> None:
    there = {page.stem for page in PAGES}
    assert there >= DEFAULTS.keys() | SCENARIOS | {GONE.name}
    index = INDEX.read_text(encoding="utf-8")
    assert [name for name in there if f"]({name}.md)" not in index] == []
    assert "](postmortem.md)" in index


def test_severity_of_a_runbook_is_that_of_its_rule() -> None:
    for rule in DEFAULTS.values():
        text = (RUNBOOKS / f"{rule.name}.md").read_text(encoding="utf-8")
        said = re.search(r"^Severity: (.*)$", text, re.MULTILINE)
        assert said is not None
        assert rule.severity in said[1], rule.name


class Gateway:
    """One that runs, and has answered."""

    def __init__(self, directory: Path, control: str) -> None:
        self.directory = directory
        self.control = control

    def tidegate(self, command: str) -> None:
        words = shlex.split(command)[1:]
        found: click.Command = main
        for word in words:
            if not isinstance(found, click.Group):
                break
            found = found.get_command(click.Context(found), word) or found
        if any("--config" in option.opts for option in found.params):
            words += ["--config", str(self.directory / "tidegate.yaml")]
        result = CliRunner().invoke(main, words, input="y\n")
        assert result.exit_code == 0, (command, result.output, result.exception)

    def shell(self, command: str) -> None:
        program = shlex.split(command)[0]
        if shutil.which(program) is None:
            pytest.skip(f"NOT RUN: there is no {program} on this machine")
        command = command.replace("curl ", "curl --fail --silent --noproxy '*' ", 1)
        done = subprocess.run(
            ["bash", "-c", command.replace(CONTROL, self.control)],
            check=False, capture_output=True, text=True, timeout=60, cwd=self.directory,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("runbooks")
    (directory / "tidegate.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "tidegate", "serve", "--config", "tidegate.yaml"]
    process = subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    try:
        serving = Supervised(process)
        address = str(serving.until(message="listening")["address"])
        started = serving.until(logger="tidegate.control", message="started")
        serving.until(message="the first admin token was made")
        control = f"127.0.0.1:{started['port']}"
        text = CONFIG.replace("control: {port: 0}", f"control: {{port: {started['port']}}}")
        (directory / "tidegate.yaml").write_text(text)
        body = b'{"model": "assistant", "messages": [{"role": "user", "content": "hello"}]}'
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(
            f"{address}/v1/chat/completions", body, {"content-type": "application/json"}
        )
        opener.open(request, timeout=60).close()
        made = Gateway(directory, control)
        for words in BEFOREHAND:
            made.tidegate(f"tidegate {words}")
        yield made
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


@pytest.mark.parametrize("page", [INDEX, POSTMORTEM, *PAGES], ids=lambda page: page.stem)
def test_every_command_of_a_runbook_runs(page: Path, gateway: Gateway) -> None:
    for block in on(page):
        for command in commands(block.text) if block.language == "sh" else ():
            if command.startswith("tidegate drill"):
                continue  # played in tests/drill, by the name that stands here
            if command.startswith("tidegate "):
                gateway.tidegate(command)
            else:
                gateway.shell(command)
