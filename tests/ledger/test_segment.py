"""How records stand in a file, and what is read back from a file that is cut or changed."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.ledger.segment import SpoolCorrupt, claim, frame, read_segment, segments

PAYLOADS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)
UNTIMED = settings(deadline=None)


def read(content: bytes, offset: int = 0) -> list[tuple[bytes, int]]:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "one.spool1"
        path.write_bytes(content)
        return list(read_segment(path, offset))


def read_until_damage(content: bytes) -> tuple[list[bytes], SpoolCorrupt | None]:
    found: list[bytes] = []
    with TemporaryDirectory() as directory:
        path = Path(directory) / "one.spool1"
        path.write_bytes(content)
        try:
            found.extend(payload for payload, _ in read_segment(path, 0))
        except SpoolCorrupt as corrupt:
            return found, corrupt
    return found, None


@UNTIMED
@given(PAYLOADS, st.data())
def test_cut_anywhere_leaves_exactly_the_whole_frames(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(frame, payloads))
    cut = data.draw(st.integers(0, len(whole)))
    found = read(whole[:cut])
    ends = [len(b"".join(map(frame, payloads[: n + 1]))) for n in range(len(payloads))]
    kept = sum(end <= cut for end in ends)
    assert found == list(zip(payloads[:kept], ends[:kept], strict=True))


@UNTIMED
@given(PAYLOADS, st.data())
def test_reading_goes_on_at_every_offset_it_gave(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(map(frame, payloads))
    found = read(whole)
    at = data.draw(st.integers(0, len(found) - 1))
    assert read(whole, found[at][1]) == found[at + 1 :]


@UNTIMED
@given(PAYLOADS, st.data())
def test_changed_byte_is_seen_and_never_read_as_a_record(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = bytearray(b"".join(map(frame, payloads)))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    found, corrupt = read_until_damage(bytes(whole))
    assert corrupt is not None
    assert found == payloads[: len(found)]
    assert corrupt.offset <= at
    if corrupt.resume is not None:
        rest = [payload for payload, _ in read(bytes(whole), corrupt.resume)]
        assert rest == payloads[len(found) + 1 :]


@UNTIMED
@given(PAYLOADS, st.binary(min_size=12, max_size=64))
def test_rubbish_behind_the_records_costs_none(payloads: list[bytes], rubbish: bytes) -> None:
    found, _ = read_until_damage(b"".join(map(frame, payloads)) + rubbish)
    assert found[: len(payloads)] == payloads


def test_zeros_are_damage() -> None:
    # What some file systems leave at the end of a file after a power cut.
    found, corrupt = read_until_damage(frame(b"one") + bytes(4096))
    assert found == [b"one"]
    assert corrupt is not None
    assert corrupt.resume is None


def test_segments_are_listed_oldest_first(tmp_path: Path) -> None:
    for name in ("02-gw.spool1", "01-gw.spool1", "loader.lock"):
        (tmp_path / name).touch()
    (tmp_path / "bad").mkdir()
    assert [path.name for path in segments(tmp_path)] == ["01-gw.spool1", "02-gw.spool1"]
    assert segments(tmp_path / "none") == []


def test_claimed_segment_cannot_be_claimed_again(tmp_path: Path) -> None:
    path = tmp_path / "01-gw.spool1"
    path.touch()
    with claim(path) as first:
        assert first
        with claim(path) as second:
            assert not second
    with claim(path) as third:
        assert third


def test_missing_segment_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), claim(tmp_path / "none.spool1"):
        pass
