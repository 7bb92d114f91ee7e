"""Requests in the Responses format: read from callers, written to providers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses.response_create_params import (
    ResponseCreateParamsNonStreaming,
    ResponseCreateParamsStreaming,
)
from pydantic import TypeAdapter
from responses_samples import ASK, BODY, GOLDEN, SCHEMA, TURNS, Json

from tidegate.errors import BadRequest
from tidegate.formats.responses import read_ask, write_ask
from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

STREAMED = TypeAdapter[Any](ResponseCreateParamsStreaming)
WHOLE = TypeAdapter[Any](ResponseCreateParamsNonStreaming)


def validate(body: Json) -> None:
    """Judge a body by the types of OpenAI's SDK."""
    adapter = STREAMED if body.get("stream") else WHOLE
    # What pydantic takes for an iterable is read once, and only then checked.
    said = adapter.validate_python({"model": "m", **body})
    for name in ("input", "tools"):
        if not isinstance(said.get(name, ""), str):
            list(said[name])


def ask(**fields: Any) -> Ask:
    return read_ask({"model": "m", "input": "hello", **fields})


def asked(**fields: Any) -> Ask:
    turns = fields.pop("turns", (Turn("user", (Text("hello"),)),))
    return Ask(model="m", turns=turns, **fields)


def test_everything_a_caller_may_say_is_read() -> None:
    read = read_ask(BODY)
    assert read.turns == TURNS
    assert read.tools == (
        Tool("weather", "Weather.", SCHEMA, strict=True),
        ForeignTool("responses", {"type": "web_search"}),
    )
    assert read.tool_choice == ToolChoice("tool", "weather")
    assert read.parallel_tools is False
    assert read.output == JsonOutput(SCHEMA, "place", strict=True)
    assert read.reasoning == Reasoning(effort="low", show=True, summary="auto")
    assert (read.max_tokens, read.temperature, read.top_p) == (400, 0.5, 0.9)
    assert (read.logprobs, read.top_logprobs) == (True, 2)
    assert (read.user, read.service_tier, read.stream) == ("somebody", "flex", True)
    assert read.extra == {"verbosity": "low"}


def test_golden_request() -> None:
    body, dropped = write_ask(ASK)
    validate(body)
    assert dropped == []
    golden = json.loads((GOLDEN / "responses_request.json").read_text())
    assert json.loads(json.dumps(body)) == golden


def test_what_is_written_is_read_again() -> None:
    body, _ = write_ask(ASK)
    read = read_ask({**body, "model": "assistant"})
    assert read.turns[:2] == ASK.turns[:2]
    assert read.tools == (
        ASK.tools[0],
        Tool("nothing", strict=False),
    )
    for name in (
        "tool_choice", "parallel_tools", "output", "max_tokens", "temperature", "top_p",
        "logprobs", "top_logprobs", "user", "service_tier", "stream",
    ):  # fmt: skip
        assert getattr(read, name) == getattr(ASK, name), name
    assert read.extra == {"verbosity": "low", "prompt_cache_key": "k"}


def test_text_is_one_turn_of_the_user() -> None:
    assert ask().turns == (Turn("user", (Text("hello"),)),)
    assert ask(instructions="Be.").turns[0] == Turn("system", (Text("Be."),))


def test_a_known_response_must_have_been_continued_before() -> None:
    with pytest.raises(BadRequest) as refused:
        ask(previous_response_id="resp_1")
    assert refused.value.param == "previous_response_id"
    assert refused.value.code == "previous_response_not_found"


