"""What the supervisor does with its children."""

import os
import signal
import socket
from pathlib import Path

import pytest
from supervised import Supervise

from tidegate.supervisor.child import Backoff

PLAIN = """
server: {host: 127.0.0.1, port: 0, drain: 60s}
control: {port: 0}
providers:
  sim: {kind: simulated}
models:
  one: {targets: [{provider: sim, model: sim-1}]}
"""
EVERYBODY = ("gateway", "control", "simulated")


def test_children_are_told_what_they_need(supervise: Supervise, tmp_path: Path) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    words = {line["child"]: line["words"] for line in running.lines if "event" in line}
    port = running.lines[-1]["sidecars"]["sim"]

    path = str(tmp_path / "tidegate.yaml")
    copy = words["gateway"][3]
    assert words["gateway"][:7] == [
        "--config", path, "--copy", copy, "--worker", "gw-0", "--fd",
    ]  # fmt: skip
    assert words["control"] == ["--config", path, "--copy", copy]
    assert words["simulated"][:2] == ["--port", str(port)]


def test_each_worker_has_a_name_of_its_own(supervise: Supervise) -> None:
    running = supervise(PLAIN.replace("port: 0, drain", "port: 0, workers: 2, drain"))
    seen = {running.until(child="gateway", event="up")["words"][5] for _ in range(2)}
    assert seen == {"gw-0", "gw-1"}


def test_connections_wait_while_no_gateway_accepts(supervise: Supervise) -> None:
    running = supervise(PLAIN)
    address = running.until(message="listening")["address"]
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60):
        running.up(*EVERYBODY)


@pytest.mark.parametrize("name", EVERYBODY)
def test_a_killed_child_is_started_again(supervise: Supervise, name: str) -> None:
    running = supervise(PLAIN)
    first = running.up(*EVERYBODY)[name]
    os.kill(first, signal.SIGKILL)
    second = running.until(child=name, event="up")["pid"]
    assert second != first


def test_pauses_grow_while_a_child_keeps_dying(
    supervise: Supervise,
) -> None:
    running = supervise(PLAIN, control=["--exits", "1"])
    pauses = [running.until(child="control", level="warning")["pause_s"] for _ in range(5)]
    assert pauses == [0.01, 0.02, 0.04, 0.05, 0.05]


def test_a_sidecar_that_cannot_run_is_named_once_and_the_rest_goes_on(supervise: Supervise) -> None:
    running = supervise(PLAIN, simulated=["--exits", "3"])
    running.until(child="sim", level="error", code=3)
    running.up(*EVERYBODY)
    running.send(signal.SIGTERM)
    running.rest()
    assert running.events().count(("simulated", "up")) == 1
    assert running.events()[-1] == ("control", "SIGTERM")


def test_what_could_not_run_is_tried_again_with_a_new_configuration(
    supervise: Supervise, tmp_path: Path
) -> None:
    running = supervise(PLAIN, simulated=["--exits", "3"])
    running.until(level="error", child="sim", code=3)
    running.up(*EVERYBODY)
    (tmp_path / "tidegate.yaml").write_text(PLAIN.replace("one:", "two:"))
    running.until(child="simulated", event="up")


def test_gateways_end_before_control_and_control_before_the_sidecars(supervise: Supervise) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    running.send(signal.SIGTERM)
    running.rest()
    ends = [child for child, event in running.events() if event == "SIGTERM"]
    assert ends == ["gateway", "control", "simulated"]
    assert running.process.wait() == 0


def test_a_gateway_that_does_not_drain_is_killed_by_the_second_signal(supervise: Supervise) -> None:
    running = supervise(PLAIN, gateway=["--stays"])
    running.up(*EVERYBODY)
    running.send(signal.SIGTERM)
    running.until(child="gateway", event="SIGTERM")
    running.send(signal.SIGTERM)
    running.rest()
    assert running.process.wait() == 1


def test_asking_for_a_reload_does_not_disturb_the_end(supervise: Supervise) -> None:
    running = supervise(PLAIN, gateway=["--stays"])
    running.up(*EVERYBODY)
    running.send(signal.SIGTERM)
    running.until(child="gateway", event="SIGTERM")
    running.send(signal.SIGHUP)
    running.send(signal.SIGTERM)
    running.rest()
    assert running.process.wait() == 1
    assert ("gateway", "SIGHUP") not in running.events()


