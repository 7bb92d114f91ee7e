"""OpenAI's own SDK finds everything it knows."""

from __future__ import annotations

import json
import math
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tidegate.providers.simulated import Server

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "place": {"type": "string"},
        "unit": {"enum": ["m", "ft"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 3},
        "levels": {"type": "array", "items": {"type": "number"}, "minItems": 2},
        "spring": {"type": "boolean"},
    },
    "required": ["place", "unit", "days", "levels", "spring"],
    "additionalProperties": False,
}
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "tide", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "moon"}},
]


def fits(value: dict[str, Any]) -> bool:
    return (
        set(value) == set(SCHEMA["properties"])
        and isinstance(value["place"], str)
        and value["unit"] in ("m", "ft")
        and value["days"] in (1, 2, 3)
        and len(value["levels"]) >= 2
        and isinstance(value["spring"], bool)
    )


async def test_chat_answers_whole(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim-1", messages=HI)
    assert answer.choices[0].finish_reason == "stop"
    assert len((answer.choices[0].message.content or "").split()) == 16
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (8, 16)
    assert answer.usage.total_tokens == 24


async def test_chat_streams_the_same_text(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim-1", messages=HI)
    stream = await client.chat.completions.create(model="sim-1", messages=HI, stream=True)
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == whole.choices[0].message.content
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len(chunks) == 1 + 16 + 1


async def test_usage_comes_last_and_alone_when_asked_for(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="sim-1", messages=HI, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 16
    assert all(chunk.usage is None and "usage" in chunk.to_dict() for chunk in chunks[:-1])


async def test_no_chunk_mentions_usage_when_not_asked_for(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="sim-1", messages=HI, stream=True)
    assert not [chunk async for chunk in stream if "usage" in chunk.to_dict()]


async def test_required_tool_is_called_with_fitting_arguments(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-1", messages=HI, tools=TOOLS, tool_choice="required"
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    assert call.function.name == "tide"
    assert fits(json.loads(call.function.arguments))


async def test_tool_calls_stream_in_pieces(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="sim-1",
        messages=[{"role": "user", "content": "Please call the tools."}],
        tools=TOOLS,
        stream=True,
    )
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    pieces = 0
    finish = None
    async for chunk in stream:
        finish = chunk.choices[0].finish_reason
        for call in chunk.choices[0].delta.tool_calls or ():
            assert call.function is not None
            if call.id:
                names[call.index] = call.function.name or ""
            arguments[call.index] = arguments.get(call.index, "") + (call.function.arguments or "")
            pieces += 1
    assert (names, finish) == ({0: "tide", 1: "moon"}, "tool_calls")
    assert fits(json.loads(arguments[0]))
    assert json.loads(arguments[1]) == {}
    assert pieces > 10


async def test_named_tool_is_called(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-1",
        messages=HI,
        tools=TOOLS,
        tool_choice={"type": "function", "function": {"name": "moon"}},
    )
    assert answer.choices[0].message.tool_calls
    assert answer.choices[0].finish_reason == "stop"


async def test_a_tool_result_is_answered_with_text(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-1",
        messages=[
            {"role": "user", "content": "call the tool"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"id": "c", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c", "content": "call the tool again"},
        ],
        tools=TOOLS,
    )
    assert answer.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
async def test_json_schema_is_satisfied(client: AsyncOpenAI, *, stream: bool) -> None:
    answer: Any = await client.chat.completions.create(
        model="sim-1",
        messages=HI,
        stream=stream,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "tide", "schema": SCHEMA, "strict": True},
        },
    )
    if stream:
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
    else:
        text = answer.choices[0].message.content
    assert fits(json.loads(text))


async def test_logprobs_cover_every_token(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model="sim-1", messages=HI, logprobs=True, top_logprobs=3
    )
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert scores.content is not None
    assert "".join(one.token for one in scores.content) == answer.choices[0].message.content
    assert {len(one.top_logprobs) for one in scores.content} == {3}
    assert bytes(scores.content[0].bytes or ()).decode() == scores.content[0].token
    stream = await client.chat.completions.create(
        model="sim-1", messages=HI, logprobs=True, stream=True
    )
    streamed = [
        one.token
        async for chunk in stream
        if chunk.choices[0].logprobs
        for one in chunk.choices[0].logprobs.content or ()
    ]
    assert streamed == [one.token for one in scores.content]


async def test_n_gives_different_choices(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="sim-1", messages=HI, n=2)
    texts = [choice.message.content for choice in answer.choices]
    assert len(set(texts)) == 2
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 32
    streamed = ["", ""]
    async for chunk in await client.chat.completions.create(
        model="sim-1", messages=HI, n=2, stream=True
    ):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


async def test_token_limits_end_with_length(client: AsyncOpenAI) -> None:
    for limit in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        answer = await client.chat.completions.create(model="sim-1", messages=HI, extra_body=limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3


async def test_stop_ends_before_itself(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="sim-1", messages=HI)
    text = whole.choices[0].message.content or ""
    stop = text[20:24]
    cut = await client.chat.completions.create(model="sim-1", messages=HI, stop=["\x00", stop])
    assert cut.choices[0].message.content == text[: text.find(stop)]
    assert cut.choices[0].finish_reason == "stop"


async def test_images_count_as_tokens(client: AsyncOpenAI) -> None:
    image = "data:image/png;base64,iVBORw0KGgo="
    answer = await client.chat.completions.create(
        model="sim-1",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hi"},
                    {"type": "image_url", "image_url": {"url": image}},
                ],
            }
        ],
    )
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 8 + 85


async def test_legacy_completions_answer_and_stream(client: AsyncOpenAI) -> None:
    whole = await client.completions.create(model="sim-1", prompt=["a", "b"], n=2, logprobs=1)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.choices[0].logprobs is not None
    assert "".join(whole.choices[0].logprobs.tokens or ()) == whole.choices[0].text
    stream = await client.completions.create(
        model="sim-1", prompt="a", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].text for chunk in chunks[:-1])
    assert text == whole.choices[0].text
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 16


