"""What a well-meant exchange does, and what becomes of its connection."""

import asyncio
import os
import socket

import pytest
from misbehaving import OK, PATIENT, OpenPool, Peer, StartUpstream, answers, echo, fetch, post

from tidegate import errors
from tidegate.net.dns import AddressInfo, Resolver
from tidegate.net.http import Pool, Timeouts


async def test_requests_in_turn_share_a_connection(upstream: StartUpstream, pool: OpenPool) -> None:
    server = await upstream(echo)
    client = pool(server)
    assert [await fetch(client, b"%d" % n) for n in range(5)] == [b"%d" % n for n in range(5)]
    assert len(server.peers) == 1


async def test_request_is_written_as_http_says(upstream: StartUpstream, pool: OpenPool) -> None:
    server = await upstream(answers(OK, OK))
    client = pool(server)
    deadline = asyncio.get_running_loop().time() + 9
    for method, headers, body in (
        ("POST", b"x: y\r\n", b"{}"),
        ("GET", b"accept-encoding: gzip\r\n", b""),
    ):
        response = await client.open(
            method, "/chat?a=b", headers, body, timeouts=PATIENT, deadline=deadline
        )
        await response.read_all(9)
    host = b"host: 127.0.0.1:%d\r\n" % server.port
    assert server.requests == [
        b"POST /v1/chat?a=b HTTP/1.1\r\n" + host + b"accept-encoding: identity\r\n"
        b"x: y\r\ncontent-length: 2\r\n\r\n{}",
        b"GET /v1/chat?a=b HTTP/1.1\r\n" + host + b"accept-encoding: gzip\r\n\r\n",
    ]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/a b", b""),
        ("POST", "/a\r\nx: y", b""),
        ("PO ST", "/", b""),
        ("POST", "/é", b""),
        ("POST", "/", b"x: y"),
        ("POST", "/", b"x: y\r\n\r\nGET / HTTP/1.1\r\n"),
        ("POST", "/", b"\r\nGET / HTTP/1.1\r\n"),
        ("POST", "/", b"x: y\n\nGET / HTTP/1.1\r\n"),
        ("GET", "/", b"x: y\r\n\r\n"),
    ],
)
async def test_request_cannot_be_split_by_its_parts(
    upstream: StartUpstream, pool: OpenPool, method: str, path: str, headers: bytes
) -> None:
    server = await upstream(echo)
    with pytest.raises(ValueError, match="must"):
        await pool(server).open(method, path, headers, b"", timeouts=PATIENT, deadline=1e12)
    assert server.requests == []


async def test_large_body_arrives_whole(upstream: StartUpstream, pool: OpenPool) -> None:
    body = bytes(range(256)) * 8192
    server = await upstream(echo)
    client = pool(server)
    assert await fetch(client, body) == body
    assert await fetch(client, b"next") == b"next"


async def test_head_is_there_before_the_body(upstream: StartUpstream, pool: OpenPool) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 418 Teapot\r\nX-A: 1\r\nx-a: 2\r\nX-E:\r\ncontent-length: 6\r\n\r\n"
        )
        await go_on.wait()
        await peer.send(b"abc")
        await peer.send(b"def")

    response = await post(pool(await upstream(script)))
    assert response.status == 418
    assert response.headers == [
        (b"x-a", b"1"), (b"x-a", b"2"), (b"x-e", b""), (b"content-length", b"6"),
    ]  # fmt: skip
    assert response.header(b"x-a") == b"1"
    assert response.header(b"y") is None
    go_on.set()
    assert await response.read_all(6) == b"abcdef"
    assert await response.read() == b""


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok", b"ok"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%b"
            % b"2;x=y\r\nab\r\n0003\r\ncde\r\n0\r\nx-trailer: z\r\n\r\n",
            b"abcde",
        ),
    ],
)
async def test_complete_answer_leaves_a_connection_to_use_again(
    upstream: StartUpstream, pool: OpenPool, answer: bytes, body: bytes
) -> None:
    server = await upstream(answers(answer, OK))
    client = pool(server)
    response = await post(client)
    assert await response.read_all(100) == body
    assert (b"link", b"x") not in response.headers
    assert (b"x-trailer", b"z") not in response.headers
    assert await fetch(client) == b"ok"
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nab", b"ab"),
        (OK + b"x", b"ok"),
        (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b"ok"),
        (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", b"ok"),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\npoison", b""),
        (b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n", b""),
    ],
)
async def test_connection_with_anything_odd_is_not_used_again(
    upstream: StartUpstream, pool: OpenPool, answer: bytes, body: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer if peer.number == 0 else OK)
        await peer.gone()

    server = await upstream(script)
    client = pool(server)
    assert await fetch(client) == body
    assert await fetch(client) == b"ok"
    assert [len(peer.requests) for peer in server.peers] == [1, 1]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_body_without_length_ends_with_the_connection(
    upstream: StartUpstream, pool: OpenPool, version: bytes
) -> None:
    server = await upstream(answers(b"HTTP/%b 200 OK\r\n\r\nall of it" % version))
    client = pool(server)
    assert await fetch(client) == b"all of it"
    assert await fetch(client) == b"all of it"
    assert len(server.peers) == 2


