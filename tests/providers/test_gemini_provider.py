"""AI Studio and Vertex AI, asked through a real pool, and beside google-genai's own client."""

from __future__ import annotations

import asyncio
from base64 import b64decode, urlsafe_b64decode
from collections.abc import AsyncGenerator, Generator
from typing import Any, cast

import msgspec
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials
from google_server import Asked, GoogleServer

from tidegate.errors import (
    BadRequest,
    Unsupported,
    UpstreamCut,
    UpstreamDenied,
    UpstreamError,
    UpstreamMalformed,
)
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Response
from tidegate.net.http import Timeouts as Bounds
from tidegate.providers.dialect import Dialect, Request
from tidegate.providers.gemini import Gemini, Vertex, studio_resource, vertex_resource
from tidegate.types import Answer, Call, Choice, Facts, Target, Timeouts, Usage

TIMEOUTS = Timeouts(connect_s=5, first_token_s=5, idle_s=5, total_s=5)
KEY = Gemini.credential("AIza-key", {})


class Token:
    def __init__(self, header: bytes = b"authorization: Bearer token\r\n") -> None:
        self._header = header

    def header(self) -> bytes:
        if not self._header:
            raise UpstreamDenied("No token.")
        return self._header


def choice(model: str = "gemini-2.5-flash", **target: Any) -> Choice:
    chosen = Target(provider="google", model=model, timeouts=TIMEOUTS, **target)
    name = f"google/{model}"
    return Choice(chosen, model, name, "test", name.encode(), b"test")


def call(wire: str = "chat", **body: Any) -> Call:
    said: dict[str, Any] = {"model": "assistant"}
    if wire == "embeddings":
        said |= {"input": "Hello"}
    else:
        said |= {"messages": [{"role": "user", "content": "Hello"}]}
    if wire == "messages":
        said |= {"max_tokens": 100}
    said |= body
    return Call(wire, "assistant", said, bool(said.get("stream")), wants_usage=True)


def said(request: Request) -> dict[str, Any]:
    return msgspec.json.decode(request.body)


def answer(*parts: dict[str, Any], finish: str | None = "STOP") -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": list(parts)}, "finishReason": finish, "index": 0}],
        "usageMetadata": {
            "promptTokenCount": 8,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 20,
            "totalTokenCount": 33,
        },
        "modelVersion": "gemini-2.5-flash-001",
        "responseId": "aBcD123",
    }


@pytest.fixture
def server() -> Generator[GoogleServer]:
    server = GoogleServer()
    yield server
    server.close()


class Asker:
    """Asks the server as `HttpProvider` does."""

    def __init__(self, server: GoogleServer, pool: Pool) -> None:
        self.server = server
        self._pool = pool

    async def open(self, request: Request) -> Response:
        return await self._pool.open(
            "POST",
            request.path,
            request.headers,
            request.body,
            timeouts=Bounds(5, 5, 5),
            deadline=asyncio.get_running_loop().time() + 5,
        )

    async def __call__(
        self, dialect: Dialect, call: Call, credential: Any = KEY, **target: Any
    ) -> tuple[bytes, Answer]:
        """The whole answer, as the caller gets it."""
        response = await self.open(dialect.request(choice(**target), call, credential))
        if response.status != 200:
            raise dialect.refusal(response.status, await response.read_all(1 << 16))
        given = dialect.answer(response, call, Facts())
        pieces: list[bytes] = []
        while piece := await given.read():
            pieces.append(piece)
        given.close()
        return b"".join([*pieces, given.last]), given


@pytest.fixture
async def asker(server: GoogleServer) -> AsyncGenerator[Asker]:
    resolver = Resolver()
    pool = Pool(server.url, allow_private=True, resolver=resolver)
    yield Asker(server, pool)
    await pool.close()
    await resolver.close()


# Whole conversations.


