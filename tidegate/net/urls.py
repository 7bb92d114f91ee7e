"""Read the URLs an operator writes, and refuse the addresses a gateway must not be led to.

The guard works on addresses, never on names: what a name resolves to is checked, and the checked
address is the one that is dialled, so an answer of DNS that changes in between gains nothing.
"""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from tidegate import errors

Address: TypeAlias = IPv4Address | IPv6Address

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_.])?", re.IGNORECASE)

# Source: the IANA special-purpose address registries, and the vendors for the metadata services.
_V4: Final = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("168.63.129.16/32", "a metadata"),  # Azure's, at a public address
        ("169.254.169.254/32", "a metadata"),
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a shared (carrier NAT)"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a documentation"),
        ("192.88.99.0/24", "a reserved"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
    )
)
_V6: Final = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("fd00:ec2::254/128", "a metadata"),
        ("fd20:ce::254/128", "a metadata"),
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("fec0::/10", "a private"),
        ("ff00::/8", "a multicast"),
        ("2001::/23", "a reserved"),  # Teredo, ORCHID and other protocols' own
        ("2001:db8::/32", "a documentation"),
        ("3fff::/20", "a documentation"),
    )
)
_V6_GLOBAL: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
_6TO4: Final = ip_network("2002::/16")
_NEVER_DIALLED: Final = ("a multicast",)


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """An origin and a path prefix (without a slash at its end)."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the `host` header: no port where the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def host_port(self) -> str:
        """Host and port, always both, as CONNECT wants them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ProxyUrl:
    """Where an HTTP proxy listens, and the `proxy-authorization` it wants."""

    host: str
    port: int
    authorization: bytes | None = field(default=None, repr=False)


def parse_base_url(url: str) -> BaseUrl:
    """Read `http[s]://host[:port][/path]`.

    Raises:
        ValueError: Anything else, with what to write instead. The URL itself is not repeated where
            it may hold a password.
    """
    parts = _split(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("the URL must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("the URL must not contain credentials; use `api_key`")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise ValueError("the URL must end with its path: no ?query and no #fragment")
    host, port = _host_port(parts)
    default = _DEFAULT_PORTS[parts.scheme]
    return BaseUrl(parts.scheme, host, default if port is None else port, parts.path.rstrip("/"))


def parse_proxy_url(url: str) -> ProxyUrl:
    """Read `[http://][user:password@]host[:port]`.

    Raises:
        ValueError: Anything else; the message never repeats the URL.
    """
    parts = _split(url if "://" in url else f"http://{url}")
    if parts.scheme != "http":
        raise ValueError("the proxy's URL must begin with http:// (TLS goes through the tunnel)")
    host, port = _host_port(parts)
    authorization = None
    if "@" in parts.netloc:
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(credentials.encode())
    return ProxyUrl(host, 80 if port is None else port, authorization)


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy that `environ` names for `url`, or None: `HTTPS_PROXY`, `http_proxy`, `NO_PROXY`.

    As with curl, `HTTP_PROXY` in capitals is not obeyed (CGI sets it from a request header). This
    machine itself is never asked for through a proxy.
    """
    base = parse_base_url(url)
    names = ("https_proxy", "HTTPS_PROXY") if base.scheme == "https" else ("http_proxy",)
    proxy = next((environ[name] for name in names if environ.get(name)), None)
    if proxy is None or _is_local(base.host):
        return None
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if any(_exempts(entry.strip(), base) for entry in exempt.split(",")):
        return None
    return proxy


def literal_address(host: str) -> str | None:
    """The address that `host` spells out, or None if it is a name.

    `0x7f.1`, `017700000001` and `2130706433` are addresses too: the C library dials them.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def check_address(ip: str, *, allow_private: bool) -> None:
    """Refuse an address that is not on the public Internet, also when it hides in another one.

    With `allow_private` only what cannot be a server at all (multicast) is refused.

    Raises:
        UpstreamForbiddenAddress: The message says which kind of address; the note says which.
    """
    kind = _kind(ip)
    if kind is None or (allow_private and kind not in _NEVER_DIALLED):
        return
    error = errors.UpstreamForbiddenAddress(f"The upstream is at {kind} address, which is refused.")
    error.add_note(f"address {ip}")
    raise error


def _kind(ip: str) -> str | None:
    try:
        address = ip_address(ip)
    except ValueError:
        return "an unreadable"
    if isinstance(address, IPv6Address):
        address = _unwrapped(address)
    for network, kind in _V4 if isinstance(address, IPv4Address) else _V6:
        if address in network:
            return kind
    if isinstance(address, IPv6Address) and address not in _V6_GLOBAL:
        return "a reserved"
    return None


def _unwrapped(address: IPv6Address) -> Address:
    """The IPv4 address that packets to `address` end at, where there is one."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    if address in _6TO4 and address.sixtofour is not None:
        return address.sixtofour
    return address


def _split(url: str) -> SplitResult:
    # urlsplit drops tabs and line ends in silence and understands backslashes as browsers do not.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("the URL must be printable ASCII without spaces and backslashes")
    return urlsplit(url)


def _host_port(parts: SplitResult) -> tuple[str, int | None]:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("the URL's port must be a number from 1 to 65535") from None
    if not host:
        raise ValueError("the URL must name a host")
    if port == 0:
        raise ValueError("the URL's port must be a number from 1 to 65535")
    if ":" in host:
        try:
            IPv6Address(host)
        except ValueError:
            raise ValueError("the URL's host is not a valid IPv6 address") from None
        if "%" in host:
            raise ValueError("the URL's host must not have an IPv6 zone")
    elif not _NAME.fullmatch(host):
        raise ValueError("the URL's host must consist of letters, digits, dots and hyphens")
    return host, port


def _is_local(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    literal = literal_address(host)
    return literal is not None and _kind(literal) == "a loopback"


def _exempts(entry: str, base: BaseUrl) -> bool:
    """Whether one entry of NO_PROXY covers `base`: a domain, an address, a network, with a port."""
    if entry in ("", "*"):
        return entry == "*"
    literal = literal_address(base.host)
    if literal is not None and "/" in entry:
        try:
            return ip_address(literal) in ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, port = entry.rpartition(":")
    if colon and port.isdecimal() and (":" not in name or name.startswith("[")):
        if int(port) != base.port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").lstrip(".").lower()
    return base.host == entry or base.host.endswith(f".{entry}")
