"""The demo from start to end."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

import click

from tidegate.cli.demo.configuration import ALIAS, MODEL, write
from tidegate.cli.demo.question import QUESTION, Answer, find_record
from tidegate.cli.demo.screen import Screen
from tidegate.cli.demo.server import DidNotStart, Server
from tidegate.config.load import load
from tidegate.config.model import Config
from tidegate.providers.local import MissingPart, find_weights
from tidegate.supervisor.commands import free_port
from tidegate.telemetry.record import Record

_CURL = """\
curl -N {url}/chat/completions \\
  -H 'content-type: application/json' \\
  -d '{{"model": "{alias}", "stream": true,
       "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""

_PYTHON = """\
from openai import OpenAI
client = OpenAI(base_url="{url}", api_key="none")
answer = client.chat.completions.create(
    model="{alias}", messages=[{{"role": "user", "content": "Hello!"}}]
)
print(answer.choices[0].message.content)"""

_HOST = "127.0.0.1"
_GATEWAY_WITHIN_S = 20.0
_MODEL_WITHIN_S = 90.0


class _Failed(Exception):
    """The demo cannot go on."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@click.command
@click.option("--once", is_flag=True, help="End after the answer: exit code 0 if all went well.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: 8080]")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=".tidegate/demo",
    show_default=True,
    help="Where its configuration, log and records are kept.",
)
def demo(*, once: bool, port: int | None, directory: Path) -> None:
    """See it work: start everything and ask one question.

    A small model on this machine answers through the gateway; no key and no network needed. It
    then stays up for you to try things, until Ctrl-C.
    """
    screen = Screen()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _run(screen, once=once, port=port, directory=directory)
    except _Failed as failed:
        screen.failure(failed.what, failed.remedy)
        sys.exit(1)
    except KeyboardInterrupt:
        screen.say("Stopped.")
        sys.exit(130 if once else 0)


def _run(screen: Screen, *, once: bool, port: int | None, directory: Path) -> None:
    _check_parts()
    try:
        path, is_new = write(directory)
    except OSError as error:
        raise _Failed(
            f"Cannot write in {directory}: {error.strerror}.", "Choose another --directory."
        ) from error
    config = load(path)
    chosen = _choose_port(screen, config.server.port, port)
    if is_new:
        screen.say(f"Wrote {path}", style="dim")
    log = directory / "tidegate.log"
    try:
        with Server(path, chosen, log) as server:
            record = _show(screen, server, config, chosen, log)
            if not once:
                screen.say()
                screen.next_steps(_next_steps(path, log, chosen, record.request_id))
                _stay(screen, server, log)
    except DidNotStart as error:
        raise _Failed(str(error), f"The whole log is in {log}") from error


def _show(screen: Screen, server: Server, config: Config, port: int, log: Path) -> Record:
    """Wait for the gateway and the model, ask, and show the answer and its record."""
    base_url = f"http://{_HOST}:{port}/v1"
    with screen.step("Starting the gateway", f"The gateway listens at {base_url}"):
        answer = Answer(base_url)
        server.wait_for_gateway(_HOST, port, within_s=_GATEWAY_WITHIN_S)
    with screen.step(f"Loading {MODEL}", f"{MODEL} is loaded"):
        server.wait_for_model(within_s=_MODEL_WITHIN_S)
    screen.question(QUESTION, ALIAS)
    try:
        screen.answer(answer.text())
    except answer.failure as error:
        raise _Failed(f"The request failed: {error}", f"The log is in {log}") from error
    record = find_record(config.store.reveal(), answer.request_id)
    if record is None:
        raise _Failed(
            f"The record of {answer.request_id} did not reach the store.", f"The log is in {log}"
        )
    screen.record(record)
    if record.outcome != "ok":
        raise _Failed(f"The request ended with {record.outcome}: {record.error}")
    return record


def _next_steps(path: Path, log: Path, port: int, request_id: str) -> list[tuple[str, str]]:
    """What to try next: a title, and lines to copy."""
    url = f"http://{_HOST}:{port}/v1"
    call, config = _how_to_call(), f"--config {shlex.quote(str(path))}"
    return [
        ("Ask with curl", _CURL.format(url=url, alias=ALIAS)),
        (
            "Ask from Python, or with any OpenAI SDK: only base_url changes",
            _PYTHON.format(url=url, alias=ALIAS),
        ),
        ("Look at everything in a browser", f"{call} console {config}"),
        ("Watch the requests", f"{call} log {config} --follow"),
        (
            "See all that is known of this one, prompt and answer too, and why it went as it did",
            f"{call} log {config} {request_id}\n{call} explain {config} {request_id}",
        ),
        ("Change something: it is read again when you save", str(path)),
        ("The log", str(log)),
    ]


def _stay(screen: Screen, server: Server, log: Path) -> None:
    """Wait until the server ends by itself, or Ctrl-C ends it."""
    screen.say("Running. Ctrl-C stops it.", style="bold")
    try:
        code = server.wait()
    except KeyboardInterrupt:
        with screen.step("Stopping", "Stopped"):
            server.stop()
        return
    raise _Failed(f"The gateway ended with exit code {code}.", f"The log is in {log}")


def _check_parts() -> None:
    """See that everything the demo needs is installed, before anything is started."""
    if find_spec("openai") is None:
        raise _Failed("The OpenAI SDK is not installed.", "pip install 'tidegate[demo]'")
    if find_spec("xllamacpp") is None:
        raise _Failed("llama.cpp is not installed.", "pip install 'tidegate[local]'")
    try:
        find_weights("smollm2-135m")
    except MissingPart as error:
        raise _Failed(str(error)) from error


def _choose_port(screen: Screen, usual: int, wanted: int | None) -> int:
    """The port to listen on: `wanted` or none, else the usual one or a free one."""
    if wanted is not None:
        if not _is_free(wanted):
            raise _Failed(
                f"Port {wanted} is in use.",
                "Leave --port out to take a free one, or stop what uses it: "
                f"lsof -i :{wanted} names it.",
            )
        return wanted
    if usual and _is_free(usual):
        return usual
    port = free_port()
    if usual:
        screen.warn(f"Port {usual} is in use; taking {port} instead.")
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _how_to_call() -> str:
    """What to type for `tidegate` in this shell."""
    if shutil.which("tidegate"):
        return "tidegate"
    called = Path(sys.argv[0]).absolute()
    if called.name == "tidegate":
        return _shortest(called)
    return f"{_shortest(Path(sys.executable))} -m tidegate"


def _shortest(path: Path) -> str:
    return shlex.quote(min(os.path.relpath(path), str(path), key=len))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
