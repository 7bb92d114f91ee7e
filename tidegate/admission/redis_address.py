"""Where a Redis is and how it is entered, read from one URL.

    redis://[[user]:password@]host[:port][/db]      rediss://… with TLS
    unix://[[user]:password@]/path[?db=N]           a socket of this machine

`valkey://` and `valkeys://` mean the same. With TLS the server's certificate is always verified,
against `?ssl_ca_certs=FILE` if there is one. Redis Cluster is not spoken: keys of ours share one
hash tag, but nothing here follows a redirection.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

PORT = 6379
_TLS = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_KNOWN = frozenset({"db", "ssl_ca_certs"})


class Address(Struct, frozen=True):
    """A Redis, and how to enter it. Its text says where it is, and no secret."""

    host: str = "localhost"
    port: int = PORT
    path: str | None = None
    """Of a Unix socket, instead of host and port."""
    tls: bool = False
    ca: Path | None = None
    user: str | None = None
    password: str | None = None
    db: int = 0

    @classmethod
    def of(cls, url: str) -> Address:
        """The address that `url` says. Raises: `ValueError`, which repeats no password."""
        parts = urlsplit(url)
        if parts.scheme not in (*_TLS, "unix"):
            raise ValueError("The URL of Redis must begin with redis://, rediss:// or unix://.")
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        for name in options.keys() - _KNOWN:
            raise ValueError(f"The URL of Redis has an unknown option {name!r}.")
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None
        ca = Path(options["ssl_ca_certs"][0]) if "ssl_ca_certs" in options else None
        if parts.scheme == "unix":
            if not parts.path:
                raise ValueError("The URL of Redis names no socket: unix:///run/redis.sock")
            db = _db(options.get("db", ["0"])[0])
            return cls(path=unquote(parts.path), user=user, password=password, db=db)
        db = _db(parts.path.strip("/") or options.get("db", ["0"])[0])
        try:
            port = parts.port or PORT
        except ValueError:
            raise ValueError("The URL of Redis has a port that is none.") from None
        return cls(
            host=parts.hostname or "localhost", port=port, tls=_TLS[parts.scheme], ca=ca,
            user=user, password=password, db=db,
        )  # fmt: skip

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def tls_context(self) -> ssl.SSLContext | None:
        """What TLS is spoken with, if it is. Raises: `OSError` when the CA's file is no good."""
        return ssl.create_default_context(cafile=self.ca) if self.tls else None


def _db(text: str) -> int:
    if not text.isdigit():
        raise ValueError("The URL of Redis names a database that is no number.")
    return int(text)
