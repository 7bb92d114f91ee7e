"""Sets the stage of a scenario: the mock and the contenders, started, checked, stopped."""

from __future__ import annotations

import http.client
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.contenders import Contender
from bench.install import Unavailable, own_python, python_environment, tool
from bench.nginx import mock_configuration
from bench.process import DidNotStart, Server, cores, free_port
from bench.target import PATH, UPSTREAM_MODEL, Target

CHECK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for, and where words go."""

    rounds: int
    quick: bool
    contenders: Sequence[Contender]
    directory: Path
    say: Callable[[str], None]
    warn: Callable[[str], None]
    streams: int = 500
    soak_minutes: float = 10.0


@dataclass(slots=True)
class Stage:
    """A mock and the gateways in front of it; all but one can be frozen."""

    direct: Target
    gateways: dict[str, Target] = field(default_factory=dict[str, Target])
    contenders: dict[str, Contender] = field(default_factory=dict[str, Contender])

    @contextmanager
    def alone(self, name: str) -> Generator[Target]:
        """Let only `name` run beside the mock while it is measured; sweep up after it."""
        target = self.gateways[name]
        target.server.resume()
        try:
            yield target
            target.server.check_alive()
        finally:
            target.server.pause()
        self.contenders[name].sweep(target.directory)


@contextmanager
def fixed_mock(options: Options) -> Generator[Target]:
    """nginx answering every request at once with the same completion.

    Where there is no nginx, the simulated provider does it, at ten times the cost.
    """
    try:
        program = tool("nginx")
    except Unavailable as missing:
        options.warn(f"the mock is the simulated provider, which is slower: {missing}")
        with streaming_mock(options, ttft_ms=0, gap_ms=0, length=64) as target:
            yield target
        return
    directory = fresh(options.directory / "mock")
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(mock_configuration(directory, port))
    argv = [program, "-c", str(configuration), "-e", "stderr"]
    with _serving("direct", argv, directory, port) as target:
        yield target


@contextmanager
def streaming_mock(
    options: Options, *, ttft_ms: int, gap_ms: int, length: int
) -> Generator[Target]:
    """Tidegate's simulated provider with a constant pace."""
    directory = fresh(options.directory / "simulated")
    port = free_port()
    argv = simulator(port, ttft=f"{ttft_ms}ms", gap=f"{gap_ms}ms", length=length)
    with _serving("direct", argv, directory, port) as target:
        yield target


def simulator(port: int, *, ttft: str, gap: str = "0ms", length: int) -> list[str]:
    """The command line of a simulated provider; times are distributions."""
    argv = [own_python(), "-m", "tidegate.providers.simulated", "--port", str(port)]
    return [*argv, "--ttft", ttft, "--gap", gap, "--length", str(length)]


@contextmanager
def _serving(name: str, argv: list[str], directory: Path, port: int) -> Generator[Target]:
    server = mock_server(argv, directory, port)
    try:
        yield Target(name, port, UPSTREAM_MODEL, server, directory)
    finally:
        server.stop()


def mock_server(argv: list[str], directory: Path, port: int) -> Server:
    """A process on the core of the mocks and the load, listening; DidNotStart when it does not."""
    server = Server(argv, core=cores()[1], directory=directory, env=python_environment())
    try:
        server.wait_port(port, 30)
    except DidNotStart:
        server.stop()
        raise
    return server


@contextmanager
def started(
    contender: Contender, mock: Target, options: Options, *, streaming: bool = False
) -> Generator[Target]:
    """One contender in front of `mock`, answering; DidNotStart when it does not."""
    directory = fresh(options.directory / contender.name)
    port = free_port()
    plan = contender.plan(directory, port, mock.port, streaming=streaming)
    with ExitStack() as running:
        first_only = ExitStack()
        running.callback(first_only.close)
        beside: list[Server] = []
        for each in plan.beside:
            server = mock_server(each.argv, directory / each.name, each.port)
            if each.stays:
                beside.append(server)
            (running if each.stays else first_only).callback(server.stop)
        server = Server(plan.argv, core=cores()[0], directory=directory, env=plan.env)
        running.callback(server.stop)
        target = Target(contender.name, port, plan.model, server, directory, plan.headers)
        server.wait_port(port, plan.start_timeout_s)
        answered_s = wait_answer(target, CHECK_TIMEOUT_S)
        first_only.close()
        yield replace(target, answered_s=answered_s, warm_up_s=plan.warm_up_s, beside=beside)


@contextmanager
def stage(options: Options, mock: Target, *, streaming: bool = False) -> Generator[Stage]:
    """Everybody in front of `mock`, frozen; who does not start is left out, loudly."""
    with ExitStack() as running:
        everybody = Stage(mock)
        for contender in options.contenders:
            options.say(f"starting {contender.name}")
            try:
                target = running.enter_context(
                    started(contender, mock, options, streaming=streaming)
                )
            except DidNotStart as silent:
                options.warn(f"{contender.name} is left out: {silent}")
                continue
            target.server.pause()
            everybody.gateways[contender.name] = target
            everybody.contenders[contender.name] = contender
        yield everybody


def wait_answer(target: Target, timeout_s: float) -> float:
    """Ask until the completion comes; seconds since the server was started."""
    deadline = time.perf_counter() + timeout_s
    said = "nothing"
    while time.perf_counter() < deadline:
        target.server.check_alive()
        try:
            status, body = ask(target)
        except OSError as broken:
            said = repr(broken)
            time.sleep(0.005)
            continue
        if status == 200 and b'"choices"' in body:
            return time.perf_counter() - target.server.started_s
        said = f"{status} {body[:500].decode(errors='replace')}"
        time.sleep(0.05)
    raise DidNotStart(f"no completion within {timeout_s:g} s, last: {said}\n{target.server.tail()}")


def ask(target: Target) -> tuple[int, bytes]:
    """Status and body of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=CHECK_TIMEOUT_S)
    try:
        connection.request("POST", PATH, target.body(), target.all_headers())
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def fresh(directory: Path) -> Path:
    """`directory`, empty."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory
