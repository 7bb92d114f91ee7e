"""Kept answers on their way: through the spool and the store, and out again over loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from spools import Spool, names, record

from tidegate.control.loader import Loader
from tidegate.conversations.archive import ControlArchive
from tidegate.conversations.keeper import Conversations, Policy
from tidegate.conversations.kept import Kept, encode
from tidegate.conversations.recent import Recent
from tidegate.errors import Unavailable
from tidegate.formats.responses.failure import UnknownPrevious
from tidegate.ledger.segment import segments
from tidegate.ledger.spool import SpoolWriter
from tidegate.net import door
from tidegate.net.control import ControlLine
from tidegate.net.dns import Resolver
from tidegate.net.door import find, hang
from tidegate.store.records import RecordStore
from tidegate.store.rows import Batch, Place
from tidegate.types import Call, Choice, Principal, Target, Timeouts

ANN = Principal(key="ann")
CHOICE = Choice(Target("other", "m", Timeouts(1, 1, 1, 1)), "m", "other/m", "", b"", b"")
LATER = 1 << 62


def kept(id_: str, previous: str | None = None, *, size: int = 0) -> Kept:
    body = b"[]" + b" " * size
    return Kept(id_, "key:ann", "r0", previous, None, 1, LATER, body, b"{}")


# In the loader


def test_kept_answers_and_records_are_loaded_from_one_segment(
    spool: Spool, store: RecordStore
) -> None:
    spool.segment("01-gw", record("a"), encode(kept("r0")), record("b"), encode(kept("r1", "r0")))
    loader = Loader(spool.directory, store, batch_rows=3)
    assert loader.load() == 4
    loader.close()
    assert names(store) == ["a", "b"]
    past = store.responses.past("r1", "key:ann", 1, 10)
    assert past.payloads == [encode(kept("r1", "r0")), encode(kept("r0"))]
    assert segments(spool.directory) == []


def test_kept_answer_that_is_broken_is_kept_apart(spool: Spool, store: RecordStore) -> None:
    path = spool.segment("01-gw", encode(kept("r0"))[:12], record("a"))
    loader = Loader(spool.directory, store)
    assert loader.load() == 1
    loader.close()
    assert names(store) == ["a"]
    assert (spool.bad / path.name).exists()


def test_deleted_answer_does_not_come_back_with_its_segment(
    spool: Spool, store: RecordStore
) -> None:
    path = spool.segment("01-gw", encode(kept("r0")))
    behind = Place("", path.name, path.stat().st_size)  # as after a crash behind the commit
    store.insert(Batch(), behind)
    loader = Loader(spool.directory, store)
    assert loader.load() == 0
    loader.close()
    assert store.responses.past("r0", "key:ann", 1, 1).payloads == []


# Behind the door


CONFIG = "control: {port: 0}\nstore: sqlite:///tidegate.db\nspool: {directory: spool}\n"


@asynccontextmanager
async def control(
    directory: Path, environment: dict[str, str]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A control process whose door hangs."""
    config = directory / "tidegate.yaml"
    config.write_text(CONFIG)
    before = find(directory / "spool")
    command = [sys.executable, "-m", "tidegate.control", "--config", str(config)]
    process = await asyncio.create_subprocess_exec(
        *command, stderr=asyncio.subprocess.DEVNULL, env=environment
    )
    try:
        async with asyncio.timeout(60):
            while find(directory / "spool") == before:  # noqa: ASYNC110 - files tell nobody
                await asyncio.sleep(0.01)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
async def spooled(tmp_path: Path) -> AsyncIterator[SpoolWriter]:
    writer = SpoolWriter(tmp_path / "spool", writer="gw-0")
    yield writer
    writer.close()


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[ControlArchive]:
    resolver = Resolver()
    line = ControlLine(tmp_path / "spool", resolver)
    archive = ControlArchive(line)
    yield archive
    await line.close()
    await resolver.close()


async def test_what_was_just_kept_is_found(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter, archive: ControlArchive
) -> None:
    async with control(tmp_path, environment):
        for number in range(5):
            rows = [kept(f"r{number}", f"r{number - 1}" if number else None)]
            await spooled.append(encode(rows[0]))
            past = await archive.past(f"r{number}", "key:ann", 100)
            assert [each.id for each in past] == [f"r{n}" for n in range(number, -1, -1)]
        assert await archive.past("r4", "key:bob", 100) == []
        assert await archive.past("none", "key:ann", 100) == []
        assert [each.id for each in await archive.past("r4", "key:ann", 2)] == ["r4", "r3"]
        assert not await archive.forget("r4", "key:bob")
        assert await archive.forget("r4", "key:ann")
        assert not await archive.forget("r4", "key:ann")
        assert await archive.past("r4", "key:ann", 100) == []
        await spooled.append(encode(kept("r9")))
        assert await archive.forget("r9", "key:ann")
        assert await archive.past("r9", "key:ann", 1) == []


