"""A real Prometheus looks at a real control process, and a real Alertmanager hears of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from servers import free_port
from spools import record

from tidegate.alerts.machine import Alert, Terms
from tidegate.alerts.notices import Notice
from tidegate.alerts.rules import DEFAULTS
from tidegate.alerts.settings import AlertSettings
from tidegate.alerts.sinks import Alertmanager, Post
from tidegate.control.generated.alertmanager import routes
from tidegate.control.generated.prometheus import RULES, rules
from tidegate.ledger.spool import SpoolWriter
from tidegate.net.dns import Resolver

_Got = TypeVar("_Got")
PATIENCE_S = 90.0


def asked(url: str) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return json.load(answer)


def until(look: Callable[[], _Got | None]) -> _Got:
    """What `look` finds, as soon as it does."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            found = look()
        except OSError:
            found = None
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come")


@contextmanager
def running(*command: str, env: dict[str, str] | None = None) -> Generator[None]:
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env
    ) as process:
        try:
            yield
            assert process.poll() is None, command[0]
        finally:
            process.terminate()
            process.wait(60)


def program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"NOT TESTED: there is no {names[0]} on the PATH")
    return found


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The address of one that is configured as we generate it."""
    binary, port = program("prometheus-alertmanager", "alertmanager"), free_port()
    (tmp_path / "am.yaml").write_text(routes(AlertSettings()))
    address = f"127.0.0.1:{port}"
    with running(
        binary, f"--config.file={tmp_path}/am.yaml", f"--storage.path={tmp_path}/am",
        f"--web.listen-address={address}", "--cluster.listen-address=",
    ):  # fmt: skip
        until(lambda: asked(f"http://{address}/api/v2/status"))
        yield address


def heard(address: str) -> list[dict[str, Any]]:
    return asked(f"http://{address}/api/v2/alerts")


async def test_a_rule_fires_in_prometheus_and_reaches_alertmanager(
    tmp_path: Path, environment: dict[str, str], alertmanager: str
) -> None:
    binary, port, control = program("prometheus"), free_port(), free_port()
    (tmp_path / "tidegate.yaml").write_text(
        f"control: {{port: {control}}}\nstore: sqlite:///{tmp_path}/tidegate.db\n"
        f"spool: {{directory: {tmp_path}/spool}}\nanonymous: true\n"
        "providers: {local: {kind: local}}\n"
        "models: {fast: {targets: [{provider: local, model: smollm2-135m}],"
        " slo: {availability: 99%}}}\n"
    )
    text = rules(DEFAULTS.values(), Terms()).replace("interval: 15s", "interval: 1s")
    (tmp_path / RULES).write_text(text)
    (tmp_path / "prometheus.yaml").write_text(
        yaml.safe_dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(tmp_path / RULES)],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
            "scrape_configs": [{
                "job_name": "tidegate",
                "static_configs": [{"targets": [f"127.0.0.1:{control}"]}],
            }],
        })
    )  # fmt: skip
    page = f"http://127.0.0.1:{port}/api/v1/query?query="
    with ExitStack() as stack:
        config = str(tmp_path / "tidegate.yaml")
        command = sys.executable, "-m", "tidegate.control", "--config", config
        stack.enter_context(running(*command, env=environment))
        stack.enter_context(
            running(
                binary, f"--config.file={tmp_path}/prometheus.yaml",
                f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address=127.0.0.1:{port}",
            )
        )  # fmt: skip
        zero = "tidegate_requests_ended_total%7Bclass%3D%22failed%22%7D"
        until(lambda: asked(page + zero)["data"]["result"])
        spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
        for number in range(40):
            await spool.append(record(f"r{number}", outcome="upstream_error", status=502))
        try:
            told = until(lambda: [
                each for each in heard(alertmanager)
                if each["labels"]["alertname"] == "Tidegate_errors"
            ])  # fmt: skip
        finally:
            spool.close()
        assert told[0]["labels"] == {
            "alertname": "Tidegate_errors", "alias": "fast", "severity": "page",
        }  # fmt: skip
        assert told[0]["annotations"]["runbook_url"] == "docs/runbooks/errors.md"
        burning = "alias_slo:tidegate_slo_burn:rate5m"
        (burn,) = until(lambda: asked(page + burning)["data"]["result"])
        assert float(burn["value"][1]) > 14.4


async def test_our_own_messages_are_understood_by_alertmanager(alertmanager: str) -> None:
    resolver = Resolver()
    url = f"http://{alertmanager}/api/v2/alerts"
    sink = Alertmanager(Post(url, allow_private=True, resolver=resolver), repeat_s=3_600.0)
    now_ns = time.time_ns()
    since_ns = now_ns - 300 * 10**9

    def said(at_ns: int, status: str) -> Notice:
        alert = Alert(
            "a1", status, "errors", "page", "fast: 7 % of requests failed.", "Look.",  # pyright: ignore[reportArgumentType]
            {"alias": 'fast "one"'}, 0.07, 0.01, since_ns, at_ns,
            "docs/runbooks/errors.md",
        )  # fmt: skip
        return Notice("n1", status, "page", at_ns, (alert,))  # pyright: ignore[reportArgumentType]

    try:
        await sink.send(said(now_ns, "firing"))
        (told,) = until(lambda: heard(alertmanager))
        assert told["labels"]["alias"] == 'fast "one"'
        assert told["labels"]["severity"] == "page"
        assert told["annotations"]["runbook_url"] == "docs/runbooks/errors.md"
        assert told["status"]["state"] == "active"
        ahead_ns = now_ns + 20 * 10**9  # as a clock says that is somewhat ahead
        await sink.send(said(ahead_ns, "resolved"))
        assert until(lambda: not heard(alertmanager))
    finally:
        await sink.close()
        await resolver.close()
