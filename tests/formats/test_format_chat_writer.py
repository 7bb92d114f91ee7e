"""Streamed answers in the chat format, as callers get them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from chat_judge import chunks_of, read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.formats import chat
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finished,
    RefusalDelta,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    Turn,
    Used,
)
from tidegate.types import Usage

Json = dict[str, Any]
GOLDEN = Path(__file__).with_name("golden")
ASK = Ask(model="alias", turns=(Turn("user", (Text("hello"),)),), stream=True)
SCORES: tuple[Json] = ({"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []},)
DONE = b"data: [DONE]\n\n"


def written(*deltas: Delta, ask: Ask = ASK) -> list[Json]:
    writer = chat.writer(ask)
    stream = b"".join(writer.write([delta]) for delta in deltas) + writer.end()
    assert stream.endswith(DONE)
    return chunks_of(stream)


FULL: list[Delta] = [
    Began("chatcmpl-1", "gpt-1", 1_700_000_000),
    ThinkingDelta("I have "),
    ThinkingDelta("to look."),
    ThinkingDelta(signature="sig"),
    ThinkingDelta(redacted="xyz"),
    TextDelta("Dover", logprobs=SCORES),
    TextDelta(" has", choice=1),
    TextDelta("…", notes=({"type": "url_citation", "url": "https://x", "title": "Tides",
                           "start_index": 0, "end_index": 5},)),
    ToolBegan(0, "call_1", "tide", "sig-1"),
    ToolDelta(0, '{"place":'),
    ToolDelta(0, '"Dover"}'),
    ToolBegan(1, "call_2", "tide"),
    ToolDelta(1, "{}"),
    RefusalDelta("I will not.", 1),
    Finished("tool_calls"),
    Finished("refusal", choice=1),
    Used(Usage(10, 20, cached_input=4, reasoning=8)),
]  # fmt: skip


def test_a_stream_with_everything_is_written_as_kept() -> None:
    writer = chat.writer(ASK)
    stream = writer.write(FULL) + writer.end()
    chunks_of(stream)
    assert stream == (GOLDEN / "chat_stream.txt").read_bytes()


def test_a_stream_that_was_written_is_read_as_it_was() -> None:
    assert read_all(chat.reader(), written(*FULL)) == FULL


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@st.composite
def streams(draw: st.DrawFn) -> list[Delta]:
    """The deltas of up to three choices, side by side."""
    sides: list[list[Delta]] = []
    for choice in range(draw(st.integers(1, 3))):
        side: list[Delta] = [
            ThinkingDelta(text, choice=choice) for text in draw(st.lists(_WORDS, max_size=2))
        ]
        side += [TextDelta(text, choice) for text in draw(st.lists(_WORDS, max_size=2))]
        refused = draw(st.booleans())
        side += [RefusalDelta("no", choice)] if refused else []
        number = draw(st.integers(0, 2))
        for index in range(number):
            side.append(ToolBegan(index, f"call_{index}", draw(_WORDS), choice=choice))
            arguments = msgspec.json.encode({"x": draw(_WORDS)}).decode()
            cut = draw(st.integers(1, len(arguments) - 1))
            side += [
                ToolDelta(index, piece, choice) for piece in (arguments[:cut], arguments[cut:])
            ]
        usual = "tool_calls" if number else "refusal" if refused else "stop"
        finish: Any = draw(st.sampled_from(["length", "content_filter", usual]))
        sides.append([*side, Finished(finish, choice=choice)])
    mixed: list[Delta] = [Began("id", "gpt-1", 7)]
    while any(sides):
        side = draw(st.sampled_from([side for side in sides if side]))
        mixed.append(side.pop(0))
    return [*mixed, Used(Usage(3, 4))]


@settings(deadline=None, max_examples=40)
@given(streams())
def test_any_stream_is_the_same_after_it_was_written_and_read(deltas: list[Delta]) -> None:
    assert read_all(chat.reader(), written(*deltas)) == deltas


def test_the_role_comes_with_the_first_content_of_each_choice() -> None:
    told = written(TextDelta("a"), TextDelta("b"), TextDelta("c", 1), Finished("stop", choice=2))
    roles = [chunk["choices"][0]["delta"].get("role") for chunk in told]
    assert roles == ["assistant", None, "assistant", "assistant"]


def test_usage_comes_last_and_only_if_it_was_asked_for() -> None:
    deltas: list[Delta] = [
        Began("id", "gpt-1", 7, Usage(3, 0)),
        TextDelta("a"),
        Finished("stop"),
        Used(Usage(3, 4)),
    ]
    *before, last = written(*deltas)
    assert [each["usage"] for each in before] == [None, None]
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 7)
    plain = written(*deltas, ask=Ask(model="alias", turns=(), stream=True, wants_usage=False))
    assert len(plain) == 2
    assert not any("usage" in each for each in plain)
    assert len(written(TextDelta("a"), Finished("stop"))) == 2


def test_an_answer_that_says_nothing_of_itself_still_has_a_name() -> None:
    (told,) = written(TextDelta("a"))
    assert told["model"] == "alias"
    assert told["id"].startswith("chatcmpl-")


def test_empty_deltas_make_no_chunks() -> None:
    assert written(TextDelta(""), ThinkingDelta()) == []


def test_a_stop_sequence_is_told() -> None:
    (told,) = written(Finished("stop", "END"))
    assert told["choices"][0]["stop_reason"] == "END"


def test_reasoning_too_long_to_be_kept_loses_its_signature_only() -> None:
    long = "x" * ((1 << 20) + 1)
    told = written(ThinkingDelta(long), ThinkingDelta(signature="a"), ThinkingDelta("b", "c"))
    sent = [each["choices"][0]["delta"] for each in told]
    assert sent[0]["reasoning_content"] == long
    assert [detail["signature"] for detail in sent[1]["reasoning_details"]] == ["c"]
