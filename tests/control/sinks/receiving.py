"""A receiver of traces or lines on this machine, that answers as it is told to."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers and a body."""
Judge = Callable[[bytes], Answer]
CUT = "cut"
"""The name of a header: the connection is closed in the middle of the answer."""


def fine(body: bytes) -> Answer:  # noqa: ARG001
    return 200, {}, b""


@dataclass
class Receiver:
    """What came, taken or not: path, headers, and the body as it was before compression."""

    port: int
    judge: Judge = fine
    taken: list[bytes] = field(default_factory=list[bytes])
    bodies: list[bytes] = field(default_factory=list[bytes])
    """Those that were not taken too."""
    heads: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    paths: list[str] = field(default_factory=list[str])

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def receiver(judge: Judge = fine, port: int = 0) -> Generator[Receiver]:
    """One that listens as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.paths.append(self.path)
            found.heads.append({name.lower(): value for name, value in self.headers.items()})
            if self.headers["content-encoding"] == "gzip":
                body = gzip.decompress(body)
            found.bodies.append(body)
            status, headers, told = found.judge(body)
            if status == 200:
                found.taken.append(body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(told) + (CUT in headers)))
            self.end_headers()
            self.wfile.write(told)
            self.close_connection = CUT in headers

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", port), Handler) as server:
        found = Receiver(server.server_address[1], judge)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
