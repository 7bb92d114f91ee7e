"""From the spool into the store: each record once, in order."""

import fcntl
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from spools import NOW_NS, Spool, names, record
from sqlalchemy import select

from tidegate.control.loader import Loader
from tidegate.ledger.segment import frame, segments
from tidegate.store.records import RecordStore
from tidegate.store.rows import Batch, Place
from tidegate.store.spend import SpendQuery
from tidegate.store.tables.records import segments as segment_places

LOADING = Path(__file__).with_name("loading.py")
SPOOLING = Path(__file__).parent.parent / "ledger" / "spooling.py"


@pytest.fixture
def loader(spool: Spool, store: RecordStore) -> Iterator[Loader]:
    loader = Loader(spool.directory, store, batch_rows=3)
    yield loader
    loader.close()


def test_segments_of_the_dead_are_loaded_in_order_and_deleted(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    spool.segment("02-gw", *(record(f"b{number}") for number in range(5)))
    spool.segment("01-gw", *(record(f"a{number}") for number in range(7)))
    assert loader.load() == 12
    assert names(store) == [*(f"a{n}" for n in range(7)), *(f"b{n}" for n in range(5))]
    assert segments(spool.directory) == []
    assert places(store) == {}
    assert loader.load() == 0


def test_segment_of_the_living_is_followed_and_kept(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    path = spool.segment("01-gw", record("a"))
    with path.open("ab", buffering=0) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert loader.load() == 1
        assert loader.load() == 0
        writer.write(frame(record("b")) + frame(record("c"))[:20])
        assert loader.load() == 1
        writer.write(frame(record("c"))[20:])
        assert loader.load() == 1
        assert path.exists()
    assert loader.load() == 0
    assert names(store) == ["a", "b", "c"]
    assert not path.exists()


def test_cut_end_of_a_dead_writer_is_dropped_and_told(
    spool: Spool, store: RecordStore, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.segment("01-gw", record("a"))
    with path.open("ab") as file:
        file.write(frame(record("b"))[:-1])
    assert loader.load() == 1
    assert names(store) == ["a"]
    assert "ends in a cut frame" in caplog.text
    assert not path.exists()
    assert not spool.bad.exists()


@pytest.mark.parametrize("behind_the_change", ["c", "c d e f g"])
def test_changed_record_is_kept_apart_and_those_behind_it_are_loaded(
    spool: Spool,
    store: RecordStore,
    loader: Loader,
    caplog: pytest.LogCaptureFixture,
    behind_the_change: str,
) -> None:
    later = behind_the_change.split()
    path = spool.segment("01-gw", record("a"), record("b"), *map(record, later))
    change(path, at=len(frame(record("a"))) + 30)
    before = path.read_bytes()
    assert loader.load() == 1 + len(later)
    assert names(store) == ["a", *later]
    assert "the frame is damaged" in caplog.text
    assert (spool.bad / path.name).read_bytes() == before
    assert not path.exists()


def test_changed_length_ends_the_segment_which_is_kept_apart(
    spool: Spool, store: RecordStore, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.segment("01-gw", record("a"), record("b"), record("c"))
    spool.segment("02-gw", record("d"))
    change(path, at=len(frame(record("a"))))
    before = path.read_bytes()
    assert loader.load() == 2
    assert names(store) == ["a", "d"]
    assert caplog.text.count("the frame is damaged") == 1
    assert "cut frame" not in caplog.text
    assert (spool.bad / path.name).read_bytes() == before
    assert segments(spool.directory) == []


def test_damage_in_a_segment_of_the_living_is_told_once(
    spool: Spool, store: RecordStore, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.segment("01-gw", record("a"), record("b"))
    change(path, at=len(frame(record("a"))))
    with path.open("ab", buffering=0) as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        loader.load()
        writer.write(frame(record("c")))
        loader.load()
    loader.load()
    assert caplog.text.count("the frame is damaged") == 1
    assert names(store) == ["a"]
    assert (spool.bad / path.name).read_bytes().endswith(frame(record("c")))


def test_sound_frame_that_holds_no_record_is_kept_apart(
    spool: Spool, store: RecordStore, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.segment("01-gw", record("a"), b"\xc1 not msgpack", record("c"))
    assert loader.load() == 2
    assert names(store) == ["a", "c"]
    assert "not a record" in caplog.text
    assert (spool.bad / path.name).exists()


def test_only_one_loader_has_the_spool(spool: Spool, store: RecordStore, loader: Loader) -> None:
    spool.segment("01-gw", record("a"))
    second = Loader(spool.directory, store)
    assert loader.load() == 1
    assert second.load() is None
    loader.close()
    spool.segment("02-gw", record("b"))
    assert second.load() == 1
    second.close()
    assert names(store) == ["a", "b"]


def test_segment_that_comes_back_is_not_loaded_twice(
    spool: Spool, store: RecordStore, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    path = spool.segment("01-gw", record("a"), record("b"))
    backup = spool.directory / "backup"
    shutil.copy(path, backup)
    loader.load()
    backup.rename(path)
    assert loader.load() == 0
    assert names(store) == ["a", "b"]
    assert "request ids that the store knows" in caplog.text


def test_place_of_a_segment_that_is_gone_is_forgotten(
    spool: Spool, store: RecordStore, loader: Loader
) -> None:
    store.insert(Batch(), Place("", "00-gone.spool1", 10))
    spool.segment("01-gw", record("a"))
    loader.load()
    assert places(store) == {}


def test_empty_spool_directory_is_made(spool: Spool, loader: Loader) -> None:
    assert loader.load() == 0
    assert spool.directory.stat().st_mode & 0o077 == 0


def test_deleted_store_is_made_anew(
    spool: Spool, tmp_path: Path, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    spool.segment("01-gw", record("a"))
    loader.load()
    for file in tmp_path.glob("tidegate.db*"):
        file.unlink()
    spool.segment("02-gw", record("b"))
    assert loader.load() == 1
    assert "was deleted" in caplog.text
    store = RecordStore(f"sqlite:///{tmp_path}/tidegate.db")
    assert names(store) == ["b"]
    store.close()


def test_full_disk_of_the_store_loses_nothing(
    spool: Spool, store: RecordStore, store_url: str, environment: dict[str, str]
) -> None:
    for number in range(20):
        spool.segment(f"{number:02d}-gw", *(record(f"{number}-{n}") for n in range(50)))
    program = f"""
import resource, signal
from pathlib import Path
from sqlalchemy.exc import SQLAlchemyError
from tidegate.control.loader import Loader
from tidegate.store.records import RecordStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
loader = Loader(Path({str(spool.directory)!r}), RecordStore({store_url!r}), batch_rows=10)
try:
    loader.load()
except SQLAlchemyError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    loader.load()
else:
    raise SystemExit("the limit was not reached")
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert names(store) == [f"{number}-{n}" for number in range(20) for n in range(50)]


@pytest.mark.parametrize("seed", range(3))
def test_killed_loader_loses_and_doubles_no_record(
    spool: Spool, any_store_url: str, environment: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)
    expected: list[str] = []
    for number in range(12):
        some = [f"{number}-{n}" for n in range(chance.randrange(40))]
        expected += some
        spool.segment(f"{number:02d}-gw", *(record(name, cost_nanousd=1) for name in some))
    for _ in range(4):
        load_and_kill(spool, any_store_url, environment, lines=chance.randrange(1, 40))
    store = RecordStore(any_store_url)
    store.create()
    loader = Loader(spool.directory, store)
    loader.load()
    loader.close()
    assert names(store) == expected
    assert segments(spool.directory) == []
    assert places(store) == {}
    assert store.held.charged("key", "web", 0) == {"web": len(expected)}
    spent = store.spending.spend(SpendQuery("key", 0, 2 * NOW_NS)).total
    assert (spent.requests, spent.cost_nanousd) == (len(expected), len(expected))
    store.close()


def test_writer_and_loader_killed_again_and_again_keep_every_answered_request(
    spool: Spool, store: RecordStore, store_url: str, environment: dict[str, str]
) -> None:
    chance = random.Random(7)
    done: set[str] = set()
    started: set[str] = set()
    for seed in range(3):
        command = [sys.executable, str(SPOOLING), str(spool.directory), str(seed), "records"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(chance.randrange(50, 300))]
            load_and_kill(spool, store_url, environment, lines=chance.randrange(1, 30))
            writer.send_signal(signal.SIGKILL)
            lines += writer.stdout.readlines()
        said = [line.decode().split() for line in lines]
        started |= {f"{seed}-{number}" for word, number in said if word == "START"}
        done |= {f"{seed}-{number}" for word, number in said if word == "DONE"}
    loader = Loader(spool.directory, store)
    loader.load()
    loader.close()
    found = names(store)
    assert len(found) == len(set(found))
    assert done <= set(found) <= started
    assert segments(spool.directory) == []


def load_and_kill(spool: Spool, url: str, environment: dict[str, str], lines: int) -> None:
    command = [sys.executable, str(LOADING), str(spool.directory), url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)


def places(store: RecordStore) -> dict[str, int]:
    with store.database.reading() as connection:
        found = connection.execute(select(segment_places.c.name, segment_places.c.offset))
        return {row[0]: row[1] for row in found}


def change(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)