@pytest.mark.parametrize(
    ("field", "value"),
    [("background", True), ("conversation", "conv_1"), ("prompt", {"id": "pmpt_1"})],
)
def test_what_only_one_provider_keeps_is_refused(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(**{field: value})
    assert refused.value.param == field


@pytest.mark.parametrize(
    "item", [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_1"}, {"type": None, "id": "x"}]
)
def test_reference_to_an_item_is_refused(item: Json) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(input=[{"role": "user", "content": "a"}, item])
    assert refused.value.param == "input[1]"


def test_message_may_name_its_type_null() -> None:
    assert ask(input=[{"type": None, "role": "user", "content": "a"}]).turns == (
        Turn("user", (Text("a"),)),
    )


MISTAKES: list[tuple[Json, str]] = [
    ({"input": None}, "input"),
    ({"input": 1}, "input"),
    ({"input": ["text"]}, "input[0]"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "judge", "content": ""}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": [1]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
     "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
     "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
     "input[0].content[0]"),
    ({"input": [{"type": "function_call", "call_id": "1", "name": "f", "arguments": {}}]},
     "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "output": "a"}]}, "input[0].call_id"),
    ({"input": [{"type": "reasoning", "summary": [{"text": 1}]}]}, "input[0].summary[0].text"),
    ({"tools": [1]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tool_choice": "perhaps"}, "tool_choice"),
    ({"tool_choice": {}}, "tool_choice.type"),
    ({"text": {"format": {}}}, "text.format.type"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort"),
    ({"metadata": {"a": 1}}, "metadata[...]"),
    ({"max_output_tokens": "many"}, "max_output_tokens"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), MISTAKES)
def test_mistake_is_told_by_its_path(body: Json, param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        ask(**body)
    assert refused.value.param == param
    assert refused.value.message.startswith(f"{param}: ")


def test_items_of_a_providers_own_tools_are_kept() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    read = ask(input=[{"role": "user", "content": "a"}, item])
    assert read.turns[1] == Turn("assistant", (Foreign("responses", item),))


def test_choice_among_some_tools_leaves_the_others_out() -> None:
    tools = [{"type": "function", "name": name} for name in ("a", "b")] + [{"type": "web_search"}]
    chosen = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "b"}, {"type": "web_search"}],
    }
    read = ask(tools=tools, tool_choice=chosen)
    assert read.tools == (Tool("b"),)
    assert read.tool_choice == ToolChoice("any")


def test_choice_of_a_providers_own_tool_is_kept_apart() -> None:
    read = ask(tools=[{"type": "web_search"}], tool_choice={"type": "web_search_preview"})
    assert read.tool_choice is None
    assert read.extra == {"tool_choice": {"type": "web_search_preview"}}


def test_unknown_fields_are_kept_under_their_names() -> None:
    read = ask(
        provider={"order": ["a"]},
        include=["file_search_call.results"],
        truncation="auto",
        prompt_cache_key="k",
        max_tool_calls=3,
        user="a",
        safety_identifier="b",
        seed=None,
    )
    assert read.user == "a"
    assert read.extra == {
        "provider": {"order": ["a"]},
        "include": ["file_search_call.results"],
        "truncation": "auto",
        "prompt_cache_key": "k",
        "max_tool_calls": 3,
        "safety_identifier": "b",
    }
    assert ask(safety_identifier="b").user == "b"


def test_what_other_formats_say_and_this_one_cannot_is_named() -> None:
    body, dropped = write_ask(
        asked(
            turns=(
                Turn("user", (Text("a", cache={"type": "ephemeral"}), Audio("AA==", "wav")), "Ann"),
                Turn("assistant", (Thinking("t", signature="theirs"), Foreign("messages", {}))),
                Turn("user", (ToolResult("1", (Text("no"),), failed=True),)),
            ),
            tools=(ForeignTool("messages", {"type": "bash_20250124"}),),
            tool_choice=ToolChoice("auto"),
            reasoning=Reasoning(effort="vast"),
            service_tier="standard_only",
            n=2,
            seed=1,
            top_k=4,
            stop=("END",),
            presence_penalty=0.1,
            frequency_penalty=0.2,
            extra={"logit_bias": {}},
        )
    )
    validate(body)
    assert dropped == [
        "messages[].name", "cache_control", "content[audio]", "messages[thinking]", "content[None]",
        "messages[tool_result.is_error]", "tools[bash_20250124]", "reasoning_effort",
        "service_tier", "logit_bias", "top_k", "stop", "seed", "presence_penalty",
        "frequency_penalty", "n",
    ]  # fmt: skip
    assert "tools" not in body
    assert "tool_choice" not in body


def test_marks_for_a_cache_are_told_wherever_they_stand() -> None:
    mark = {"type": "ephemeral"}
    marked = Turn("system", (Text("Be brief.", cache=mark),))
    turns = (marked, Turn("user", (Text("Hello"),)))
    assert write_ask(Ask(model="m", turns=turns))[1] == ["cache_control"]
    tools = (Tool("f", cache=mark),)
    assert write_ask(Ask(model="m", turns=turns[1:], tools=tools))[1] == ["cache_control"]


def test_one_choice_is_what_there_is_anyway() -> None:
    assert write_ask(asked(n=1))[1] == []


def test_nothing_is_left_at_the_provider_unless_the_caller_asks() -> None:
    assert write_ask(asked())[0]["store"] is False
    assert write_ask(asked(extra={"store": True}))[0]["store"] is True


def test_reasoning_comes_encrypted_where_there_is_any() -> None:
    assert "include" not in write_ask(asked())[0]
    assert "include" not in write_ask(asked(reasoning=Reasoning(effort="none")))[0]
    body, _ = write_ask(asked(reasoning=Reasoning(budget_tokens=5_000, show=True)))
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["reasoning"] == {"effort": "medium", "summary": "auto"}


def test_reasoning_of_this_format_goes_back_as_the_item_it_was() -> None:
    thoughts = (
        Thinking("a", signature="rs1:rs_1:gAAA"),
        Thinking(redacted="rs1:rs_2:gBBB"),
        Thinking("c", signature="rs1:rs_3:"),
    )
    body, dropped = write_ask(asked(turns=(Turn("assistant", thoughts),)))
    validate(body)
    assert dropped == []
    assert body["input"] == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "a"}],
            "encrypted_content": "gAAA",
        },
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gBBB"},
        {
            "type": "reasoning",
            "id": "rs_3",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "c"}],
        },
    ]


