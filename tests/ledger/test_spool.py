"""The gateway's end of the spool."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tidegate.ledger.segment import claim, frame, read_segment, segments
from tidegate.ledger.spool import SpoolFull, SpoolWriter

SPOOLING = Path(__file__).with_name("spooling.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def content(directory: Path) -> list[bytes]:
    return [payload for path in segments(directory) for payload, _ in read_segment(path, 0)]


class StoppedClock:
    def now_ns(self) -> int:
        return 1_000

    def monotonic(self) -> float:
        return 0.0


async def test_done_future_means_the_record_is_in_the_file(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
    await spool.append(b"one")
    assert content(tmp_path / "spool") == [b"one"]
    spool.close()


async def test_records_of_one_turn_share_one_write(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0")
    await spool.append(b"first")
    before = writes()
    await asyncio.gather(*(spool.append(b"%d" % number) for number in range(100)))
    assert writes() - before <= 2  # ours, and the loop's own wake-up if any
    assert content(tmp_path) == [b"first", *(b"%d" % number for number in range(100))]
    spool.close()


def writes() -> int:
    counters = Path("/proc/self/io")
    if not counters.exists():
        pytest.skip("needs Linux to count system calls")
    return int(counters.read_text().split("syscw: ")[1].split()[0])


async def test_caller_who_gives_up_disturbs_no_other(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0")
    impatient, patient = spool.append(b"impatient"), spool.append(b"patient")
    impatient.cancel()
    await patient
    assert content(tmp_path) == [b"impatient", b"patient"]
    spool.close()


async def test_close_writes_what_waits(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0")
    written = spool.append(b"last")
    spool.close()
    assert written.done()
    assert content(tmp_path) == [b"last"]
    with pytest.raises(RuntimeError, match="closed"):
        spool.append(b"too late")


async def test_spool_without_records_leaves_no_file(tmp_path: Path) -> None:
    SpoolWriter(tmp_path, writer="gw-0").close()
    assert segments(tmp_path) == []


async def test_segment_over_its_size_is_followed_by_another(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0", segment_bytes=50, clock=StoppedClock())
    for number in range(10):
        await spool.append(b"%d" % number * 20)
    names = [path.name for path in segments(tmp_path)]
    assert names[:2] == [
        "00000000000000001000-gw-0.spool1",
        "00000000000000001001-gw-0.spool1",
    ]
    assert content(tmp_path) == [b"%d" % number * 20 for number in range(10)]
    for path in segments(tmp_path)[:-1]:
        with claim(path) as finished:
            assert finished
    with claim(segments(tmp_path)[-1]) as finished:
        assert not finished
    spool.close()


async def test_old_segment_is_left_although_nothing_more_comes(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0", segment_s=0.01)
    await spool.append(b"one")
    [path] = segments(tmp_path)
    left = False
    while not left:
        await asyncio.sleep(0)
        with claim(path) as left:
            pass
    assert content(tmp_path) == [b"one"]
    await spool.append(b"two")
    assert content(tmp_path) == [b"one", b"two"]
    assert len(segments(tmp_path)) == 2
    spool.close()


async def test_new_writer_leaves_old_segments_alone(tmp_path: Path) -> None:
    for payload in (b"old", b"new"):
        spool = SpoolWriter(tmp_path, writer="gw-0", clock=StoppedClock())
        await spool.append(payload)
        spool.close()
    assert [list(read_segment(path, 0)) for path in segments(tmp_path)] == [
        [(b"old", len(frame(b"old")))],
        [(b"new", len(frame(b"new")))],
    ]


async def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
    await spool.append(b"secret")
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert segments(tmp_path / "spool")[0].stat().st_mode & 0o077 == 0
    spool.close()


async def test_deleted_segment_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = SpoolWriter(tmp_path / "spool", writer="gw-0")
    await spool.append(b"gone")
    segments(tmp_path / "spool")[0].unlink()
    (tmp_path / "spool").rmdir()
    await spool.append(b"kept")
    assert content(tmp_path / "spool") == [b"kept"]
    assert "was deleted" in caplog.text
    spool.close()


@pytest.mark.parametrize("writer", ["", "../gw", "a/b", "gw 0", "gw\n"])
def test_writer_name_that_is_no_file_name_is_refused(tmp_path: Path, writer: str) -> None:
    with pytest.raises(ValueError, match="writer"):
        SpoolWriter(tmp_path, writer=writer)


async def test_payload_larger_than_a_segment_is_taken(tmp_path: Path) -> None:
    spool = SpoolWriter(tmp_path, writer="gw-0", segment_bytes=100)
    large = os.urandom(9_000_000)
    await asyncio.gather(spool.append(b"a"), spool.append(large), spool.append(b"b"))
    assert content(tmp_path) == [b"a", large, b"b"]
    spool.close()


@pytest.mark.parametrize("seed", range(6))
def test_killed_writer_loses_no_record_that_was_done(tmp_path: Path, seed: int) -> None:
    command = [sys.executable, str(SPOOLING), str(tmp_path), str(seed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=ENVIRONMENT) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(50 + 173 * seed)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    done = {int(line.split()[1]) for line in lines if line.startswith(b"DONE")}
    started = {int(line.split()[1]) for line in lines if line.startswith(b"START")}
    found = [int(payload.split(b":")[0]) for payload in content(tmp_path)]
    assert found == list(range(len(found)))
    assert done <= set(found) <= started
    for path in segments(tmp_path):
        with claim(path) as finished:
            assert finished


# A full disk: a limit on the size of files, which the kernel enforces as it does a full disk's,
# partial writes included. It holds for a whole process, so each of these runs in its own.


def run_with_file_limit(limit_bytes: int, directory: Path, body: str) -> str:
    program = f"""
