"""Dial an origin: look up, guard, connect, tunnel through a proxy, shake hands.

The one door where the exceptions of sockets, DNS and TLS become ours. Only checked addresses are
dialled, and certificates are always verified.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import certifi
from aiohappyeyeballs import (
    start_connection,  # pyright: ignore[reportUnknownVariableType] - a bare `tuple` in its alias
)

from tidegate import errors
from tidegate.net.dns import AddressInfo, Resolver
from tidegate.net.urls import BaseUrl, check_address, literal_address, parse_proxy_url

_NEXT_ADDRESS_S: Final = 0.25  # RFC 8305: the head start of one address over the next
_PROXY_HEAD_BYTES: Final = 16384
_OK_STATUS: Final = b"2"

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)
ErrorT = TypeVar("ErrorT", bound=errors.UpstreamError)


def verified_tls(ca: str | Path | None = None) -> ssl.SSLContext:
    """A context that verifies certificates, by the trust store and by `ca` (a PEM file) if given.

    Reading the trust store takes milliseconds: make one and share it between pools.

    Raises:
        OSError: `ca` cannot be read.
        ssl.SSLError: `ca` holds no certificate.
    """
    context = ssl.create_default_context(cafile=certifi.where())
    if ca is not None:
        context.load_verify_locations(cafile=str(ca))
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Makes connections to one origin.

    Raises:
        ValueError: `tls` would accept any certificate, or `proxy` is not a proxy's URL.
    """

    def __init__(
        self,
        origin: BaseUrl,
        *,
        allow_private: bool,
        tls: ssl.SSLContext | None,
        proxy: str | None,
        resolver: Resolver,
    ) -> None:
        self._origin = origin
        self._allow_private = allow_private
        self._proxy = None if proxy is None else parse_proxy_url(proxy)
        self._resolver = resolver
        self._tls = None
        if origin.scheme == "https":
            self._tls = verified_tls() if tls is None else tls
            if self._tls.verify_mode != ssl.CERT_REQUIRED or not self._tls.check_hostname:
                raise ValueError("the TLS context must verify certificates and host names")

    async def dial(self, protocol_factory: Callable[[], ProtocolT]) -> ProtocolT:
        """A connected protocol, over TLS where the origin's scheme says so.

        It takes as long as it takes: the caller bounds the time.

        Raises:
            UpstreamUnreachable: The name is not known, nobody listens, the proxy refuses.
            UpstreamForbiddenAddress: The guard refuses every address of the host.
            UpstreamTls: The handshake failed.
            UpstreamProtocol: The proxy does not speak HTTP.
        """
        sock = await (self._connect() if self._proxy is None else self._tunnel())
        # Nagle would hold back the second half of a request until the first is acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                protocol_factory,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._origin.host if self._tls is not None else None,
            )
        except BaseException as error:
            sock.close()
            if isinstance(error, ssl.SSLError):
                raise self._told(
                    errors.UpstreamTls("The TLS handshake with the upstream failed."), error
                ) from error
            if isinstance(error, OSError):
                raise self._told(
                    errors.UpstreamUnreachable(
                        "The upstream closed the connection during the TLS handshake."
                    ),
                    error,
                ) from error
            raise
        return protocol

    async def _connect(self) -> socket.socket:
        """A socket connected to the origin itself."""
        found = await self._resolve(self._origin.host, self._origin.port)
        allowed: list[AddressInfo] = []
        refusal: errors.UpstreamForbiddenAddress | None = None
        for info in found:
            try:
                check_address(str(info[4][0]), allow_private=self._allow_private)
            except errors.UpstreamForbiddenAddress as error:
                refusal = error
            else:
                allowed.append(info)
        if not allowed and refusal is not None:
            raise self._told(refusal)
        return await self._race(allowed)

    async def _tunnel(self) -> socket.socket:
        """A socket connected to the origin through the proxy.

        The operator trusts the proxy, so its own address is not guarded; what the origin's name
        resolves to behind it cannot be seen from here, so the guard covers literal addresses.
        """
        proxy = self._proxy
        if proxy is None:
            raise AssertionError("no proxy")
        literal = literal_address(self._origin.host)
        if literal is not None:
            check_address(literal, allow_private=self._allow_private)
        sock = await self._race(await self._resolve(proxy.host, proxy.port))
        target = self._origin.host_port.encode()
        head = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n" % (target, target)
        if proxy.authorization is not None:
            head += b"proxy-authorization: %b\r\n" % proxy.authorization
        try:
            await self._shake_proxy(sock, head + b"\r\n")
        except BaseException:
            sock.close()
            raise
        return sock

    async def _shake_proxy(self, sock: socket.socket, head: bytes) -> None:
        loop = asyncio.get_running_loop()
        answer = b""
        try:
            await loop.sock_sendall(sock, head)
            while b"\r\n\r\n" not in answer:
                if len(answer) > _PROXY_HEAD_BYTES:
                    raise self._told(errors.UpstreamProtocol("The proxy's answer has no end."))
                received = await loop.sock_recv(sock, 4096)
                if not received:
                    raise ConnectionResetError("closed before an answer")
                answer += received
        except OSError as error:
            raise self._told(
                errors.UpstreamUnreachable("The proxy closed the connection."), error
            ) from error
        version, _, status = answer.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not status[:3].isdigit():
            raise self._told(errors.UpstreamProtocol("The proxy does not speak HTTP."))
        if status[:1] != _OK_STATUS:
            raise self._told(
                errors.UpstreamUnreachable(f"The proxy answered {int(status[:3])} to CONNECT.")
            )
        if not answer.endswith(b"\r\n\r\n"):
            raise self._told(errors.UpstreamProtocol("The proxy sent bytes after its answer."))

    async def _resolve(self, host: str, port: int) -> list[AddressInfo]:
        try:
            return await self._resolver.resolve(host, port)
        except OSError as error:
            raise self._told(
                errors.UpstreamUnreachable("The upstream's host name cannot be resolved."), error
            ) from error

    async def _race(self, addresses: list[AddressInfo]) -> socket.socket:
        """Connect to the first address that answers, each with a head start over the next."""
        try:
            return await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        except (OSError, RuntimeError) as error:  # uvloop says RuntimeError for some
            raise self._told(
                errors.UpstreamUnreachable("The upstream does not accept connections."), error
            ) from error

    def _told(self, error: ErrorT, cause: BaseException | None = None) -> ErrorT:
        """Add for the operator what the end user is not told: where, and what the system said."""
        error.add_note(f"origin {self._origin.scheme}://{self._origin.host_port}")
        if cause is not None:
            error.add_note(str(cause))
        return error
