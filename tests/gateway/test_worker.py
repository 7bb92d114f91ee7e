"""One gateway process as it is really run: TLS, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import trustme
from servers import free_port

from tidegate.ledger.segment import read_segment, segments
from tidegate.telemetry.record import decode

Start = Callable[[str], "tuple[subprocess.Popen[str], int]"]

MODELS = """
providers: {dead: {kind: openai, base_url: "http://127.0.0.1:9/v1", allow_private: true}}
models: {dead: {targets: [{provider: dead, model: none}]}}
"""


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    running: list[subprocess.Popen[str]] = []

    def begin(config: str) -> tuple[subprocess.Popen[str], int]:
        port = free_port()
        path = tmp_path / "tidegate.yaml"
        path.write_text(config.replace("PORT", str(port)))
        command = [sys.executable, "-m", "tidegate.worker", "--config", path, "--worker", "gw-7"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        running.append(process)
        return process, port

    yield begin
    for process in running:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def connect(process: subprocess.Popen[str], port: int) -> socket.socket:
    """A connection, as soon as the process listens."""
    until = time.monotonic() + 60
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=60)
        except ConnectionRefusedError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)


def get(connection: socket.socket, path: str) -> bytes:
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n".encode())
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


def test_it_speaks_tls_with_the_certificate_it_was_given(start: Start, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    process, port = start(
        "server: {port: PORT, tls: {certificate: cert.pem, key: key.pem}}\n" + MODELS
    )
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with context.wrap_socket(connect(process, port), server_hostname="localhost") as secure:
        assert secure.version() in ("TLSv1.2", "TLSv1.3")
        answer = get(secure, "/v1/models")
    assert b"200 OK" in answer
    assert b'"dead"' in answer
    with connect(process, port) as plain:
        assert b"200 OK" not in get(plain, "/healthz")


def test_it_ends_at_sigterm_with_every_record_in_the_spool(start: Start, tmp_path: Path) -> None:
    process, port = start("server: {port: PORT}\n" + MODELS)
    with connect(process, port) as connection:
        assert b"404 Not Found" in get(connection, "/v1/nothing")
    with connect(process, port) as connection:
        assert b"\r\n\r\nok\n" in get(connection, "/readyz")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    kept = [
        decode(payload)
        for path in segments(tmp_path / ".tidegate" / "spool")
        for payload, _ in read_segment(path, 0)
    ]
    assert [(record.outcome, record.worker) for record in kept] == [("unknown_path", "gw-7")]


def test_a_bad_configuration_is_told_and_not_tried_again(start: Start) -> None:
    process, _ = start("server: {prot: PORT}\n" + MODELS)
    assert process.wait(60) == 3
    assert process.stdout is not None
    said = process.stdout.read()
    assert "prot" in said
    assert "Traceback" not in said


def test_a_reload_by_signal_is_said_in_the_log(start: Start, tmp_path: Path) -> None:
    process, port = start("server: {port: PORT}\n" + MODELS)
    connect(process, port).close()
    path = tmp_path / "tidegate.yaml"
    path.write_text(path.read_text().replace("models: {dead", "models: {alive"))
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["message"] != "now serving":
        pass
    with connect(process, port) as connection:
        assert b'"alive"' in get(connection, "/v1/models")
