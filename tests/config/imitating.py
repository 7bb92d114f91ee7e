"""A tiny HTTP server in the place of a vault: answers by a function, keeps what was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


Answer = Callable[[Asked], tuple[int, object]]
"""From a request to a status and what is encoded as JSON."""


@dataclass
class Imitation:
    url: str
    asked: list[Asked] = field(default_factory=list[Asked])

    def paths(self) -> list[str]:
        return [each.path for each in self.asked]


@contextmanager
def imitation(answer: Answer) -> Generator[Imitation]:
    """A server on loopback that answers every request with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body)
            vault.asked.append(asked)
            status, told = answer(asked)
            encoded = msgspec.json.encode(told)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(encoded)))
            self.end_headers()
            self.wfile.write(encoded)

        do_GET = do_POST = do_PUT = _serve  # noqa: N815 - the base class's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        vault = Imitation(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield vault
        finally:
            server.shutdown()
            thread.join()
