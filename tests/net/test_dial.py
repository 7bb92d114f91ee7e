"""Who is dialled, through what, and who is trusted."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from misbehaving import OK, PATIENT, Peer, Script, StartUpstream, Upstream, echo, fetch, post

from tidegate import errors
from tidegate.net.dns import AddressInfo, Lookup, Resolver, look_up
from tidegate.net.http import Pool, Timeouts, verified_tls


@asynccontextmanager
async def pool_of(url: str, lookup: Lookup = look_up, **options: object) -> AsyncGenerator[Pool]:
    resolver = Resolver(lookup=lookup)
    pool = Pool(url, resolver=resolver, **{"allow_private": True, **options})  # pyright: ignore[reportArgumentType]
    try:
        yield pool
    finally:
        await pool.close()
        await resolver.close()


def at(*addresses: tuple[str, int]) -> Lookup:
    """Every name is at these addresses."""

    async def lookup(host: str, port: int) -> list[AddressInfo]:  # noqa: ARG001
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    return lookup


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def trusting(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    path: Path = tmp_path_factory.mktemp("tls") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return verified_tls(path)


@pytest.fixture
async def secure(ca: trustme.CA) -> AsyncIterator[StartUpstream]:
    """A server at localhost with a certificate of the CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)
    async with AsyncExitStack() as stack:

        async def start(script: Script) -> Upstream:
            return await stack.enter_async_context(Upstream(script, context))

        yield start


async def test_known_ca_and_right_host_are_trusted(
    secure: StartUpstream, trusting: ssl.SSLContext
) -> None:
    server = await secure(echo)
    here = at(("127.0.0.1", server.port))
    async with pool_of(f"https://localhost:{server.port}", here, tls=trusting) as pool:
        body = bytes(range(256)) * 4096
        assert await fetch(pool, body) == body
        assert await fetch(pool, b"again") == b"again"
    assert len(server.peers) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "other.example"])
async def test_certificate_for_another_host_is_refused(
    secure: StartUpstream, trusting: ssl.SSLContext, host: str
) -> None:
    server = await secure(echo)
    here = at(("127.0.0.1", server.port))
    async with pool_of(f"https://{host}:{server.port}", here, tls=trusting) as pool:
        with pytest.raises(errors.UpstreamTls) as caught:
            await fetch(pool)
    assert any("certificate" in note for note in caught.value.__notes__)
    assert server.requests == []


async def test_certificate_of_an_unknown_ca_is_refused(secure: StartUpstream) -> None:
    server = await secure(echo)
    async with pool_of(f"https://localhost:{server.port}", at(("127.0.0.1", server.port))) as pool:
        with pytest.raises(errors.UpstreamTls):
            await fetch(pool)
    assert server.requests == []