def test_limit_that_would_be_refused_is_raised() -> None:
    assert write_ask(asked(max_tokens=1))[0]["max_output_tokens"] == 16


def test_json_of_any_shape() -> None:
    assert write_ask(asked(output=JsonOutput()))[0]["text"] == {"format": {"type": "json_object"}}
    assert ask(text={"format": {"type": "json_object"}}).output == JsonOutput()
    assert ask(text={"format": {"type": "text"}}).output is None


@pytest.mark.parametrize("mode", ["auto", "none", "any"])
def test_modes_of_choice_are_said_and_read(mode: Any) -> None:
    body, _ = write_ask(asked(tools=(Tool("f", strict=False),), tool_choice=ToolChoice(mode)))
    validate(body)
    assert read_ask({**body, "model": "m"}).tool_choice == ToolChoice(mode)


def test_strictness_is_always_said() -> None:
    body, _ = write_ask(asked(tools=(Tool("f"),)))
    assert body["tools"][0]["strict"] is False


def test_parts_keep_their_order_in_the_flat_form() -> None:
    parts = (
        Text("a"),
        ToolUse("1", "f", "{}"),
        Text("b"),
        Refusal("c"),
    )
    body, _ = write_ask(asked(turns=(Turn("assistant", parts),)))
    validate(body)
    assert read_ask({**body, "model": "m"}).turns == (Turn("assistant", parts),)


def test_files_in_every_form() -> None:
    files = (
        File(file_id="file_1"),
        File(url="https://example.com/a.pdf"),
        File(data="AA==", media_type="application/pdf", name="a.pdf"),
    )
    body, _ = write_ask(asked(turns=(Turn("user", files),)))
    validate(body)
    assert read_ask({**body, "model": "m"}).turns == (Turn("user", files),)


def test_image_that_is_no_base64_stays_an_address() -> None:
    part = {"type": "input_image", "image_url": "data:image/svg+xml,%3Csvg/%3E"}
    read = ask(input=[{"role": "user", "content": [part]}])
    assert read.turns[0].parts == (Image(url="data:image/svg+xml,%3Csvg/%3E"),)