async def test_owner_may_have_any_name(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter, archive: ControlArchive
) -> None:
    async with control(tmp_path, environment):
        owner = "team:Größe & Söhne/%?"
        row = Kept("r0", owner, "r0", None, None, 1, LATER, b"[]", b"{}")
        await spooled.append(encode(row))
        assert await archive.past("r0", owner, 1) == [row]


async def test_long_conversation_comes_whole(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter, archive: ControlArchive
) -> None:
    async with control(tmp_path, environment):
        for number in range(4):
            previous = f"r{number - 1}" if number else None
            await spooled.append(encode(kept(f"r{number}", previous, size=7 << 20)))
        assert len(await archive.past("r3", "key:ann", 100)) == 4


async def test_conversation_goes_on_after_both_processes_were_started_again(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter, archive: ControlArchive
) -> None:
    policy = Policy(store=True, retention_s=3600)
    sent = json.dumps({"id": "resp_1", "status": "completed", "output": []}).encode()
    call = Call("responses", "m", {"model": "m", "input": "one"}, stream=False, wants_usage=True)
    async with control(tmp_path, environment):
        first = Conversations(spooled, archive, Recent(), policy)
        written = first.keep(ANN, await first.thread(ANN, call), CHOICE, sent)
        assert written is not None
        await written
    asked = Call(
        "responses", "m", {"input": "two", "previous_response_id": "resp_1"},
        stream=False, wants_usage=True,
    )  # fmt: skip
    second = Conversations(spooled, archive, Recent(), policy)
    with pytest.raises(Unavailable):
        await second.thread(ANN, asked)
    async with control(tmp_path, environment):
        thread = await second.thread(ANN, asked)
        assert [item["content"] for item in thread.call.body["input"]] == ["one", "two"]
        assert json.loads(await second.find(ANN, "resp_1"))["id"] == "resp_1"
        with pytest.raises(UnknownPrevious):
            await second.thread(Principal(key="bob"), asked)


async def test_only_who_can_read_the_spool_s_directory_is_let_in(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter
) -> None:
    async with control(tmp_path, environment):
        await spooled.append(encode(kept("r0")))
        there = find(tmp_path / "spool")
        assert there is not None
        assert (tmp_path / "spool" / door.FILE).stat().st_mode & 0o777 == 0o600
        asked, word = "/r0?owner=key%3Aann", f"Bearer {there.word}"

        def status(path: str, word: str | None = word, method: str = "GET") -> int:
            headers = {} if word is None else {"authorization": word}
            request = urllib.request.Request(
                f"{there.url}/internal/responses{path}", headers=headers, method=method
            )
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                error.close()
                return error.code

        for wrong in (None, "", "Bearer ", "Bearer x", there.word):
            assert await asyncio.to_thread(status, asked, wrong) == 401
        assert await asyncio.to_thread(status, asked) == 200
        for missing in ("/r0?owner=%00", "/r0", "/r0?most=x&most=9", "/?owner=key%3Aann"):
            assert await asyncio.to_thread(status, missing) == 404
        assert await asyncio.to_thread(status, asked, word, "PUT") == 405


async def test_dead_control_process_is_unavailable(
    tmp_path: Path, environment: dict[str, str], spooled: SpoolWriter, archive: ControlArchive
) -> None:
    async with control(tmp_path, environment) as process:
        await spooled.append(encode(kept("r0")))
        assert await archive.past("r0", "key:ann", 1)
        process.kill()
        await process.wait()
        with pytest.raises(Unavailable):
            await archive.past("r0", "key:ann", 1)


async def test_nobody_there_is_unavailable(archive: ControlArchive) -> None:
    with pytest.raises(Unavailable):
        await archive.past("r0", "key:ann", 1)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_door_names_an_address_that_can_be_dialled(tmp_path: Path, host: str, url: str) -> None:
    made = hang(tmp_path, host, 80)
    assert made.url == url
    assert find(tmp_path) == made
    assert made.opens(b"Bearer " + made.word.encode())
    assert not made.opens(made.word.encode())
    again = hang(tmp_path, host, 80)
    assert again.word != made.word
    assert [path.name for path in tmp_path.iterdir()] == [door.FILE]


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"url":1}', b"\xff"])
def test_broken_door_is_none(tmp_path: Path, text: bytes) -> None:
    (tmp_path / door.FILE).write_bytes(text)
    assert find(tmp_path) is None