import asyncio, resource, signal, sys
from pathlib import Path
from tidegate.ledger.segment import frame, read_segment, segments
from tidegate.ledger.spool import SpoolFull, SpoolWriter

directory = Path(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

def content():
    return [payload for path in segments(directory) for payload, _ in read_segment(path, 0)]

async def main():
{textwrap.indent(textwrap.dedent(body), "    ")}

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit({limit_bytes})
asyncio.run(main())
"""
    command = [sys.executable, "-W", "error", "-c", program, str(directory)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_record_that_fits_in_part_is_cut_off_and_written_whole_elsewhere(tmp_path: Path) -> None:
    said = run_with_file_limit(
        100,
        tmp_path,
        """
        spool = SpoolWriter(directory, writer="gw-0")
        payloads = [bytes([65 + number]) * 30 for number in range(10)]
        await asyncio.gather(*map(spool.append, payloads))
        while spool.pending_bytes:
            await asyncio.sleep(0.01)
        assert content() == payloads, content()
        sizes = [path.stat().st_size for path in segments(directory)]
        assert all(size % len(frame(payloads[0])) == 0 for size in sizes), sizes
        spool.close()
        """,
    )
    assert "refuses records" in said


def test_full_disk_loses_nothing_and_says_when_no_more_can_wait(tmp_path: Path) -> None:
    said = run_with_file_limit(
        10,
        tmp_path,
        """
        spool = SpoolWriter(directory, writer="gw-0", max_pending_bytes=1000)
        payloads, futures = [], []
        while True:
            payload = b"%04d" % len(payloads) + bytes(84)
            try:
                futures.append(spool.append(payload))
            except SpoolFull:
                break
            payloads.append(payload)
            assert spool.healthy == (len(payloads) < 10)
            await asyncio.sleep(0)
        assert len(payloads) == 20
        assert content() == []
        await asyncio.gather(*futures)  # nobody is kept waiting for a disk
        assert not spool.healthy
        limit(hard)
        while spool.pending_bytes:
            await asyncio.sleep(0.01)
        assert spool.healthy
        assert spool.pending_bytes == 0
        assert content() == payloads
        await spool.append(b"and on")
        spool.close()
        assert content() == [*payloads, b"and on"]
        """,
    )
    assert said.count("refuses records") == 1


def test_close_on_a_full_disk_says_how_many_are_lost(tmp_path: Path) -> None:
    run_with_file_limit(
        10,
        tmp_path,
        """
        spool = SpoolWriter(directory, writer="gw-0")
        future = spool.append(bytes(50))
        try:
            spool.close()
        except SpoolFull as full:
            assert "1 records" in str(full)
            assert future.exception() is full
        else:
            raise AssertionError
        assert segments(directory) == []
        """,
    )


async def test_spool_full_is_an_error_the_caller_may_retry() -> None:
    assert SpoolFull("full").status == 503
    assert SpoolFull.retryable
