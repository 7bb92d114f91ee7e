"""What every measurement shoots at: a running server and the one request it is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.process import Server

PATH = "/v1/chat/completions"
UPSTREAM_MODEL = "gpt-mock-2025-01-01"
ALIAS = "bench"
PROMPT = ("The tide turns twice a day. " * 40)[:800]


@dataclass(frozen=True, slots=True)
class Target:
    """A server on a loopback port, with the headers and the model name it wants.

    `answered_s` seconds after its start it gave its first completion.
    """

    name: str
    port: int
    model: str
    server: Server
    directory: Path
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    answered_s: float = 0.0
    warm_up_s: float = 1.0
    beside: Sequence[Server] = ()
    """What it needs and is not measured: no noise, but not its own work either."""

    @property
    def url(self) -> str:
        """The endpoint all requests go to."""
        return f"http://127.0.0.1:{self.port}{PATH}"

    def all_headers(self) -> dict[str, str]:
        """Its own headers and the usual ones of an SDK."""
        return {
            "content-type": "application/json",
            "accept": "application/json",
            "authorization": "Bearer sk-bench-0123456789abcdef",
            **self.headers,
        }

    def body(self, **more: Any) -> bytes:
        """The JSON of the one request: an 800-byte prompt, and what `more` adds."""
        message = {"role": "user", "content": PROMPT}
        return json.dumps({"model": self.model, "messages": [message], **more}).encode()

    def request(self, **more: Any) -> bytes:
        """The same as the bytes of an HTTP/1.1 request on a connection that is kept."""
        body = self.body(**more)
        lines = [f"POST {PATH} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.all_headers().items()]
        lines += [f"content-length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode() + body
