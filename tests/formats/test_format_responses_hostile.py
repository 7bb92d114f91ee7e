"""Whatever callers and providers send: an error of ours, never a crash; and no loss between us."""

from __future__ import annotations

import contextlib
import json
from typing import Any, Literal

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from responses_samples import BODY
from test_format_responses_reply import REPLY, TOKEN
from test_format_responses_stream import DELTAS, make

from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats.gather import gathered
from tidegate.formats.responses import (
    learn,
    read_ask,
    read_reply,
    reader,
    refusal,
    watch,
    write_ask,
    write_reply,
)
from tidegate.formats.responses.reply import written
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    File,
    Finish,
    Finished,
    Foreign,
    Image,
    JsonOutput,
    Part,
    Reasoning,
    Refusal,
    RefusalDelta,
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
from tidegate.net.sse import SseDecoder
from tidegate.types import Facts, Usage

EVENT = TypeAdapter[Any](ResponseStreamEvent)

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "text", "name", "id", "call_id", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@st.composite
def broken(draw: st.DrawFn, whole: Any) -> Any:
    """`whole` with one place of it replaced, or left out."""
    copy = json.loads(json.dumps(whole))
    place: Any = copy
    while True:
        keys: list[Any] = list(place.keys() if hasattr(place, "keys") else range(len(place)))
        key = draw(st.sampled_from(keys))
        inner: Any = place[key]
        if type(inner) in (dict, list) and inner and draw(st.booleans()):
            place = inner
            continue
        if type(place) is dict and draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(anything)
        return copy


@settings(max_examples=60, deadline=None)
@given(broken(BODY))
def test_broken_request_is_refused_or_understood(body: dict[str, Any]) -> None:
    try:
        ask = read_ask(body)
    except BadRequest:
        return
    write_ask(ask)
    write_reply(REPLY, "m", ask)
    wrote = make(ask)
    wrote.write(DELTAS)
    wrote.end()


@settings(max_examples=60, deadline=None)
@given(broken(json.loads(written(REPLY, "m", None, TOKEN, 0))))
def test_broken_answer_is_an_error_of_the_provider(body: Any) -> None:
    data = json.dumps(body).encode()
    with contextlib.suppress(UpstreamError):
        learn(Facts(), data)
    with contextlib.suppress(UpstreamError):
        reply = read_reply(data)
        answer = write_reply(reply, "m")
        if not any(isinstance(part, Foreign) for part in reply.choices[0].parts):
            Response.model_validate_json(answer, strict=True)


def sent() -> list[Any]:
    wrote = make(read_ask(BODY))
    stream = wrote.write(DELTAS) + wrote.end()
    return [json.loads(event.data) for event in SseDecoder(1 << 24).feed(stream)]


@settings(max_examples=60, deadline=None)
@given(broken(sent()))
def test_broken_stream_is_an_error_of_the_provider(events: list[Any]) -> None:
    reading, looking, wrote = reader(), watch(Facts(), {}, wants_usage=True), make(read_ask(BODY))
    with contextlib.suppress(UpstreamError):
        for event in events:
            looking.passes(b"", json.dumps(event).encode())
    with contextlib.suppress(UpstreamError):
        for event in events:
            wrote.write(reading.read(b"", json.dumps(event).encode()))


def told(error: Any) -> bytes:
    return json.dumps({"error": error}).encode()


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([400, 404, 413, 429, 500]), st.binary(max_size=40) | anything.map(told))
def test_broken_refusal_is_an_error_all_the_same(status: int, body: bytes) -> None:
    assert isinstance(refusal(status, body), UpstreamError)


# Round trips

words = st.text(st.characters(codec="utf-8"), max_size=8)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
base64 = st.sampled_from(["AA==", "aGk=", ""])

texts = st.builds(Text, words)
images = st.builds(
    Image, url=st.just("https://example.com/a"), detail=st.sampled_from(["low", "high"])
) | st.builds(Image, data=base64, media_type=st.just("image/png"), detail=st.just("auto"))
files = st.builds(File, data=base64, media_type=st.just("application/pdf"), name=names) | st.builds(
    File, file_id=names
)
inputs = st.lists(texts | images | files, min_size=1, max_size=3).map(tuple)
uses = st.builds(ToolUse, names, names, words)
results = st.builds(ToolResult, names, st.tuples(texts) | inputs)
model_parts: st.SearchStrategy[Part] = texts | uses | st.builds(Refusal, words)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """Turns as this format can tell them apart: no two of the model's in a row."""
    turns: list[Turn] = []
    if draw(st.booleans()):
        turns.append(Turn("system", draw(st.tuples(texts))))
    for _ in range(draw(st.integers(0, 3))):
        turns.append(Turn("user", draw(inputs)))
        if draw(st.booleans()):
            parts = draw(st.lists(model_parts, min_size=1, max_size=3))
            turns.append(Turn("assistant", tuple(parts)))
            if draw(st.booleans()):
                found = draw(st.lists(results, min_size=1, max_size=3))
                turns.append(Turn("user", tuple(found)))
    return tuple(turns)


