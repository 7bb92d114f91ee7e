"""OpenAI's own SDK reads responses, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from vendor_formats import FORMATS

from tidegate.providers.simulated import Server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"place": {"type": "string"}},
    "required": ["place"],
    "additionalProperties": False,
}
TOOLS: Any = [
    {"type": "function", "name": "tide", "parameters": SCHEMA, "strict": True},
    {"type": "function", "name": "moon", "parameters": None, "strict": False},
]


async def test_a_response_and_its_stream_say_the_same(client: AsyncOpenAI) -> None:
    whole = await client.responses.create(model="sim-1", input="hi")
    Response.model_validate(whole.model_dump())
    async with client.responses.stream(model="sim-1", input="hi") as stream:
        streamed = await stream.get_final_response()
    assert streamed.output_text == whole.output_text
    assert len(whole.output_text.split()) == 16
    assert whole.usage is not None
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (8, 16)


@pytest.mark.parametrize("fault", ["thinking=3", "tokens=0", "length", "content-filter", ""])
async def test_every_event_is_one_of_the_sdk_s(server: Server, raw: Any, fault: str) -> None:
    adapter: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    form = FORMATS["responses"]
    for asked in ({}, {"input": "call the tools", "tools": TOOLS}):
        events = form.events(await raw(server.port, form.request(fault, stream=True, **asked)))
        for event in events:
            adapter.validate_python(event)
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        ending = "incomplete" if fault in ("length", "content-filter") else "completed"
        assert [events[0]["type"], events[-1]["type"]] == [
            "response.created",
            f"response.{ending}",
        ]
        texts = [event["text"] for event in events if event["type"].endswith("text.done")]
        deltas = "".join(e["delta"] for e in events if e["type"].endswith("text.delta"))
        assert deltas == "".join(texts)


async def test_functions_are_called(client: AsyncOpenAI) -> None:
    whole = await client.responses.create(model="sim-1", input="call the tools", tools=TOOLS)
    async with client.responses.stream(
        model="sim-1", input="call the tools", tools=TOOLS
    ) as stream:
        streamed = await stream.get_final_response()
    for answer in (whole, streamed):
        calls = [item for item in answer.output if item.type == "function_call"]
        assert [call.name for call in calls] == ["tide", "moon"]
        assert set(json.loads(calls[0].arguments)) == {"place"}
    result: Any = {"type": "function_call_output", "call_id": "c", "output": "call the tool"}
    call: Any = {"type": "function_call", "call_id": "c", "name": "tide", "arguments": "{}"}
    again = await client.responses.create(
        model="sim-1", input=[call, result], tools=TOOLS, tool_choice="auto"
    )
    assert again.output_text
    for choice in ({"type": "function", "name": "moon"}, "required"):
        forced: Any = choice
        named = await client.responses.create(
            model="sim-1", input="hi", tools=TOOLS, tool_choice=forced
        )
        assert named.output[0].type == "function_call"
    allowed: Any = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "moon"}],
    }
    only = await client.responses.create(
        model="sim-1", input="hi", tools=TOOLS, tool_choice=allowed
    )
    assert only.output[0].type == "function_call"
    assert only.output[0].name == "moon"


async def test_reasoning_is_an_item_when_a_summary_is_wanted(client: AsyncOpenAI) -> None:
    answer = await client.responses.create(
        model="sim-1", input="hi", reasoning={"summary": "auto", "effort": "low"}
    )
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.usage is not None
    assert answer.usage.output_tokens_details.reasoning_tokens == 8


async def test_json_output_fits_its_schema(client: AsyncOpenAI) -> None:
    answer = await client.responses.create(
        model="sim-1",
        input="hi",
        text={"format": {"type": "json_schema", "name": "tide", "schema": SCHEMA}},
    )
    assert set(json.loads(answer.output_text)) == {"place"}


async def test_a_limit_leaves_it_incomplete(client: AsyncOpenAI) -> None:
    answer = await client.responses.create(
        model="sim-1+tokens:99", input="hi", max_output_tokens=20
    )
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


async def test_a_failure_in_the_middle_is_an_event_and_a_failed_response(
    client: AsyncOpenAI,
) -> None:
    stream = await client.responses.create(model="sim-1+error-event:2", input="hi", stream=True)
    events = [event async for event in stream]
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert [getattr(event, "sequence_number", None) for event in events] == list(range(8))


REFUSED: list[Any] = [
    ({"input": ""}, "missing_required_parameter"),
    ({"max_output_tokens": 3}, "integer_below_min_value"),
    ({"previous_response_id": "resp_unknown"}, "previous_response_not_found"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, None),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "x"}]}, None),
    ({"tools": [{"type": "function"}]}, None),
    ({"tool_choice": {"type": "function", "name": "x"}}, None),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, None),
]


@pytest.mark.parametrize(("change", "code"), REFUSED)
async def test_what_openai_refuses_is_refused(
    server: Server, raw: Any, change: dict[str, Any], code: str | None
) -> None:
    answer = await raw(server.port, FORMATS["responses"].request(**change))
    assert (answer.status, answer.json["error"]["code"]) == (400, code)
    assert answer.json["error"]["param"]


async def test_a_response_of_its_own_may_be_continued(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="sim-1", input="hi")
    result: Any = [{"type": "function_call_output", "call_id": "before", "output": "x"}]
    second = await client.responses.create(
        model="sim-1", input=result, previous_response_id=first.id
    )
    assert second.previous_response_id == first.id
    with pytest.raises(openai.BadRequestError, match="not found"):
        await client.responses.create(model="sim-1", input="x", previous_response_id="resp_1")
