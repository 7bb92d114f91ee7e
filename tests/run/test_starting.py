"""Commands that are given while a gateway is just starting wait for its control process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from click.testing import CliRunner, Result
from servers import free_port

from tidegate.cli import main

CONFIG = """
server: {{port: {port}}}
control: {{port: 0}}
providers: {{sim: {{kind: simulated}}}}
models: {{assistant: {{targets: [{{provider: sim, model: sim-1}}]}}}}
"""


@contextmanager
def starting(config: Path) -> Generator[None]:
    """A gateway that has just begun to listen; told to stop with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    assert '"listening"' in line, line
    reading = threading.Thread(target=process.stderr.read, daemon=True)
    reading.start()
    with process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            reading.join()


def run(config: Path, *words: str) -> Result:
    env = {"TIDEGATE_ADMIN_TOKEN": None, "TIDEGATE_ADMIN_URL": None}
    return CliRunner().invoke(main, [*words, "--config", str(config)], env=env)


def test_commands_wait_for_a_control_process_that_is_starting(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.yaml"
    config.write_text(CONFIG.format(port=free_port()))
    with starting(config):
        told = run(config, "tokens", "list", "--json")
        assert told.exit_code == 0, told.output
        assert [each["name"] for each in json.loads(told.stdout)] == ["first"]
    refused = run(config, "tokens", "list")
    assert refused.exit_code == 1
    assert "does not answer" in refused.output
    with starting(config):  # where it left its door and its token the last time
        place = json.loads(run(config, "console", "--json").stdout)
        assert Path(place["token_file"]).exists()
        told = run(config, "tokens", "list", "--json")
        assert told.exit_code == 0, told.output
    Path(place["token_file"]).unlink()
    refused = run(config, "tokens", "list")
    assert refused.exit_code == 1
    assert "the first `tidegate serve` leaves one there" in refused.output
