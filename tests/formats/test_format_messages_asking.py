"""What is asked of a vendor of the Messages format: the SDK would send it, and nothing is lost
unseen."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from anthropic import transform_schema
from messages_judge import assert_request

from tidegate.errors import BadRequest
from tidegate.formats.messages import read_ask, write_ask
from tidegate.formats.messages.asking import MAX_TOKENS
from tidegate.formats.messages.schema import fit
from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

OLD, NEW = "claude-sonnet-4-5", "claude-opus-5-5"
HELLO = Turn("user", (Text("Hello"),))
GOLDEN = Path(__file__).parent / "golden"


def said(*turns: Turn, model: str = OLD, **fields: Any) -> tuple[dict[str, Any], list[str]]:
    body, dropped = write_ask(Ask(model=model, turns=turns or (HELLO,), **fields))
    assert_request(body)
    return body, dropped


def contents(*turns: Turn) -> list[tuple[str, list[str]]]:
    messages = said(*turns)[0]["messages"]
    return [
        (message["role"], [block.get("text") or block["type"] for block in message["content"]])
        for message in messages
    ]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("messages_*.json")), ids=lambda path: path.stem)
def test_a_request_there_and_back_is_the_golden_one(path: Path) -> None:
    golden = json.loads(path.read_bytes())
    ask = read_ask(golden["asked"] | {"model": golden["model"]})
    body, dropped = write_ask(ask)
    assert_request(body)
    assert body == golden["said"]
    assert dropped == golden["dropped"]


# Turns


def test_turns_of_one_role_become_one() -> None:
    assert contents(HELLO, HELLO, Turn("assistant", (Text("a"),)), Turn("assistant", (Text("b"),)))[
        :2
    ] == [("user", ["Hello", "Hello"]), ("assistant", ["a", "b"])]


def test_results_stand_first_in_their_turn() -> None:
    call = Turn("assistant", (ToolUse("a", "f", ""), ToolUse("b", "f", "")))
    hurry = Turn("user", (Text("hurry"),))
    results = (
        Turn("user", (Text("look"), ToolResult("a", (Text("1"),)))),
        Turn("user", (ToolResult("b", (), failed=True),)),
    )
    assert contents(HELLO, call, hurry, *results)[-1] == (
        "user", ["tool_result", "tool_result", "hurry", "look"],
    )  # fmt: skip
    blocks = said(HELLO, call, hurry, *results)[0]["messages"][-1]["content"]
    assert blocks[:2] == [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True},
    ]


def test_empty_text_and_turns_of_nothing_are_left_out() -> None:
    nothing = Turn("assistant", (Text(""),))
    assert contents(HELLO, nothing, Turn("user", (Text(""), Text("x")))) == [
        ("user", ["Hello", "x"]),
    ]


def test_instructions_are_hoisted_to_the_front() -> None:
    between = Turn("system", (Text("b", {"type": "ephemeral"}), Text("")))
    body, _ = said(Turn("system", (Text("a"),)), HELLO, between)
    assert body["system"] == [
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
    ]
    assert len(body["messages"]) == 1
    assert said(Turn("system", (Text("a"),)), HELLO)[0]["system"] == "a"


def test_instructions_alone_are_asked_as_the_user() -> None:
    body, _ = said(Turn("system", (Text("Speak."),)))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Speak."}]}]


def test_a_request_of_nothing_is_refused() -> None:
    with pytest.raises(BadRequest):
        said(Turn("user", (Text(""),)))


# Parts


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


PARTS: dict[str, tuple[Part, dict[str, Any] | None, list[str]]] = {
    "image": (
        Image(data="eA==", media_type="image/jpg"),
        {"type": "image", "source": {
            "type": "base64", "media_type": "image/jpeg", "data": "eA==",
        }}, [],
    ),
    "bitmap": (Image(data="eA==", media_type="image/bmp"), None, ["content[image/bmp]"]),
    "nameless image": (Image(data="eA=="), None, ["content[image]"]),
    "image by url": (
        Image(url="u", detail="high"), {"type": "image", "source": {"type": "url", "url": "u"}}, [],
    ),
    "image by file": (
        Image(file_id="f"), {"type": "image", "source": {"type": "file", "file_id": "f"}}, [],
    ),
    "pdf": (
        File(data="eA==", name="n"),
        {"type": "document", "title": "n", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "eA==",
        }}, [],
    ),
    "table": (
        File(data=encoded("a,b"), media_type="text/csv; charset=utf-8"),
        {"type": "document", "source": {
            "type": "text", "media_type": "text/plain", "data": "a,b",
        }}, [],
    ),
    "picture as a file": (
        File(data="eA==", media_type="image/png"),
        {"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "eA==",
        }}, [],
    ),
    "sheet": (
        File(data="eA==", media_type="application/vnd.ms-excel"), None,
        ["content[application/vnd.ms-excel]"],
    ),
    "no file": (File(name="n"), None, ["content[file]"]),
    "sound": (Audio("eA==", "wav"), None, ["content[input_audio]"]),
    "call": (
        ToolUse("functions.f:0", "f", '{"x":1}'),
        {"type": "tool_use", "id": "functions_f_0", "name": "f", "input": {"x": 1}}, [],
    ),
    "broken call": (
        ToolUse("a", "f", '{"x"'),
        {"type": "tool_use", "id": "a", "name": "f", "input": {"arguments": '{"x"'}}, [],
    ),
    "call with a list": (
        ToolUse("", "f", "[1]"),
        {"type": "tool_use", "id": "_", "name": "f", "input": {"arguments": [1]}}, [],
    ),
    "thinking": (
        Thinking("hm", "sig"), {"type": "thinking", "thinking": "hm", "signature": "sig"}, [],
    ),
    "thinking of another": (Thinking("hm"), None, ["messages[thinking]"]),
    "marked thinking": (Thinking("hm", "rs1:x:y"), None, ["messages[thinking]"]),
    "marked redacted": (Thinking(redacted="tg1r:y"), None, []),
    "redacted": (Thinking(redacted="d"), {"type": "redacted_thinking", "data": "d"}, []),
    "refusal": (Refusal("no"), {"type": "text", "text": "no"}, []),
    "own": (
        Foreign("messages", {"type": "container_upload", "file_id": "f"}),
        {"type": "container_upload", "file_id": "f"}, [],
    ),
    "foreign": (Foreign("gemini", {"type": "executableCode"}), None, ["content[executableCode]"]),
    "cited": (
        Text("x", notes=(
            {"type": "url_citation"},
            {"type": "page_location", "cited_text": "x", "document_index": 0,
             "document_title": None, "start_page_number": 1, "end_page_number": 2},
        )),
        {"type": "text", "text": "x", "citations": [
            {"type": "page_location", "cited_text": "x", "document_index": 0,
             "document_title": None, "start_page_number": 1, "end_page_number": 2},
        ]}, [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_said_or_told(name: str) -> None:
    part, block, dropped = PARTS[name]
    body, told = said(HELLO, Turn("assistant", (part,)))
    assert told == dropped
    assert body["messages"][1:] == (
        [] if block is None else [{"role": "assistant", "content": [block]}]
    )


def test_a_file_that_is_no_base64_is_refused() -> None:
    with pytest.raises(BadRequest):
        said(Turn("user", (File(data="%%", media_type="text/csv"),)))
    with pytest.raises(BadRequest):
        said(Turn("user", (File(data="/w==", media_type="text/csv"),)))


def test_the_signature_of_a_call_comes_back_with_it() -> None:
    blocks: list[Any] = [
        {"type": "thinking", "thinking": "", "signature": "tool:sig"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
    ]
    asked = {"role": "assistant", "content": blocks}
    ask = read_ask({"model": "claude", "messages": [asked]})
    assert ask.turns[0].parts == (ToolUse("a", "f", "{}", signature="sig"),)


# What shapes an answer

PLAIN = Tool("f", "d", {"type": "object", "properties": {"x": {"type": "string"}}})


def test_a_length_is_always_said() -> None:
    ask = Ask(model=OLD, turns=(HELLO,))
    assert write_ask(ask)[0]["max_tokens"] == MAX_TOKENS
    assert write_ask(ask, default=7)[0]["max_tokens"] == 7
    assert write_ask(ask, ceiling=5)[0]["max_tokens"] == 5
    long = Ask(model=OLD, turns=(HELLO,), max_tokens=99)
    assert write_ask(long, default=7)[0]["max_tokens"] == 99
    assert write_ask(long, default=7, ceiling=50)[0]["max_tokens"] == 50


def test_tools_are_said_with_a_schema_of_an_object() -> None:
    foreign = ForeignTool("responses", {"type": "web_search"})
    own = ForeignTool("messages", {"type": "bash_20250124", "name": "bash"})
    tools = (PLAIN, Tool("g"), Tool("h", schema={"properties": {}}), foreign, own)
    body, dropped = said(tools=tools)
    assert body["tools"] == [
        {"name": "f", "description": "d", "input_schema": PLAIN.schema},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"name": "h", "input_schema": {"type": "object", "properties": {}}},
        own.value,
    ]
    assert dropped == ["tools[web_search]"]


def test_alternatives_at_the_top_of_a_tools_schema_are_told_in_words() -> None:
    schema: dict[str, Any] = {"type": "object", "properties": {}, "oneOf": [{"required": ["a"]}]}
    tool = said(tools=(Tool("f", schema=schema),))[0]["tools"][0]
    assert tool["input_schema"] == {
        "type": "object", "properties": {}, "description": '{oneOf: [{"required":["a"]}]}',
    }  # fmt: skip


def test_strict_tools_are_held_to_their_schema_where_the_model_can() -> None:
    strict = Tool("f", schema=PLAIN.schema, strict=True)
    tool = said(tools=(strict,))[0]["tools"][0]
    assert tool["strict"] is True
    assert tool["input_schema"]["additionalProperties"] is False
    body, dropped = said(tools=(strict,), model="claude-sonnet-4-0")
    assert body["tools"][0] == {"name": "f", "input_schema": PLAIN.schema}
    assert dropped == ["tools[].strict"]


CHOICES: dict[str, tuple[ToolChoice | None, bool | None, dict[str, Any] | None]] = {
    "unsaid": (None, None, None),
    "auto": (ToolChoice("auto"), None, {"type": "auto"}),
    "one at a time": (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
    "any": (ToolChoice("any"), True, {"type": "any", "disable_parallel_tool_use": False}),
    "none": (ToolChoice("none"), False, {"type": "none"}),
    "that one": (ToolChoice("tool", "f"), None, {"type": "tool", "name": "f"}),
}


@pytest.mark.parametrize("name", CHOICES)
def test_whether_tools_are_called_is_said(name: str) -> None:
    choice, parallel, expected = CHOICES[name]
    body, dropped = said(tools=(PLAIN,), tool_choice=choice, parallel_tools=parallel)
    assert body.get("tool_choice") == expected
    assert "tool_choice" not in said(tool_choice=choice, parallel_tools=parallel)[0]
    assert not dropped


def test_a_model_that_cannot_be_made_to_call_is_left_to_choose() -> None:
    body, dropped = said(tools=(PLAIN,), tool_choice=ToolChoice("tool", "f"), model=NEW)
    assert (body["tool_choice"], dropped) == ({"type": "auto"}, ["tool_choice"])


POINT = {"type": "object", "properties": {"x": {"type": "integer"}}}


def test_json_is_held_to_its_schema_or_asked_for_in_words() -> None:
    body, dropped = said(output=JsonOutput(POINT))
    assert body["output_config"]["format"] == {
        "type": "json_schema", "schema": POINT | {"additionalProperties": False},
    }  # fmt: skip
    assert not dropped
    body, dropped = said(output=JsonOutput())
    assert "JSON object" in body["system"]
    assert dropped == ["response_format.json_object"]
    body, dropped = said(output=JsonOutput(POINT), model="other")
    assert '{"x":{"type":"integer"}}' in body["system"]
    assert dropped == ["response_format.json_schema"]


SAMPLINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[str]]] = {
    "old": (
        "claude-3-5-haiku", {"temperature": 0.5, "top_p": 0.9, "top_k": 3},
        {"temperature": 0.5, "top_p": 0.9, "top_k": 3}, [],
    ),
    "hot": (OLD, {"temperature": 1.5}, {"temperature": 1.0}, ["temperature"]),
    "both": (OLD, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ["top_p"]),
    "one": (OLD, {"top_p": 0.9}, {"top_p": 0.9}, []),
    "default": (OLD, {"temperature": 1, "top_p": 1}, {"temperature": 1.0}, []),
    "new": (
        NEW, {"temperature": 0.5, "top_p": 0.9, "top_k": 1}, {}, ["temperature", "top_p", "top_k"],
    ),
    "new default": (NEW, {"temperature": 1, "top_p": 1}, {}, []),
}  # fmt: skip


@pytest.mark.parametrize("name", SAMPLINGS)
def test_sampling_is_said_where_the_model_takes_it(name: str) -> None:
    model, fields, expected, dropped = SAMPLINGS[name]
    body, told = said(model=model, **fields)
    assert {name: body[name] for name in fields if name in body} == expected
    assert told == dropped


def test_what_the_format_has_no_word_for_is_told() -> None:
    body, dropped = said(
        Turn("user", (Text("x"),), name="Ada"),
        Turn("system", (Image(url="u"),)),
        seed=0,
        n=2,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        logprobs=True,
        top_logprobs=3,
        service_tier="flex",
        extra={"logit_bias": {}, "container": "c"},
    )
    assert dropped == [
        "messages[].name", "system[image]", "service_tier", "seed", "n", "presence_penalty",
        "frequency_penalty", "logprobs", "top_logprobs", "logit_bias",
    ]  # fmt: skip
    assert body["container"] == "c"


def test_what_only_says_the_default_is_not_told() -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "logprobs": False,
    }
    assert said(**neutral)[1] == []


def test_the_rest_is_said_by_its_own_name() -> None:
    body, _ = said(user="u", service_tier="default", stop=("x",), stream=True)
    assert body["metadata"] == {"user_id": "u"}
    assert body["service_tier"] == "standard_only"
    assert body["stop_sequences"] == ["x"]
    assert body["stream"] is True
    assert said(service_tier="priority")[0]["service_tier"] == "auto"


# Schemas

SCHEMAS: dict[str, dict[str, Any]] = {
    "nested": {
        "type": "object",
        "title": "T",
        "properties": {
            "list": {"type": "array", "items": {"$ref": "#/$defs/D"}, "minItems": 1},
            "long": {"type": "array", "minItems": 3, "description": "d"},
            "when": {"type": "string", "format": "date-time"},
            "code": {"type": "string", "minLength": 3, "format": "zip"},
            "kind": {"enum": ["a", "b"]},
            "one": {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        },
        "required": ["list"],
        "additionalProperties": True,
        "$defs": {"D": {"type": "object", "properties": {"x": {"type": "boolean"}}}},
    },
    "reference": {"$ref": "#/$defs/D", "$defs": {"D": {"type": "object"}}},
    "all": {"allOf": [{"type": "object", "properties": {}}], "description": "d"},
    "constant": {"const": 3, "type": "integer"},
    "alternatives of objects": {
        "type": "object", "properties": {"a": {"type": "null"}}, "anyOf": [{"type": "object"}],
    },
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_fitted_as_the_sdk_does_it(name: str) -> None:
    before = json.dumps(SCHEMAS[name])
    assert fit(SCHEMAS[name]) == transform_schema(SCHEMAS[name])
    assert json.dumps(SCHEMAS[name]) == before


def test_a_list_of_types_becomes_alternatives() -> None:
    assert fit({"type": ["string", "null"], "description": "d", "maxLength": 3}) == {
        "description": "d",
        "anyOf": [{"type": "string", "description": "{maxLength: 3}"}, {"type": "null"}],
    }


def test_a_schema_that_is_none_is_left_to_the_provider_to_refuse() -> None:
    assert fit({"type": 3, "properties": [], "enum": {}, "anyOf": {}, "$defs": 1}) == {
        "description": "{properties: [], enum: {}, anyOf: {}, $defs: 1}"
    }
    assert fit({"type": "object", "properties": {"x": True}})["properties"] == {"x": True}
