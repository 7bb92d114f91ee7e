"""Requests and replies of the console, and the headers that every reply carries."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qsl, quote

from msgspec import Struct

from tidegate.console.refusals import Refusal
from tidegate.control.admin.gate import Message, Receive, Send, body_of

HTML: Final = "text/html; charset=utf-8"
TEXT: Final = "text/plain; charset=utf-8"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
FRAGMENT: Final = b"tidegate-fragment"
"""The header of what a page fetches by itself."""
_HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_READS: Final = ("GET", "HEAD")
_MOST_FIELDS: Final = 200


class Reply(Struct):
    """What is answered."""

    status: int
    kind: str
    body: bytes
    headers: dict[str, str] = {}
    cookies: tuple[str, ...] = ()

    async def send(self, send: Send) -> None:
        """Answer with it."""
        headers = {"content-type": self.kind, **_HEADERS, **self.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        raw += [(b"set-cookie", each.encode()) for each in self.cookies]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        await send({"type": "http.response.body", "body": self.body})


def went(to: str, cookies: tuple[str, ...] = ()) -> Reply:
    """Have the browser go on to `to`."""
    return Reply(303, TEXT, b"", {"location": to}, cookies)


class Sent:
    """One request."""

    def __init__(self, scope: Message, receive: Receive) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.address: str = (scope.get("client") or ("",))[0]
        self.reads = self.method in _READS
        self.fragment = FRAGMENT in self.headers
        """Whether a page asks by itself, and nobody pressed anything."""
        self._query: bytes = scope["query_string"]
        self._receive = receive

    @property
    def host(self) -> str:
        """The host that it was sent to, in the browser's words."""
        return self.header(b"host").lower()

    @property
    def query(self) -> dict[str, str]:
        """What stands behind the `?`. Raises: `Refusal`."""
        return _fields(self._query)

    @property
    def place(self) -> str:
        """Path and query, to come back to."""
        query = self._query.decode("latin-1")
        return quote(self.path) + (f"?{query}" if query else "")

    def header(self, name: bytes) -> str:
        """The header's value; empty if there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    def cookie(self, name: str) -> str:
        """The cookie's value; empty if there is none."""
        try:
            found = SimpleCookie(self.header(b"cookie")).get(name)
        except CookieError:
            return ""
        return "" if found is None else found.value

    async def form(self) -> dict[str, str]:
        """The fields that were sent and are not empty. Raises: `Problem`, `Refusal`."""
        return _fields(await body_of(self.headers, self._receive))


def _fields(raw: bytes) -> dict[str, str]:
    # Of names that stand there more than once, the last counts.
    try:
        pairs = parse_qsl(raw.decode(), max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Refusal(400, "This address cannot be read.", "Begin at a page's own.") from None
    return dict(pairs)
