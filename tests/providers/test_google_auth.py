"""Access tokens from a token server of our own."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.auth import jwt

from tidegate.errors import UpstreamDenied, UpstreamError, UpstreamUnreachable
from tidegate.net.http import verified_tls
from tidegate.providers.google_auth import (
    SCOPE,
    Source,
    Tokens,
    Transport,
    application_default,
    service_account,
)

WITHIN_S = 10.0


class TokenServer:
    """Answers each request with the next answer; the last one stays."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.may_answer = Event()
        self.may_answer.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                server.asked.append({name: values[0] for name, values in parse_qs(body).items()})
                server.may_answer.wait(WITHIN_S)
                kept = len(server.answers) == 1
                status, told = server.answers[0] if kept else server.answers.pop(0)
                told = told if isinstance(told, bytes) else json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(told)))
                self.end_headers()
                with suppress(OSError):
                    self.wfile.write(told)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/token"
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self) -> None:
        self.may_answer.set()
        self._http.shutdown()
        self._http.server_close()


class Clock:
    """The machine's, but `ahead_s` of it."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ns(self) -> int:
        return time.time_ns() + int(self.ahead_s * 1e9)

    def monotonic(self) -> float:
        return time.monotonic()


@pytest.fixture
def server() -> Generator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def account(private_key: str, server: TokenServer) -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "tides",
        "private_key_id": "1",
        "private_key": private_key,
        "client_email": "tidegate@tides.example",
        "token_uri": server.url,
    }


Keep = Callable[[Source], Tokens]


@pytest.fixture(scope="module")
def tls() -> ssl.SSLContext:
    return verified_tls()


@pytest.fixture
async def keep(clock: Clock, tls: ssl.SSLContext) -> AsyncGenerator[Keep]:
    kept: list[Tokens] = []

    def start(source: Source) -> Tokens:
        kept.append(Tokens(source, clock=clock, tls=tls, pause_s=0.01))
        kept[-1].start()
        return kept[-1]

    yield start
    for tokens in kept:
        await tokens.close()


def token(text: str, lasts_s: int = 3600) -> tuple[int, Any]:
    return 200, {"access_token": text, "expires_in": lasts_s, "token_type": "Bearer"}


async def until(holds: Callable[[], bool]) -> None:
    """Let everything else run until it holds."""
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - a thread does it, and tells nobody here
            await asyncio.sleep(0)


def has(tokens: Tokens, text: str) -> Callable[[], bool]:
    def found() -> bool:
        with suppress(UpstreamError):
            return text.encode() in tokens.header()
        return False

    return found


def failure(tokens: Tokens) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        tokens.header()
    return caught.value


async def test_the_first_token_is_there_at_start(
    server: TokenServer, account: dict[str, str], keep: Keep
) -> None:
    server.answers = [token("first")]
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    assert tokens.header() == b"authorization: Bearer first\r\n"
    asked = server.asked[0]
    assert asked["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    claims = jwt.decode(asked["assertion"], verify=False)
    assert (claims["iss"], claims["scope"]) == ("tidegate@tides.example", SCOPE)


async def test_a_token_is_renewed_before_its_end(
    server: TokenServer, account: dict[str, str], keep: Keep, clock: Clock
) -> None:
    server.answers = [token("first", 300), token("second", 3600)]
    clock.ahead_s = 299.9
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    await until(has(tokens, "second"))
    assert len(server.asked) == 2


async def test_a_key_that_is_refused_is_denied_until_it_is_accepted(
    server: TokenServer, account: dict[str, str], keep: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    refused = 400, {"error": "invalid_grant", "error_description": "account not found"}
    server.answers = [refused, token("first")]
    server.may_answer.clear()
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(0.0)
    assert "yet" in failure(tokens).message
    server.may_answer.set()
    await tokens.ready(WITHIN_S)
    await until(has(tokens, "first"))
    told = caplog.records[0]
    assert told.levelname == "ERROR"
    assert "invalid_grant" in vars(told)["fields"]["detail"]


async def test_a_refusal_is_told_without_its_details(
    server: TokenServer, account: dict[str, str], keep: Keep
) -> None:
    server.answers = [(400, {"error": "invalid_grant", "error_description": "account not found"})]
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    error = failure(tokens)
    assert type(error) is UpstreamDenied
    assert "account not found" not in error.message
    assert failure(tokens) is not error


async def test_a_server_that_is_not_there_is_unreachable(
    server: TokenServer, account: dict[str, str], keep: Keep
) -> None:
    server.close()
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    assert type(failure(tokens)) is UpstreamUnreachable


@pytest.mark.parametrize("odd", [b"\xff", b"<html>", b"[]", {}, {"access_token": "a\r\nb: c"}])
async def test_an_answer_that_is_no_token_gives_none(
    odd: Any, server: TokenServer, account: dict[str, str], keep: Keep
) -> None:
    server.answers = [(200, odd)]
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    failure(tokens)


async def test_a_token_is_used_to_its_end_when_no_other_comes(
    server: TokenServer, account: dict[str, str], keep: Keep, clock: Clock
) -> None:
    server.answers = [token("first", 300), (400, {"error": "invalid_grant"})]
    clock.ahead_s = 299.5
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(WITHIN_S)
    clock.ahead_s = 0.0
    await until(lambda: len(server.asked) > 2)
    assert b"first" in tokens.header()
    clock.ahead_s = 400.0
    assert type(failure(tokens)) is UpstreamDenied


async def test_nobody_waits_for_a_server_that_hangs(
    server: TokenServer, account: dict[str, str], keep: Keep
) -> None:
    server.answers = [token("late")]
    server.may_answer.clear()
    tokens = keep(service_account(json.dumps(account)))
    await tokens.ready(0.01)
    assert type(failure(tokens)) is UpstreamUnreachable
    await tokens.close()
    await tokens.close()


async def test_the_machines_own_credentials_are_found(
    server: TokenServer,
    account: dict[str, str],
    keep: Keep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "key.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "payer")
    server.answers = [token("first")]
    tokens = keep(application_default())
    await tokens.ready(WITHIN_S)
    assert tokens.header() == b"authorization: Bearer first\r\nx-goog-user-project: payer\r\n"


async def test_a_file_that_is_not_there_is_denied(
    keep: Keep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    tokens = keep(application_default())
    await tokens.ready(WITHIN_S)
    assert type(failure(tokens)) is UpstreamDenied


def test_a_key_that_cannot_be_used_is_told_without_being_shown(account: dict[str, str]) -> None:
    broken = account | {"private_key": "-----BEGIN PRIVATE KEY-----\nsecretsecret\n"}
    for key in ("", "[]", json.dumps({"type": "authorized_user"}), json.dumps(broken)):
        with pytest.raises(ValueError, match="service account") as caught:
            service_account(key)
        assert "secretsecret" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(ValueError, match="missing fields"):
        service_account(json.dumps({"type": "service_account"}))


def test_only_web_addresses_are_asked() -> None:
    with pytest.raises(Exception, match="Not an address"):
        Transport()("file:///etc/passwd")


def test_without_the_extra_it_is_named() -> None:
    script = """
import sys
sys.modules["google.auth"] = sys.modules["google.oauth2"] = None
from tidegate.providers.google_auth import application_default, service_account
for load in (lambda: service_account("{}"), application_default):
    try:
        load()
    except Exception as error:
        print(type(error).__name__, error)
"""
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    lines = run.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("MissingPart Vertex AI needs google-auth")
        assert "tidegate[vertex]" in line
