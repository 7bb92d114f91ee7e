"""Which hosts the console answers as, and whose forms it takes.

A name that leads here only because somebody else's name server says so (DNS rebinding) is refused:
addresses and `localhost` are ours, other names must be those of `control.url` or `control.host`.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


class Origins:
    """Where the console is, as seen by browsers."""

    def __init__(self, host: str, url: str | None) -> None:
        self._url = url
        self._hosts = {host.lower(), "localhost"}
        self.tls = url is not None and url.startswith("https://")
        """Whether it is only reached by HTTPS from elsewhere."""
        if url is not None:
            self._hosts.add(urlsplit(url).hostname or "")

    def serves(self, host: str) -> bool:
        """Whether the header `host` names us."""
        name = _name(host)
        return name is not None and (
            name in self._hosts or name.endswith(".localhost") or _is_address(name)
        )

    def sent(self, origin: str, host: str) -> bool:
        """Whether a form with the header `origin`, sent to `host`, is one of ours."""
        if self._url is not None and origin == self._url.lower():
            return True
        scheme, _, place = origin.partition("://")
        return scheme in {"http", "https"} and place == host.lower()

    def is_secure(self, host: str) -> bool:
        """Whether a browser that names `host` speaks HTTPS."""
        return self.tls and self._url is not None and urlsplit(self._url).netloc == host.lower()


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
