"""A tiny Bedrock: checks each signature with botocore, and answers what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials

ACCESS, SECRET, TOKEN, REGION = "AKIDEXAMPLE", "s3cr3t/Example+Key", "session/token==", "us-east-1"


@dataclass
class Received:
    """A request as it came over the wire."""

    path: str
    headers: dict[str, str]
    body: bytes


def signature_fits(received: Received, method: str = "POST", token: str | None = TOKEN) -> bool:
    """Whether botocore, asked to sign the same request at the same time, writes the same."""
    told = received.headers["authorization"]
    fields = dict(part.split("=", 1) for part in told.partition(" ")[2].split(", "))
    auth: Any = botocore.auth.SigV4Auth(
        botocore.credentials.ReadOnlyCredentials(ACCESS, SECRET, token), "bedrock", REGION
    )
    signed = {name: received.headers[name] for name in fields["SignedHeaders"].split(";")}
    request: Any = botocore.awsrequest.AWSRequest(
        method, f"http://{received.headers['host']}{received.path}", signed, received.body
    )
    request.context["timestamp"] = received.headers["x-amz-date"]
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return (
        fields["Credential"] == auth.scope(request)
        and fields["SignedHeaders"] == auth.signed_headers(signed)
        and fields["Signature"] == auth.signature(text, request)
    )


@dataclass
class Server:
    """`answers` are whole HTTP answers, in their order; the last one stays."""

    answers: list[bytes] = field(default_factory=list[bytes])
    received: list[Received] = field(default_factory=list[Received])
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                start, *lines = head.rstrip().split("\r\n")
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.received.append(Received(start.split()[1], headers, body))
                writer.write(self.answers[min(len(self.received), len(self.answers)) - 1])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncGenerator[Server]:
    server = Server(list(answers))
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        server.url = f"http://127.0.0.1:{port}"
        yield server


def http(body: bytes, kind: str = "application/json", status: int = 200, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{more}content-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body
