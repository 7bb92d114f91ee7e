"""Somebody who takes records: `python -m bench.hook PORT FILE`.

Each record that ended well and is taken is a line of FILE: its id, and when it came, in seconds of
the monotonic clock, which all processes of a machine share. It is a process of its own, so that it
takes no turn of the loop that sends by the clock.
"""

from __future__ import annotations

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec


class _Named(msgspec.Struct):
    request_id: str
    outcome: str = "ok"


def serve(port: int, file: Path) -> None:
    """Take all lines until ended."""
    decode = msgspec.json.Decoder(_Named).decode

    with file.open("a", buffering=1) as heard:

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                records, now_s = map(decode, body.splitlines()), time.monotonic()
                heard.write(
                    "".join(f"{each.request_id} {now_s}\n" for each in records
                            if each.outcome == "ok")
                )  # fmt: skip
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nothing is printed."""

        with HTTPServer(("127.0.0.1", port), Handler) as server:
            server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]))
