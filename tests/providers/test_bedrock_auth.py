"""Signatures that botocore would write, and keys that are there before they are needed."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import botocore.config
import botocore.credentials
import botocore.serialize
import botocore.session
import msgspec
import pytest
from bedrock_server import (
    ACCESS,
    REGION,
    SECRET,
    TOKEN,
    Received,
    http,
    serving,
    signature_fits,
)
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import BadRequest, UpstreamDenied, UpstreamUnreachable
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts
from tidegate.providers.bedrock import ApiKey, KeyChain, Keys, Signer
from tidegate.providers.bedrock.dialect import segment

KEYS = Keys(ACCESS, SECRET, TOKEN)
URL = "https://bedrock-runtime.us-east-1.amazonaws.com"
SAID = (
    b'{"output":{"message":{"role":"assistant","content":[{"text":"Hi"}]}},"stopReason":"end_turn"}'
)


class At:
    """A clock that stands still."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now_ns(self) -> int:
        return int(self.at.timestamp()) * 1_000_000_000

    def monotonic(self) -> float:
        return 0.0


def headers_of(lines: bytes) -> dict[str, str]:
    told = dict(line.split(": ", 1) for line in lines.decode().removesuffix("\r\n").split("\r\n"))
    assert all(name == name.lower() for name in told)
    return told


def signer(keys: Keys = KEYS, base_url: str = URL, **more: Any) -> Signer:
    return Signer(keys, region=REGION, base_url=base_url, **more)


# Signatures


_models = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
        lambda model: model not in (".", "..")
    ),
    st.sampled_from(
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-v1:0",
            "a/../b",
            "a b%2Fc",
        )
    ),
)
_prefixes = st.sampled_from(("", "/bedrock", "/a/b%20c"))


@given(_models, st.binary(max_size=50), st.none() | st.just(TOKEN), _prefixes)
def test_a_signature_is_the_one_that_botocore_writes(
    model: str, body: bytes, token: str | None, prefix: str
) -> None:
    path = f"/model/{segment(model)}/converse"
    lines = signer(Keys(ACCESS, SECRET, token), "http://localhost:80" + prefix).lines(path, body)
    headers = headers_of(lines) | {"host": "localhost"}
    assert ("x-amz-security-token" in headers) is (token is not None)
    received = Received(prefix + path, headers, body)
    assert signature_fits(received, token=token)
    received.body += b"x"
    assert not signature_fits(received, token=token)


@cache
def operation() -> Any:
    session: Any = botocore.session.Session()
    return session.get_service_model("bedrock-runtime").operation_model("Converse")


@given(_models)
def test_a_models_place_in_the_path_is_where_botocore_puts_it(model: str) -> None:
    serializer: Any = botocore.serialize.create_serializer("rest-json")
    told = serializer.serialize_to_request({"modelId": model}, operation())
    assert told["url_path"] == f"/model/{segment(model)}/converse"


@pytest.mark.parametrize("model", ["", ".", "..", "\ud800"])
def test_what_cannot_be_a_model_is_a_bad_request(model: str) -> None:
    with pytest.raises(BadRequest) as caught:
        segment(model)
    assert caught.value.param == "model"


def test_other_methods_and_queries_are_signed_too() -> None:
    path = "/async-invoke?b=2&a=1"
    headers = headers_of(signer(base_url="http://localhost").lines(path, b"", "GET"))
    received = Received(path, headers | {"host": "localhost"}, b"")
    assert signature_fits(received, "GET")
    assert not signature_fits(received, "POST")


def test_a_signature_is_of_its_day() -> None:
    made = signer(clock=At(datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)))
    headers = headers_of(made.lines("/model/m/converse", b"{}"))
    assert headers["x-amz-date"] == "20261121T235959Z"
    assert (
        f"Credential={ACCESS}/20261121/us-east-1/bedrock/aws4_request" in headers["authorization"]
    )


