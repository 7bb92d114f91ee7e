"""The command line: one line that says where, a clean end, and no life without its parent."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from tidegate.cli.simulate import simulate

COMMAND = [sys.executable, "-m", "tidegate.providers.simulated", "--port", "0"]


@contextmanager
def running(*options: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"Simulated provider on (http://127\.0\.0\.1:\d+/v1) .*\n", line)
            assert found is not None, line
            yield process, found[1]
        finally:
            process.kill()


def say(base_url: str, **body: object) -> str:
    data = json.dumps({"model": "sim-1", "messages": [{"role": "user", "content": "hi"}], **body})
    request = urllib.request.Request(f"{base_url}/chat/completions", data.encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def say_until_gone(base_url: str) -> None:
    while True:
        say(base_url, max_tokens=1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_cleanly(number: signal.Signals) -> None:
    with running("--seed", "7", "--length", "3") as (process, base_url):
        assert json.loads(say(base_url))["usage"]["completion_tokens"] == 3
        assert say(base_url, stream=True).endswith("data: [DONE]\n\n")
        process.send_signal(number)
        assert process.wait(60) == 0


def test_a_reset_is_a_reset_on_uvloop_too() -> None:
    with running() as (_, base_url), pytest.raises(ConnectionResetError):
        say(base_url, model="sim-1+reset-after:1", stream=True)


def test_it_ends_with_its_parent() -> None:
    parent = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)\n"
        "print(child.stdout.readline(), end='', flush=True)\n"
    )
    command = [sys.executable, "-c", parent, *COMMAND, "--exit-with-parent"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    base_url = said.split()[3]
    with pytest.raises(OSError, match=r"refused|reset"):
        say_until_gone(base_url)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--ttft", "200"], "ttft: '200' is not a duration"),
        (["--length", "5ms"], "length: '5ms' is not a whole number"),
        (["--port", "70000"], "--port"),
    ],
)
def test_a_wrong_option_is_explained(options: list[str], says: str) -> None:
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2
    assert says in result.output


def test_a_port_in_use_is_explained() -> None:
    with running() as (_, base_url):
        port = base_url.split(":")[2].split("/")[0]
        result = CliRunner().invoke(simulate, ["--port", port])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
