"""What the tests of this folder start is ended again here."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from supervised import Supervise, Supervised

PATH = os.pathsep.join(filter(None, sys.path))
CHILD = Path(__file__).with_name("child.py")
SUPERVISE = Path(__file__).with_name("supervise.py")


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The base URL of a provider that listens already: a sidecar may still be starting."""
    with subprocess.Popen(
        [sys.executable, "-m", "tidegate.providers.simulated", "--port", "0", "--length", "5"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[3]
        process.kill()


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    """Start a supervisor on a configuration; `words` are appended to the children's commands."""
    begun: list[Supervised] = []

    def start(config: str, **words: list[str]) -> Supervised:
        path = tmp_path / "tidegate.yaml"
        path.write_text(config)
        process = subprocess.Popen(
            [sys.executable, SUPERVISE, path, CHILD, json.dumps(words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": PATH},
        )
        begun.append(Supervised(process))
        return begun[-1]

    yield start
    for supervised in begun:
        supervised.process.kill()
        supervised.process.wait()
        supervised.rest()  # the children end with it
        assert supervised.process.stdout is not None
        supervised.process.stdout.close()
