"""Requests in the chat format, as callers send them and as vendors get them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_judge import asks, assert_request
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import BadRequest
from tidegate.formats import chat
from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Part,
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

Json = dict[str, Any]
GOLDEN = Path(__file__).with_name("golden")
EVERY_ACCENT = chat.Accent(
    thinking="reasoning_details", signatures=True, cache=True, also=chat.SHARED | {"top_k"}
)
USER: Json = {"role": "user", "content": "hello"}


def ask(*turns: Turn, **fields: Any) -> Ask:
    return Ask(model="gpt", turns=turns or (Turn("user", (Text("hello"),)),), **fields)


def turns(*messages: Json) -> tuple[Turn, ...]:
    return chat.read_ask({"model": "gpt", "messages": list(messages)}).turns


def written(*parts: Part, role: Any = "user", accent: chat.Accent = chat.PLAIN) -> list[Json]:
    body, _ = chat.write_ask(ask(Turn(role, parts)), accent)
    messages: list[Json] = body["messages"]
    return messages


@settings(deadline=None, max_examples=30)
@given(asks())
def test_what_chat_has_words_for_is_the_same_after_it_was_written_and_read(asked: Ask) -> None:
    body, dropped = chat.write_ask(asked, EVERY_ACCENT)
    assert dropped == []
    assert chat.read_ask({"model": "gpt", **body}) == asked
    assert_request(chat.write_ask(asked)[0])


def test_a_request_with_everything_is_read_and_written_as_kept() -> None:
    body: Json = msgspec.json.decode((GOLDEN / "chat_request.json").read_bytes())
    said, dropped = chat.write_ask(chat.read_ask(body))
    kept = GOLDEN / "chat_request_written.json"
    assert {"dropped": dropped, **said} == msgspec.json.decode(kept.read_bytes())
    assert_request(said)


def test_content_is_a_string_or_a_list_of_parts() -> None:
    assert turns(
        {"role": "developer", "content": "Be brief.", "name": "boss"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look", "cache_control": {"type": "ephemeral"}},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "image_url", "image_url": "https://x/z.png"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE"}},
                {"type": "file", "file": {"file_id": "file-1", "filename": "a.pdf"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {"type": "video_url", "video_url": {"url": "https://x/v.mp4"}},
            ],
        },
    ) == (
        Turn("system", (Text("Be brief."),), "boss"),
        Turn(
            "user",
            (
                Text("Look", {"type": "ephemeral"}),
                Image(url="https://x/y.png", detail="low"),
                Image(url="https://x/z.png"),
                Image(data="iVBO", media_type="image/png"),
                File(data="JVBE", media_type="application/pdf"),
                File(file_id="file-1", name="a.pdf"),
                Audio("UklG", "wav"),
                Foreign("chat", {"type": "video_url", "video_url": {"url": "https://x/v.mp4"}}),
            ),
        ),
    )


def test_calls_and_their_results_keep_their_ids_and_share_a_turn() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "tide", "arguments": "{}"}}
    signed = call | {"id": "b", "extra_content": {"google": {"thought_signature": "sig"}}}
    assert turns(
        USER,
        {"role": "assistant", "content": "", "tool_calls": [call, signed]},
        {"role": "tool", "tool_call_id": "a", "content": "high"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "low"}]},
        USER,
    )[1:] == (
        Turn("assistant", (ToolUse("a", "tide", "{}"), ToolUse("b", "tide", "{}", "sig"))),
        Turn(
            "user",
            (
                ToolResult("a", (Text("high"),), name="tide"),
                ToolResult("b", (Text("low"),), name="tide"),
            ),
        ),
        Turn("user", (Text("hello"),)),
    )


def test_arguments_may_come_as_the_object_that_they_are() -> None:
    call = {"id": "a", "function": {"name": "tide", "arguments": {"place": "Dover"}}}
    said = turns(USER, {"role": "assistant", "tool_calls": [call]})[1]
    assert said.parts == (ToolUse("a", "tide", '{"place":"Dover"}'),)


def test_functions_of_the_old_form_are_tools() -> None:
    asked = chat.read_ask(
        {
            "model": "gpt",
            "messages": [
                USER,
                {"role": "assistant", "function_call": {"name": "tide", "arguments": "{}"}},
                {"role": "function", "name": "tide", "content": "high"},
            ],
            "functions": [{"name": "tide", "parameters": {"type": "object"}}],
            "function_call": {"name": "tide"},
        }
    )
    call, result = asked.turns[1].parts[0], asked.turns[2].parts[0]
    assert isinstance(call, ToolUse)
    assert result == ToolResult(call.id, (Text("high"),), name="tide")
    assert asked.tools == (Tool("tide", schema={"type": "object"}),)
    assert asked.tool_choice == ToolChoice("tool", "tide")
    assert asked.extra == {}


@pytest.mark.parametrize(
    ("message", "thoughts"),
    [
        ({"reasoning_content": "hm"}, (Thinking("hm"),)),
        ({"reasoning": "hm"}, (Thinking("hm"),)),
        (
            {
                "reasoning_content": "hm",
                "reasoning_details": [
                    {"type": "reasoning.text", "text": "hm", "signature": "sig"},
                    {"type": "reasoning.encrypted", "data": "xyz"},
                    {"type": "reasoning.new"},
                ],
            },
            (Thinking("hm", "sig"), Thinking(redacted="xyz")),
        ),
        (
            {
                "reasoning": "hm",
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}],
            },
            (Thinking("hm"), Thinking(redacted="x")),
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
            (Thinking("hm"),),
        ),
    ],
)
def test_reasoning_is_read_wherever_servers_put_it(
    message: Json, thoughts: tuple[Thinking, ...]
) -> None:
    assert turns(USER, {"role": "assistant", **message})[1].parts == thoughts


@pytest.mark.parametrize(
    ("said", "choice"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "tide"}}, ToolChoice("tool", "tide")),
    ],
)
def test_tool_choice_is_read(said: Any, choice: ToolChoice) -> None:
    asked = chat.read_ask({"model": "gpt", "messages": [USER], "tool_choice": said})
    assert (asked.tool_choice, asked.extra) == (choice, {})


def test_what_the_words_do_not_know_is_kept_under_its_name() -> None:
    odd: Json = {
        "logit_bias": {"7": 1},
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}},
        "response_format": {"type": "grammar", "grammar": "…"},
        "store": None,
    }
    asked = chat.read_ask({"model": "gpt", "messages": [USER], **odd})
    assert asked.extra == {name: value for name, value in odd.items() if value is not None}
    custom = {"type": "custom", "custom": {"name": "sh"}}
    assert chat.read_ask({"model": "gpt", "messages": [USER], "tools": [custom]}).tools == (
        ForeignTool("chat", custom),
    )
    message = {"role": "assistant", "content": "Well", "prefix": True}
    parts = turns(USER, message)[1].parts
    assert parts[0] == Text("Well")
    assert written(*parts, role="assistant") == [message]


def test_reasoning_is_asked_for_in_either_form() -> None:
    plain = chat.read_ask({"model": "gpt", "messages": [USER], "reasoning_effort": "low"})
    assert plain.reasoning == Reasoning("low")
    openrouter = chat.read_ask(
        {"model": "gpt", "messages": [USER], "reasoning": {"max_tokens": 99, "exclude": True}}
    )
    assert openrouter.reasoning == Reasoning(budget_tokens=99, show=False)


def test_the_newer_name_of_the_output_length_counts() -> None:
    both = {"max_tokens": 5, "max_completion_tokens": 7}
    assert chat.read_ask({"model": "gpt", "messages": [USER], **both}).max_tokens == 7


def called(**function: Any) -> Json:
    return {"messages": [{"role": "assistant", "tool_calls": [{"function": function}]}]}


NO_NAME: Json = {"type": "function", "function": {}}
BROKEN: list[tuple[Json, str]] = [
    ({"temperature": "hot"}, "temperature"),
    ({"messages": [{"role": "pirate", "content": "arr"}]}, "messages[0].role"),
    ({"messages": [{"content": "hello"}]}, "messages[0]"),
    ({"messages": [USER, {"role": "user"}]}, "messages[1].content"),
    ({"messages": [{"role": "user", "content": [7]}]}, "messages[0].content[0]"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
    ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].name"),
    (called(), "messages[0].tool_calls"),
    (called(name="f", arguments=[]), "messages[0].tool_calls[0].function.arguments"),
    ({"tools": [NO_NAME]}, "tools[0].function"),
]


@pytest.mark.parametrize(("broken", "param"), BROKEN)
def test_a_mistake_is_told_by_its_path(broken: Json, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat.read_ask({"model": "gpt", "messages": [USER], **broken})
    assert caught.value.param == param


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
_FIELDS = [
    "tools", "tool_choice", "functions", "function_call", "response_format", "reasoning", "stop",
    "stream_options", "n", "logprobs",
]  # fmt: skip
_MESSAGE_FIELDS = [
    "content", "tool_calls", "function_call", "reasoning_details", "audio", "name", "tool_call_id",
]  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_no_value_of_any_type_does_more_than_be_refused(data: st.DataObject) -> None:
    body: Json = msgspec.json.decode((GOLDEN / "chat_request.json").read_bytes())
    for name in data.draw(st.lists(st.sampled_from(_FIELDS), max_size=2)):
        body[name] = data.draw(_JSON)
    message = data.draw(st.sampled_from(body["messages"]))
    message[data.draw(st.sampled_from(_MESSAGE_FIELDS))] = data.draw(_JSON)
    message["role"] = data.draw(st.sampled_from(["user", "assistant", "tool", "function", "x"]))
    with suppress(BadRequest):
        chat.write_ask(chat.read_ask(body))


def test_what_openai_cannot_be_told_is_named() -> None:
    body, dropped = chat.write_ask(
        ask(
            Turn("user", (Text("hello", {"type": "ephemeral"}),)),
            Turn(
                "assistant",
                (
                    Thinking("hm", "sig"),
                    Text("see", notes=({"type": "page"},)),
                    ToolUse("a", "tide", "{}", "sig"),
                    Foreign("messages", {"type": "server_tool_use"}),
                ),
            ),
            Turn(
                "user",
                (
                    ToolResult("a", (Text("none"),), failed=True),
                    Image(file_id="file-1"),
                    File(url="https://x/y.pdf"),
                    Thinking("mine"),
                    ToolUse("b", "tide", "{}"),
                ),
            ),
            tools=(
                ForeignTool("messages", {"type": "web_search"}),
                ForeignTool("gemini", {"x": 1}),
            ),
            tool_choice=ToolChoice("any"),
            reasoning=Reasoning(summary="auto"),
            stop=("a", "b", "c", "d", "e"),
            top_k=4,
            service_tier="standard_only",
            extra={"container": "c"},
        )
    )
    assert dropped == [
        "cache_control",
        "messages[citations]",
        "messages[tool_use.signature]",
        "messages[server_tool_use]",
        "messages[thinking]",
        "messages[thinking.signature]",
        "messages[tool_result.is_error]",
        "messages[image.file_id]",
        "messages[file.url]",
        "messages[tool_use]",
        "stop",
        "service_tier",
        "tools[web_search]",
        "tools[x]",
        "tool_choice",
        "reasoning.summary",
        "top_k",
        "container",
    ]
    assert_request(body)
    assert body == {
        "messages": [
            {"role": "user", "content": "hello"},
            {
                "role": "assistant",
                "content": "see",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "tide", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "none"},
        ],
        "stop": ["a", "b", "c", "d"],
    }


def test_an_image_in_a_tools_result_follows_in_the_users_message() -> None:
    image = Image(data="iVBO", media_type="image/png")
    assert written(Text("and?"), ToolResult("a", (Text("shot"), image))) == [
        {"role": "tool", "tool_call_id": "a", "content": "shot"},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
                {"type": "text", "text": "and?"},
            ],
        },
    ]


def test_a_turn_of_which_nothing_can_be_said_is_left_out() -> None:
    assert written(Thinking("hm"), role="assistant") == []
    assert written(Image(file_id="file-1")) == []
    assert written(Image(url="https://x/y.png"), role="system") == []


def test_a_refusal_alone_has_its_field_and_beside_text_a_part() -> None:
    assert written(Refusal("no"), role="assistant")[0]["refusal"] == "no"
    assert written(Text("well"), Refusal("no"), role="assistant")[0]["content"] == [
        {"type": "text", "text": "well"},
        {"type": "refusal", "refusal": "no"},
    ]


def test_a_plain_document_is_told_as_text() -> None:
    assert written(File(text="chapter one"))[0]["content"] == "chapter one"


@pytest.mark.parametrize(
    ("accent", "field", "value"),
    [
        (chat.Accent(thinking="reasoning_content"), "reasoning_content", "hmm"),
        (chat.Accent(thinking="reasoning"), "reasoning", "hmm"),
        (
            chat.Accent(thinking="reasoning_details"),
            "reasoning_details",
            [
                {"type": "reasoning.text", "text": "h", "index": 0, "signature": "sig"},
                {"type": "reasoning.text", "text": "mm", "index": 1},
            ],
        ),
        (chat.Accent(lists=False), "content", "ab"),
    ],
)
def test_an_accent_says_where_things_go(accent: chat.Accent, field: str, value: Any) -> None:
    parts = (Thinking("h", "sig"), Thinking("mm"), Text("a"), Text("b"))
    assert written(*parts, role="assistant", accent=accent)[0][field] == value


def test_an_accent_names_fields_and_roles() -> None:
    accent = chat.Accent(
        output_field="max_tokens",
        system_role="developer",
        stops=1,
        also=frozenset({"top_k", "min_p"}),
    )
    spoken = chat.accented(accent)
    asked = ask(
        Turn("system", (Text("Be brief."),)),
        max_tokens=5,
        top_k=4,
        stop=("a", "b"),
        extra={"min_p": 0.1, "logit_bias": {}},
    )
    assert spoken.write_ask(asked) == (
        {
            "messages": [{"role": "developer", "content": "Be brief."}],
            "max_tokens": 5,
            "stop": ["a"],
            "top_k": 4,
            "min_p": 0.1,
        },
        ["stop", "logit_bias"],
    )


@pytest.mark.parametrize(
    ("budget", "effort"), [(1024, "low"), (8192, "medium"), (32_000, "high"), (None, None)]
)
def test_a_budget_of_thought_becomes_the_nearest_effort(
    budget: int | None, effort: str | None
) -> None:
    body, dropped = chat.write_ask(ask(reasoning=Reasoning(budget_tokens=budget)))
    assert body.get("reasoning_effort") == effort
    assert dropped == []


def test_json_by_schema_has_a_name_even_if_none_was_given() -> None:
    body, _ = chat.write_ask(ask(output=JsonOutput({"type": "object"})))
    assert body["response_format"]["json_schema"]["name"] == "answer"
    assert_request(body)


def test_a_stream_is_always_asked_for_its_usage() -> None:
    body, _ = chat.write_ask(ask(stream=True, wants_usage=False))
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})
