"""`tidegate drill` as it is run, against a gateway of its own and against one that is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
server: {workers: 1}
providers:
  openai: {kind: openai, api_key: "${env:NOT_SET_ANYWHERE}"}
  anthropic: {kind: anthropic, api_key: "${env:NOT_SET_ANYWHERE}"}
models:
  fast:
    timeout: {first_token: 5s, idle: 5s, total: 20s}
    targets:
      - {provider: openai, model: gpt-4o-mini, price: {input: $0.15/M, output: $0.60/M}}
    fallback: [careful]
  careful:
    timeout: {first_token: 5s, idle: 5s, total: 20s}
    targets:
      - {provider: anthropic, model: claude-sonnet-4-5, price: {input: $3/M, output: $15/M}}
"""


def drill(*options: str, within_s: float = 100) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "tidegate", "drill", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=False)
    return ended.returncode, ended.stdout, ended.stderr


def told(output: str) -> dict[str, Any]:
    """What a drill says to programs: its scenarios by name."""
    said = json.loads(output)
    return {each["name"]: each for each in said["scenarios"]}


@pytest.fixture
def simulator() -> Iterator[str]:
    """A simulated provider in a process of its own."""
    command = [sys.executable, "-m", "tidegate.providers.simulated", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[3].removesuffix("/v1")
        process.kill()


def test_a_configuration_with_a_fallback_stands_its_outages(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text(CONFIG)
    kept = tmp_path / "kept"
    scenarios = ("provider-down", "cutting-streams", "half-replicas-gone")
    code, output, errors = drill(
        "--config", str(path), "--rate", "20", "--seconds", "2", "--json", "--keep", str(kept),
        *(word for name in scenarios for word in ("--scenario", name)),
    )  # fmt: skip
    found = told(output)
    reasons = {
        (name, check): each["reasons"]
        for name, scenario in found.items()
        for check, each in scenario["checks"].items()
        if not each["ok"]
    }
    assert (code, reasons, errors) == (0, {}, "")
    down = found["provider-down"]
    assert down["checks"]["kept"]["value"] == 1.0
    assert down["outcomes"]["good"] > 60
    assert "servers" in found["half-replicas-gone"]["lacks"]
    assert found["half-replicas-gone"]["ok"] is None
    assert (kept / "provider-down" / "gateway.log").stat().st_size > 0
    assert "NOT_SET" not in (kept / "provider-down" / "tidegate.yaml").read_text()


def test_a_target_without_a_fallback_fails_and_says_why(simulator: str) -> None:
    """The simulated provider is its own target here: nobody is left when it fails."""
    common = ("--target", simulator, "--simulators", f"sim={simulator}", "--alias", "sim-1")
    code, output, errors = drill(
        *common, "--scenario", "rate-limited", "--seconds", "1", "--rate", "20", "--json"
    )
    checks = told(output)["rate-limited"]["checks"]
    assert (code, errors) == (1, "")
    assert checks["kept"]["ok"] is False
    assert checks["kept"]["value"] < 0.5  # what came just before and after may be good
    assert "refused 429" in checks["kept"]["reasons"][0]
    assert (checks["recovery"]["ok"], checks["truncations"]["ok"]) == (True, True)
    assert checks["records"]["ok"] is None

    code, output, _ = drill(
        *common, "--scenario", "cutting-streams", "--scenario", "gateway-killed", "--seconds", "1"
    )
    assert code == 1
    assert "FAILED      cutting-streams" in output
    assert "not played  gateway-killed: needs a gateway of the drill's own" in output
    assert "cutting-streams: truncations" in output
    assert output.rstrip().endswith("0 of 1 scenarios held, 1 not played.")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--config", "/nowhere.yaml"), "Cannot read /nowhere.yaml"),
        (("--target", "ftp://x"), "--target is http://HOST:PORT"),
        (("--target", "http://127.0.0.1:1"), "--target needs --simulators"),
        (("--target", "http://127.0.0.1:1", "--simulators", "x"), "is not http://HOST:PORT"),
        (
            (
                "--target",
                "http://127.0.0.1:1",
                "--simulators",
                "a=http://127.0.0.1:1",
                "--alias",
                "x",
            ),
            "The simulator at 127.0.0.1:1 does not answer",
        ),
        (("--scenario", "flood"), "'flood' is not one of 'provider-down'"),
    ],
)
def test_a_wrong_option_is_explained(options: tuple[str, ...], says: str) -> None:
    code, _, errors = drill(*options)
    assert code in (1, 2)
    assert says in errors


def test_a_configuration_without_models_cannot_be_drilled(tmp_path: Path) -> None:
    path = tmp_path / "tidegate.yaml"
    path.write_text("providers: {}\n")
    code, _, errors = drill("--config", str(path))
    assert (code, "has no models to ask for" in errors) == (1, True)
    path.write_text(CONFIG)
    code, _, errors = drill("--config", str(path), "--alias", "slow")
    assert (code, "has no model slow" in errors) == (2, True)
