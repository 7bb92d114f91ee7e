"""Requests of Converse, each judged by botocore's own model of the service."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bedrock_model import MODEL, check_body
from converse_samples import (
    CLAUDE_47,
    LLAMA,
    MARK,
    MODELS,
    NOVA_2,
    PNG,
    TOOL_ROUND,
    WEATHER,
    Json,
    ask,
    assistant,
    system,
    user,
    written,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tidegate.errors import BadRequest
from tidegate.formats import chat, converse, messages, responses
from tidegate.formats.converse.models import traits
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

GOLDEN = Path(__file__).parent / "golden"

GOLDENS: dict[str, Ask] = {
    "conversation": ask(
        system("You are terse.", Text("And polite.", MARK)),
        user("What is this?", Image(data=PNG, media_type="image/png")),
        assistant(Thinking("A cat…", "c2ln"), Thinking(redacted="c2VjcmV0"), "A cat."),
        user(
            File(data="JVBERi0=", media_type="application/pdf", name="cats & dogs.v2.pdf"),
            File(text="name,age", name="cats.csv"),
            File(text="more", name="cats.csv"),
            Text("And these?", {"type": "ephemeral", "ttl": "1h"}),
        ),
        max_tokens=200,
        temperature=0.5,
        stop=("END", " "),
        service_tier="priority",
        seed=7,
        extra={"requestMetadata": {"team": "x"}, "logit_bias": {"1": 2}},
    ),
    "tools": ask(
        *TOOL_ROUND,
        tools=(replace(WEATHER, strict=True, cache=MARK), ForeignTool("chat", {"type": "custom"})),
        parallel_tools=False,
        output=JsonOutput(
            {"type": "object", "properties": {"t": {"type": "integer", "minimum": -90}}}, "report"
        ),
    ),
    "thinking_budget": ask(
        reasoning=Reasoning(effort="high"), max_tokens=8_000, temperature=0.2, top_k=5
    ),
    "thinking_adaptive": ask(
        model=CLAUDE_47,
        reasoning=Reasoning(effort="xhigh", show=True),
        temperature=0.2,
        top_p=0.9,
        top_k=5,
    ),
    "nova": ask(
        *TOOL_ROUND,
        model=NOVA_2,
        tools=(replace(WEATHER, cache=MARK),),
        tool_choice=ToolChoice("tool", "weather"),
        reasoning=Reasoning(effort="high"),
        max_tokens=100,
        top_k=5,
    ),
    "llama": ask(
        system(Text("Terse.", MARK)),
        *TOOL_ROUND,
        model=LLAMA,
        tools=(replace(WEATHER, strict=True),),
        tool_choice=ToolChoice("any"),
        reasoning=Reasoning(effort="low"),
        output=JsonOutput({"type": "object"}),
        top_k=5,
        stop=("\n",),
    ),
}


@pytest.mark.parametrize("name", GOLDENS)
def test_golden_requests(name: str) -> None:
    body, dropped = written(*GOLDENS[name].turns, **fields_of(GOLDENS[name]))
    told = msgspec.json.format(msgspec.json.encode({"body": body, "dropped": dropped}), indent=2)
    path = GOLDEN / f"converse_{name}.json"
    if not path.exists():
        path.write_bytes(told + b"\n")
        pytest.fail(f"{path.name} was not there and has been written: read it")
    assert msgspec.json.decode(path.read_bytes()) == {"body": body, "dropped": dropped}


def fields_of(value: Ask) -> Json:
    return {name: getattr(value, name) for name in Ask.__struct_fields__ if name != "turns"}


# Anything that can be asked

_texts = st.text(max_size=20)
_words = st.text(st.sampled_from("abcXYZ019_-"), min_size=1, max_size=20)
_data = st.binary(min_size=1, max_size=20).map(lambda data: b64encode(data).decode())
_caches = st.sampled_from((None, None, MARK, {"type": "ephemeral", "ttl": "1h"}))
_media = st.sampled_from(
    (None, "image/png", "image/jpeg", "text/plain", "application/pdf", "text/csv; charset=utf-8",
     "image/tiff", "video/mp4")
)  # fmt: skip
_media_parts: tuple[st.SearchStrategy[Part], ...] = (
    st.builds(Text, _texts, _caches),
    st.builds(Image, data=_data, media_type=_media, cache=_caches),
    st.builds(Image, url=st.sampled_from(("https://a/b.png", "s3://bucket/a.png", "x"))),
    st.builds(
        File,
        data=st.none() | _data,
        text=st.none() | _texts,
        url=st.none() | st.sampled_from(("s3://bucket/a.pdf", "https://a/b.pdf")),
        media_type=_media,
        name=st.none() | _texts,
        cache=_caches,
    ),
    st.builds(Audio, _data, st.sampled_from(("wav", "mp3", "speex"))),
    st.builds(Foreign, st.just("chat"), st.just({"type": "odd"})),
)
_user_parts: st.SearchStrategy[Part] = st.one_of(
    *_media_parts,
    st.builds(
        ToolResult,
        _texts,
        st.lists(st.one_of(*_media_parts), max_size=3).map(tuple),
        st.booleans(),
        cache=_caches,
    ),
)
_arguments = st.sampled_from(("", "{}", '{"a":1}', '{"a":', "[1]", "null", '{"a":' * 2_000))
_assistant_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _texts, _caches),
    st.builds(ToolUse, _texts, _words, _arguments, cache=_caches),
    st.builds(Thinking, _texts, st.none() | _data),
    st.builds(Thinking, redacted=_data | st.just("openai:x")),
    st.builds(Refusal, _texts),
    st.builds(Image, data=_data, media_type=_media),
)
_turns = st.one_of(
    st.builds(Turn, st.just("system"), st.lists(st.one_of(*_media_parts), max_size=2).map(tuple)),
    st.builds(Turn, st.just("user"), st.lists(_user_parts, max_size=3).map(tuple), _texts),
    st.builds(Turn, st.just("assistant"), st.lists(_assistant_parts, max_size=3).map(tuple)),
)
_schemas = st.sampled_from(
    (None, {}, WEATHER.schema, {"type": "object", "oneOf": [{"minimum": 1}], "minItems": 3})
)
_tools = st.one_of(
    st.builds(Tool, _words, st.none() | _texts, _schemas, st.none() | st.booleans(), _caches),
    st.builds(ForeignTool, st.just("messages"), st.just({"type": "bash"})),
)
_efforts = st.sampled_from((None, "none", "minimal", "low", "medium", "high", "xhigh", "odd"))
_asks = st.builds(
    Ask,
    model=st.sampled_from(MODELS),
    turns=st.lists(_turns, max_size=6).map(lambda turns: (*turns, user("Hi"))),
    tools=st.lists(_tools, max_size=3).map(tuple),
    tool_choice=st.none()
    | st.builds(ToolChoice, st.sampled_from(("auto", "none", "any", "tool")), _words),
    parallel_tools=st.none() | st.booleans(),
    output=st.none() | st.builds(JsonOutput, _schemas, st.none() | _words),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        _efforts,
        st.none() | st.integers(-1, 50_000),
        st.none() | st.booleans(),
        adaptive=st.booleans(),
    ),
    max_tokens=st.none() | st.integers(1, 100_000),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(0, 500),
    stop=st.lists(_texts, max_size=5).map(tuple),
    n=st.none() | st.integers(1, 3),
    service_tier=st.sampled_from((None, "auto", "flex", "scale")),
    extra=st.sampled_from(({}, {"store": True, "metadata": None})),
)


@settings(max_examples=60)
@given(_asks)
def test_whatever_is_asked_botocore_would_send_it(asked: Ask) -> None:
    body, dropped = converse.write_ask(asked)
    check_body(body, model=asked.model)
    roles = [message["role"] for message in body["messages"]]
    assert roles == [("user", "assistant")[place % 2] for place in range(len(roles))]
    assert len(dropped) == len(set(dropped))
    points = str(body).count("cachePoint")
    assert points <= 4
    assert points == 0 or traits(asked.model).cache
    holds_tools = any(
        "tool" in str(block)
        for message in body["messages"]
        for block in message["content"]
        if "toolUse" in block or "toolResult" in block
    )
    assert "toolConfig" in body or not holds_tools


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=8,
)
_FIELDS = (
    "messages", "tools", "tool_choice", "response_format", "stop", "reasoning", "thinking",
    "system", "input", "metadata", "guardrailConfig", "additionalModelRequestFields",
)  # fmt: skip


@given(
    st.sampled_from((chat, messages, responses)),
    st.dictionaries(st.sampled_from(_FIELDS), _json, max_size=4),
)
def test_a_hostile_body_is_a_bad_request_or_can_be_asked(heard: Any, body: Json) -> None:
    whole = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5, **body}
    with suppress(BadRequest):
        converse.write_ask(replace(heard.read_ask(whole), model=MODEL))


# There and back

_said = st.one_of(
    st.builds(Text, _texts.filter(lambda text: bool(text.strip()))),
    st.builds(ToolUse, _words, _words, st.just('{"a":[1,{"b":null}]}')),
    st.builds(Thinking, _texts, _data),
    st.builds(Thinking, redacted=_data),
)


@given(st.lists(_said, min_size=1, max_size=5))
def test_what_the_model_said_comes_back_as_it_was_given(parts: list[Part]) -> None:
    body, dropped = converse.write_ask(ask(user("Hi"), assistant(*parts), user("Go on")))
    message = next(each for each in body["messages"] if each["role"] == "assistant")
    answer = {"output": {"message": message}, "stopReason": "end_turn"}
    reply = converse.read_reply(msgspec.json.encode(answer))
    assert reply.choices[0].parts == tuple(parts)
    assert dropped == []
