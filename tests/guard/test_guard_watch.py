"""What a change of the access document comes to, and what damage to it does not."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from ringing import bearer, entry

from tidegate.errors import Unauthenticated
from tidegate.guard.access import FILE, Access, encode
from tidegate.guard.keys import KeyRing
from tidegate.guard.watch import ASIDE_BYTES, LIMIT_BYTES, Watch

WEB = Access(version=1, keys=(entry("web", "tg-1"),))
BOTH = Access(version=2, keys=(entry("web", "tg-1"), entry("app", "tg-2")))


def put(directory: Path, data: bytes) -> None:
    """As the control process does: written beside it, then put in its place."""
    fresh = directory / "fresh"
    fresh.write_bytes(data)
    fresh.replace(directory / FILE)


class Looks:
    """Lets a watch look when a test says so."""

    def __init__(self) -> None:
        self._asked = asyncio.Semaphore(0)
        self._idle = asyncio.Semaphore(0)
        self.heard: list[Access] = []

    async def pause(self) -> None:
        self._idle.release()
        await self._asked.acquire()

    async def look(self) -> None:
        await self._idle.acquire()
        self._asked.release()
        await self._idle.acquire()
        self._idle.release()


@asynccontextmanager
async def watching(watch: Watch) -> AsyncGenerator[Looks]:
    looks = Looks()
    task = asyncio.create_task(watch.run(looks.heard.append, pause=looks.pause))
    try:
        yield looks
    finally:
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.__dict__["fields"]["reason"]
        for record in caplog.records
        if record.levelno >= logging.ERROR
    ]


def test_without_a_document_nobody_has_a_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert Watch(tmp_path).read() == Access()
    assert Watch(tmp_path / "absent").read() == Access()
    assert not caplog.records


def test_the_first_document_is_read_at_once(tmp_path: Path) -> None:
    put(tmp_path, encode(WEB))
    watch = Watch(tmp_path)
    assert watch.read() == watch.access == WEB


async def test_a_document_that_comes_later_is_noticed(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.read()
    async with watching(watch) as looks:
        await looks.look()
        assert looks.heard == []
        put(tmp_path, encode(WEB))
        await looks.look()
        await looks.look()
        assert looks.heard == [WEB]


async def test_a_revoked_key_is_refused_after_the_next_look(tmp_path: Path) -> None:
    put(tmp_path, encode(BOTH))
    watch = Watch(tmp_path)
    ring = KeyRing({}, anonymous=False, access=watch.read())
    looks = Looks()
    task = asyncio.create_task(watch.run(ring.take, pause=looks.pause))
    assert ring.identify(bearer("tg-2")).key == "app"
    put(tmp_path, encode(WEB))
    await looks.look()
    with pytest.raises(Unauthenticated):
        ring.identify(bearer("tg-2"))
    assert ring.identify(bearer("tg-1")).key == "web"
    task.cancel()
    await asyncio.wait([task])


async def test_the_same_words_anew_are_no_change(tmp_path: Path) -> None:
    put(tmp_path, encode(WEB))
    watch = Watch(tmp_path)
    watch.read()
    async with watching(watch) as looks:
        for _ in range(3):
            put(tmp_path, encode(WEB))
            await looks.look()
        assert looks.heard == []


async def test_a_change_that_leaves_the_same_stamp_is_noticed(tmp_path: Path) -> None:
    one, other = encode(WEB), encode(WEB).replace(b'"web"', b'"app"')
    path = tmp_path / FILE
    path.write_bytes(one)
    os.utime(path, ns=(5, 5))
    watch = Watch(tmp_path)
    watch.read()
    with path.open("r+b") as file:
        file.write(other)
    os.utime(path, ns=(5, 5))
    async with watching(watch) as looks:
        await looks.look()
        assert [access.keys[0].name for access in looks.heard] == ["app"]


async def test_an_unchanged_document_is_not_read_again(tmp_path: Path) -> None:
    put(tmp_path, encode(WEB))
    path = tmp_path / FILE
    watch = Watch(tmp_path)
    watch.read()
    async with watching(watch) as looks:
        await looks.look()
        before = path.stat()
        with path.open("r+b") as file:  # what nobody can notice without reading
            file.write(encode(WEB).replace(b'"web"', b'"app"'))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await looks.look()
        assert looks.heard == []


BAD = [
    b"",
    b"{",
    encode(WEB)[:-10],
    b"[]",
    b"\xff\xfe",
    b'{"version": "one"}',
    b'{"keys": [{"id": "1", "name": "web", "digests": [{"sha256": "tg-secret"}]}]}',
    b'{"keys": [{"id": "1", "name": "web", "digests": [{"sha256": "%s"}]}]}' % (b"AB" * 32),
    b'{"keys": [{"id": "1", "name": "web", "digests": [{"sha256": "%s\\n"}]}]}' % (b"ab" * 32),
    b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]


@pytest.mark.parametrize("data", BAD, ids=range(len(BAD)))
async def test_a_damaged_document_changes_nothing_and_is_told_once(
    data: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, encode(WEB))
    watch = Watch(tmp_path)
    watch.read()
    async with watching(watch) as looks:
        put(tmp_path, data)
        for _ in range(4):
            await looks.look()
        assert looks.heard == []
        assert watch.access == WEB
        assert len(errors(caplog)) == 1
        assert "tg-secret" not in caplog.text
        put(tmp_path, encode(BOTH))
        await looks.look()
        assert looks.heard == [BOTH]


async def test_a_document_written_in_place_is_taken_once_it_is_whole(tmp_path: Path) -> None:
    whole = encode(BOTH)
    watch = Watch(tmp_path)
    async with watching(watch) as looks:
        with (tmp_path / FILE).open("wb", buffering=0) as file:
            for start in range(0, len(whole), 100):
                await looks.look()
                assert looks.heard == []
                file.write(whole[start : start + 100])
        await looks.look()
        assert looks.heard == [BOTH]


async def test_a_document_that_has_gone_stays_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, encode(WEB))
    watch = Watch(tmp_path)
    watch.read()
    async with watching(watch) as looks:
        for _ in range(2):  # told again only after it was there again
            (tmp_path / FILE).rename(tmp_path / "away")
            await looks.look()
            await looks.look()
            (tmp_path / "away").rename(tmp_path / FILE)
            await looks.look()
        assert looks.heard == []
        assert watch.read() == WEB
        assert len(errors(caplog)) == 2
        put(tmp_path, encode(BOTH))
        await looks.look()
        assert looks.heard == [BOTH]


async def test_a_large_document_is_taken_too(tmp_path: Path) -> None:
    many = Access(keys=tuple(entry(f"key {i}", f"tg-{i}") for i in range(3_000)))
    put(tmp_path, encode(many))
    assert (tmp_path / FILE).stat().st_size > ASIDE_BYTES
    watch = Watch(tmp_path)
    async with watching(watch) as looks:
        await looks.look()
        assert looks.heard == [many]


async def test_a_huge_document_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, encode(WEB))
    watch = Watch(tmp_path)
    watch.read()
    os.truncate(tmp_path / FILE, LIMIT_BYTES + 1)
    async with watching(watch) as looks:
        await looks.look()
        await looks.look()
        assert looks.heard == []
    assert errors(caplog) == ["it is larger than 64 MiB"]


def test_a_pipe_or_a_folder_in_its_place_holds_nothing_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / FILE)
    assert Watch(tmp_path).read() == Access(guarded=True)
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).mkdir()
    assert Watch(tmp_path).read() == Access(guarded=True)
    assert len(errors(caplog)) == 2


async def test_a_document_that_becomes_readable_again_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, encode(WEB))
    (tmp_path / FILE).chmod(0)
    if os.access(tmp_path / FILE, os.R_OK):
        pytest.skip("we may read everything here, as root may")
    watch = Watch(tmp_path)
    async with watching(watch) as looks:
        for _ in range(3):
            await looks.look()
        assert len(errors(caplog)) == 1
        (tmp_path / FILE).chmod(0o600)
        await looks.look()
        assert looks.heard == [WEB]


async def test_a_listener_that_fails_hears_of_the_next_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[int] = []

    def changed(access: Access) -> None:
        heard.append(access.version)
        raise ValueError("no such time zone")

    looks = Looks()
    task = asyncio.create_task(Watch(tmp_path).run(changed, pause=looks.pause))
    for access in (WEB, BOTH):
        put(tmp_path, encode(access))
        await looks.look()
    assert heard == [1, 2]
    assert caplog.text.count("ValueError: no such time zone") == 2
    task.cancel()
    await asyncio.wait([task])


def test_document_that_is_damaged_at_the_start_lets_nobody_in_for_want_of_keys(
    tmp_path: Path,
) -> None:
    put(tmp_path, encode(WEB)[:40])
    watch = Watch(tmp_path)
    ring = KeyRing({}, anonymous=True, while_keyless=True, access=watch.read())
    with pytest.raises(Unauthenticated):
        ring.identify([])
    put(tmp_path, encode(WEB))
    assert watch.read() == WEB


@pytest.mark.parametrize("damaged", [False, True])
async def test_document_is_waited_for_at_the_start(tmp_path: Path, *, damaged: bool) -> None:
    if damaged:
        put(tmp_path, encode(WEB)[:40])

    async def pause() -> None:
        put(tmp_path, encode(WEB))

    assert await Watch(tmp_path).first(1.0, pause=pause, monotonic=lambda: 0.0) == WEB


async def test_document_is_not_waited_for_in_vain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    passed = iter(range(9))

    async def pause() -> None:
        pass

    watch = Watch(tmp_path)
    assert await watch.first(3.0, pause=pause, monotonic=lambda: next(passed)) == Access()
    assert ["until it does" in each.message for each in caplog.records] == [True]
