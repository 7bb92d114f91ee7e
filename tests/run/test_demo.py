"""`tidegate demo`, run as a newcomer runs it."""

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from servers import free_port

from tidegate.cli.demo.screen import Screen
from tidegate.config.load import load
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import Attempt, Record, decode

PATH = os.pathsep.join(filter(None, sys.path))


@contextmanager
def demo(directory: Path, *words: str, path: str = PATH) -> Generator["subprocess.Popen[str]"]:
    """The command while it runs; it is ended on the way out, and its children with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "tidegate", "demo", "--directory", str(directory), *words],
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "80", "HTTP_PROXY": "http://127.0.0.1:1"},
        cwd=directory.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def output(process: "subprocess.Popen[str]") -> str:
    """Everything it writes until it ends."""
    assert process.stdout is not None
    return process.stdout.read()


def test_it_answers_and_shows_the_record(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory, "--once", "--port", str(free_port())) as process:
        shown = output(process)
        assert process.wait() == 0, shown

    assert "SmolLM2-135M-Instruct is loaded" in shown
    assert "local/smollm2-135m" in shown
    assert "$0.00" in shown
    store = RecordStore(load(directory / "tidegate.yaml").store.reveal())
    (found,) = [decode(each.payload) for each in store.recent(10, Filter())]
    store.close()
    assert found.request_id in shown
    assert found.outcome == "ok"
    assert found.response_body


def test_it_stays_up_until_ctrl_c(tmp_path: Path) -> None:
    directory, port = tmp_path / "demo", free_port()
    with demo(directory, "--port", str(port)) as process:
        assert process.stdout is not None
        shown = ""
        while "Ctrl-C stops it" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        process.send_signal(signal.SIGINT)
        shown += output(process)
        assert process.wait() == 0, shown
    assert f"http://127.0.0.1:{port}/v1/chat/completions" in shown
    assert "log --config" in shown
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=60)


def test_a_port_asked_for_and_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo(tmp_path / "demo", "--once", "--port", str(port)) as process:
            shown = output(process)
            assert process.wait() == 1
    assert f"Port {port} is in use" in shown
    assert "--port" in shown


def test_the_usual_port_in_use_is_said_and_another_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _configure(
            tmp_path / "demo", port, models="{assistant: {targets: [{provider: local, model: a}]}}"
        )
        with demo(tmp_path / "demo", "--once") as process:
            shown = output(process)
            assert process.wait() == 0, shown
    assert f"Port {port} is in use; taking" in shown


def test_a_request_that_fails_ends_it_with_the_reason(tmp_path: Path) -> None:
    _configure(tmp_path / "demo", 0, models="{other: {targets: [{provider: local, model: a}]}}")
    with demo(tmp_path / "demo", "--once") as process:
        shown = output(process)
        assert process.wait() == 1
    assert "The request failed" in shown
    assert "other" in shown  # the names that exist are listed


def test_a_mistake_in_its_configuration_is_named(tmp_path: Path) -> None:
    _configure(tmp_path / "demo", 0, models="{assistant: {tragets: []}}")
    with demo(tmp_path / "demo", "--once") as process:
        shown = output(process)
        assert process.wait() == 2
    assert "tragets" in shown


def test_a_missing_sdk_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['openai'] = None\n")
    path = os.pathsep.join([str(tmp_path), PATH])
    with demo(tmp_path / "demo", "--once", path=path) as process:
        shown = output(process)
        assert process.wait() == 1
    assert "pip install 'tidegate[demo]'" in shown


def test_a_model_that_does_not_load_is_named_with_the_reason(tmp_path: Path) -> None:
    weights = tmp_path / "bad.gguf"
    weights.write_text("not a model")
    models = "{assistant: {targets: [{provider: local, model: a}]}}"
    _configure(tmp_path / "demo", 0, models=models, local=f"{{kind: local, weights: {weights}}}")
    with demo(tmp_path / "demo", "--once") as process:
        shown = output(process)
        assert process.wait() == 1
    assert "invalid magic" in shown


def test_an_answer_is_broken_between_words_and_cannot_command_the_terminal() -> None:
    screen, written = _screen(width=24)
    screen.answer(["The quick bro", "wn fox jumps over\x1b[31m the", " lazy dog.\n\nNext"])
    lines = written.getvalue().splitlines()
    assert lines[1:] == [
        "  The quick brown fox",
        "  jumps over[31m the",
        "  lazy dog.",
        "",
        "  Next",
        "",
    ]


def test_what_is_not_known_about_a_request_is_said_to_be_unknown() -> None:
    screen, written = _screen(width=80)
    screen.record(
        Record("req_1", 0, "gw-0", "chat", "/", "v", attempts=[Attempt("local/a", "ok", 0.0, 1.0)])
    )
    shown = written.getvalue()
    assert "unknown: the target has no price" in shown
    assert "None" not in shown


def _configure(directory: Path, port: int, *, models: str, local: str = "{kind: local}") -> None:
    directory.mkdir()
    (directory / "tidegate.yaml").write_text(
        f"server: {{port: {port}}}\ncontrol: {{port: 0}}\n"
        f"providers: {{local: {local}}}\nmodels: {models}\n"
    )


def _screen(width: int) -> tuple[Screen, io.StringIO]:
    written = io.StringIO()
    return Screen(Console(file=written, width=width, highlight=False)), written