async def test_a_chat_is_answered(asker: Asker) -> None:
    asker.server.says(answer({"text": "Hm.", "thought": True}, {"text": "The moon."}))
    body, given = await asker(Gemini(), call())
    told = msgspec.json.decode(body)
    assert told["choices"][0]["message"]["content"] == "The moon."
    assert told["choices"][0]["finish_reason"] == "stop"
    assert told["model"] == "gemini-2.5-flash-001"
    assert given.facts.usage == Usage(input=8, output=25, reasoning=20)
    asked = asker.server.asked[0]
    assert asked.path == "/models/gemini-2.5-flash:generateContent"
    assert asked.headers["x-goog-api-key"] == "AIza-key"
    assert asked.headers["content-type"] == "application/json"
    assert asked.body == {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


async def test_a_chat_is_streamed(asker: Asker) -> None:
    asker.server.streams(answer({"text": "The "}, finish=None), answer({"text": "moon."}))
    body, given = await asker(Gemini(), call(stream=True))
    events = [line[6:] for line in body.split(b"\n\n") if line]
    assert events.pop() == b"[DONE]"
    chunks = [msgspec.json.decode(each) for each in events]
    texts = [each["delta"].get("content") or "" for chunk in chunks for each in chunk["choices"]]
    assert "".join(texts) == "The moon."
    assert given.facts.finish_reason == "stop"
    assert given.facts.usage == Usage(input=8, output=25, reasoning=20)
    assert asker.server.asked[0].path == "/models/gemini-2.5-flash:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("asked", [1, 2])
async def test_a_stream_without_an_end_of_every_candidate_is_cut(asker: Asker, asked: int) -> None:
    finish = None if asked == 1 else "STOP"
    asker.server.streams(answer({"text": "The "}, finish=finish))
    with pytest.raises(UpstreamCut):
        await asker(Gemini(), call(stream=True, n=asked))


async def test_messages_are_answered_by_vertex(asker: Asker) -> None:
    asker.server.says(answer({"functionCall": {"name": "time", "args": {"zone": "UTC"}}}))
    tools: list[Any] = [{"name": "time", "input_schema": {"type": "object", "properties": {}}}]
    vertex = Vertex("tides", "europe-west4", {"x-team": "a"})
    body, given = await asker(vertex, call("messages", tools=tools), Token())
    told = msgspec.json.decode(body)
    assert told["stop_reason"] == "tool_use"
    assert told["content"][-1]["input"] == {"zone": "UTC"}
    assert given.facts.finish_reason == "tool_calls"
    asked = asker.server.asked[0]
    within = "/projects/tides/locations/europe-west4/publishers/google/models"
    assert asked.path == f"{within}/gemini-2.5-flash:generateContent"
    assert asked.headers["authorization"] == "Bearer token"
    assert asked.headers["x-team"] == "a"


async def test_an_answer_of_another_kind_is_malformed(asker: Asker) -> None:
    asker.server.says(answer({"text": "a"}))
    with pytest.raises(UpstreamMalformed):
        await asker(Gemini(), call(stream=True))


async def test_a_refusal_is_understood(asker: Asker) -> None:
    asker.server.says({"error": {"code": 400, "message": "API key not valid."}}, status=400)
    with pytest.raises(UpstreamDenied):
        await asker(Gemini(), call())


def test_without_a_token_nothing_is_asked() -> None:
    with pytest.raises(UpstreamDenied):
        Vertex("tides", "global", {}).request(choice(), call(), Token(b""))


# What the target allows.


@pytest.mark.parametrize(
    ("asked", "target", "expected"),
    [
        (None, {}, None),
        (None, {"output_max": 50}, 50),
        (None, {"output_max": 50, "output_default": 20}, 20),
        (70, {"output_max": 50, "output_default": 20}, 50),
        (10, {"output_max": 50}, 10),
    ],
)
def test_output_is_bounded(asked: int | None, target: dict[str, Any], expected: int | None) -> None:
    body = call() if asked is None else call(max_tokens=asked)
    config = said(Gemini().request(choice(**target), body, KEY)).get("generationConfig", {})
    assert config.get("maxOutputTokens") == expected


def test_what_cannot_be_said_is_told_or_refused() -> None:
    asked = call(user="ada", logit_bias={"1": 2})
    request = Gemini().request(choice(), asked, KEY)
    assert {"user", "logit_bias"} <= set(request.dropped)
    with pytest.raises(Unsupported) as caught:
        Gemini().request(choice(unsupported="error"), asked, KEY)
    assert "logit_bias" in caught.value.message
    with pytest.raises(Unsupported):
        Gemini().request(choice(unsupported="error"), call("embeddings", user="ada"), KEY)
    Gemini().request(choice(unsupported="error"), call(), KEY)


def test_a_bottomless_request_is_a_bad_one() -> None:
    schema: Any = {"type": "object"}
    for _ in range(5_000):
        schema = [schema]
    tools = [{"type": "function", "function": {"name": "a", "parameters": {"description": schema}}}]
    with pytest.raises((BadRequest, UpstreamError)):
        Gemini().request(choice(), call(tools=tools), KEY)


def test_the_operators_own_headers_come_first() -> None:
    lines = Gemini.credential("key", {"Authorization": "Bearer own", "X-Team": "a"})
    assert lines == (
        b"content-type: application/json\r\nauthorization: Bearer own\r\nx-team: a\r\n"
    )


# Where models stand.


@pytest.mark.parametrize(
    ("model", "studio", "vertex"),
    [
        (
            "gemini-2.5-flash",
            "models/gemini-2.5-flash",
            "publishers/google/models/gemini-2.5-flash",
        ),
        ("models/gemini-3-pro", "models/gemini-3-pro", "publishers/google/models/gemini-3-pro"),
        ("tunedModels/tide-1", "tunedModels/tide-1", "publishers/tunedModels/models/tide-1"),
        ("meta/llama@1", None, "publishers/meta/models/llama@1"),
        ("publishers/meta/models/llama", None, "publishers/meta/models/llama"),
        ("endpoints/123", None, "endpoints/123"),
        ("a:streamRawPredict", "models/a%3AstreamRawPredict", None),
        ("a?key=b#c d", "models/a%3Fkey%3Db%23c%20d", None),
        ("a\r\nx: y", "models/a%0D%0Ax%3A%20y", None),
        ("é", "models/%C3%A9", None),
    ],
)
def test_a_model_stands_in_its_place(model: str, studio: str | None, vertex: str | None) -> None:
    if studio is not None:
        assert studio_resource(model) == studio
    else:
        with pytest.raises(BadRequest):
            studio_resource(model)
    if vertex is not None:
        assert vertex_resource(model) == vertex


@pytest.mark.parametrize(
    "model",
    [
        *("", ".", "..", "/", "a/", "../a", "models/../a", "models/", "a/b/c", "\ud800"),
        *("models/..", "publishers/google/models/..", "publishers/a/b/c"),
        "projects/p/locations/l/models/m",
    ],
)
def test_nothing_reaches_beyond_it(model: str) -> None:
    with pytest.raises(BadRequest) as caught:
        studio_resource(model)
    assert caught.value.param == "model"
    with pytest.raises(BadRequest):
        vertex_resource(model)


# Embeddings and counting.


async def test_texts_are_embedded_by_ai_studio(asker: Asker) -> None:
    asker.server.says({"embeddings": [{"values": [0.5, -1]}, {"values": [0.25, 2]}]})
    asked = call("embeddings", input=["a", "b"], dimensions=2)
    body, given = await asker(Gemini(), asked, model="gemini-embedding-001")
    told = msgspec.json.decode(body)
    assert [each["embedding"] for each in told["data"]] == [[0.5, -1.0], [0.25, 2.0]]
    assert told["usage"] == {"prompt_tokens": 0, "total_tokens": 0}
    assert given.facts.usage is None
    assert asker.server.asked[0].path == "/models/gemini-embedding-001:batchEmbedContents"
    assert asker.server.asked[0].body["requests"][1] == {
        "model": "models/gemini-embedding-001",
        "content": {"parts": [{"text": "b"}]},
        "outputDimensionality": 2,
    }


async def test_vectors_are_packed_when_asked_for(asker: Asker) -> None:
    values = {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 3}}
    asker.server.says(values)
    vertex = Vertex("tides", "global", {})
    asked = call("embeddings", encoding_format="base64")
    body, given = await asker(vertex, asked, Token(), model="gemini-embedding-2")
    told = msgspec.json.decode(body)
    assert b64decode(told["data"][0]["embedding"]) == b"\x00\x00\x00?"
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert given.facts.usage == Usage(input=3, output=0)
    assert asker.server.asked[0].path.endswith("/models/gemini-embedding-2:embedContent")


