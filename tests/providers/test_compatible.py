from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import TypeAdapter

from tidegate.providers.compatible import ANY, CHAT, ROWS, Row, adapt, row_for

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ann"},
        {
            "role": "assistant",
            "content": "Hi",
            "reasoning_content": "greeting",
            "refusal": None,
            "annotations": [],
        },
        {"role": "user", "content": "And?"},
    ],
    "n": 2,
    "seed": 7,
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "top_logprobs": 2,
    "max_completion_tokens": 100,
    "parallel_tool_calls": False,
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "store": True,
    "metadata": {},
    "user": "ann",
    "stream_options": {"include_usage": True},
    "vendor_field": 1,
}

EVERY_ROW = pytest.mark.parametrize("row", ROWS.values(), ids=list(ROWS))


def adapted(kind: str, body: dict[str, Any] = BODY, api: str = "chat") -> tuple[Any, list[str]]:
    changed = dict(body)
    return changed, adapt(changed, ROWS[kind], api)


def test_openai_itself_needs_nothing_changed() -> None:
    assert not ROWS["openai"].adapts
    assert not ANY.adapts
    assert adapted("openai") == (BODY, [])


@EVERY_ROW
def test_what_a_row_refuses_is_not_sent(row: Row) -> None:
    body, dropped = adapted(row.kind)
    assert not row.refuses & body.keys()
    assert not row.renames.keys() & body.keys()
    assert set(dropped) >= (row.refuses & BODY.keys()) - {"metadata"}
    assert body["vendor_field"] == 1
    roles = {message["role"] for message in body["messages"]}
    assert ("developer" in roles) is row.developer
    if row.message_fields is not None:
        assert all(message.keys() <= row.message_fields for message in body["messages"])


@EVERY_ROW
def test_the_callers_own_body_is_left_as_it_was(row: Row) -> None:
    before = copy.deepcopy(BODY)
    adapted(row.kind)
    assert before == BODY


@EVERY_ROW
def test_adapting_twice_changes_nothing_more(row: Row) -> None:
    body, _ = adapted(row.kind)
    again = dict(body)
    assert adapt(again, row, "chat") == []
    assert again == body


@EVERY_ROW
def test_a_body_without_quirks_stays_the_same_and_nothing_is_told(row: Row) -> None:
    plain = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 1}
    assert adapted(row.kind, plain) == (plain, [])


@EVERY_ROW
def test_what_is_sent_still_has_the_shape_that_openais_sdk_knows(row: Row) -> None:
    body, _ = adapted(row.kind)
    if row.json_schema == "value":
        del body["response_format"]  # TGI's own way to ask for a schema
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(body)


@EVERY_ROW
@pytest.mark.parametrize("api", ["chat", "completions", "embeddings", "responses"])
def test_no_body_breaks_it(row: Row, api: str) -> None:
    broken: dict[str, Any] = {
        "messages": [None, 1, [], {}, {"role": 5}],
        "response_format": {"type": "json_schema", "json_schema": 5},
        "n": "two",
        "stream_options": 7,
    }
    adapt(dict(broken), row, api)
    adapt({"messages": {}, "response_format": []}, row, api)


def test_mistral_gets_its_own_names() -> None:
    body, dropped = adapted("mistral")
    assert (body["random_seed"], body["max_tokens"]) == (7, 100)
    assert "stream_options" not in body
    assert dropped == [
        "logit_bias", "logprobs", "store", "top_logprobs", "user", "messages[].name",
        "messages[].reasoning_content",
    ]  # fmt: skip
    embeddings, _ = adapted("mistral", {"model": "m", "input": "x", "dimensions": 5}, "embeddings")
    assert embeddings["output_dimension"] == 5


def test_a_name_that_the_caller_used_itself_wins() -> None:
    body, _ = adapted("deepseek", {"max_tokens": 1, "max_completion_tokens": 2})
    assert body == {"max_tokens": 1}


def test_deepseek_is_told_the_schema_in_words() -> None:
    body, dropped = adapted("deepseek")
    assert body["response_format"] == {"type": "json_object"}
    first = body["messages"][0]
    assert first["role"] == "system"
    assert msgspec.json.encode(SCHEMA).decode() in first["content"]
    assert "response_format.json_schema" in dropped


def test_tgi_is_told_the_schema_in_its_own_way() -> None:
    body, dropped = adapted("tgi")
    assert body["response_format"] == {"type": "json", "value": SCHEMA}
    assert "response_format.json_schema" not in dropped


def test_reasoning_goes_back_where_it_is_looked_for() -> None:
    assert adapted("ollama")[0]["messages"][2]["reasoning"] == "greeting"
    assert adapted("sglang")[0]["messages"][2]["reasoning_content"] == "greeting"
    assert "reasoning_content" not in adapted("groq")[0]["messages"][2]


def test_one_choice_is_asked_for_by_saying_nothing() -> None:
    assert adapted("groq", {"n": 1}) == ({}, [])
    assert adapted("groq", {"n": 3}) == ({}, ["n"])


def test_defaults_are_dropped_untold() -> None:
    said: dict[str, Any] = {"store": False, "logprobs": False, "logit_bias": {}, "metadata": None}
    assert adapted("groq", said) == ({}, [])


def test_responses_are_told_no_quirks_of_chat() -> None:
    body = {"model": "m", "input": "x", "stream_options": {"include_obfuscation": False}}
    assert adapted("mistral", body, "responses") == (body, [])


def test_an_operator_may_choose_the_api() -> None:
    assert row_for("openai").native == (*CHAT, "responses")
    assert row_for("openai", api="chat").native == CHAT
    only = row_for("openai", own=False, api="responses")
    assert (only.api, only.native) == ("responses", ("responses", "embeddings"))


def test_another_server_behind_kind_openai_is_not_taken_for_openai() -> None:
    assert row_for("openai", own=False) is ANY
    assert row_for("openai", own=False).output_field == "max_tokens"


@EVERY_ROW
def test_a_row_says_where_it_is(row: Row) -> None:
    assert row.base_url.startswith("http://127.0.0.1:" if row.local else "https://")
    assert (row.health is not None) is row.local


_NAMES = sorted({*BODY, "temperature", *(name for row in ROWS.values() for name in row.refuses)})


@given(
    body=st.dictionaries(
        st.sampled_from(_NAMES), st.none() | st.booleans() | st.integers() | st.text()
    ),
    row=st.sampled_from(list(ROWS.values())),
)
def test_every_field_that_says_something_is_sent_or_told(body: dict[str, Any], row: Row) -> None:
    changed = dict(body)
    dropped = adapt(changed, row, "chat")
    for name, value in body.items():
        kept = row.renames.get(name, name) in changed
        silent = name in {"stream_options", "n"} or value in (None, False, 0, True, "auto")
        assert kept or name in dropped or silent
