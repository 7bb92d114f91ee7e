"""RESP2: what is asked, and answers that come in any pieces."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.admission.redis_words import Complaint, NotRedis, Reader, command

ANSWERS = st.recursive(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


def said(answer: Any) -> bytes:
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, bytes):
        return b"$%d\r\n%b\r\n" % (len(answer), answer)
    return b"*%d\r\n" % len(answer) + b"".join(map(said, answer))


def test_command_is_a_list_of_its_parts() -> None:
    assert command(b"SET", b"a\r\n", b"") == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"


@given(answers=st.lists(ANSWERS, max_size=5), cuts=st.lists(st.integers(1, 30), max_size=60))
def test_answers_are_whole_however_they_are_cut(answers: list[object], cuts: list[int]) -> None:
    data, reader, heard = b"".join(map(said, answers)), Reader(), list[object]()
    for size in cuts:
        heard += reader.feed(data[:size])
        data = data[size:]
    heard += reader.feed(data)
    assert heard == answers


def test_complaint_says_its_code() -> None:
    simple, complaint, none = Reader().feed(b"+OK\r\n-NOSCRIPT No such\r\n*-1\r\n")
    assert (simple, none) == (b"OK", None)
    assert isinstance(complaint, Complaint)
    assert complaint.code == "NOSCRIPT"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$x\r\n",
        b"$99999999999\r\n",
        b"*99999999\r\n",
        b"*1\r\n" * 9,
        b"+" + b"x" * 70_000,
    ],
)
def test_what_is_no_answer_of_redis_is_not_taken_for_one(data: bytes) -> None:
    with pytest.raises(NotRedis):
        Reader().feed(data)
