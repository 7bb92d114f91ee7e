"""`tidegate serve` with its real children: gateway, control and the simulated provider."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from supervised import Supervised

from tidegate.config.load import load
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import Record, decode

CONFIG = """
server: {port: 0, drain: 20s}
control: {port: 0}
providers:
  sim: {kind: simulated, gap: 20ms, length: 20}
models:
  one: {targets: [{provider: sim, model: sim-1}]}
"""
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello!"}]


class Served(Supervised):
    """A running `tidegate serve` and a client of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        process = subprocess.Popen(
            [sys.executable, "-m", "tidegate", "serve", "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        super().__init__(process)
        address = self.until(message="listening")["address"]
        self.client = openai.OpenAI(
            base_url=f"{address}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )
        self.until_all(
            {"child": "sim", "message": "sim started"},
            {"logger": "tidegate.control", "message": "started"},
        )

    def wait_for_control(self) -> None:
        """From then on it listens for signals, and will load the spool before it ends."""
        self.until(logger="tidegate.control", message="started")

    def ask(self) -> str:
        # The provider may still be starting: what fails then is retried by the SDK, as in life.
        answer = self.client.with_options(max_retries=8).chat.completions.create(
            model="one", messages=HELLO
        )
        return answer.choices[0].message.content or ""

    def pid(self, child: str) -> int:
        started = [line for line in self.lines if line.get("child") == child and "pid" in line]
        return started[-1]["pid"]

    def records(self) -> list[Record]:
        store = RecordStore(load(self.path).store.reveal())
        try:
            return [decode(found.payload) for found in store.recent(100, Filter())]
        finally:
            store.close()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.send(number)
        self.rest()
        return self.process.wait()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[], Served]]:
    begun: list[Served] = []

    def start() -> Served:
        path = tmp_path / "tidegate.yaml"
        path.write_text(CONFIG)
        begun.append(Served(path))
        return begun[-1]

    yield start
    for served in begun:
        served.client.close()
        served.process.kill()
        served.process.wait()
        served.rest()
        assert served.process.stdout is not None
        served.process.stdout.close()


def test_a_request_is_answered_and_its_record_is_in_the_store(serve: Callable[[], Served]) -> None:
    served = serve()
    assert served.ask()
    assert served.end() == 0
    assert served.records()[-1].outcome == "ok"


def test_a_gateway_that_is_killed_loses_no_answered_request(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    answered = 1
    for _ in range(2):
        os.kill(served.pid("gw-0"), signal.SIGKILL)
        served.until(child="gw-0", message="gw-0 started")
        assert served.ask()  # waits in the socket's queue until the new one accepts
        answered += 1
    assert served.end() == 0
    kept = [record.request_id for record in served.records() if record.outcome == "ok"]
    assert len(kept) == len(set(kept)) == answered


def test_control_that_is_killed_loses_and_doubles_nothing(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    for _ in range(2):
        os.kill(served.pid("control"), signal.SIGKILL)
        assert served.ask()
        served.until(child="control", message="control started")
    served.wait_for_control()
    assert served.end() == 0
    kept = [record.request_id for record in served.records() if record.outcome == "ok"]
    assert len(kept) == len(set(kept)) == 3


def test_a_stream_that_runs_is_finished_before_the_end(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    stream = served.client.chat.completions.create(model="one", messages=HELLO, stream=True)
    next(stream)
    served.send(signal.SIGTERM)
    *_, last = stream
    assert last.choices[0].finish_reason is not None
    served.rest()
    assert served.process.wait() == 0
    assert served.records()[-1].outcome == "ok"


def test_a_new_alias_serves_as_soon_as_the_file_is_saved(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    served.path.write_text(CONFIG.replace("one:", "two:"))
    served.until(message="the configuration is reloaded")
    for model in iter(lambda: served.client.models.list().data[0].id, "two"):
        assert model == "one"


def test_a_gateway_that_dies_beside_a_bad_file_starts_with_the_last_good_one(
    serve: Callable[[], Served],
) -> None:
    served = serve()
    served.ask()
    served.path.write_text("models: {one: {target: []}}")
    served.until(message="the new configuration is refused, the old one goes on")
    os.kill(served.pid("gw-0"), signal.SIGKILL)
    served.until(child="gw-0", message="gw-0 started")
    assert served.ask()


def test_nobody_is_left_when_the_supervisor_is_killed(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    served.end(signal.SIGKILL)  # returns when nobody holds its end of the pipe any more
    with pytest.raises(openai.APIConnectionError):
        served.client.models.list()


def test_a_missing_configuration_is_named_and_how_to_make_one(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tidegate", "serve"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "tidegate.yaml" in ended.stderr
    assert "tidegate init" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_every_line_of_the_log_is_json(serve: Callable[[], Served]) -> None:
    served = serve()
    served.ask()
    served.end()
    assert [json.dumps(line) for line in served.lines if "text" in line] == []
