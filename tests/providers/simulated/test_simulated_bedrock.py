"""A real bedrock-runtime client reads Converse and its event stream; signatures are checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError
from hypothesis import given
from hypothesis import strategies as st
from vendor_formats import FORMATS

from tidegate.providers.simulated import Server
from tidegate.providers.simulated.bedrock.eventstream import event, frame

HI: Any = [{"role": "user", "content": [{"text": "hi"}]}]
CALL: Any = [{"role": "user", "content": [{"text": "call the tools"}]}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["place", "days"],
}
TOOLS: Any = {
    "tools": [
        {"toolSpec": {"name": "tide", "inputSchema": {"json": SCHEMA}}},
        {"toolSpec": {"name": "moon", "inputSchema": {"json": {"type": "object"}}}},
    ]
}
ClientOf = Callable[..., Any]


@pytest.fixture(scope="module")
def session() -> Any:
    return botocore.session.get_session()  # one for all: it reads its models once


@pytest.fixture
def client_of(session: Any) -> Iterator[ClientOf]:
    """Make a client of a server, with the secret to sign with."""
    made: list[Any] = []

    def make(server: Server, secret: str = "secret") -> Any:
        client = session.create_client(
            "bedrock-runtime",
            region_name="eu-central-1",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            aws_access_key_id="AKIDSIMULATED",
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(server: Server, client_of: ClientOf) -> Any:
    return client_of(server)


async def converse(client: Any, **asked: Any) -> Any:
    return await asyncio.to_thread(client.converse, **{"modelId": "sim-1", "messages": HI, **asked})


async def stream(client: Any, **asked: Any) -> list[Any]:
    def read() -> list[Any]:
        events = client.converse_stream(**{"modelId": "sim-1", "messages": HI, **asked})["stream"]
        try:
            return list(events)
        finally:
            events.close()

    return await asyncio.to_thread(read)


def deltas(events: list[Any], field: str) -> str:
    found = [one["contentBlockDelta"]["delta"] for one in events if "contentBlockDelta" in one]
    return "".join(one.get(field) or "" for one in found)


async def test_an_answer_and_its_stream_say_the_same(client: Any) -> None:
    whole = await converse(client)
    events = await stream(client)
    assert deltas(events, "text") == whole["output"]["message"]["content"][0]["text"]
    assert (whole["stopReason"], events[-2]) == (
        "end_turn",
        {"messageStop": {"stopReason": "end_turn"}},
    )
    told = {"inputTokens": 8, "outputTokens": 16, "totalTokens": 24}
    assert whole["usage"] == events[-1]["metadata"]["usage"]
    assert whole["usage"].items() >= told.items()


async def test_tools_are_called_with_fitting_arguments(client: Any) -> None:
    whole = await converse(client, messages=CALL, toolConfig=TOOLS)
    calls = [block["toolUse"] for block in whole["output"]["message"]["content"]]
    assert [call["name"] for call in calls] == ["tide", "moon"]
    assert set(calls[0]["input"]) == {"place", "days"}
    events = await stream(client, messages=CALL, toolConfig=TOOLS)
    opened = [one["contentBlockStart"] for one in events if "contentBlockStart" in one]
    assert [one["start"]["toolUse"]["name"] for one in opened] == ["tide", "moon"]
    assert events[-2]["messageStop"]["stopReason"] == "tool_use"
    named: Any = {**TOOLS, "toolChoice": {"tool": {"name": "moon"}}}
    only = await converse(client, toolConfig=named)
    assert only["output"]["message"]["content"][0]["toolUse"]["name"] == "moon"
    result = {"toolUseId": calls[0]["toolUseId"], "content": [{"text": "call the tool"}]}
    again = await converse(
        client,
        messages=[
            *CALL,
            {"role": "assistant", "content": [{"toolUse": calls[0]}]},
            {"role": "user", "content": [{"toolResult": result}]},
        ],
        toolConfig=TOOLS,
    )
    assert again["stopReason"] == "end_turn"


async def test_thoughts_come_signed_and_are_known_again(client: Any) -> None:
    thinking = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    whole = await converse(client, additionalModelRequestFields=thinking)
    content = whole["output"]["message"]["content"]
    assert content[0]["reasoningContent"]["reasoningText"]["signature"]
    events = await stream(client, additionalModelRequestFields=thinking)
    signatures = [
        one["contentBlockDelta"]["delta"]["reasoningContent"]["signature"]
        for one in events
        if "signature"
        in one.get("contentBlockDelta", {}).get("delta", {}).get("reasoningContent", {})
    ]
    assert signatures == [content[0]["reasoningContent"]["reasoningText"]["signature"]]
    again = [*HI, {"role": "assistant", "content": content}, *HI]
    assert (await converse(client, messages=again))["usage"]["inputTokens"] > 8
    content[0]["reasoningContent"]["reasoningText"]["text"] += "!"
    with pytest.raises(ClientError, match="Invalid `signature`"):
        await converse(client, messages=again)


async def test_json_output_fits_its_schema(client: Any) -> None:
    structure = {"jsonSchema": {"schema": json.dumps(SCHEMA), "name": "tide"}}
    form = {"textFormat": {"type": "json_schema", "structure": structure}}
    whole = await converse(client, outputConfig=form)
    text = whole["output"]["message"]["content"][0]["text"]
    assert set(json.loads(text)) == {"place", "days"}


async def test_limits_stop_sequences_and_caches_are_told(client: Any) -> None:
    short = await converse(client, inferenceConfig={"maxTokens": 2})
    assert (short["stopReason"], short["usage"]["outputTokens"]) == ("max_tokens", 2)
    word = (await converse(client))["output"]["message"]["content"][0]["text"].split()[3]
    cut = await converse(client, inferenceConfig={"stopSequences": [word]})
    assert cut["stopReason"] == "stop_sequence"
    usage = (await converse(client, modelId="sim-1+cached:3+cache-write:1"))["usage"]
    assert (usage["inputTokens"], usage["cacheReadInputTokens"]) == (4, 3)
    assert (usage["cacheWriteInputTokens"], usage["totalTokens"]) == (1, 24)


async def test_errors_are_the_service_s_exceptions(client: Any) -> None:
    for fault, name in (
        ("status:400", "ValidationException"),
        ("status:403", "AccessDeniedException"),
        ("status:404", "ResourceNotFoundException"),
        ("retry-after:1", "ThrottlingException"),
        ("status:500", "InternalServerException"),
        ("overloaded", "ServiceUnavailableException"),
        ("context-overflow", "ValidationException"),
        ("content-policy", "ValidationException"),
    ):
        for ask in (converse, stream):
            with pytest.raises(getattr(client.exceptions, name)) as raised:
                await ask(client, modelId=f"sim-1+{fault}")
            assert raised.value.response["Error"]["Message"]
            assert raised.value.response["ResponseMetadata"]["RequestId"].startswith("req-sim-")


async def test_an_exception_in_the_stream_is_raised(client: Any) -> None:
    with pytest.raises(EventStreamError, match="internalServerException"):
        await stream(client, modelId="sim-1+error-event:2")
    with pytest.raises(EventStreamError, match="serviceUnavailableException"):
        await stream(client, modelId="sim-1+error-event:2+overloaded")


REFUSED: list[Any] = [
    ({"messages": []}, "start with a user message"),
    ({"messages": [*HI, *HI]}, "alternate"),
    ({"messages": [{"role": "user", "content": []}]}, "is empty"),
    ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
    ({"inferenceConfig": {"temperature": 1.5}}, "temperature"),
    ({"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}}, "JSON"),
    ({"toolConfig": {"tools": [], "toolChoice": {"tool": {"name": "x"}}}}, "toolChoice"),
    (
        {
            "messages": [
                *HI,
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": "{}"}}],
                },
            ]
        },
        "toolUse.input",
    ),
    (
        {
            "messages": [
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": []}}]}
            ]
        },
        "toolResult",
    ),
    (
        {
            "messages": [
                *HI,
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}],
                },
                *HI,
            ]
        },
        "Expected toolResult blocks",
    ),
    (
        {
            "messages": [
                *HI,
                {
                    "role": "assistant",
                    "content": [{"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}],
                },
                {
                    "role": "user",
                    "content": [{"toolResult": {"toolUseId": "t", "content": []}}],
                },
            ]
        },
        "toolConfig field must be defined",
    ),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
async def test_what_bedrock_refuses_is_refused(
    server: Server, raw: Any, change: dict[str, Any], says: str
) -> None:
    answer = await raw(server.port, FORMATS["converse"].request(**change))
    assert (answer.status, answer.headers["x-amzn-errortype"]) == (400, "ValidationException")
    assert says in answer.json["message"]


async def test_titan_embeds_a_text(client: Any) -> None:

    def embed() -> Any:
        body = json.dumps({"inputText": "a tide", "dimensions": 256})
        answer = client.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=body)
        return json.loads(answer["body"].read())

    told = await asyncio.to_thread(embed)
    assert (len(told["embedding"]), told["inputTextTokenCount"]) == (256, 2)


async def test_a_signature_is_checked_against_the_secret(
    simulate: Any, client_of: ClientOf
) -> None:
    server = await simulate(key="the-secret")
    model = "eu.anthropic.claude-sonnet-4-20250514-v1:0"
    arn = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.some-model-v1:0"
    right, wrong = client_of(server, "the-secret"), client_of(server, "another-secret")
    for name in (model, arn):
        assert (await converse(right, modelId=name))["usage"]["outputTokens"] == 16
        assert (await stream(right, modelId=name))[-1]["metadata"]
        with pytest.raises(ClientError, match="signature we calculated does not match"):
            await converse(wrong, modelId=name)
    assert list(server.stats.by_model) == [model, arn]


@given(
    st.lists(st.tuples(st.sampled_from(["contentBlockDelta", "metadata"]), st.binary(max_size=400)))
)
def test_frames_are_read_by_the_sdk_s_own_reader(said: list[tuple[str, bytes]]) -> None:
    buffer = EventStreamBuffer()
    for kind, payload in said:
        buffer.add_data(frame(event(kind), payload))
    found: Any = [(message.headers[":event-type"], message.payload) for message in buffer]
    assert found == said
