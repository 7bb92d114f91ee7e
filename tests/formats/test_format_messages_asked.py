"""What a caller of the Messages format asks is understood, or refused by its path."""

from __future__ import annotations

from typing import Any

import pytest

from tidegate.errors import BadRequest
from tidegate.formats.messages import read_ask
from tidegate.formats.words import (
    File,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Part,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

CACHE = {"type": "ephemeral"}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "claude", "max_tokens": 9, "messages": [user("Hello")], **fields}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def part(block: dict[str, Any]) -> Part:
    return read_ask(body(messages=[user([block])])).turns[0].parts[0]


def document(**source: Any) -> dict[str, Any]:
    return {"type": "document", "title": "t", "source": source}


BLOCKS: dict[str, tuple[dict[str, Any], Part]] = {
    "text": ({"type": "text", "text": "x"}, Text("x")),
    "cached text": ({"type": "text", "text": "x", "cache_control": CACHE}, Text("x", CACHE)),
    "cited text": (
        {"type": "text", "text": "x", "citations": [{"type": "char_location"}]},
        Text("x", notes=({"type": "char_location"},)),
    ),
    "image": (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA=="}},
        Image(data="eA==", media_type="image/png"),
    ),
    "image by url": (
        {"type": "image", "source": {"type": "url", "url": "https://a"}, "cache_control": CACHE},
        Image(url="https://a", cache=CACHE),
    ),
    "image by file": (
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        Image(file_id="file_1"),
    ),
    "image of the future": (
        {"type": "image", "source": {"type": "beam"}},
        Foreign("messages", {"type": "image", "source": {"type": "beam"}}),
    ),
    "pdf": (
        document(type="base64", media_type="application/pdf", data="eA=="),
        File(data="eA==", media_type="application/pdf", name="t"),
    ),
    "document by url": (document(type="url", url="https://a"), File(url="https://a", name="t")),
    "document by file": (document(type="file", file_id="f"), File(file_id="f", name="t")),
    "document of text": (
        document(type="text", media_type="text/plain", data="x"),
        File(text="x", media_type="text/plain", name="t"),
    ),
    "document of blocks": (
        document(type="content", content=[{"type": "text", "text": each} for each in "ab"]),
        File(text="a\nb", media_type="text/plain", name="t"),
    ),
    "document of pictures": (
        document(type="content", content=[{"type": "image"}]),
        Foreign("messages", document(type="content", content=[{"type": "image"}])),
    ),
    "call": (
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": [1]}},
        ToolUse("a", "f", '{"x":[1]}'),
    ),
    "result": (
        {"type": "tool_result", "tool_use_id": "a", "content": "x", "is_error": True},
        ToolResult("a", (Text("x"),), failed=True),
    ),
    "result of blocks": (
        {"type": "tool_result", "tool_use_id": "a", "content": [
            {"type": "text", "text": "x"}, {"type": "image", "source": {"type": "url", "url": "u"}},
        ]},
        ToolResult("a", (Text("x"), Image(url="u"))),
    ),
    "empty result": ({"type": "tool_result", "tool_use_id": "a"}, ToolResult("a", ())),
    "thinking": (
        {"type": "thinking", "thinking": "hm", "signature": "s"}, Thinking("hm", "s"),
    ),
    "redacted": ({"type": "redacted_thinking", "data": "d"}, Thinking(redacted="d")),
    "unknown": ({"type": "server_tool_use", "x": 1}, Foreign("messages", {
        "type": "server_tool_use", "x": 1,
    })),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_every_block_is_read(name: str) -> None:
    block, expected = BLOCKS[name]
    assert part(block) == expected


def test_instructions_stand_in_front_and_between() -> None:
    ask = read_ask(
        body(
            system=[{"type": "text", "text": "a", "cache_control": CACHE}],
            messages=[user("b"), {"role": "system", "content": "c"}],
        )
    )
    assert ask.turns == (
        Turn("system", (Text("a", CACHE),)),
        Turn("user", (Text("b"),)),
        Turn("system", (Text("c"),)),
    )
    assert read_ask(body(system="a")).turns[0] == Turn("system", (Text("a"),))


def test_a_result_knows_the_name_of_its_tool() -> None:
    call: Any = {"type": "tool_use", "id": "a", "name": "weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "a", "content": "sun"}
    ask = read_ask(body(messages=[{"role": "assistant", "content": [call]}, user([result])]))
    assert ask.turns[1].parts == (ToolResult("a", (Text("sun"),), name="weather"),)


def test_everything_that_shapes_an_answer_is_read() -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    ask = read_ask(
        body(
            stop_sequences=["x"],
            temperature=0.5,
            top_p=0.9,
            top_k=7,
            stream=True,
            metadata={"user_id": "u"},
            service_tier="standard_only",
            tools=[
                {"name": "f", "description": "d", "input_schema": {"type": "object"}},
                {"type": "custom", "name": "g", "input_schema": {}, "strict": True},
                search,
            ],
            tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        )
    )
    assert (ask.max_tokens, ask.stop, ask.temperature, ask.top_p, ask.top_k) == (
        9, ("x",), 0.5, 0.9, 7,
    )  # fmt: skip
    assert (ask.stream, ask.user, ask.service_tier) == (True, "u", "default")
    assert ask.tools == (
        Tool("f", "d", {"type": "object"}),
        Tool("g", None, {}, strict=True),
        ForeignTool("messages", search),
    )
    assert (ask.tool_choice, ask.parallel_tools) == (ToolChoice("tool", "f"), False)
    assert ask.output == JsonOutput({"type": "object"})
    assert ask.extra == {}


THINKING: dict[str, tuple[dict[str, Any], Reasoning | None]] = {
    "unsaid": ({}, None),
    "budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 10_000}},
        Reasoning(effort="medium", budget_tokens=10_000),
    ),
    "off": ({"thinking": {"type": "disabled"}}, Reasoning(effort="none")),
    "adaptive": (
        {
            "thinking": {"type": "adaptive", "display": "omitted"},
            "output_config": {"effort": "max"},
        },
        Reasoning(effort="max", show=False, adaptive=True),
    ),
    "effort only": ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
    "least": ({"thinking": {"type": "between_tools"}}, Reasoning(effort="minimal")),
}


@pytest.mark.parametrize("name", THINKING)
def test_how_much_to_think_is_read(name: str) -> None:
    fields, expected = THINKING[name]
    assert read_ask(body(**fields)).reasoning == expected


def test_what_has_no_word_is_kept_under_its_name() -> None:
    ask = read_ask(
        body(
            container="c",
            metadata={"user_id": "u", "color": "red"},
            output_config={"effort": "low", "format": {"type": "yaml"}, "pace": 1},
            thinking={"type": "disabled"},
            tools=[{"name": "f", "input_schema": {}, "defer_loading": True}],
            messages=[
                user([
                    document(type="url", url="u")
                    | {"context": "c", "citations": {"enabled": True}},
                    {"type": "image", "source": {"type": "url", "url": "u"},
                     "transformations": {"resize": "never"}},
                    {"type": "tool_use", "id": "a", "name": "f", "input": {}, "toolset_name": "t"},
                ])
            ],
        )
    )  # fmt: skip
    assert ask.extra == {
        "container": "c",
        "metadata.color": "red",
        "output_config.pace": 1,
        "output_config.effort": "low",
        "output_config.format": "yaml",
        "tools[].defer_loading": True,
        "document.context": "c",
        "document.citations": {"enabled": True},
        "image.transformations": {"resize": "never"},
        "tool_use.toolset_name": "t",
    }
    future = {"type": "telepathy", "range": 3}
    assert read_ask(body(thinking=future)).extra == {"thinking": future}


MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "role": ({"messages": [{"role": "robot", "content": ""}]}, "messages[0].role"),
    "content": ({"messages": [user("x"), user(3)]}, "messages[1].content"),
    "block": ({"messages": [user([3])]}, "messages[0].content[0]"),
    "type": ({"messages": [user([{"type": []}])]}, "messages[0].content[0].type"),
    "no text": ({"messages": [user([{"type": "text"}])]}, "messages[0].content[0]"),
    "text": (
        {"messages": [user([{"type": "text", "text": "a"}, {"type": "text", "text": 1}])]},
        "messages[0].content[1].text",
    ),
    "inside a result": (
        {"messages": [user([{"type": "tool_result", "tool_use_id": "a", "content": [
            {"type": "text", "text": 1},
        ]}])]},
        "messages[0].content[0].content[0].text",
    ),
    "system": ({"system": [{"type": "text", "text": {}}]}, "system[0].text"),
    "tools": ({"tools": [{"name": "f"}, {"name": 1}]}, "tools[1].name"),
    "choice": ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    "nameless choice": ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
    "budget": ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
    "metadata": ({"metadata": [1]}, "metadata"),
    "stop": ({"stop_sequences": "x"}, "stop_sequences"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_is_told_by_its_path(name: str) -> None:
    fields, path = MISFITS[name]
    with pytest.raises(BadRequest) as caught:
        read_ask(body(**fields))
    assert caught.value.param == path
    assert caught.value.message.startswith(f"{path}: ")


def test_a_nest_too_deep_is_refused() -> None:
    nest: list[Any] = []
    for _ in range(1_500):
        nest = [{"type": "tool_result", "tool_use_id": "a", "content": nest}]
    with pytest.raises(BadRequest, match="too deep"):
        read_ask(body(messages=[user(nest)]))
