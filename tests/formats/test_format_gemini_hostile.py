"""Whatever comes, from callers or from Google, is either understood or refused by name."""

from __future__ import annotations

from base64 import b64encode
from contextlib import suppress
from typing import Any

import msgspec
from gemini_judge import judge
from gemini_samples import answer, line
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats import gemini
from tidegate.formats.gemini.counting import read_count
from tidegate.formats.gemini.embeddings import read_vectors
from tidegate.formats.gemini.schema import clean
from tidegate.formats.words import (
    Ask,
    Audio,
    Began,
    Delta,
    File,
    Finished,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Reasoning,
    Refusal,
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

Strategy = st.SearchStrategy[Any]

short = st.text(max_size=8)
json: Strategy = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | short
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(short, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
keywords = st.sampled_from(
    ["type", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "const", "$ref", "$defs",
     "definitions", "format", "nullable", "description", "title", "required", "pattern", "not",
     "additionalProperties", "prefixItems", "minimum"]
)  # fmt: skip
schemas: Strategy = st.dictionaries(
    keywords,
    st.recursive(
        json | st.sampled_from(["string", "null", "object", ["string", "null"]]),
        lambda inner: st.dictionaries(keywords, inner, max_size=3) | st.lists(inner, max_size=3),
        max_leaves=10,
    ),
    max_size=5,
)

base64 = st.binary(max_size=12).map(lambda data: b64encode(data).decode())
signatures = st.none() | base64.map("gemini:{}".format) | base64
urls = st.none() | st.sampled_from(
    ["https://example.com/a.png", "https://example.com/a", "gs://b/c.pdf", "data:image/png;base64,",
     "files/1", "://", ""]
)  # fmt: skip
kinds = st.none() | st.sampled_from(["image/png", "image/jpg", "application/pdf"])
ids = st.sampled_from(["a", "b", "c"])
names = st.sampled_from(["time", "weather"])
cache = st.none() | st.just({"type": "ephemeral"})
arguments = st.sampled_from(["", "{}", '{"a": [1.50, null]}', ' {"b": "\\u00e9"} '])
texts = st.builds(Text, text=st.text(max_size=12), cache=cache)
media = st.one_of(
    st.builds(Image, url=urls, data=st.none() | base64, media_type=kinds, file_id=urls),
    st.builds(File, url=urls, data=st.none() | base64, media_type=kinds, file_id=urls),
    st.builds(Audio, data=base64, kind=st.sampled_from(["wav", "mp3"])),
)
calls = st.builds(ToolUse, id=ids, name=names, arguments=arguments, signature=st.none() | base64)
results = st.builds(
    ToolResult, id=ids, parts=st.lists(texts | media, max_size=3).map(tuple), failed=st.booleans()
)
others: Strategy = st.one_of(
    st.builds(
        Thinking, text=st.text(max_size=5), signature=signatures, redacted=st.none() | base64
    ),
    st.builds(Refusal, text=st.text(max_size=5)),
    st.builds(Foreign, format=st.just("messages"), value=st.dictionaries(st.just("type"), json)),
)
turns: Strategy = st.builds(
    Turn,
    role=st.sampled_from(["system", "user", "assistant"]),
    parts=st.lists(texts | media | calls | results | others, max_size=5).map(tuple),
    name=st.none() | st.text(max_size=3),
)
asks = st.builds(
    Ask,
    model=st.sampled_from(["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3.5-flash", "other"]),
    turns=st.lists(turns, max_size=6).map(lambda told: (Turn("user", (Text("Hello"),)), *told)),
    tools=st.lists(
        st.builds(Tool, name=names, schema=st.none() | schemas, strict=st.none() | st.booleans())
        | st.builds(ForeignTool, format=st.just("messages"), value=st.just({"type": "bash"})),
        max_size=3,
    ).map(tuple),
    tool_choice=st.none()
    | st.builds(
        ToolChoice, mode=st.sampled_from(["auto", "none", "any", "tool"]), name=st.none() | names
    ),
    output=st.none() | st.builds(JsonOutput, schema=st.none() | schemas),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        effort=st.none() | st.sampled_from(["none", "minimal", "low", "high", "odd"]),
        budget_tokens=st.none() | st.integers(-5, 10**6),
        show=st.none() | st.booleans(),
        adaptive=st.booleans(),
    ),
    stop=st.lists(st.text(max_size=3), max_size=7).map(tuple),
    seed=st.none() | st.integers(-(2**63), 2**63),
    n=st.none() | st.integers(1, 8),
    logprobs=st.none() | st.booleans(),
    top_logprobs=st.none() | st.integers(0, 20),
    service_tier=st.none() | st.sampled_from(["auto", "default", "flex", "odd"]),
)


@given(asks)
@settings(max_examples=40, deadline=None)
def test_every_request_is_one_of_googles_or_a_bad_one(ask: Ask) -> None:
    try:
        body, dropped = gemini.write_ask(ask)
    except BadRequest:
        assert _has_a_lone_result(ask)
        return
    judge(msgspec.json.decode(msgspec.json.encode(body)))
    assert len(dropped) == len(set(dropped))
    for content in body["contents"]:
        assert len({"functionResponse" in part for part in content["parts"]}) == 1


def _has_a_lone_result(ask: Ask) -> bool:
    called = set[str]()
    for turn in ask.turns:
        answered = {part.id for part in turn.parts if isinstance(part, ToolResult)}
        calls = {part.id for part in turn.parts if isinstance(part, ToolUse)}
        if turn.role == "assistant" and answered - called:
            return True
        if turn.role == "user" and answered - called:
            return True
        called |= calls if turn.role != "system" else set()
    return False


@given(schemas)
@settings(max_examples=40, deadline=None)
def test_a_clean_schema_is_clean(schema: dict[str, Any]) -> None:
    once = clean(schema, [])
    dropped: list[str] = []
    assert clean(once, dropped) == once
    assert dropped == []


fields: Strategy = st.dictionaries(
    st.sampled_from(
        ["candidates", "content", "parts", "text", "thought", "functionCall", "name", "args",
         "finishReason", "index", "usageMetadata", "promptTokenCount", "totalTokenCount",
         "promptFeedback", "blockReason", "error", "code", "status", "details", "responseId",
         "logprobsResult", "chosenCandidates", "topCandidates", "inlineData", "data", "id",
         "embeddings", "values", "predictions", "embedding", "statistics"]
    ),
    st.deferred(lambda: json | fields | st.lists(fields, max_size=2)),
    max_size=3,
)  # fmt: skip
parts: Strategy = st.one_of(
    st.fixed_dictionaries({"text": short, "thought": st.booleans()}),
    st.fixed_dictionaries({"text": short}),
    st.fixed_dictionaries(
        {
            "functionCall": st.fixed_dictionaries(
                {"name": names, "args": st.dictionaries(short, json, max_size=2)}
            ),
            "thoughtSignature": base64,
        }
    ),
)


@given(fields | json | st.lists(fields, max_size=2), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_json_from_google_is_read_or_refused(told: Any, wrapped: bool) -> None:
    if wrapped:
        told = {"candidates": [{"finishReason": "STOP", "content": {"parts": [told]}}]}
    _refuse_or_read(line(told))


@given(st.binary(max_size=40))
@settings(max_examples=40, deadline=None)
def test_any_bytes_from_google_are_read_or_refused(body: bytes) -> None:
    _refuse_or_read(body)


def _refuse_or_read(body: bytes) -> None:
    with suppress(UpstreamError):
        gemini.read_reply(body)
    with suppress(UpstreamError):
        gemini.reader().read(b"", body)
    with suppress(UpstreamError):
        read_vectors(body, 1)
    with suppress(UpstreamError):
        read_count(body)
    for status in (400, 403, 429, 500):
        assert isinstance(gemini.refusal(status, body), UpstreamError)


@given(st.lists(parts, min_size=1, max_size=6), st.data())
@settings(max_examples=40, deadline=None)
def test_a_stream_says_what_the_whole_answer_says(told: list[Any], data: st.DataObject) -> None:
    whole = gemini.read_reply(line(answer(*told)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(told)), max_size=3)))
    reader = gemini.reader()
    deltas: list[Delta] = []
    for start, end in zip([0, *cuts], [*cuts, len(told)], strict=True):
        deltas += reader.read(b"", line(answer(*told[start:end], finish=None)))
    deltas += reader.read(b"", line(answer()))
    assert reader.complete()
    said = whole.choices[0]
    assert deltas[0] == Began(id=whole.id, model=whole.model)
    assert [delta.usage for delta in deltas if isinstance(delta, Used)] == [whole.usage]
    assert deltas[-1] == Finished(said.finish)
    for delta_kind, kind in ((TextDelta, Text), (ThinkingDelta, Thinking)):
        streamed = [delta.text for delta in deltas if isinstance(delta, delta_kind)]
        assert "".join(streamed) == "".join(
            part.text for part in said.parts if isinstance(part, kind)
        )
    began = [delta for delta in deltas if isinstance(delta, ToolBegan)]
    arguments = [delta.arguments for delta in deltas if isinstance(delta, ToolDelta)]
    assert [
        ToolUse(each.id, each.name, text, each.signature)
        for each, text in zip(began, arguments, strict=True)
    ] == [part for part in said.parts if isinstance(part, ToolUse)]


@given(st.lists(parts, min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_was_answered_goes_back_as_it_was(told: list[Any]) -> None:
    """There and back loses nothing: texts, thoughts, calls, and whose they are."""
    said = gemini.read_reply(line(answer(*told))).choices[0]
    ask = Ask(model="gemini-2.5-flash", turns=(Turn("assistant", said.parts),))
    body = msgspec.json.decode(msgspec.json.encode(gemini.write_ask(ask)[0]))
    back: list[Any] = body["contents"][0]["parts"] if body["contents"] else []
    assert gemini.read_reply(line(answer(*back))).choices[0].parts == said.parts
