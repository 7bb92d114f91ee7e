"""What the documents show is run as it stands, against a gateway as the same page sets it up.

Only the ports differ: the gateway is not at 8080 and the simulated provider not at 8090. Where a
block of text follows an example, each of its lines must have come out.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from anthropic import Anthropic
from openai import OpenAI
from pages import ROOT, Block, blocks, commands, on
from run.supervised import Supervised

DEFAULT = ROOT / "docs" / "how-to" / "call-it-from-your-sdk.md"
GATEWAY, SIMULATED = "127.0.0.1:8080", "127.0.0.1:8090"
PORTS = "\nserver: {port: 0}\ncontrol: {port: 0}\n"
URL = re.compile(r"http://([\d.]+:\d+)")


class Places(NamedTuple):
    """Where the two are that a page calls 8080 and 8090."""

    gateway: str
    simulated: str

    def put_into(self, text: str) -> str:
        return text.replace(GATEWAY, self.gateway).replace(SIMULATED, self.simulated)


class Stage:
    """Gateways, one for each configuration that examples are run against."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self._open: dict[str, Places] = {}

    def of(self, page: Path) -> Places:
        """The places of the page's own configuration, if it has one that asks the simulator."""
        config = next(each for place in (page, DEFAULT) for each in _configurations(place))
        if config not in self._open:
            self._open[config] = self._begin(config)
        return self._open[config]

    def _begin(self, config: str) -> Places:
        simulated = self._run("simulate", "--port", "0")
        places = Places("", self._address(simulated, "Simulated provider on"))
        file = self._directory / f"{len(self._open)}" / "tidegate.yaml"
        file.parent.mkdir()
        file.write_text(places.put_into(config) + PORTS)
        serving = Supervised(self._run("serve", "--config", str(file)))
        address = str(serving.until(message="listening")["address"])
        serving.until(logger="tidegate.control", message="started")
        return places._replace(gateway=address.removeprefix("http://"))

    def _run(self, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        self._stack.callback(_end, process)
        return process

    def _address(self, process: subprocess.Popen[str], words: str) -> str:
        assert process.stdout is not None
        for line in process.stdout:
            found = URL.search(line)
            if words in line and found is not None:
                return found[1]
        raise AssertionError(f"it ended without saying {words!r}")


def _configurations(page: Path) -> list[str]:
    return [each.text for each in on(page) if each.language == "yaml" and SIMULATED in each.text]


def _end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("stage"), stack)


@pytest.fixture(autouse=True)
def nothing_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def expect(block: Block, out: str) -> None:
    assert [line for line in block.told.splitlines() if line not in out] == [], out


@pytest.mark.parametrize("block", blocks("python"))
def test_every_program_shown_runs(
    block: Block, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(stage.of(block.page).put_into(block.text), "example", "exec"), names)
    finally:
        for value in names.values():
            if isinstance(value, OpenAI | Anthropic):
                value.close()
    out = capsys.readouterr().out
    expect(block, out)
    assert out or "print" not in block.text


CURLS = [each for each in blocks("sh", holding="curl ") if "runbooks" not in str(each.id)]
"""Those of runbooks are run in `test_runbooks`, against the control process."""


@pytest.mark.parametrize("block", CURLS)
def test_every_request_shown_is_answered(block: Block, stage: Stage) -> None:
    shell, curl = shutil.which("bash"), shutil.which("curl")
    if shell is None or curl is None:
        pytest.skip("NOT RUN: there is no curl, or no bash, on this machine")
    places = stage.of(block.page)
    for command in commands(block.text):
        if command.startswith("curl "):
            script = "set -o pipefail\n" + command.replace("curl ", "curl --fail-with-body ", 1)
            done = subprocess.run(
                [shell, "-c", places.put_into(script)],
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            expect(block, done.stdout)
