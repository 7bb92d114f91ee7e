"""The admin API in the control process as it is started, beside all that it does otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_serving import Client

from tidegate.guard.access import decode

CONFIG = """
control: {port: 0}
store: sqlite:///tidegate.db
spool: {directory: spool}
keys: [{name: from-file, secret: a-secret-of-the-file, team: core}]
teams: {core: {budget: {usd: 5}}}
providers: {sim: {kind: simulated}}
models: {assistant: {targets: [{provider: sim, model: m}]}}
"""


@pytest.fixture
def owner(tmp_path: Path, environment: dict[str, str]) -> Iterator[Client]:
    path = tmp_path / "tidegate.yaml"
    path.write_text(CONFIG)
    command = [sys.executable, "-m", "tidegate.control", "--config", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        told: dict[str, Any] = {}
        while told.get("message") != "the first admin token was made":
            told |= json.loads(process.stderr.readline())
        yield Client(told["port"], Path(told["file"]).read_text().strip())
        process.kill()
        process.stderr.close()


def test_key_is_in_the_gateways_file_beside_the_spool(owner: Client, tmp_path: Path) -> None:
    owner.ok("POST", "/keys", {"name": "web", "team": "core"})
    access = decode((tmp_path / "spool" / "access.json").read_bytes())
    assert [(key.name, key.team) for key in access.keys] == [("web", "core")]


def test_what_the_file_says_is_known(owner: Client) -> None:
    assert owner("POST", "/keys", {"name": "from-file"}).status == 409
    assert owner("PUT", "/limits/team/core", {"limits": {"steps": 1}}).status == 409
    (budget,) = owner.ok("GET", "/budgets")["items"]
    assert (budget["name"], budget["source"], budget["amount"]["usd"]) == (
        "core", "configuration", "5.00",
    )  # fmt: skip
    assert [each["name"] for each in owner.ok("GET", "/aliases")["items"]] == ["assistant"]


def test_processes_that_share_nothing_are_given_no_limits(owner: Client, tmp_path: Path) -> None:
    apart = CONFIG.replace(", team: core", "").replace("teams: {core: {budget: {usd: 5}}}", "")
    (tmp_path / "tidegate.yaml").write_text(f"{apart}server: {{workers: 2}}\n")
    refused = owner("PUT", "/limits/team/core", {"limits": {"steps": 1}})
    assert (refused.status, "shared" in refused.body["error"]["remedy"]) == (409, True)
    owner.ok("PUT", "/limits/team/core", {})


def test_forwarded_address_does_not_hide_who_guesses(owner: Client) -> None:
    statuses = [
        Client(owner.port, "tga-guess")("GET", "/whoami", x_forwarded_for=f"10.0.0.{number}").status
        for number in range(12)
    ]
    assert statuses[-1] == 429
