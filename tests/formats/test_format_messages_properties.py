"""What holds for every request and answer of the Messages format, however odd."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from messages_judge import assert_request, read_stream, written_stream

from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats.gather import gathered
from tidegate.formats.messages import (
    learn,
    read_ask,
    read_reply,
    reader,
    refusal,
    watch,
    write_ask,
    write_reply,
    writer,
)
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    File,
    Finish,
    Finished,
    Image,
    JsonOutput,
    Part,
    Reply,
    Said,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolBegan,
    ToolChoice,
    ToolDelta,
    ToolResult,
    ToolUse,
    Turn,
    Used,
)
from tidegate.types import Facts, Usage

MODELS = ("claude-3-5-haiku", "claude-sonnet-4-5", "claude-opus-4-6", "claude-opus-5-5", "other")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
texts = st.text(min_size=1, max_size=20)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,12}", fullmatch=True)
caches = st.none() | st.just({"type": "ephemeral"})
objects = st.dictionaries(texts, json_values, max_size=3)
arguments = objects.map(lambda value: json.dumps(value, separators=(",", ":")))

# There and back: what both sides know survives

images = st.builds(Image, url=texts, cache=caches) | st.builds(
    Image, data=st.just("eA=="), media_type=st.sampled_from(["image/png", "image/webp"])
)
files = st.builds(File, url=texts, name=st.none() | texts) | st.builds(
    File, data=st.just("eA=="), media_type=st.just("application/pdf"), cache=caches
)
said_text = st.builds(Text, texts, caches)
results = st.builds(
    ToolResult, names, st.lists(said_text | images, max_size=2).map(tuple), st.booleans()
)
user_parts: st.SearchStrategy[tuple[Part, ...]] = st.tuples(
    st.lists(results, max_size=2), st.lists(said_text | images | files, min_size=1, max_size=3)
).map(lambda both: (*both[0], *both[1]))
signed = st.builds(Thinking, st.text(max_size=5), st.just("sig")) | st.builds(
    Thinking, redacted=st.just("data")
)
calls = st.builds(ToolUse, names, names, arguments, cache=caches)
assistant_parts: st.SearchStrategy[tuple[Part, ...]] = st.lists(
    said_text | signed | calls, min_size=1, max_size=3
).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Instructions in front, then turns by turns: as every writer leaves them."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn("system", draw(st.lists(said_text, min_size=1, max_size=2).map(tuple))))
    for _ in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", draw(user_parts)))
        turns.append(Turn("assistant", draw(assistant_parts)))
    return tuple(turns)


asks = st.builds(
    Ask,
    model=st.just("claude-sonnet-4-5"),
    turns=conversations(),
    tools=st.lists(
        st.builds(
            Tool,
            names,
            st.none() | texts,
            st.just({"type": "object", "properties": {"x": {"type": "string"}}}),
            cache=caches,
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
    tool_choice=st.none()
    | st.builds(ToolChoice, st.sampled_from(["auto", "any", "none"]))
    | st.builds(ToolChoice, st.just("tool"), names),
    output=st.none()
    | st.just(JsonOutput({"type": "object", "properties": {}, "additionalProperties": False})),
    max_tokens=st.integers(1, 10**6),
    temperature=st.none() | st.floats(0, 1),
    stop=st.lists(texts, max_size=2).map(tuple),
    user=st.none() | texts,
    service_tier=st.sampled_from([None, "auto", "default"]),
    stream=st.booleans(),
)


def unnamed(turns: tuple[Turn, ...]) -> list[tuple[str, list[Any]]]:
    """Turns without the names of tools, which the format tells with their calls only."""
    return [
        (
            turn.role,
            [
                ToolResult(part.id, part.parts, part.failed, cache=part.cache)
                if isinstance(part, ToolResult)
                else part
                for part in turn.parts
            ],
        )
        for turn in turns
    ]


def parsed(part: object) -> object:
    return (part.id, part.name, json.loads(part.arguments)) if isinstance(part, ToolUse) else part


@settings(max_examples=25, deadline=None)
@given(asks)
def test_a_request_there_and_back_says_the_same(ask: Ask) -> None:
    body, dropped = write_ask(ask)
    assert not dropped
    assert_request(body)
    back = read_ask({"model": ask.model, **json.loads(json.dumps(body))})
    for field in Ask.__struct_fields__:
        if field != "turns":
            assert getattr(back, field) == getattr(ask, field), field
    here, there = unnamed(ask.turns), unnamed(back.turns)
    assert [(role, list(map(parsed, parts))) for role, parts in there] == [
        (role, list(map(parsed, parts))) for role, parts in here
    ]


counts = st.integers(0, 10**6)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, written, output = draw(counts), draw(counts), draw(counts)
    return Usage(read + written + draw(counts), output, read, written, draw(st.integers(0, output)))


replies = st.builds(
    Reply,
    names,
    names,
    st.builds(
        Said,
        st.lists(
            st.builds(Text, texts) | signed | st.builds(ToolUse, names, names, arguments),
            max_size=4,
        ).map(tuple),
        st.sampled_from(["length", "refusal", "pause"]),
    ).map(lambda said: (said,)),
    usages(),
)


@settings(max_examples=40, deadline=None)
@given(replies)
def test_an_answer_there_and_back_says_the_same(reply: Reply) -> None:
    back = read_reply(write_reply(reply, "m"))
    assert (back.id, back.model, back.usage) == (reply.id, reply.model, reply.usage)
    assert back.choices[0].finish == reply.choices[0].finish
    assert list(map(parsed, back.choices[0].parts)) == list(map(parsed, reply.choices[0].parts))


finishes = st.sampled_from(["length", "refusal", "pause"])


@st.composite
def streams(draw: st.DrawFn) -> list[Delta]:
    deltas: list[Delta] = [Began(draw(names), draw(names), usage=Usage(1, 1))]
    tools = 0
    for kind in draw(st.lists(st.sampled_from(["text", "thinking", "tool"]), max_size=4)):
        pieces = draw(st.lists(texts, min_size=1, max_size=3))
        if kind == "text":
            deltas += [TextDelta(piece) for piece in pieces]
        elif kind == "thinking":
            deltas += [ThinkingDelta(piece) for piece in pieces]
            deltas.append(ThinkingDelta(signature="sig"))
        else:
            deltas.append(ToolBegan(tools, draw(names), draw(names)))
            deltas += [ToolDelta(tools, piece) for piece in pieces]
            tools += 1
    finish: Finish = draw(finishes)  # type: ignore[assignment]
    return [*deltas, Finished(finish), Used(draw(usages()))]


@settings(max_examples=40, deadline=None)
@given(streams())
def test_a_stream_there_and_back_says_the_same(deltas: list[Delta]) -> None:
    events = written_stream(writer(Ask(model="m", turns=())), deltas)
    assert gathered(read_stream(reader(), events)) == gathered(deltas)


# Hostile input: always our error, never another

shapes = st.sampled_from([
    "text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking",
])  # fmt: skip
FIELDS = [
    "type", "text", "source", "data", "media_type", "id", "name", "input", "content", "signature",
    "tool_use_id", "is_error", "thinking", "cache_control", "citations", "title", "url",
]  # fmt: skip
Json = dict[str, Any]


@st.composite
def odd_blocks(draw: st.DrawFn) -> Json:
    """A block whose type is mostly known, and whose fields are mostly wrong."""
    block: Json = draw(st.dictionaries(st.sampled_from(FIELDS), json_values | shapes, max_size=5))
    return {**block, "type": draw(shapes)} if draw(st.booleans()) else block


ODD_FIELDS = [
    "messages", "system", "tools", "tool_choice", "thinking", "output_config", "metadata",
    "max_tokens", "stop_sequences", "temperature", "top_k", "service_tier", "container",
]  # fmt: skip


@st.composite
def odd_bodies(draw: st.DrawFn) -> Json:
    """A request that may have passed the edge, which looks at the top only."""
    message: Json = {
        "role": draw(st.sampled_from(["user", "assistant", "system"])),
        "content": draw(st.lists(odd_blocks(), max_size=3)),
    }
    values: st.SearchStrategy[Any] = json_values | st.lists(odd_blocks(), max_size=2)
    rest: Json = draw(st.dictionaries(st.sampled_from(ODD_FIELDS), values, max_size=3))
    return {"model": draw(st.sampled_from(MODELS)), "messages": [message], **rest}


@settings(max_examples=50, deadline=None)
@given(odd_bodies())
def test_an_odd_request_is_understood_or_refused(body: Json) -> None:
    with suppress(BadRequest):
        write_ask(read_ask(body), ceiling=2_000)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(odd_blocks(), max_size=3) | json_values,
    st.dictionaries(
        st.sampled_from(["id", "model", "stop_reason", "usage", "type", "error"]),
        json_values,
        max_size=3,
    ),
    st.booleans(),
)
def test_an_odd_answer_is_understood_or_malformed(content: Any, rest: Json, spoilt: bool) -> None:
    body = json.dumps({"content": content, **rest}).encode()[: -1 if spoilt else None]
    with suppress(UpstreamError):
        learn(Facts(), body)
        write_reply(read_reply(body), "m")
    refusal(400, body)


EVENTS = [
    "message_start", "content_block_start", "content_block_delta", "content_block_stop",
    "message_delta", "message_stop", "ping", "error", "other",
]  # fmt: skip


@st.composite
def odd_events(draw: st.DrawFn) -> Json:
    """An event whose type is known, and whose fields are mostly wrong."""
    event: Json = {"type": draw(st.sampled_from(EVENTS))}
    for name in draw(st.sets(st.sampled_from(["message", "usage", "error"]))):
        event[name] = draw(json_values)
    for name in draw(st.sets(st.sampled_from(["content_block", "delta"]))):
        event[name] = draw(odd_blocks())
    if draw(st.booleans()):
        event["index"] = draw(st.integers(0, 1) | json_values)
    return event


@settings(max_examples=40, deadline=None)
@given(st.lists(odd_events(), max_size=5))
def test_odd_events_are_understood_or_malformed(events: list[Json]) -> None:
    reading, writing = reader(), writer(Ask(model="m", turns=()))
    watching = watch(Facts(), {}, wants_usage=True)
    datas = [json.dumps(event).encode() for event in events]
    with suppress(UpstreamError):
        for data in datas:
            writing.write(reading.read(b"", data))
        writing.end()
    with suppress(UpstreamError):
        for data in datas:
            watching.passes(b"", data)
