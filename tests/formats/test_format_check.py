from __future__ import annotations

from typing import Any

import pytest

from tidegate.formats.check import asks_for_form, fault
from tidegate.formats.repair import repaired
from tidegate.formats.words import (
    Ask,
    Finish,
    JsonOutput,
    Part,
    Reply,
    Said,
    Text,
    Tool,
    ToolUse,
)

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer"}},
    "required": ["age"],
    "additionalProperties": False,
}


def reply(*parts: Part, finish: Finish = "stop") -> Reply:
    return Reply(id="r", model="m", choices=(Said(parts, finish),), usage=None)


def ask(output: JsonOutput | None = None, *tools: Tool) -> Ask:
    return Ask(model="m", turns=(), output=output, tools=tools)


@pytest.mark.parametrize("arguments", ['{"a":1}', "{}", ""])
def test_arguments_that_are_an_object_are_fine(arguments: str) -> None:
    assert fault(reply(ToolUse("c", "f", arguments)), ask()) is None


@pytest.mark.parametrize("arguments", ['{"a":', "nonsense", "[1]", "3", '"text"'])
def test_arguments_that_are_none_are_told_with_the_tools_name(arguments: str) -> None:
    assert "'f'" in (fault(reply(ToolUse("c", "f", arguments)), ask()) or "")


def test_arguments_of_a_strict_tool_must_fit_its_schema() -> None:
    tool = Tool("f", schema=SCHEMA, strict=True)
    assert fault(reply(ToolUse("c", "f", '{"age": 3}')), ask(None, tool)) is None
    assert "age" in (fault(reply(ToolUse("c", "f", '{"age": "3"}')), ask(None, tool)) or "")


def test_arguments_of_another_tool_are_the_callers_to_judge() -> None:
    tool = Tool("f", schema=SCHEMA)
    assert fault(reply(ToolUse("c", "f", '{"age": "3"}')), ask(None, tool)) is None


@pytest.mark.parametrize(
    ("text", "good"),
    [('{"age": 3}', True), ('{"age": "x"}', False), ("{}", False), ("three", False), ("", False)],
)
def test_an_answer_must_fit_the_schema_that_was_asked_for(text: str, *, good: bool) -> None:
    assert (fault(reply(Text(text)), ask(JsonOutput(schema=SCHEMA))) is None) is good


@pytest.mark.parametrize(("text", "good"), [("{}", True), ("[]", False), ("hello", False)])
def test_json_without_a_schema_is_any_object(text: str, *, good: bool) -> None:
    assert (fault(reply(Text(text)), ask(JsonOutput())) is None) is good


@pytest.mark.parametrize("finish", ["length", "content_filter", "refusal"])
def test_an_answer_that_was_cut_is_as_it_is(finish: Finish) -> None:
    assert fault(reply(Text('{"a'), finish=finish), ask(JsonOutput())) is None


def test_a_call_of_a_tool_comes_before_the_json() -> None:
    assert fault(reply(ToolUse("c", "f", "{}")), ask(JsonOutput(schema=SCHEMA))) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:9/secret"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
    ],
)
def test_a_schema_that_is_none_or_leads_elsewhere_judges_nothing(schema: dict[str, Any]) -> None:
    assert fault(reply(Text("{}")), ask(JsonOutput(schema=schema))) is None


def test_a_pattern_made_to_run_for_ever_does_not() -> None:
    schema = {"type": "object", "properties": {"a": {"pattern": "^(a+)+$"}}}
    text = '{"a": "' + "a" * 5000 + 'b"}'
    assert fault(reply(Text(text)), ask(JsonOutput(schema=schema))) is not None


ASKING: list[tuple[dict[str, Any], bool]] = [
    ({"messages": []}, False),
    ({"tools": []}, False),
    ({"tools": [{}]}, True),
    ({"response_format": {"type": "json_object"}}, True),
    ({"text": {"format": {}}}, True),
]


@pytest.mark.parametrize(("body", "asks"), ASKING)
def test_only_what_asks_for_a_form_is_looked_at(body: dict[str, Any], *, asks: bool) -> None:
    assert asks_for_form(body) is asks


@pytest.mark.parametrize("wire", ["chat", "messages", "responses"])
def test_the_model_is_shown_its_answer_and_told_its_mistake(wire: str) -> None:
    field = "input" if wire == "responses" else "messages"
    body = {field: [{"role": "user", "content": "How old?"}], "model": "m"}
    again = repaired(wire, body, reply(Text("three"), ToolUse("c", "f", "{")), "it is not JSON")
    assert again is not None
    assert again["model"] == "m"
    first, answer, told = again[field]
    assert first == body[field][0]
    assert answer == {"role": "assistant", "content": "three\nf({)"}
    assert told["role"] == "user"
    assert "it is not JSON" in told["content"]


def test_text_input_becomes_a_message_when_the_model_is_told_its_mistake() -> None:
    again = repaired("responses", {"input": "How old?"}, reply(), "it is empty")
    assert again is not None
    assert again["input"][0] == {"role": "user", "content": "How old?"}
    assert again["input"][1]["content"] == "(nothing)"


def test_what_has_no_turns_cannot_be_asked_again() -> None:
    assert repaired("completions", {"prompt": "x"}, reply(), "it is empty") is None


def test_nothing_is_asked_of_an_answer_that_comes_later() -> None:
    body = {"tools": [{"type": "function", "name": "f"}]}
    assert asks_for_form(body)
    assert not asks_for_form(body | {"background": True})
