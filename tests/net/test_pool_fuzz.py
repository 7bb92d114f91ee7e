"""Whatever a server sends: the exact body or an error of the tree, soon, and the pool serves on."""

import asyncio
from itertools import pairwise

import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st
from misbehaving import Peer, Upstream, fetch, post

from tidegate import errors
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts

FUZZING = settings(max_examples=200, deadline=None)
SHORT = Timeouts(connect_s=20, first_byte_s=0.02, idle_s=0.02)
FRAGMENTS = st.sampled_from(
    [
        b"HTTP/1.1 ", b"HTTP/1.0 ", b"200 OK\r\n", b"204 N\r\n", b"100 C\r\n\r\n", b"101 S\r\n\r\n",
        b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"0\r\n\r\n", b"5\r\nhello\r\n", b"fff\r\n", b";x=y",
        b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"content-length: 99\r\n", b"hello",
        b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
        b"Connection: upgrade\r\nUpgrade: x\r\n", b"x: y\r\n", b"\x00", b"\xff" * 40, b":", b" ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ]
)  # fmt: skip


@st.composite
def well_formed(draw: st.DrawFn) -> tuple[bytes, bytes, bool]:
    """An answer, its body, and whether the end of the connection ends it."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=80), max_size=6))
    body = b"".join(parts)
    framing = draw(st.sampled_from(["length", "chunked", "eof"]))
    head = draw(st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"])) + b"HTTP/1.1 200 OK\r\n"
    head += draw(st.sampled_from([b"", b"x: y\r\nz:\r\n", b"Connection: close\r\n"]))
    if framing == "length":
        return head + b"content-length: %d\r\n\r\n%b" % (len(body), body), body, False
    if framing == "eof":
        return head + b"\r\n" + body, body, True
    extension = draw(st.sampled_from([b"", b";a=b"]))
    trailer = draw(st.sampled_from([b"", b"t: u\r\n"]))
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts)
    head += b"transfer-encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\n" + trailer + b"\r\n", body, False


@st.composite
def almost_well_formed(draw: st.DrawFn) -> bytes:
    answer = draw(well_formed())[0]
    start = draw(st.integers(0, len(answer)))
    end = draw(st.integers(start, min(start + 4, len(answer))))
    return answer[:start] + draw(st.binary(max_size=3) | FRAGMENTS) + answer[end:]


HEADS = st.lists(FRAGMENTS, max_size=12).map(b"".join)
ANSWERS = st.one_of(
    st.binary(max_size=300),
    HEADS,
    HEADS.map(b"HTTP/1.1 200 OK\r\n".__add__),
    almost_well_formed(),
)


def test_arbitrary_answer_ends_in_time_and_poisons_nothing() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        @FUZZING
        @given(ANSWERS, st.booleans(), st.integers(0, 1 << 64))
        def check(answer: bytes, hangs: bool, nonce: int) -> None:
            runner.run(exchange(answer, hangs=hangs, nonce=b"%d" % nonce))

        check()


async def exchange(answer: bytes, *, hangs: bool, nonce: bytes) -> None:
    async def script(peer: Peer) -> None:
        while request := await peer.request():
            body = request.partition(b"\r\n\r\n")[2]
            if body != b"fuzz":
                await peer.send(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
                )
                continue
            await peer.send(answer)
            if not hangs:
                return

    async with Upstream(script) as server:
        resolver = Resolver()
        pool = Pool(
            f"http://127.0.0.1:{server.port}",
            allow_private=True,
            max_connections=1,
            resolver=resolver,
        )
        try:
            await fetch(pool, b"fuzz", timeouts=SHORT, total_s=10)
        except errors.UpstreamError as error:
            assert not isinstance(error, errors.DeadlineExceeded)  # noqa: PT017
        assert [await fetch(pool, nonce) for _ in range(2)] == [nonce, nonce]
        await pool.close()
        await resolver.close()


def test_well_formed_answer_is_whole_however_it_is_cut() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        @FUZZING
        @given(well_formed(), st.lists(st.integers(0, 1000), max_size=8), st.booleans())
        @example(
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False), [*range(40)], True
        )
        def check(case: tuple[bytes, bytes, bool], points: list[int], by_piece: bool) -> None:
            runner.run(receive(*case, points, by_piece=by_piece))

        check()


async def receive(
    answer: bytes, body: bytes, closes: bool, points: list[int], *, by_piece: bool
) -> None:
    edges = [0, *sorted(point % (len(answer) + 1) for point in points), len(answer)]

    async def script(peer: Peer) -> None:
        while await peer.request():
            for start, end in pairwise(edges):
                peer.writer.write(answer[start:end])
                await asyncio.sleep(0)  # the loop writes what there is, so the pieces stay pieces
            if closes:
                return

    async with Upstream(script) as server:
        resolver = Resolver()
        pool = Pool(f"http://127.0.0.1:{server.port}", allow_private=True, resolver=resolver)
        for _ in range(2):
            response = await post(pool)
            assert response.status == 200
            if by_piece:
                pieces: list[bytes] = []
                while piece := await response.read():
                    pieces.append(piece)
                assert b"".join(pieces) == body
            else:
                assert await response.read_all(len(body)) == body
        await pool.close()
        await resolver.close()