async def test_server_without_tls_is_a_tls_failure(
    upstream: StartUpstream, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(OK)
        await peer.gone()

    server = await upstream(script)
    async with pool_of(f"https://127.0.0.1:{server.port}", tls=trusting) as pool:
        with pytest.raises(errors.UpstreamTls):
            await fetch(pool)


async def test_server_that_hangs_up_during_the_handshake_is_unreachable(
    upstream: StartUpstream, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readexactly(1)
        peer.reset_hard()

    server = await upstream(script)
    async with pool_of(f"https://127.0.0.1:{server.port}", tls=trusting) as pool:
        with pytest.raises(errors.UpstreamUnreachable):
            await fetch(pool)


async def test_handshake_without_end_is_a_connect_timeout(
    upstream: StartUpstream, trusting: ssl.SSLContext
) -> None:
    server = await upstream(Peer.gone)
    async with pool_of(f"https://127.0.0.1:{server.port}", tls=trusting, max_connections=1) as pool:
        for _ in range(2):
            with pytest.raises(errors.ConnectTimeout):
                await fetch(pool, timeouts=Timeouts(0.02, 20, 20))


async def test_body_that_ends_without_goodbye_of_tls_is_cut(
    secure: StartUpstream, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall")
        with socket.socket(fileno=os.dup(peer.fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)
        await peer.gone()

    server = await secure(script)
    here = at(("127.0.0.1", server.port))
    async with pool_of(f"https://localhost:{server.port}", here, tls=trusting) as pool:
        with pytest.raises(errors.UpstreamCut):
            await fetch(pool)


async def test_body_that_ends_with_goodbye_of_tls_is_whole(
    secure: StartUpstream, trusting: ssl.SSLContext
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall")

    server = await secure(script)
    here = at(("127.0.0.1", server.port))
    async with pool_of(f"https://localhost:{server.port}", here, tls=trusting) as pool:
        assert await fetch(pool) == b"all"


@pytest.mark.parametrize("verify_mode", [ssl.CERT_NONE, ssl.CERT_OPTIONAL])
async def test_context_that_trusts_anybody_is_refused(verify_mode: ssl.VerifyMode) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = verify_mode
    with pytest.raises(ValueError, match="verify"):
        Pool("https://localhost", resolver=Resolver(), tls=context)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_dialled_unless_allowed(
    upstream: StartUpstream, host: str
) -> None:
    server = await upstream(echo)
    async with pool_of(f"http://{host}:{server.port}", allow_private=False) as pool:
        with pytest.raises(errors.UpstreamForbiddenAddress):
            await fetch(pool)
    assert server.peers == []


async def test_name_that_leads_inside_is_not_followed(upstream: StartUpstream) -> None:
    server = await upstream(echo)
    inside = at(("127.0.0.1", server.port), ("10.0.0.1", server.port))
    async with pool_of("http://rebound.example", inside, allow_private=False) as pool:
        with pytest.raises(errors.UpstreamForbiddenAddress) as caught:
            await fetch(pool)
    assert "origin http://rebound.example:80" in caught.value.__notes__
    assert server.peers == []


async def test_next_address_is_tried_when_one_refuses(upstream: StartUpstream) -> None:
    server = await upstream(echo)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        two = at(unused.getsockname(), ("127.0.0.1", server.port))
        async with pool_of("http://two.example", two) as pool:
            assert await fetch(pool, b"x") == b"x"


async def test_unknown_name_is_unreachable() -> None:
    async def unknown(host: str, port: int) -> list[AddressInfo]:  # noqa: ARG001
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    async with pool_of("http://unknown.example", unknown) as pool:
        with pytest.raises(errors.UpstreamUnreachable):
            await fetch(pool)


class Proxy:
    """An HTTP proxy that knows CONNECT and leads everywhere to one port."""

    def __init__(
        self, port: int, answer: bytes = b"HTTP/1.1 200 Connected\r\nx: y\r\n\r\n"
    ) -> None:
        self.port = port
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, peer: Peer) -> None:
        self.heads.append(await peer.reader.readuntil(b"\r\n\r\n"))
        for start in range(0, len(self.answer), 9):
            await peer.send(self.answer[start : start + 9])
        if not self.answer.startswith(b"HTTP/1.1 200") or not self.answer.endswith(b"\r\n\r\n"):
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_tunnel_leads_to_the_origin(upstream: StartUpstream) -> None:
    server = await upstream(echo)
    through = Proxy(server.port)
    proxy = await upstream(through)
    url = f"http://user:hunter2@127.0.0.1:{proxy.port}"
    async with pool_of("http://origin.example/v1", proxy=url) as pool:
        assert await fetch(pool, b"x") == b"x"
        assert await fetch(pool, b"y") == b"y"
    assert through.heads == [
        b"CONNECT %b HTTP/1.1\r\nhost: %b\r\nproxy-authorization: Basic %b\r\n\r\n"
        % (b"origin.example:80", b"origin.example:80", b"dXNlcjpodW50ZXIy")
    ]
    assert all(b"proxy-auth" not in request for request in server.requests)


async def test_tls_goes_through_the_tunnel(
    upstream: StartUpstream, secure: StartUpstream, trusting: ssl.SSLContext
) -> None:
    server = await secure(echo)
    proxy = await upstream(Proxy(server.port))
    url = f"http://127.0.0.1:{proxy.port}"
    async with pool_of("https://localhost/v1", proxy=url, tls=trusting) as pool:
        assert await fetch(pool, b"x") == b"x"
    async with pool_of("https://other.example/v1", proxy=url, tls=trusting) as pool:
        with pytest.raises(errors.UpstreamTls):
            await fetch(pool, b"x")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", errors.UpstreamUnreachable),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", errors.UpstreamUnreachable),
        (b"", errors.UpstreamUnreachable),
        (b"HTTP/1.1 200 ", errors.UpstreamUnreachable),
        (b"SSH-2.0\r\n\r\n", errors.UpstreamProtocol),
        (b"HTTP/1.1 abc\r\n\r\n", errors.UpstreamProtocol),
        (b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n", errors.UpstreamProtocol),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 9000, errors.UpstreamProtocol),
    ],
)
async def test_proxy_that_does_not_open_a_tunnel(
    upstream: StartUpstream, answer: bytes, error: type[errors.UpstreamError]
) -> None:
    proxy = await upstream(Proxy(1, answer))
    url = f"http://user:hunter2@127.0.0.1:{proxy.port}"
    async with pool_of("https://origin.example/v1", proxy=url, max_connections=1) as pool:
        for _ in range(2):
            with pytest.raises(error) as caught:
                await post(pool, timeouts=PATIENT)
            assert type(caught.value) is error
            assert "hunter2" not in f"{caught.value}{caught.value.__notes__}"


async def test_proxy_is_not_a_way_inside(upstream: StartUpstream) -> None:
    through = Proxy(1)
    url = f"http://127.0.0.1:{(await upstream(through)).port}"
    for host in ("169.254.169.254", "0x7f.1", "[::1]"):
        async with pool_of(f"http://{host}/", proxy=url, allow_private=False) as pool:
            with pytest.raises(errors.UpstreamForbiddenAddress):
                await fetch(pool)
    assert through.heads == []