async def test_older_models_of_vertex_predict(asker: Asker) -> None:
    predicted = {
        "embeddings": {"values": [1], "statistics": {"token_count": 2, "truncated": False}}
    }
    asker.server.says({"predictions": [predicted, predicted]})
    vertex = Vertex("tides", "us-central1", {})
    asked = call("embeddings", input=["a", "b"], dimensions=1)
    body, given = await asker(vertex, asked, Token(), model="text-embedding-005")
    assert len(msgspec.json.decode(body)["data"]) == 2
    assert given.facts.usage == Usage(input=4, output=0)
    assert asker.server.asked[0].body == {
        "instances": [{"content": "a"}, {"content": "b"}],
        "parameters": {"outputDimensionality": 1},
    }


NO_VECTORS: list[Any] = [
    {},
    {"embeddings": []},
    {"embeddings": [{"values": [1]}, {"values": [2]}]},
    {"embeddings": [{"values": ["a"]}]},
    {"embeddings": [{}]},
    {"predictions": [{}]},
    [],
]


@pytest.mark.parametrize("told", NO_VECTORS)
async def test_an_answer_without_the_vectors_is_malformed(asker: Asker, told: Any) -> None:
    asker.server.says(told)
    with pytest.raises(UpstreamMalformed):
        await asker(Gemini(), call("embeddings"), model="gemini-embedding-001")


