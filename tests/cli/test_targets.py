"""`tidegate targets`: what a person and what a program sees of the targets."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tidegate.cli import main
from tidegate.errors import UpstreamFailed
from tidegate.policy.board import PartState, Poster, SharedState, Sources
from tidegate.policy.breaker import BreakerSettings
from tidegate.policy.health import HealthSettings, Wards
from tidegate.policy.slots.lane import LaneSettings
from tidegate.policy.slots.limit import LimitSettings
from tidegate.policy.slots.register import Slots

HOSTILE = "[bold]x[/bold] \x1b[2J\x9b31m\x07"
SETTINGS = HealthSettings(breaker=BreakerSettings(failures=2, cooldown_s=300.0))


class Place:
    """A directory with a configuration and the boards of gateways, which this process plays."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "tidegate.yaml"
        self.config.write_text("spool: {directory: here/spool}\n")
        self.parts: tuple[PartState, ...] = ()
        self.shared: SharedState | None = None
        self.slots = Slots()

    def post(self, worker: str = "gw-0", failing: tuple[str, ...] = ()) -> None:
        async def post() -> None:
            wards, now_s = Wards(), asyncio.get_running_loop().time()
            for _ in range(20):
                trial = wards.of("up/fine", SETTINGS).begin(now_s)
                assert trial is not None
                trial.answered(now_s + 0.182)
            for name in failing * 2:
                trial = wards.of(name, SETTINGS).begin(now_s)
                assert trial is not None
                trial.failed(UpstreamFailed("It failed."), now_s)
            sources = Sources(
                wards, lambda _now_s: self.parts, lambda: self.shared, lanes=self.slots.snapshot
            )
            await Poster(self.config.parent / "here/state", worker, sources).post()

        asyncio.run(post())

    def targets(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["targets", "--config", str(self.config), *arguments])

    def lines(self) -> list[list[str]]:
        result = self.targets()
        assert result.exit_code == 0, result.output
        return [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_row_tells_what_a_person_wants_to_know_first(place: Place) -> None:
    place.post(failing=("down/m",))
    _, down, fine = place.lines()
    assert down[:3] == ["down/m", "open", "2"]
    assert re.fullmatch(r"4m \d\ds|5m 00s", down[3])
    assert down[4:] == ["0", "2", "2", "-", "-", "2 failures in a row"]
    assert fine == ["up/fine", "closed", "0", "-", "20", "20", "0", "182 ms", "182 ms"]


def test_several_gateways_have_a_line_each(place: Place) -> None:
    place.post("gw-1", failing=("down/m",))
    place.post("gw-0")
    heading, *rows = place.lines()
    assert heading[-1] == "worker"
    assert [(row[0], row[-1]) for row in rows] == [
        ("down/m", "gw-1"), ("up/fine", "gw-0"), ("up/fine", "gw-1"),
    ]  # fmt: skip


def test_accounts_replicas_and_sharing_are_shown_where_there_are_any(place: Place) -> None:
    place.parts = (
        PartState("p", "account", "main", "resting", left={"requests": 1200, "tokens": 3}),
        PartState("p", "replica", "http://one", "usable", outstanding=2, latency_s=0.05),
    )
    place.shared = SharedState("down", 0.0, "it does not answer")
    place.post()
    shown = place.targets().stdout
    assert re.search(r"p: main +resting .*1,200 requests, 3 tokens", shown)
    assert re.search(r"p: http://one +usable +- +- +2 +0 +50 ms", shown)
    assert "gw-0 shares its breakers with other gateways: down (it does not answer)" in shown


def test_turns_are_shown_where_there_are_any(place: Place) -> None:
    slots = Slots()
    slots.of("up/fine", LaneSettings(limit=LimitSettings(least=2, most=2))).take("a", "b", 0.0)
    for name in ("a", "b", "c"):
        slots.of("down/m", LaneSettings(limit=LimitSettings(least=1, most=1))).take(name, "", 0.0)
    place.slots = slots
    place.post(failing=("down/m",))
    heading, down, fine = place.lines()
    assert heading[-3:] == ["turns", "waiting", "why"]
    assert down[9:11] == ["1 of 1", "2"]
    assert fine[9:11] == ["1 of 2", "0"]
    lanes = json.loads(place.targets("--json").stdout)["lanes"]
    assert [(lane["name"], lane["running"], lane["waiting"]) for lane in lanes] == [
        ("down/m", 1, 2), ("up/fine", 1, 0),
    ]  # fmt: skip


def test_json_has_everything(place: Place) -> None:
    place.post(failing=("down/m",))
    told: dict[str, Any] = json.loads(place.targets("--json").stdout)
    assert told["gateways"] == [{"worker": "gw-0", "pid": os.getpid(), "shared": {"state": "off"}}]
    down, fine = told["targets"]
    assert (down["name"], down["state"], down["openings"]) == ("down/m", "open", 1)
    assert 200 < down["retry_in_s"] <= 300
    assert fine["first_token_p95_s"] == pytest.approx(0.182)
    assert told["parts"] == []
    assert told["lanes"] == []


def test_without_a_gateway_it_says_so(place: Place) -> None:
    result = place.targets()
    assert result.exit_code == 1
    assert "tidegate serve" in result.stderr
    result = place.targets("--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "gateways": [], "targets": [], "lanes": [], "parts": [],
    }  # fmt: skip


def test_told_text_cannot_steer_the_terminal(place: Place) -> None:
    place.parts = (PartState(HOSTILE, "account", HOSTILE, HOSTILE, left={HOSTILE: 1}),)
    place.shared = SharedState("down", 0.0, HOSTILE)
    place.post(failing=(HOSTILE,))
    shown = place.targets().stdout
    assert shown.replace("\n", "").isprintable()
    assert r"[bold]x[/bold] \x1b[2J" in shown
    assert place.targets("--json").stdout.isascii()


def test_secret_that_this_shell_lacks_does_not_matter(place: Place) -> None:
    place.post()
    with place.config.open("a") as file:
        file.write('providers: {p: {kind: openai, api_key: "${env:TIDEGATE_TEST_UNSET}"}}\n')
    assert "up/fine" in place.targets().stdout


@pytest.mark.parametrize("config", ["spool: 5\n", "spool: [\n", ""])
def test_configuration_that_does_not_say_the_spool_is_a_mistake(place: Place, config: str) -> None:
    if config:
        place.config.write_text(config)
    else:
        place.config.unlink()
    result = place.targets()
    assert result.exit_code == 2
    assert "tidegate.yaml" in result.stderr


@pytest.mark.parametrize("as_json", [True, False])
def test_watch_shows_changes_until_interrupted(place: Place, *, as_json: bool) -> None:
    place.post()
    command = [sys.executable, "-m", "tidegate", "targets", "--watch"]
    command += ["--config", str(place.config), *(["--json"] if as_json else [])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdout is not None
        assert "up/fine" in next(line for line in process.stdout if "fine" in line)
        place.post(failing=("down/m",))
        assert "open" in next(line for line in process.stdout if "down/m" in line)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == ""