def test_configured_headers_are_sent_and_never_replace_ours() -> None:
    more = {"X-Team": "a"}
    assert headers_of(signer(headers=more).lines("/x", b""))["x-team"] == "a"
    lines = ApiKey("k", {"Authorization": "no", "X-Team": "a"}).lines("/x", b"")
    assert headers_of(lines) == {
        "authorization": "Bearer k", "content-type": "application/json", "x-team": "a",
    }  # fmt: skip


def test_neither_logs_nor_representations_show_a_key(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        signer().lines("/model/m/converse", b"{}")
    shown = caplog.text + repr(KEYS) + repr(signer()) + repr(ApiKey("secret-key"))
    assert SECRET not in shown
    assert TOKEN not in shown
    assert "secret-key" not in shown


async def test_over_the_wire_we_send_what_botocores_own_client_sends() -> None:
    model = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-v1:0"
    body = {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    async with serving(http(SAID)) as server:
        await asyncio.to_thread(ask_with_botocore, server.url, model, body)
        path = f"/model/{segment(model)}/converse"
        encoded = msgspec.json.encode(body)
        resolver = Resolver()
        pool = Pool(server.url, allow_private=True, resolver=resolver)
        response = await pool.open(
            "POST",
            path,
            signer(base_url=server.url).lines(path, encoded),
            encoded,
            timeouts=Timeouts(20, 20, 20),
            deadline=asyncio.get_running_loop().time() + 20,
        )
        assert await response.read_all(1000) == SAID
        await pool.close()
        await resolver.close()
    theirs, ours = server.received
    assert signature_fits(theirs)
    assert signature_fits(ours)
    assert ours.path == theirs.path
    assert ours.headers["content-type"] == theirs.headers["content-type"]
    assert msgspec.json.decode(ours.body) == msgspec.json.decode(theirs.body)


def ask_with_botocore(url: str, model: str, body: dict[str, Any]) -> None:
    session: Any = botocore.session.Session()
    client: Any = session.create_client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        aws_session_token=TOKEN,
        config=botocore.config.Config(retries={"total_max_attempts": 1}),
    )
    assert client.converse(modelId=model, **body)["stopReason"] == "end_turn"
    client.close()


# Keys


class Renewing:
    """botocore's temporary credentials, from a source that can be made to fail."""

    def __init__(self, lives: timedelta = timedelta(hours=1)) -> None:
        self.now = datetime.now(UTC)
        self.lives = lives
        self.renewals = 0
        self.fails = False
        self.threads: set[threading.Thread] = set()

    def resolve(self) -> Any:
        made: Any = botocore.credentials.RefreshableCredentials
        return made(
            "old", SECRET, TOKEN, self.now + self.lives, self.renew, "test", lambda: self.now
        )

    def renew(self) -> dict[str, str]:
        self.threads.add(threading.current_thread())
        if self.fails:
            raise OSError("nobody there")
        self.renewals += 1
        return {
            "access_key": f"key-{self.renewals}",
            "secret_key": SECRET,
            "token": TOKEN,
            "expiry_time": (self.now + self.lives).isoformat(),
        }


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not claim():  # noqa: ASYNC110 - a thread is waited for, which knows no event
            await asyncio.sleep(0.001)


async def test_keys_that_hold_for_ever_are_looked_for_once() -> None:
    looked = 0

    def resolve() -> Any:
        nonlocal looked
        looked += 1
        return botocore.credentials.Credentials(ACCESS, SECRET)

    chain = KeyChain(resolve=resolve, look_again_s=0.001)
    chain.start()
    await chain.ready(20)
    assert chain._keeper is not None
    await chain._keeper
    keys = chain.keys()
    assert (keys.access_key, keys.secret_key, keys.token) == (ACCESS, SECRET, None)
    assert chain.keys() is keys
    assert looked == 1
    await chain.close()


async def test_temporary_keys_are_renewed_on_a_thread_before_they_expire() -> None:
    source = Renewing()
    chain = KeyChain(resolve=source.resolve, look_again_s=0.001)
    chain.start()
    await chain.ready(20)
    assert chain.keys().access_key == "old"
    source.now += timedelta(minutes=46)
    await until(lambda: chain.keys().access_key == "key-1")
    assert threading.main_thread() not in source.threads
    await chain.close()


async def test_keys_that_cannot_be_renewed_are_used_until_they_expire() -> None:
    source = Renewing()
    chain = KeyChain(resolve=source.resolve, look_again_s=0.001, try_again_s=0.001)
    chain.start()
    await chain.ready(20)
    source.fails = True
    source.now += timedelta(minutes=55)
    await until(lambda: bool(source.threads))
    assert chain.keys().access_key == "old"
    source.now += timedelta(minutes=6)
    with pytest.raises(UpstreamDenied):
        chain.keys()
    source.fails = False
    await until(lambda: source.renewals > 0)
    await until(lambda: bool(chain._keys and chain._keys.access_key == "key-1"))
    assert chain.keys().access_key == "key-1"
    await chain.close()


async def test_a_chain_that_takes_its_time_holds_nobody_up() -> None:
    release = threading.Event()

    def resolve() -> Any:
        release.wait(60)
        return botocore.credentials.Credentials(ACCESS, SECRET)

    chain = KeyChain(resolve=resolve)
    chain.start()
    await chain.ready(0.001)
    with pytest.raises(UpstreamUnreachable):
        signer_of(chain).lines("/x", b"")
    release.set()
    await until(lambda: chain._keys is not None)
    assert signer_of(chain).lines("/x", b"")
    await chain.close()


async def test_a_chain_is_closed_while_its_thread_still_looks() -> None:
    release = threading.Event()
    chain = KeyChain(resolve=lambda: release.wait(60))
    chain.start()
    await chain.ready(0.001)
    await chain.close()
    release.set()


async def test_no_keys_are_told_and_looked_for_again(caplog: pytest.LogCaptureFixture) -> None:
    found: list[Any] = [None]
    chain = KeyChain(resolve=lambda: found[0], try_again_s=0.001)
    chain.start()
    await chain.ready(20)
    with pytest.raises(UpstreamDenied):
        chain.keys()
    assert "AWS credentials could not be had" in caplog.text
    found[0] = botocore.credentials.Credentials(ACCESS, SECRET)
    await until(lambda: chain._keys is not None)
    assert chain.keys().access_key == ACCESS
    await chain.close()


def signer_of(chain: KeyChain) -> Signer:
    return Signer(chain, region=REGION, base_url=URL)


OWN_CHAIN = """
import asyncio
from tidegate.providers.bedrock import KeyChain

async def main():
    chain = KeyChain("work")
    chain.start()
    await chain.ready(20)
    print(chain.keys().access_key)
    await chain.close()

asyncio.run(main())
"""
WITHOUT_BOTOCORE = """
import sys
sys.modules["botocore.auth"] = sys.modules["botocore.session"] = None
from tidegate.providers.bedrock import ApiKey, KeyChain, Keys, Signer
ApiKey("k")
for make in (KeyChain, lambda: Signer(Keys("a", "b"), region="r", base_url="https://example.org")):
    try:
        make()
    except Exception as error:
        print(type(error).__name__, error)
"""


def run(program: str, environ: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_botocores_own_chain_finds_a_profile(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"[work]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
    environ = {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    assert run(OWN_CHAIN, environ) == f"{ACCESS}\n"


def test_without_botocore_the_extra_is_named_and_api_keys_work() -> None:
    told = run(WITHOUT_BOTOCORE, {}).splitlines()
    assert len(told) == 2
    for line in told:
        assert line.startswith("MissingPart ")
        assert "pip install 'tidegate[bedrock]'" in line
