"""Asks the tiny Bedrock as the gateway asks the real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bedrock_server import ACCESS, REGION, SECRET, TOKEN, Server, serving, signature_fits

from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Response
from tidegate.net.http import Timeouts as Bounds
from tidegate.providers.bedrock import ApiKey, Bedrock, Keys, Signer
from tidegate.types import Answer, Call, Choice, Facts, Target, Timeouts

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"


def choice(model: str = CLAUDE, /, **target: Any) -> Choice:
    timeouts = Timeouts(connect_s=5, first_token_s=5, idle_s=5, total_s=5)
    return Choice(
        target=Target(provider="aws", model=model, timeouts=timeouts, **target),
        model=model,
        name=f"aws/{model}",
        reason="test",
        header=b"aws",
        why=b"test",
    )


def call(wire: str = "chat", **body: Any) -> Call:
    said: dict[str, Any] = {"model": "assistant"}
    match wire:
        case "embeddings" | "responses":
            said["input"] = "Hello"
        case "completions":
            said["prompt"] = "Hello"
        case _:
            said["messages"] = [{"role": "user", "content": "Hello"}]
    if wire == "messages":
        said["max_tokens"] = 100
    said |= body
    return Call(wire, "assistant", said, bool(said.get("stream")), wants_usage=True)


def written(asked: Call, chosen: Choice | None = None) -> dict[str, Any]:
    request = Bedrock().request(chosen or choice(), asked, ApiKey("k"))
    return json.loads(request.body)


@asynccontextmanager
async def asked(server: Server, said: Call, chosen: Choice) -> AsyncGenerator[Response]:
    """The response to `said`, sent as the gateway sends it."""
    credential = Signer(Keys(ACCESS, SECRET, TOKEN), region=REGION, base_url=server.url)
    request = Bedrock().request(chosen, said, credential)
    resolver = Resolver()
    pool = Pool(server.url, allow_private=True, resolver=resolver)
    try:
        yield await pool.open(
            "POST",
            request.path,
            request.headers,
            request.body,
            timeouts=Bounds(5, 5, 5),
            deadline=asyncio.get_running_loop().time() + 5,
        )
    finally:
        await pool.close()
        await resolver.close()


async def answered(
    http_answer: bytes, said: Call, chosen: Choice | None = None
) -> tuple[bytes, Facts]:
    """All that the caller gets, and what is known of it."""
    async with (
        serving(http_answer) as server,
        asked(server, said, chosen or choice()) as response,
    ):
        facts = Facts()
        answer = Bedrock().answer(response, said, facts)
        data = await read_all(answer)
        assert signature_fits(server.received[0])
        return data + answer.last, facts


async def read_all(answer: Answer) -> bytes:
    parts: list[bytes] = []
    while part := await answer.read():
        parts.append(part)
    answer.close()
    return b"".join(parts)
