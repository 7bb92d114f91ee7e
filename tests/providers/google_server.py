"""A tiny server in Google's place, over real HTTP: keeps what it is asked, says what it is told."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import msgspec
from msgspec import Struct


class Asked(Struct):
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any


class GoogleServer:
    """Says `answer` to every request."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.status = 200
        self.kind = "application/json; charset=UTF-8"
        self.answer = b"{}"
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                server.asked.append(Asked(self.path, headers, msgspec.json.decode(body)))
                self.send_response(server.status)
                self.send_header("content-type", server.kind)
                self.send_header("content-length", str(len(server.answer)))
                self.end_headers()
                self.wfile.write(server.answer)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._http.block_on_close = False
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def says(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.status, self.kind = status, "application/json; charset=UTF-8"
        self.answer = msgspec.json.format(msgspec.json.encode(value), indent=2)

    def streams(self, *events: Any) -> None:
        """Answer with events, as `alt=sse` asks for."""
        self.status, self.kind = 200, "text/event-stream"
        self.answer = b"".join(b"data: %b\r\n\r\n" % msgspec.json.encode(each) for each in events)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