@pytest.mark.parametrize("given", [[1, 2], [[1], [2]], [], [""] * 0, [None], {}])
def test_what_is_no_text_is_not_embedded(given: Any) -> None:
    with pytest.raises((BadRequest, Unsupported)):
        Gemini().request(choice(), call("embeddings", input=given), KEY)


async def test_tokens_are_counted(asker: Asker) -> None:
    asker.server.says({"totalTokens": 31, "promptTokensDetails": []})
    asked = call("count_tokens", system="Be brief.")
    asked.body.pop("max_tokens", None)
    body, given = await asker(Gemini(), asked)
    assert body == b'{"input_tokens":31}'
    assert given.facts.usage is None
    contents = {
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
    }
    request = asker.server.asked[0]
    assert request.path == "/models/gemini-2.5-flash:countTokens"
    model = {"model": "models/gemini-2.5-flash"}
    assert request.body == {"generateContentRequest": model | contents}
    await asker(Vertex("tides", "global", {}), asked, Token())
    assert asker.server.asked[1].body == contents


@pytest.mark.parametrize("told", [{}, {"totalTokens": -1}, {"totalTokens": "1"}, []])
async def test_a_count_that_is_none_is_malformed(asker: Asker, told: Any) -> None:
    asker.server.says(told)
    with pytest.raises(UpstreamMalformed):
        await asker(Gemini(), call("count_tokens"))


# Beside google-genai's own client.

