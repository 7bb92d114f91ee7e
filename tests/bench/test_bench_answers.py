"""When the benchmark's callers take an answer for whole."""

from __future__ import annotations

import pytest

from bench.latency import complete
from bench.streamclient import CONTENT, TAIL_BYTES

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [LENGTH, CHUNKS])
def test_an_answer_is_whole_at_its_last_byte_and_not_before(answer: bytes) -> None:
    assert complete(answer)
    assert not any(complete(answer[:size]) for size in range(len(answer)))


def test_content_is_found_once_wherever_the_bytes_are_split() -> None:
    data = b'{"delta":{"role":"assistant","content":""}}{"delta":{"content":"sea"}}'
    for at in range(len(data) + 1):
        first = data[:at]
        found = len(CONTENT.findall(first))
        found += len(CONTENT.findall(first[-TAIL_BYTES:] + data[at:]))
        assert found == 1, at