schemas = st.fixed_dictionaries({"type": st.just("object"), "title": words})
numbers = st.none() | st.floats(0, 2)
asks = st.builds(
    Ask,
    model=st.just("m"),
    turns=conversations(),
    tools=st.lists(
        st.builds(Tool, names, st.none() | words, st.none() | schemas, st.booleans()), max_size=2
    ).map(tuple),
    parallel_tools=st.none() | st.booleans(),
    output=st.none() | st.builds(JsonOutput, schemas, names, st.none() | st.booleans()),
    reasoning=st.none()
    | st.builds(Reasoning, effort=st.sampled_from(["none", "low", "high", "xhigh"])),
    max_tokens=st.none() | st.integers(16, 9000),
    temperature=numbers,
    top_p=numbers,
    user=st.none() | words,
    service_tier=st.sampled_from([None, "auto", "flex"]),
    stream=st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(asks, st.sampled_from(["auto", "none", "any", "tool", None]))
def test_request_goes_there_and_back(
    ask: Ask, mode: Literal["auto", "none", "any", "tool"] | None
) -> None:
    if ask.tools and mode is not None:
        name = "f" if mode == "tool" else None
        ask = structs.replace(ask, tool_choice=ToolChoice(mode, name))
    body, dropped = write_ask(ask)
    assert dropped == []
    again = fields(read_ask({**json.loads(json.dumps(body)), "model": "m"}))
    again.pop("body")
    assert again == fields(ask)


def fields(ask: Ask) -> dict[str, Any]:
    return {name: getattr(ask, name) for name in type(ask).__struct_fields__}


usages = st.builds(
    Usage,
    st.integers(10, 99), st.integers(10, 99), st.integers(0, 5), st.integers(0, 5),
    st.integers(0, 9),
)  # fmt: skip
finishes: st.SearchStrategy[Finish] = st.sampled_from(["stop", "length", "content_filter"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        texts | uses | st.builds(Thinking, words.filter(bool), signature=words),
        min_size=1,
        max_size=4,
    ),
    finishes,
    usages,
)
def test_answer_goes_there_and_back(parts: list[Part], finish: Any, usage: Usage) -> None:
    reply = Reply("resp_1", "m", (Said(tuple(parts), finish),), usage, created=1)
    body = written(reply, "x", None, TOKEN, 5)
    Response.model_validate_json(body, strict=True)
    again = read_reply(body)
    assert (again.usage, again.model, again.created) == (usage, "m", 1)
    said = again.choices[0]
    called = any(isinstance(part, ToolUse) for part in parts)
    assert said.finish == ("tool_calls" if finish == "stop" and called else finish)
    texts_in = [part.text for part in parts if isinstance(part, Text | Thinking)]
    assert [part.text for part in said.parts if isinstance(part, Text | Thinking)] == texts_in
    assert [part for part in said.parts if isinstance(part, ToolUse)] == [
        part for part in parts if isinstance(part, ToolUse)
    ]
    # The caller's way back: what a provider knows its reasoning by.
    back = read_ask({"model": "m", "input": json.loads(body)["output"]})
    signed = [p.signature for turn in back.turns for p in turn.parts if isinstance(p, Thinking)]
    assert signed == [part.signature for part in parts if isinstance(part, Thinking)]


@st.composite
def streams(draw: st.DrawFn) -> list[Delta]:
    """Deltas in the order in which formats tell them."""
    deltas: list[Delta] = [Began("a", "m", 1)]
    calls = 0
    for kind in draw(
        st.lists(st.sampled_from(["text", "thinking", "refusal", "tool"]), max_size=5)
    ):
        pieces = draw(st.lists(words.filter(bool), min_size=1, max_size=3))
        match kind:
            case "text":
                deltas += [TextDelta(piece) for piece in pieces]
            case "thinking":
                deltas += [ThinkingDelta(piece) for piece in pieces]
            case "refusal":
                deltas += [RefusalDelta(piece) for piece in pieces]
            case _:
                deltas.append(ToolBegan(calls, f"call_{calls}", "f"))
                deltas += [ToolDelta(calls, piece) for piece in pieces]
                calls += 1
    return [*deltas, Finished(draw(finishes)), Used(draw(usages))]


@settings(max_examples=40, deadline=None)
@given(deltas=streams(), summary=st.booleans())
def test_stream_goes_there_and_back(*, deltas: list[Delta], summary: bool) -> None:
    assume(gathered(deltas).choices[0].parts)
    body = {"model": "m", "input": "", "reasoning": {"summary": "auto"} if summary else None}
    wrote = make(read_ask(body))
    stream = b"".join(wrote.write([delta]) for delta in deltas) + wrote.end()
    reading, again = reader(), list[Delta]()
    for event in SseDecoder(1 << 24).feed(stream):
        EVENT.validate_json(event.data, strict=True)
        again += reading.read(event.event, event.data)
    assert reading.done
    before, after = gathered(deltas), gathered(again)
    assert after.choices[0].parts == before.choices[0].parts
    assert after.usage == before.usage