CONVERSATION = call(
    messages=[
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What time is it?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "time", "arguments": '{"zone": "UTC"}'},
                    "extra_content": {"google": {"thought_signature": "c2ln"}},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
    ],
    tools=[
        {
            "type": "function",
            "function": {
                "name": "time",
                "description": "The time",
                "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}},
            },
        }
    ],
    tool_choice="required",
    max_tokens=100,
    temperature=0.5,
    top_p=0.25,
    stop=["END"],
    seed=7,
    reasoning_effort="low",
    n=2,
)


@pytest.fixture(params=["studio", "vertex"])
def client(
    request: pytest.FixtureRequest, server: GoogleServer
) -> Generator[tuple[genai.Client, Dialect, Any]]:
    options = types.HttpOptions(base_url=server.url, api_version="")
    if request.param == "studio":
        made = genai.Client(api_key="AIza-key", http_options=options)
        dialect, credential = Gemini(), KEY
    else:
        options = types.HttpOptions(base_url=server.url, api_version="v1")
        made = genai.Client(
            vertexai=True,
            project="tides",
            location="europe-west4",
            credentials=Credentials(token="token"),
            http_options=options,
        )
        dialect, credential = Vertex("tides", "europe-west4", {}), Token()
    yield made, dialect, credential
    made.close()


def asked_by_sdk(client: genai.Client, server: GoogleServer, body: dict[str, Any]) -> Asked:
    """What the SDK sends when it is given the parts of `body`."""
    config = dict(body.get("generationConfig", {}))
    for name in ("systemInstruction", "tools", "toolConfig"):
        if name in body:
            config[name] = body[name]
    client.models.generate_content(
        model="gemini-3.5-flash",
        contents=[types.Content.model_validate(content) for content in body["contents"]],
        config=types.GenerateContentConfig.model_validate(config),
    )
    return server.asked[-1]


def test_the_sdk_sends_what_is_sent_here(
    client: tuple[genai.Client, Dialect, Any], server: GoogleServer
) -> None:
    sdk, dialect, credential = client
    server.says(answer({"text": "noon"}))
    request = dialect.request(choice("gemini-3.5-flash"), CONVERSATION, credential)
    asked = asked_by_sdk(sdk, server, said(request))
    assert _plain(asked.body) == _plain(said(request))
    assert asked.path.removeprefix("/v1") == request.path


def _plain(value: Any) -> Any:
    """`value` without what Google takes in two ways: base64, and the names of fields."""
    if isinstance(value, dict):
        plain = {camel(name): _plain(each) for name, each in cast("dict[str, Any]", value).items()}
        signature = plain.get("thoughtSignature")
        return plain | ({"thoughtSignature": urlsafe_b64decode(signature)} if signature else {})
    return [_plain(each) for each in cast("list[Any]", value)] if isinstance(value, list) else value


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.capitalize() for each in rest)


async def test_the_sdk_reads_what_is_read_here(asker: Asker) -> None:
    parts = ({"functionCall": {"id": "x1", "name": "time", "args": {"zone": "UTC"}}},)
    asker.server.streams(answer({"text": "Let "}, finish=None), answer({"text": "me."}, *parts))
    options = types.HttpOptions(base_url=asker.server.url, api_version="")
    async with genai.Client(api_key="key", http_options=options).aio as sdk:
        chunks = [
            chunk
            async for chunk in await sdk.models.generate_content_stream(
                model="gemini-2.5-flash", contents="Hello"
            )
        ]
    texts = "".join(
        part.text or ""
        for chunk in chunks
        for candidate in chunk.candidates or ()
        for part in (candidate.content.parts if candidate.content else None) or ()
    )
    body, _ = await asker(Gemini(), call(stream=True))
    told = [msgspec.json.decode(line[6:]) for line in body.split(b"\n\n") if line[6:7] == b"{"]
    deltas = [each["delta"] for chunk in told for each in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == texts == "Let me."
    calls = [each for delta in deltas for each in delta.get("tool_calls") or ()]
    assert calls[0]["id"] == "x1"
    assert "".join(each["function"].get("arguments", "") for each in calls) == '{"zone":"UTC"}'
