"""What an exchange that goes wrong ends with, and that the pool serves on afterwards."""

import asyncio

import pytest
from misbehaving import OK, OpenPool, Peer, Script, StartUpstream, fetch, post

from tidegate import errors
from tidegate.net.http import Response, Timeouts

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
SLOW = Timeouts(connect_s=20, first_byte_s=0.02, idle_s=0.02)


def then_well(*pieces: bytes, close: bool = False) -> Script:
    """The first connection gets `pieces` for an answer; the others are well served."""

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number:
            await peer.send(OK)
        else:
            for piece in pieces:
                await peer.send(piece)
        if peer.number or not close:
            await peer.gone()

    return script


async def read_on(response: Response, received: list[bytes]) -> None:
    while data := await response.read():
        received.append(data)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"<html>hello</html>",
        b"RTSP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"ICE/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"\r\n" + OK,
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\ncontent-length: 2\r\n\r\nab" + OK,
        b"HTTP/1.1 103 Early Hints\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        HEAD + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\nabc",
        HEAD + b"content-length: 2, 3\r\n\r\nabc",
        HEAD + b"content-length: -2\r\n\r\nab",
        HEAD + b"content-length: +2\r\n\r\nab",
        HEAD + b"content-length: 0x2\r\n\r\nab",
        HEAD + b"content-length:\r\n\r\nab",
        HEAD + b"content-length: 99999999999999999999999\r\n\r\nab",
        HEAD + b"transfer-encoding: gzip\r\n\r\nab",
        HEAD + b"transfer-encoding: chunked, gzip\r\n\r\nab",
        HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: xchunked\r\n\r\nab",
        HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nab",
        HEAD + b"x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"x : a\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"x\x00: a\r\ncontent-length: 0\r\n\r\n",
        HEAD + b"x: a\x00\r\ncontent-length: 0\r\n\r\n",
        HEAD + b": a\r\ncontent-length: 0\r\n\r\n",
        CHUNKED + b"x\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"-2\r\nab\r\n0\r\n\r\n",
        CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"2\nab\n0\n\n",
        CHUNKED + b"fffffffffffffffff\r\nab",
        CHUNKED + b"2;\x00\r\nab\r\n0\r\n\r\n",
    ],
)
async def test_what_is_not_correct_http_is_refused(
    upstream: StartUpstream, pool: OpenPool, answer: bytes
) -> None:
    server = await upstream(then_well(answer))
    client = pool(server)
    with pytest.raises(errors.UpstreamProtocol) as caught:
        await fetch(client)
    assert type(caught.value) is errors.UpstreamProtocol
    assert caught.value.__notes__
    assert await fetch(client) == b"ok"
    assert len(server.peers) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        (HEAD, b"x: " + b"y" * 70_000 + b"\r\n\r\n"),
        (HEAD, *[b"x: %b\r\n" % (b"y" * 1000)] * 70),
        (HEAD, b"x: y\r\n" * 300),
        (HEAD, *[b"y" * 10_000] * 8),
        (b"HTTP/1.1 200 " + b"O" * 70_000,),
        (b"HTTP/1.1 100 Continue\r\nx: y\r\n\r\n" * 4000,),
        (CHUNKED, b"2;x=" + b"y" * 70_000),
        (CHUNKED, *[b"1;x=%b\r\na\r\n" % (b"y" * 1000)] * 80),
        (CHUNKED, b"2\r\nab\r\n0\r\n", *[b"x: %b\r\n" % (b"y" * 1000)] * 70),
    ],
)
async def test_all_that_is_not_body_is_bounded(
    upstream: StartUpstream, pool: OpenPool, pieces: tuple[bytes, ...]
) -> None:
    client = pool(await upstream(then_well(*pieces)))
    with pytest.raises(errors.UpstreamProtocol):
        await fetch(client)
    assert await fetch(client) == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 2",
        HEAD + b"content-le",
        HEAD + b"content-length: 9\r\n\r\n",
        HEAD + b"content-length: 9\r\n\r\nabc",
        CHUNKED,
        CHUNKED + b"9\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
    ],
)
async def test_answer_that_ends_early_is_cut(
    upstream: StartUpstream, pool: OpenPool, answer: bytes
) -> None:
    client = pool(await upstream(then_well(answer, close=True)))
    with pytest.raises(errors.UpstreamCut):
        await fetch(client)
    assert await fetch(client) == b"ok"


