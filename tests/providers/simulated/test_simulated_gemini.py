"""Google's own SDK finds everything it knows, on AI Studio's paths and on Vertex AI's."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials
from vendor_formats import FORMATS

from tidegate.providers.simulated import Server

SCHEMA: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {"place": {"type": "STRING"}, "days": {"type": "INTEGER"}},
    "required": ["place", "days"],
}
TOOLS = [
    types.Tool(
        function_declarations=[
            types.FunctionDeclaration(
                name="tide", parameters_json_schema={**SCHEMA, "type": "object"}
            ),
            types.FunctionDeclaration(name="moon"),
        ]
    )
]


@pytest.fixture
async def client(server: Server) -> AsyncIterator[genai.Client]:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.port}")
    sdk = genai.Client(api_key="any", http_options=options)
    async with aclosing(sdk.aio):
        yield sdk
    sdk.close()


async def test_content_and_its_stream_say_the_same(client: genai.Client) -> None:
    models = client.aio.models
    whole = await models.generate_content(model="sim-1", contents="hi")
    said = ""
    last = whole
    async for last in await models.generate_content_stream(model="sim-1", contents="hi"):
        said += last.text or ""
    assert said == whole.text
    for answer in (whole, last):
        assert answer.candidates
        assert answer.candidates[0].finish_reason == types.FinishReason.STOP
        assert answer.usage_metadata is not None
        assert answer.usage_metadata.prompt_token_count == 8
        assert answer.usage_metadata.candidates_token_count == 16
        assert answer.usage_metadata.total_token_count == 24


async def test_every_object_is_the_sdk_s(server: Server, raw: Any) -> None:
    form = FORMATS["gemini"]
    for faults in ("thinking=2; cached=3", "tokens=0", "length", "content-policy"):
        events = form.events(await raw(server.port, form.request(faults, stream=True)))
        whole = (await raw(server.port, form.request(faults))).json
        for one in (*events, whole):
            types.GenerateContentResponse.model_validate(one)
    assert events[-1]["promptFeedback"]["blockReason"] == "PROHIBITED_CONTENT"


async def test_functions_are_called_with_fitting_arguments(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        tools=list(TOOLS),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    whole = await client.aio.models.generate_content(
        model="sim-1", contents="call the tools", config=config
    )
    calls = whole.function_calls or []
    assert [call.name for call in calls] == ["tide", "moon"]
    assert set(calls[0].args or ()) == {"place", "days"}
    streamed = await client.aio.models.generate_content_stream(
        model="sim-1", contents="call the tools", config=config
    )
    names = [call.name async for chunk in streamed for call in chunk.function_calls or ()]
    assert names == ["tide", "moon"]
    broken = await client.aio.models.generate_content(
        model="sim-1+badargs", contents="call the tools", config=config
    )
    assert broken.candidates
    assert broken.candidates[0].finish_reason == types.FinishReason.MALFORMED_FUNCTION_CALL


@pytest.mark.parametrize(("mode", "called"), [("ANY", True), ("NONE", False), ("AUTO", False)])
async def test_whether_functions_are_called_can_be_said(
    client: genai.Client, mode: str, *, called: bool
) -> None:
    calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode(mode))
    config = types.GenerateContentConfig(
        tools=list(TOOLS),
        tool_config=types.ToolConfig(function_calling_config=calling),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    answer = await client.aio.models.generate_content(model="sim-1", contents="hi", config=config)
    assert bool(answer.function_calls) is called


async def test_json_output_fits_its_schema(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        response_mime_type="application/json", response_schema=SCHEMA
    )
    answer = await client.aio.models.generate_content(model="sim-1", contents="hi", config=config)
    assert set(json.loads(answer.text or "")) == {"place", "days"}


async def test_thoughts_are_parts_and_candidates_differ(client: genai.Client) -> None:
    config = types.GenerateContentConfig(
        candidate_count=2, thinking_config=types.ThinkingConfig(include_thoughts=True)
    )
    answer = await client.aio.models.generate_content(model="sim-1", contents="hi", config=config)
    assert answer.candidates
    assert len({str(candidate.content) for candidate in answer.candidates}) == 2
    content = answer.candidates[0].content
    assert content is not None
    assert content.parts
    assert [part.thought for part in content.parts] == [True, None]
    assert answer.usage_metadata is not None
    assert answer.usage_metadata.thoughts_token_count == 8


async def test_limits_and_stop_sequences_end_it(client: genai.Client) -> None:
    models = client.aio.models
    word = ((await models.generate_content(model="sim-1", contents="hi")).text or "").split()[3]
    for config, reason, tokens in (
        (types.GenerateContentConfig(max_output_tokens=2), "MAX_TOKENS", 2),
        (types.GenerateContentConfig(stop_sequences=[word]), "STOP", None),
    ):
        answer = await models.generate_content(model="sim-1", contents="hi", config=config)
        assert answer.candidates
        assert answer.candidates[0].finish_reason == types.FinishReason(reason)
        assert word not in (answer.text or "") or tokens


async def test_errors_carry_status_and_details(client: genai.Client) -> None:
    for fault, status, word in (
        ("status:500", 500, "INTERNAL"),
        ("status:404", 404, "NOT_FOUND"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("retry-after-ms:1500", 429, "RESOURCE_EXHAUSTED"),
        ("context-overflow", 400, "INVALID_ARGUMENT"),
    ):
        with pytest.raises(errors.APIError) as raised:
            await client.aio.models.generate_content(model=f"sim-1+{fault}", contents="hi")
        assert (raised.value.code, raised.value.status) == (status, word)
        if status == 429:
            error: Any = raised.value
            assert error.details["error"]["details"][-1]["retryDelay"] == "1.5s"
    stream = await client.aio.models.generate_content_stream(
        model="sim-1+error-event:2", contents="hi"
    )
    with pytest.raises(errors.ServerError, match="on demand"):
        _ = [chunk async for chunk in stream]


async def test_a_filtered_prompt_is_an_answer_without_candidates(client: genai.Client) -> None:
    answer = await client.aio.models.generate_content(model="sim-1+content-policy", contents="hi")
    assert answer.prompt_feedback is not None
    assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
    assert not answer.candidates


async def test_tokens_are_counted_and_texts_embedded(client: genai.Client) -> None:
    counted = await client.aio.models.count_tokens(model="sim-1", contents="hi")
    assert counted.total_tokens == 8
    config = types.EmbedContentConfig(output_dimensionality=64)
    answer = await client.aio.models.embed_content(
        model="sim-1", contents=["a tide", "a tide"], config=config
    )
    assert answer.embeddings
    one, other = (embedding.values or [] for embedding in answer.embeddings)
    assert one == other
    assert len(one) == 64
    assert math.isclose(math.hypot(*one), 1.0, rel_tol=1e-5)


REFUSED: list[Any] = [
    ({"contents": []}, "contents is not specified"),
    ({"contents": [{"role": "system", "parts": [{"text": "x"}]}]}, "valid role"),
    ({"contents": [{"role": "user", "parts": []}]}, "must not be empty"),
    (
        {"contents": [{"role": "user", "parts": [{"functionResponse": {"name": "x"}}]}]},
        "number of function response parts",
    ),
    ({"generationConfig": {"temperature": 3}}, "temperature"),
    ({"generationConfig": {"candidateCount": 9}}, "candidateCount"),
    ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "response_mime_type"),
    (
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["x"]}}},
        "unknown function",
    ),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
async def test_what_google_refuses_is_refused(
    server: Server, raw: Any, change: dict[str, Any], says: str
) -> None:
    answer = await raw(server.port, FORMATS["gemini"].request(**change))
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert says in answer.json["error"]["message"]


async def test_vertex_has_the_same_under_its_paths(server: Server) -> None:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{server.port}")
    client = genai.Client(
        vertexai=True,
        project="p",
        location="europe-west4",
        credentials=Credentials("any"),
        http_options=options,
    )
    async with aclosing(client.aio):
        whole = await client.aio.models.generate_content(model="sim-1", contents="hi")
        stream = await client.aio.models.generate_content_stream(model="sim-1", contents="hi")
        assert "".join([chunk.text or "" async for chunk in stream]) == whole.text
        answer = await client.aio.models.embed_content(model="sim-1", contents="a tide")
        assert answer.embeddings
    client.close()