async def test_legacy_echo_repeats_the_prompt(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model="sim-1", prompt='say "ü" ', echo=True, max_tokens=2
    )
    assert answer.choices[0].text.startswith('say "ü" ')
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


async def test_embeddings_are_unit_vectors_and_the_same_again(client: AsyncOpenAI) -> None:
    texts = ["the tide turns", "the tide turns early", "something else entirely", ""]
    answer = await client.embeddings.create(model="sim-1", input=texts, encoding_format="float")
    vectors = [one.embedding for one in answer.data]
    assert {len(vector) for vector in vectors} == {1536}
    for vector in vectors:
        assert math.isclose(math.hypot(*vector), 1.0, rel_tol=1e-5)
    again = await client.embeddings.create(model="sim-1", input=texts)  # the SDK asks for base64
    assert [one.embedding for one in again.data] == vectors
    close = sum(a * b for a, b in zip(vectors[0], vectors[1], strict=True))
    apart = sum(a * b for a, b in zip(vectors[0], vectors[2], strict=True))
    assert close > 0.7 > apart


async def test_embeddings_of_token_ids_have_the_size_asked_for(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="sim-1", input=[[1, 2], [3]], dimensions=8)
    assert [len(one.embedding) for one in answer.data] == [8, 8]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


async def test_models_are_listed_and_looked_up(client: AsyncOpenAI) -> None:
    assert [model.id async for model in await client.models.list()] == ["sim-1"]
    assert (await client.models.retrieve("sim-1")).object == "model"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("other")


async def test_statuses_become_the_sdk_s_own_errors(client: AsyncOpenAI) -> None:
    for status, error in (
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ):
        with pytest.raises(error):
            await client.chat.completions.create(model=f"sim-1+status:{status}", messages=HI)


async def test_the_sdk_reads_odd_framing(client: AsyncOpenAI) -> None:
    plain = await client.chat.completions.create(model="sim-1", messages=HI)
    stream = await client.chat.completions.create(
        model="sim-1", messages=HI, stream=True, extra_headers={"x-simulate": "odd-framing"}
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == plain.choices[0].message.content


async def test_an_error_event_is_raised_by_the_sdk(client: AsyncOpenAI, server: Server) -> None:
    stream = await client.chat.completions.create(
        model="sim-1+error-event:2", messages=HI, stream=True
    )
    with pytest.raises(openai.APIError, match="on demand"):
        _ = [chunk async for chunk in stream]
    assert server.stats.delivered_tokens == 2