async def test_second_answer_that_comes_while_resting_costs_the_connection(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    inject = asyncio.Event()
    dropped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if peer.number == 0:
            await inject.wait()
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")
            await peer.gone()
            dropped.set()
        await peer.gone()

    server = await upstream(script)
    client = pool(server)
    assert await fetch(client) == b"ok"
    inject.set()
    await dropped.wait()
    assert await fetch(client) == b"ok"
    assert [len(peer.requests) for peer in server.peers] == [1, 1]


@pytest.mark.parametrize("stray", [b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison", b""])
async def test_what_the_loop_has_not_read_yet_is_noticed_before_the_next_request(
    upstream: StartUpstream, pool: OpenPool, stray: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()

    server = await upstream(script)
    client = pool(server)
    assert await fetch(client) == b"ok"
    with socket.socket(fileno=os.dup(server.peers[0].fileno())) as interfering:
        # Nothing is awaited between this and the next request.
        if stray:
            interfering.send(stray)
        else:
            interfering.shutdown(socket.SHUT_WR)
    assert await fetch(client) == b"ok"
    assert [len(peer.requests) for peer in server.peers] == [1, 1]


async def test_request_lost_on_a_stale_connection_goes_out_on_a_new_one(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if await peer.request():
            peer.reset()

    server = await upstream(script)
    client = pool(server)
    assert await fetch(client, b"1") == b"ok"
    assert await fetch(client, b"2") == b"ok"
    assert [len(peer.requests) for peer in server.peers] == [2, 1]


async def test_loss_after_the_time_of_a_round_trip_is_not_tried_again(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    server = await upstream(answers(OK, b""))
    client = pool(server, stale_s=0)
    assert await fetch(client) == b"ok"
    with pytest.raises(errors.UpstreamUnreachable):
        await fetch(client)
    assert len(server.requests) == 2


async def test_loss_of_a_new_connection_is_not_tried_again(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    server = await upstream(answers(b""))
    with pytest.raises(errors.UpstreamUnreachable):
        await fetch(pool(server))
    assert len(server.requests) == 1


async def test_resting_connection_is_closed_after_its_time(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    closed = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()
        closed.set()

    client = pool(await upstream(script), keepalive_s=0.01)
    assert await fetch(client) == b"ok"
    await closed.wait()


async def test_connections_beyond_the_bound_of_resting_ones_are_closed(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    server = await upstream(echo)
    client = pool(server, max_idle=1)
    await asyncio.gather(*(fetch(client, b"x") for _ in range(3)))
    peers = len(server.peers)
    await fetch(client)
    assert len(server.peers) == peers


async def test_no_more_connections_than_allowed(upstream: StartUpstream, pool: OpenPool) -> None:
    server = await upstream(echo)
    client = pool(server, max_connections=2)
    bodies = [b"%d" % n for n in range(50)]
    assert await asyncio.gather(*(fetch(client, body) for body in bodies)) == bodies
    assert len(server.peers) == 2


async def test_who_waits_is_served_in_order(upstream: StartUpstream, pool: OpenPool) -> None:
    server = await upstream(echo)
    client = pool(server, max_connections=1)
    await asyncio.gather(*(fetch(client, b"%d" % n) for n in range(9)))
    assert [request[-1:] for request in server.requests] == [b"%d" % n for n in range(9)]


async def test_who_waits_gets_the_place_of_a_broken_connection(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    server = await upstream(answers(b"garbage"))
    client = pool(server, max_connections=1)
    outcomes = await asyncio.gather(*(fetch(client) for _ in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.UpstreamProtocol] * 4
    assert len(server.peers) == 4


async def test_stale_connection_at_the_bound_makes_room_for_a_new_one(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if await peer.request():
            peer.reset()

    server = await upstream(script)
    client = pool(server, max_connections=3)
    for _ in range(4):
        assert await asyncio.gather(*(fetch(client) for _ in range(9))) == [b"ok"] * 9


async def test_waiting_for_a_connection_ends_with_the_time_to_connect(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await peer.gone()

    client = pool(await upstream(script), max_connections=1)
    response = await post(client)
    with pytest.raises(errors.ConnectTimeout):
        await post(client, timeouts=Timeouts(0.01, 20, 20))
    with pytest.raises(errors.DeadlineExceeded):
        await post(client, total_s=0.01)
    with pytest.raises(errors.DeadlineExceeded):
        await post(client, total_s=-1)
    response.close()


async def test_cancelled_caller_leaves_no_connection_behind(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    asked = asyncio.Event()
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.number == 0:
            asked.set()
            await peer.gone()
            gone.set()
        else:
            await peer.send(OK)

    client = pool(await upstream(script), max_connections=1)
    task = asyncio.create_task(fetch(client))
    await asked.wait()
    task.cancel()
    await gone.wait()
    assert await fetch(client) == b"ok"
    assert task.cancelled()


async def test_cancelled_reader_leaves_no_connection_behind(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await peer.gone()
        gone.set()

    response = await post(pool(await upstream(script)))
    task = asyncio.create_task(response.read())
    await asyncio.sleep(0)
    task.cancel()
    await gone.wait()
    with pytest.raises(errors.UpstreamCut):
        await response.read()


@pytest.mark.parametrize("yields", range(8))
async def test_cancelled_while_waiting_for_a_connection_gives_it_on(
    upstream: StartUpstream, pool: OpenPool, yields: int
) -> None:
    """At whatever point of the hand-over the cancellation comes."""
    server = await upstream(echo)
    client = pool(server, max_connections=1)
    held = await post(client, b"x" * 9)
    waiting = [asyncio.create_task(fetch(client, b"%d" % n)) for n in range(3)]
    await asyncio.sleep(0)
    await held.read_all(9)
    for _ in range(yields):
        await asyncio.sleep(0)
    waiting[0].cancel()
    assert await asyncio.gather(*waiting[1:]) == [b"1", b"2"]
    assert await fetch(client, b"after") == b"after"


async def test_response_closed_early_closes_the_connection(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nabc")
        await peer.gone()
        gone.set()

    response = await post(pool(await upstream(script)))
    response.close()
    response.close()
    await gone.wait()
    with pytest.raises(errors.UpstreamCut):
        await response.read()


async def test_body_longer_than_the_limit_is_refused(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    server = await upstream(echo)
    client = pool(server)
    response = await post(client, b"x" * 100)
    with pytest.raises(errors.UpstreamMalformed):
        await response.read_all(99)
    assert await fetch(client, b"fine") == b"fine"


async def test_reader_that_stops_stops_the_sender(upstream: StartUpstream, pool: OpenPool) -> None:
    size = 32 << 20

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            await peer.send(bytes(65536))
        await peer.gone()

    response = await post(pool(await upstream(script)))
    received = 0
    longest = 0
    while True:
        for _ in range(100):  # the loop goes on, the reader does not
            await asyncio.sleep(0)
        data = await response.read()
        if not data:
            break
        received += len(data)
        longest = max(longest, len(data))
    assert received == size
    assert longest <= 1 << 20


async def test_answer_before_the_request_was_sent_is_good_once(
    upstream: StartUpstream, pool: OpenPool
) -> None:
    async def script(peer: Peer) -> None:
        if peer.number == 0:
            await peer.reader.readuntil(b"\r\n\r\n")
            await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
            await peer.gone()
        else:
            await echo(peer)

    server = await upstream(script)
    client = pool(server)
    response = await post(client, bytes(16 << 20))
    assert response.status == 413
    assert await fetch(client, b"next") == b"next"
    assert len(server.peers) == 2


async def test_pool_that_closes_ends_everything(upstream: StartUpstream, pool: OpenPool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await peer.gone()

    client = pool(await upstream(script), max_connections=1)
    response = await post(client)
    waiting = asyncio.create_task(post(client))
    await asyncio.sleep(0)
    await client.close()
    with pytest.raises(errors.UpstreamUnreachable):
        await waiting
    with pytest.raises(errors.UpstreamCut):
        await response.read()
    with pytest.raises(errors.UpstreamUnreachable):
        await post(client)


async def test_nobody_listening_is_unreachable(upstream: StartUpstream, pool: OpenPool) -> None:
    server = await upstream(echo)
    client = pool(server)
    await server.__aexit__()
    with pytest.raises(errors.UpstreamUnreachable) as caught:
        await fetch(client)
    assert any(str(server.port) in note for note in caught.value.__notes__)


async def test_look_up_without_end_is_a_connect_timeout() -> None:
    async def never(host: str, port: int) -> list[AddressInfo]:  # noqa: ARG001
        await asyncio.get_running_loop().create_future()
        return []

    resolver = Resolver(lookup=never)
    client = Pool("http://nowhere.example", resolver=resolver)
    with pytest.raises(errors.ConnectTimeout):
        await post(client, timeouts=Timeouts(0.01, 20, 20))
    await client.close()
    await resolver.close()
