"""A real receiver of alerts: a web server on a port of its own."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    """Answers with each of `statuses` in turn, then with 200."""

    statuses: Iterable[int] = ()
    port: int = 0
    posted: queue.Queue[Posted] = field(default_factory=queue.Queue[Posted])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next(self) -> Posted:
        return self.posted.get(timeout=90)


@contextmanager
def receiving(statuses: Iterable[int] = ()) -> Generator[Receiver]:
    receiver = Receiver()
    answers = iter(statuses)

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.send_response(next(answers, 200))
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
            receiver.posted.put(Posted(self.path, headers, body))

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.daemon_threads = True
        receiver.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield receiver
        finally:
            server.shutdown()