async def test_bytes_before_the_cut_are_delivered(upstream: StartUpstream, pool: OpenPool) -> None:
    client = pool(await upstream(then_well(CHUNKED + b"3\r\nabc\r\n9\r\nde", close=True)))
    response = await post(client)
    received: list[bytes] = []
    with pytest.raises(errors.UpstreamCut):
        await read_on(response, received)
    assert b"".join(received) == b"abcde"


async def test_reset_in_a_body_without_length_is_a_cut(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    read = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(HEAD + b"\r\nabc")
        await read.wait()
        peer.reset_hard()

    response = await post(pool(await upstream(script)))
    assert await response.read() == b"abc"
    read.set()
    with pytest.raises(errors.UpstreamCut):
        await response.read()


@pytest.mark.parametrize("pieces", [(), (b"H",), (HEAD, b"x: y\r\n"), (b"HTTP/1.1 100 C\r\n\r\n",)])
async def test_head_that_does_not_come_in_time(
    upstream: StartUpstream, pool: OpenPool, pieces: tuple[bytes, ...]
) -> None:
    client = pool(await upstream(then_well(*pieces)))
    with pytest.raises(errors.FirstTokenTimeout):
        await fetch(client, timeouts=SLOW)
    with pytest.raises(errors.DeadlineExceeded):
        await fetch(pool(await upstream(then_well(*pieces))), total_s=0.02)
    assert await fetch(client) == b"ok"


async def test_body_that_stops_is_an_idle_timeout(upstream: StartUpstream, pool: OpenPool) -> None:
    client = pool(await upstream(then_well(CHUNKED + b"3\r\nabc\r\n")))
    response = await post(client, timeouts=Timeouts(20, 20, 0.02))
    assert await response.read() == b"abc"
    with pytest.raises(errors.IdleTimeout):
        await response.read()
    assert await fetch(client) == b"ok"


async def test_reader_says_how_long_it_waits_and_for_what(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    client = pool(await upstream(then_well(CHUNKED)))
    response = await post(client)
    response.set_idle(0.02, errors.FirstTokenTimeout)
    with pytest.raises(errors.FirstTokenTimeout):
        await response.read()


async def test_chunk_extensions_are_not_signs_of_life(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED + b"1;x=")
        while not peer.reader.at_eof():
            await peer.send(b"y")
            await asyncio.sleep(0.001)

    client = pool(await upstream(script))
    with pytest.raises(errors.IdleTimeout):
        await fetch(client, timeouts=Timeouts(20, 20, 0.05))


@pytest.mark.parametrize("reads", [True, False])
async def test_answer_without_end_ends_at_the_deadline(
    upstream: StartUpstream, pool: OpenPool, *, reads: bool
) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        try:
            while True:
                await peer.send(b"3\r\nabc\r\n")
                await asyncio.sleep(0)
        except ConnectionError:
            gone.set()

    client = pool(await upstream(script))
    response = await post(client, total_s=0.05)
    if not reads:
        await gone.wait()
    with pytest.raises(errors.DeadlineExceeded):
        await read_on(response, [])
    await gone.wait()


async def test_encoding_that_was_asked_for_passes(upstream: StartUpstream, pool: OpenPool) -> None:
    client = pool(
        await upstream(then_well(HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nab"))
    )
    deadline = asyncio.get_running_loop().time() + 20
    response = await client.open(
        "GET",
        "/",
        b"Accept-Encoding: gzip\r\n",
        b"",
        timeouts=Timeouts(20, 20, 20),
        deadline=deadline,
    )
    assert await response.read_all(2) == b"ab"
