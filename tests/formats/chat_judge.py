"""OpenAI's own SDK as the judge of what is written in the chat format, and things to judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from tidegate.formats.format import Reader
from tidegate.formats.words import (
    Ask,
    Audio,
    Delta,
    File,
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

_WHOLE = TypeAdapter[Any](CompletionCreateParamsNonStreaming)
_STREAMED = TypeAdapter[Any](CompletionCreateParamsStreaming)
_NAMES = (
    CompletionCreateParamsStreaming.__required_keys__
    | CompletionCreateParamsStreaming.__optional_keys__
)


def assert_request(body: Json) -> None:
    """`body` with a model's name is one that the SDK would send, with no field it does not know."""
    body = {"model": "gpt", **body}
    assert body.keys() <= _NAMES
    _consume((_STREAMED if body.get("stream") else _WHOLE).validate_python(body))


def _consume(value: object) -> None:
    """Iterables are validated only while they are read."""
    if isinstance(value, dict):
        for each in cast("dict[str, object]", value).values():
            _consume(each)
    elif isinstance(value, Iterator | list):
        for each in cast("Iterable[object]", value):
            _consume(each)


def chunks_of(stream: bytes) -> list[Json]:
    """The chunks in `stream`, each of which the SDK understands."""
    events = [event for event in stream.split(b"\n\n") if event and event != b"data: [DONE]"]
    chunks: list[Json] = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    return chunks


def read_all(reader: Reader, chunks: Iterable[Json]) -> list[Delta]:
    """The deltas of a stream of `chunks`."""
    return [delta for chunk in chunks for delta in reader.read(b"", msgspec.json.encode(chunk))]


# Requests of which chat has every word

_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
_NAMES_OF_TOOLS = st.sampled_from(["tide", "moon", "wind"])
_OBJECTS = st.dictionaries(_WORDS, st.integers() | _WORDS | st.none(), max_size=2)
_CACHES = st.none() | st.just({"type": "ephemeral"})
_BASE64 = st.binary(max_size=6).map(lambda data: data.hex())

_TEXTS = st.builds(Text, _WORDS, cache=_CACHES)
_USER_PARTS: st.SearchStrategy[Part] = st.one_of(
    _TEXTS,
    st.builds(
        Image,
        url=_WORDS.map(lambda word: f"https://example.org/{word}"),
        detail=st.sampled_from([None, "low", "high"]),
        cache=_CACHES,
    ),
    st.builds(
        Image, data=_BASE64, media_type=st.sampled_from(["image/png", "image/webp"]), cache=_CACHES
    ),
    st.builds(File, data=_BASE64, media_type=st.just("application/pdf"), name=st.none() | _WORDS),
    st.builds(File, file_id=_WORDS, name=st.none() | _WORDS, cache=_CACHES),
    st.builds(Audio, _BASE64, st.sampled_from(["wav", "mp3"])),
)


@st.composite
def _assistant(draw: st.DrawFn) -> tuple[Part, ...]:
    parts: list[Part] = []
    parts += draw(
        st.lists(
            st.builds(Thinking, _WORDS, signature=st.none() | _WORDS)
            | st.builds(Thinking, redacted=_WORDS),
            max_size=2,
        )
    )
    parts += draw(st.lists(_TEXTS, max_size=2))
    if draw(st.booleans()):
        parts.append(Refusal(draw(_WORDS)))
    calls = draw(st.integers(0 if parts else 1, 3))
    for number in range(calls):
        arguments = msgspec.json.encode(draw(_OBJECTS)).decode()
        signature = draw(st.none() | _WORDS)
        parts.append(ToolUse(f"call_{number}", draw(_NAMES_OF_TOOLS), arguments, signature))
    return tuple(parts)


@st.composite
def _turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    names = st.none() | st.sampled_from(["ada", "ben"])
    for role in draw(st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=4)):
        if role == "assistant":
            turn = Turn("assistant", draw(_assistant()), draw(names))
            turns.append(turn)
            results = [
                ToolResult(part.id, tuple(draw(st.lists(_TEXTS, max_size=2))), name=part.name)
                for part in turn.parts
                if isinstance(part, ToolUse)
            ]
            if results:
                turns.append(Turn("user", tuple(results)))
        elif role == "user":
            parts = draw(st.lists(_USER_PARTS, min_size=1, max_size=3))
            turns.append(Turn("user", tuple(parts), draw(names)))
        else:
            parts = draw(st.lists(_TEXTS, min_size=1, max_size=2))
            turns.append(Turn("system", tuple(parts), draw(names)))
    return (*turns, Turn("user", (Text("and now?"),)))


_SCHEMA: Json = {"type": "object", "properties": {}}
_TOOLS = st.lists(
    st.builds(
        Tool,
        _NAMES_OF_TOOLS,
        st.none() | _WORDS,
        st.none() | st.just(_SCHEMA),
        st.none() | st.booleans(),
        _CACHES,
    ),
    min_size=1,
    max_size=2,
)
_FLOATS = st.none() | st.floats(0, 1)
_COUNTS = st.none() | st.integers(1, 99)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Requests that chat, spoken with every accent, has all the words for."""
    tools = tuple(draw(st.none() | _TOOLS) or ())
    choices = st.none() | st.builds(ToolChoice, st.sampled_from(["auto", "none", "any"]))
    choices |= st.builds(ToolChoice, st.just("tool"), _NAMES_OF_TOOLS)
    outputs = st.none() | st.just(JsonOutput())
    outputs |= st.builds(
        JsonOutput, _OBJECTS, _WORDS, st.none() | st.booleans(), st.none() | _WORDS
    )
    stream = draw(st.booleans())
    return Ask(
        model="gpt",
        turns=draw(_turns()),
        tools=tools,
        tool_choice=draw(choices) if tools else None,
        parallel_tools=draw(st.none() | st.booleans()) if tools else None,
        output=draw(outputs),
        reasoning=draw(st.none() | st.builds(Reasoning, st.sampled_from(["none", "low", "xhigh"]))),
        max_tokens=draw(_COUNTS),
        temperature=draw(_FLOATS),
        top_p=draw(_FLOATS),
        top_k=draw(_COUNTS),
        stop=tuple(draw(st.lists(_WORDS, max_size=4))),
        seed=draw(st.none() | st.integers()),
        presence_penalty=draw(_FLOATS),
        frequency_penalty=draw(_FLOATS),
        n=draw(_COUNTS),
        logprobs=draw(st.none() | st.booleans()),
        top_logprobs=draw(_COUNTS),
        user=draw(st.none() | _WORDS),
        service_tier=draw(st.sampled_from([None, "auto", "flex"])),
        stream=stream,
        extra=draw(st.sampled_from([{}, {"logit_bias": {"7": 1}}, {"verbosity": "low"}])),
    )
