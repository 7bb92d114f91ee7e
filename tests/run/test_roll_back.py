"""Rolling back at a running `tidegate serve`: from the bad file to the good answer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from control.admin.admin_serving import Client
from supervised import Supervised

from tidegate.config.load import version_of

GOOD = """
server: {port: 0}
control: {port: 0}
providers:
  sim: {kind: simulated, length: 5}
models:
  one: {targets: [{provider: sim, model: sim-1}]}
"""
BAD = GOOD.replace("  one:", "  two:")


class Deployed(Supervised):
    """A running `tidegate serve`, its caller and its operator."""

    def __init__(self, path: Path) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        super().__init__(process)
        address = self.until(message="listening")["address"]
        port = self.until(message="started", logger="tidegate.control")["port"]
        token = self.until(message="the first admin token was made")["file"]
        self.operator = Client(port, Path(token).read_text().strip())
        self.caller = openai.OpenAI(
            base_url=f"{address}/v1",
            api_key="none",
            max_retries=8,  # the provider may still be starting
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[Deployed]:
    path = tmp_path / "tidegate.yaml"
    path.write_text(GOOD)
    deployed = Deployed(path)
    with deployed.process:
        yield deployed
        deployed.caller.close()
        deployed.process.kill()


def ask(deployed: Deployed) -> None:
    deployed.caller.chat.completions.create(
        model="one", messages=[{"role": "user", "content": "Hello!"}]
    )


def test_a_bad_deploy_is_rolled_back_and_requests_are_answered_again(
    deployed: Deployed, tmp_path: Path
) -> None:
    ask(deployed)
    good, bad = version_of(GOOD), version_of(BAD)
    (tmp_path / "tidegate.yaml").write_text(BAD)
    deployed.until(message="the configuration is reloaded", version=bad)
    while deployed.operator.ok("GET", "/configurations")["in_force"] != bad:
        pass
    while True:  # the gateways have been told, and are taking it over
        try:
            ask(deployed)
        except openai.NotFoundError:
            break
    done = deployed.operator.ok("POST", f"/configurations/{good}/rollback")
    assert (done["version"], done["before"]) == (good, bad)
    deployed.until(message="the configuration is reloaded", version=good)
    while True:
        try:
            ask(deployed)
        except openai.NotFoundError:
            continue
        break
    while True:
        newest = deployed.operator.ok("GET", "/configurations")["items"][0]
        if newest["version"] == good:
            break
    assert (newest["how"], newest["by"], newest["in_force"]) == ("rollback", "first", True)
