"""The caller's place in a trace: taken when it is a whole one, passed over otherwise."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidegate.net.trace_context import find, read

GOOD = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_good_one_is_kept_as_it_is() -> None:
    assert read(GOOD) == GOOD.decode()
    assert read(GOOD[:-2] + b"00") == GOOD.decode()[:-2] + "00"


def test_of_a_later_version_what_this_one_knows_is_kept() -> None:
    assert read(b"cc" + GOOD[2:]) == GOOD.decode()
    assert read(b"cc" + GOOD[2:] + b"-what-the-future-brings") == GOOD.decode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        b"ff" + GOOD[2:],
        GOOD.upper(),
        GOOD + b"-more",
        GOOD + b"0",
        b"cc" + GOOD[2:] + b".more",
        GOOD[:-1],
        b" " + GOOD,
        GOOD + b"\n",
        b"00-" + b"0" * 32 + GOOD[35:],
        GOOD[:36] + b"0" * 16 + b"-01",
        GOOD.replace(b"-", b"_"),
        GOOD.replace(b"f", b"g"),
        GOOD.replace(b"f", b"\xff"),
        b"-" * 55,
    ],
)
def test_anything_else_is_none(value: bytes) -> None:
    assert read(value) is None


@given(st.binary(max_size=80) | st.text("0123456789abcdef-", max_size=60).map(str.encode))
@example(GOOD)
def test_what_is_kept_is_well_formed(value: bytes) -> None:
    kept = read(value)
    assert kept is None or re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", kept)


def test_of_two_nobody_knows_which_is_meant() -> None:
    header = (b"traceparent", GOOD)
    assert find([(b"host", b"here"), header]) == GOOD.decode()
    assert find([header, header]) is None
    assert find([(b"traceparent", b"bad"), header]) is None
    assert find([(b"host", b"here")]) is None
