"""Traces of `tidegate serve` with its real children: at a receiver of ours and at Phoenix."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from control.sinks.receiving import Receiver, receiver
from otlp_reading import traces
from pages import ROOT
from servers import free_port
from supervised import Supervised

CONFIG = """
server: {port: 0}
control: {port: 0}
records: {bodies: full}
providers:
  sim: {kind: openai, base_url: "PROVIDER", allow_private: true}
models:
  one: {targets: [{provider: sim, model: sim-1}]}
traces:
  endpoint: "ORIGIN"
  allow_private: true
  content: true
"""
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


class Served(Supervised):
    """A running `tidegate serve` and a client of it."""

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
        self.port = self.until(message="started", logger="tidegate.control")["port"]
        self.client = openai.OpenAI(
            base_url=f"{address}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )

    def ask(self, text: str = "Hello!", model: str = "one", **headers: str) -> str:
        """Ask, and return the request's id."""
        answer = self.client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}], extra_headers=headers
        )
        return answer.headers["x-request-id"]

    def until_told(self, count: int) -> None:
        """Return when so many records are told, and that is noted, by this control process."""
        while told_by(f"http://127.0.0.1:{self.port}/healthz")["sinks"]["traces"]["sent"] < count:
            pass

    def stop(self) -> None:
        self.client.close()
        self.send(signal.SIGTERM)
        assert self.process.wait() == 0


@pytest.fixture
def serve(tmp_path: Path, provider: str) -> Iterator[Callable[[str], Served]]:
    begun: list[Served] = []

    def serve(origin: str) -> Served:
        path = tmp_path / "tidegate.yaml"
        path.write_text(CONFIG.replace("ORIGIN", origin).replace("PROVIDER", provider))
        begun.append(Served(path))
        return begun[-1]

    yield serve
    for each in begun:
        with each.process:
            each.client.close()
            each.process.kill()


def spans(to: Receiver) -> list[dict[str, Any]]:
    return [span for body in to.taken for span in traces(body)[1]]


def told(to: Receiver) -> list[str]:
    return [each["attributes"]["tidegate.request_id"] for each in spans(to) if each["kind"] == 2]


def test_a_request_becomes_a_span_of_its_callers(serve: Callable[[str], Served]) -> None:
    with receiver() as to:
        served = serve(to.origin)
        joined = served.ask(**TRACEPARENT)
        alone = served.ask(traceparent="00-not-a-trace-00")
        with pytest.raises(openai.NotFoundError):
            served.ask(model="nope", **TRACEPARENT)
        served.until_told(3)
        served.stop()
        found = spans(to)
    assert told(to)[:2] == [joined, alone]
    first, second, refused = (span for span in found if span["kind"] == 2)
    assert (first["trace_id"], first["parent_id"]) == (TRACE, PARENT)
    assert (refused["trace_id"], refused["parent_id"]) == (TRACE, PARENT)
    assert refused["attributes"]["tidegate.outcome"] == "model_not_found"
    assert second["trace_id"] != TRACE
    assert second["parent_id"] == ""
    [attempt] = [each for each in found if each["kind"] == 3 and each["trace_id"] == TRACE]
    assert attempt["parent_id"] == first["span_id"]
    assert attempt["attributes"]["gen_ai.request.model"] == "sim-1"
    assert attempt["attributes"]["gen_ai.usage.output_tokens"] > 0
    asked = json.loads(attempt["attributes"]["gen_ai.input.messages"])
    assert asked == [{"role": "user", "parts": [{"type": "text", "content": "Hello!"}]}]


def test_a_receiver_that_was_down_is_told_after_a_restart_and_of_nothing_twice(
    serve: Callable[[str], Served],
) -> None:
    port = free_port()
    served = serve(f"http://127.0.0.1:{port}")
    asked = [served.ask() for _ in range(5)]
    served.stop()
    with receiver(port=port) as to:
        served = serve(to.origin)
        asked += [served.ask() for _ in range(5)]
        served.until_told(10)
        served.stop()
        served = serve(to.origin)
        asked += [served.ask() for _ in range(2)]
        served.until_told(2)
        served.stop()
        assert told(to) == asked


def test_a_control_process_that_is_killed_loses_no_trace(serve: Callable[[str], Served]) -> None:
    with receiver() as to:
        served = serve(to.origin)
        asked: list[str] = []
        for _ in range(2):
            asked += [served.ask() for _ in range(20)]
            started = [line for line in served.lines if line.get("child") == "control"]
            os.kill([line["pid"] for line in started if "pid" in line][-1], signal.SIGKILL)
            served.until(message="started", logger="tidegate.control")
        asked += [served.ask() for _ in range(20)]
        while len(set(told(to))) < len(asked):
            pass
        served.stop()
        # What was sent and not noted before the end is sent again, as the same trace.
        assert list(dict.fromkeys(told(to))) == asked


@contextmanager
def consumer(name: str, *words: str, **environ: str) -> Generator[None]:
    """A real receiver of traces, from when it is ready until the end of the block."""
    program = shutil.which(name) or shutil.which(name, path=str(ROOT / ".consumers" / "bin"))
    if program is None:
        pytest.skip(f"{name} is not installed, so it was not asked (`make consumers` installs it)")
    with subprocess.Popen(
        [program, *words],
        env={**os.environ, **environ, "DO_NOT_TRACK": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # some are several processes
    ) as process:
        try:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said.append(line)
                if "startup complete" in line:
                    break
            else:
                pytest.fail(f"{name} ended: {''.join(said[-20:])}")
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def told_by(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


@pytest.mark.timeout(400)  # it takes its time to begin, the more where much else is done
def test_phoenix_shows_the_trace(serve: Callable[[str], Served], tmp_path: Path) -> None:
    http, grpc = free_port(), free_port()
    places = {
        "PHOENIX_WORKING_DIR": str(tmp_path / "phoenix"), "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http), "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    origin = f"http://127.0.0.1:{http}"
    with consumer("phoenix", "serve", **places):
        served = serve(origin)
        served.ask("What is a tide?", **TRACEPARENT)
        found: list[dict[str, Any]] = []
        while len(found) < 3:  # it takes them in a queue of its own, and is there as soon as asked
            found = told_by(f"{origin}/v1/projects/default/spans").get("data", [])
        served.stop()
    assert {each["context"]["trace_id"] for each in found} == {TRACE}
    [shown] = [each for each in found if each["span_kind"] == "LLM"]
    assert shown["attributes"]["llm.model_name"] == "sim-1"
    assert shown["attributes"]["llm.token_count.completion"] > 0
    assert shown["attributes"]["llm.input_messages.0.message.content"] == "What is a tide?"