def test_a_gateway_that_outstays_the_drain_time_is_killed(supervise: Supervise) -> None:
    running = supervise(PLAIN.replace("drain: 60s", "drain: 0s"), gateway=["--stays"])
    running.up(*EVERYBODY)
    running.send(signal.SIGTERM)
    running.until(child="gw-0", message="gw-0 did not end in time and is killed")
    assert running.process.wait() == 0


def test_ctrl_c_reaches_the_supervisor_alone(supervise: Supervise) -> None:
    running = supervise(PLAIN)
    pids = running.up(*EVERYBODY)
    groups = {os.getpgid(pid) for pid in pids.values()}
    assert os.getpgid(running.process.pid) not in groups


def test_children_end_when_the_supervisor_is_killed(supervise: Supervise) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    running.send(signal.SIGKILL)
    running.rest()  # the pipe closes only when nobody holds it any more
    ended = {child for child, event in running.events() if event == "SIGTERM"}
    assert ended == set(EVERYBODY)


def test_a_new_configuration_is_passed_on(supervise: Supervise, tmp_path: Path) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    (tmp_path / "tidegate.yaml").write_text(PLAIN.replace("one:", "two:"))
    told = {running.until(event="SIGHUP")["child"] for _ in range(2)}
    assert told == {"gateway", "control"}


def test_settings_that_need_a_restart_are_named(supervise: Supervise, tmp_path: Path) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    changed = PLAIN.replace("kind: simulated", "kind: simulated, seed: 7").replace(
        "port: 0, drain", "port: 0, workers: 2, drain"
    )
    (tmp_path / "tidegate.yaml").write_text(f"{changed}\nledger: {{lost: zero}}\n")
    line = running.until(message="the configuration is reloaded")
    assert line["only_after_restart"] == ["server.workers", "ledger.lost", "providers.sim"]


def test_a_bad_configuration_changes_nothing(supervise: Supervise, tmp_path: Path) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    (tmp_path / "tidegate.yaml").write_text(PLAIN.replace("targets", "tragets"))
    line = running.until(message="the new configuration is refused, the old one goes on")
    assert any("targets" in mistake for mistake in line["mistakes"])

    running.send(signal.SIGTERM)
    running.rest()
    assert "SIGHUP" not in {event for _, event in running.events()}


def test_a_signal_reloads_although_nothing_changed(supervise: Supervise) -> None:
    running = supervise(PLAIN)
    running.up(*EVERYBODY)
    running.send(signal.SIGHUP)
    running.until(event="SIGHUP", child="gateway")


def test_a_secret_that_changed_elsewhere_is_taken_over(
    supervise: Supervise, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text("first")
    running = supervise(
        "secrets: {refresh: 50ms}\nkeys: [{name: web, secret: '${file:key}'}]" + PLAIN
    )
    running.up(*EVERYBODY)
    (tmp_path / "fresh").write_text("second")
    (tmp_path / "fresh").replace(key)  # nobody finds it empty
    running.until(event="SIGHUP", child="gateway")
    (version,) = {line["version"] for line in running.lines if "version" in line}
    assert version
    running.send(signal.SIGTERM)
    running.rest()
    assert running.events().count(("gateway", "SIGHUP")) == 1


def test_a_port_in_use_is_said_once_with_the_remedy(supervise: Supervise) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = supervise(PLAIN.replace("port: 0, drain", f"port: {port}, drain"))
        lines = running.rest()
    assert running.process.wait() == 2
    assert [line["level"] for line in lines] == ["error"]
    assert f"127.0.0.1:{port} is in use" in lines[0]["message"]
    assert "server.port" in lines[0]["message"]


def test_pauses_double_up_to_their_bound() -> None:
    backoff = Backoff(first_s=0.5, most_s=30.0)
    pauses = [backoff.pause_s(deaths) for deaths in (1, 2, 3, 6, 7, 8, 10_000)]
    assert pauses == [0.5, 1.0, 2.0, 16.0, 30.0, 30.0, 30.0]
