"""Streamed answers in the chat format, as servers send them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_judge import read_all
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.errors import (
    ContentFiltered,
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamMalformed,
    UpstreamRateLimited,
)
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
from tidegate.types import Facts, Usage

Json = dict[str, Any]
GOLDEN = Path(__file__).with_name("golden")
ASK = Ask(model="alias", turns=(Turn("user", (Text("hello"),)),), stream=True)
SCORES: tuple[Json] = ({"token": "Hi", "logprob": -0.1, "bytes": None, "top_logprobs": []},)
DONE = b"data: [DONE]\n\n"


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> Json:
    return {"choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def call(
    index: int | None, call_id: str | None, name: str | None = None, arguments: str = ""
) -> Json:
    told: Json = {"index": index, "id": call_id, "function": {"arguments": arguments}}
    if name is not None:
        told["function"]["name"] = name
    return told


def calls(*told: Json) -> Json:
    return chunk(tool_calls=list(told))


def deltas_of(*chunks: Json) -> list[Delta]:
    """All but the beginning."""
    began, *deltas = read_all(chat.reader(), chunks)
    assert isinstance(began, Began)
    return deltas


def test_the_beginning_is_told_once_the_answer_begins() -> None:
    reader = chat.reader()
    verdict: Json = {
        "id": "",
        "model": "",
        "created": 0,
        "choices": [],
        "prompt_filter_results": [],
    }
    assert read_all(reader, [verdict]) == []
    told = {"id": "id", "model": "gpt-1", "created": 7, **chunk(content="Hi")}
    assert read_all(reader, [told]) == [Began("id", "gpt-1", 7), TextDelta("Hi")]


def test_everything_may_come_in_one_chunk() -> None:
    told = chunk(
        reason="stop",
        reasoning_content="hm",
        content="Hi",
        tool_calls=[call(0, "a", "f", "{}"), call(1, "b", "g", "{}")],
    )
    assert deltas_of(told | {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}) == [
        ThinkingDelta("hm"),
        TextDelta("Hi"),
        ToolBegan(0, "a", "f"),
        ToolDelta(0, "{}"),
        ToolBegan(1, "b", "g"),
        ToolDelta(1, "{}"),
        Finished("tool_calls"),
        Used(Usage(3, 4)),
    ]


def test_a_second_end_and_usage_in_every_chunk_change_nothing() -> None:
    usage = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    told = [chunk(content="Hi") | usage, chunk(reason="stop"), chunk(reason="stop", content="")]
    assert deltas_of(*told) == [TextDelta("Hi"), Used(Usage(3, 4)), Finished("stop")]


TWO: list[Delta] = [
    ToolBegan(0, "a", "f"), ToolDelta(0, '{"x":'), ToolDelta(0, "1}"),
    ToolBegan(1, "b", "g"), ToolDelta(1, "{}"),
]  # fmt: skip


@pytest.mark.parametrize(
    "pieces",
    [
        [call(0, "a", "f"), call(0, None, arguments='{"x":'), call(0, None, arguments="1}"),
         call(1, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":'), call(0, "a", "f", "1}"), call(1, "b", "g", "{}")],
        [call(None, "a", "f", '{"x":'), call(None, "a", None, "1}"), call(None, "b", "g", "{}")],
        [call(None, "a", "f", '{"x":'), call(None, None, None, "1}"), call(None, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":'), call(0, None, None, "1}"), call(0, "b", "g", "{}")],
        [call(0, "a", None, '{"x":'), call(0, "a", "f", ""), call(0, None, None, "1}"),
         call(3, "b", "g", "{}")],
        [call(0, "a", "f", '{"x":'), call(1, "b", "g", "{}"), call(0, None, None, "1}")],
        [call(0, "a", "f"), call(1, "b", "g"), call(0, None, None, '{"x":'),
         call(1, None, None, "{"), call(0, None, None, "1}"), call(1, None, None, "}")],
    ],
    ids=[
        "as at OpenAI", "id and name repeated", "no index", "no index, then no id",
        "every index the same", "name late, numbers with gaps", "side by side", "announced first",
    ],
)  # fmt: skip
def test_calls_come_one_after_another_however_a_server_cuts_them(pieces: list[Json]) -> None:
    *said, end = deltas_of(*map(calls, pieces), chunk(reason="tool_calls"))
    assert end == Finished("tool_calls")
    assert joined(said) == joined(TWO)


def joined(deltas: list[Delta]) -> list[Delta]:
    """Pieces of arguments that follow one another put together."""
    out: list[Delta] = []
    for delta in deltas:
        before = out[-1] if out else None
        if isinstance(delta, ToolDelta) and isinstance(before, ToolDelta):
            assert before.index == delta.index
            out[-1] = ToolDelta(delta.index, before.arguments + delta.arguments)
        else:
            out.append(delta)
    return out


def test_a_call_that_is_alone_goes_on_at_once() -> None:
    told = read_all(chat.reader(), [calls(call(0, "a", "f")), calls(call(0, None, None, '{"x'))])
    assert told[1:] == [ToolBegan(0, "a", "f"), ToolDelta(0, '{"x')]


def test_a_call_without_an_id_gets_one_and_one_of_the_old_form_too() -> None:
    for told in (
        calls(call(0, None, "f", "{}")),
        chunk(function_call={"name": "f", "arguments": "{}"}),
    ):
        began = deltas_of(told)[0]
        assert isinstance(began, ToolBegan)
        assert began.id.startswith("call_")


def test_googles_signature_of_a_call_is_kept() -> None:
    told = call(0, "a", "f", "{}")
    told["extra_content"] = {"google": {"thought_signature": "sig"}}
    assert deltas_of(calls(told))[0] == ToolBegan(0, "a", "f", "sig")


def test_text_may_follow_calls_but_not_interrupt_them() -> None:
    reader = chat.reader()
    begun = [calls(call(0, "a", "f", "{}")), chunk(content="so")]
    assert read_all(reader, begun)[-1] == TextDelta("so")
    with pytest.raises(UpstreamMalformed):
        read_all(reader, [calls(call(0, None, None, "x"))])


def test_scores_beside_a_calls_pieces_do_not_interrupt_it() -> None:
    scored = calls(call(0, None, None, "}"))
    scored["choices"][0]["logprobs"] = {"content": list(SCORES)}
    assert deltas_of(calls(call(0, "a", "f", "{")), scored)[-1] == ToolDelta(0, "}")


@pytest.mark.parametrize(
    ("delta", "told"),
    [
        ({"reasoning": "hm"}, [ThinkingDelta("hm")]),
        ({"reasoning": "hm", "reasoning_content": "hm"}, [ThinkingDelta("hm")]),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                         {"type": "text", "text": "x"}]},
            [ThinkingDelta("hm"), TextDelta("x")],
        ),
        (
            {"reasoning": "hm",
             "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": "s"},
                                   {"type": "reasoning.encrypted", "data": "x"}]},
            [ThinkingDelta("hm"), ThinkingDelta("", "s"), ThinkingDelta(redacted="x")],
        ),
        (
            {"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]},
            [ThinkingDelta("hm")],
        ),
        (
            {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://x"}}]},
            [TextDelta("", notes=({"type": "url_citation", "url": "https://x"},))],
        ),
        ({"refusal": "no"}, [RefusalDelta("no")]),
        ({"content": "", "refusal": None}, []),
    ],
)  # fmt: skip
def test_deltas_are_read_wherever_servers_put_them(delta: Json, told: list[Delta]) -> None:
    assert deltas_of(chunk(**delta)) == told


def test_a_stop_sequence_is_read() -> None:
    told = chunk(reason="stop")
    told["choices"][0]["stop_reason"] = "END"
    assert deltas_of(told) == [Finished("stop", "END")]


def test_done_ends_what_no_reason_has_ended() -> None:
    reader = chat.reader()
    read_all(reader, [chunk(content="a"), chunk(1, reason="stop")])
    assert not reader.complete()
    assert reader.read(b"", b"[DONE]") == [Finished("other")]
    assert reader.done
    assert reader.complete()


def test_a_stream_is_complete_once_all_that_began_has_ended() -> None:
    reader = chat.reader()
    assert not reader.complete()
    read_all(reader, [chunk(reason="length")])
    assert reader.complete()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "x", "code": "server_error"}, UpstreamFailed),
        ({"message": "x", "code": 502}, UpstreamFailed),
        ({"message": "x", "type": "overloaded_error"}, UpstreamFailed),
        ("something", UpstreamFailed),
        (7, UpstreamFailed),
        ({"message": "x", "code": 429}, UpstreamRateLimited),
        ({"message": "x", "code": "rate_limit_exceeded"}, UpstreamRateLimited),
        ({"message": "x", "code": 402}, UpstreamDenied),
        ({"message": "x", "code": "content_filter"}, ContentFiltered),
    ],
)
def test_an_error_in_the_stream_is_that_error(error: Any, kind: type[UpstreamError]) -> None:
    data = msgspec.json.encode({"error": error})
    with pytest.raises(kind) as caught:
        chat.reader().read(b"", data)
    assert type(caught.value) is kind
    with pytest.raises(kind):
        chat.watch(Facts(), {}, wants_usage=True).passes(b"", data)


MANY = [call(number, f"c{number}", "f", "{}") for number in range(257)]


@pytest.mark.parametrize(
    "chunks",
    [
        [{"choices": 7}],
        [{"choices": [{"delta": {"content": 7}}]}],
        [{"usage": {"prompt_tokens": "many"}}],
        [chunk(128, content="a")],
        [chunk(-1, content="a")],
        [chunk(content="a"), chunk(reason="stop"), chunk(content="b")],
        [calls(*MANY)],
        [calls(*MANY[:200]), chunk(1, tool_calls=MANY[:200])],
        [calls(call(0, "a", None, "{}")), chunk(reason="stop")],
        [calls(call(0, "a", None, "{}"), call(1, "b", "g", "{}")), chunk(reason="stop")],
        [calls(call(0, "a", "f", "x" * (1 << 20)))] * 9,
    ],
)
def test_what_no_stream_may_say_is_malformed(chunks: list[Json]) -> None:
    with pytest.raises(UpstreamMalformed):
        read_all(chat.reader(), chunks)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 9_999, b"null"])
def test_what_is_no_chunk_is_malformed(data: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        chat.reader().read(b"", data)


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
_PIECES = st.builds(
    call, st.integers(-1, 2), st.none(), st.sampled_from([None, "f"]), st.sampled_from("{}")
)
_DELTAS: dict[str, st.SearchStrategy[Any]] = {
    "content": _JSON,
    "tool_calls": st.lists(_PIECES, max_size=3) | _JSON,
    "reasoning_details": _JSON,
    "annotations": _JSON,
    "function_call": _JSON,
}
_SIDES: dict[str, st.SearchStrategy[Any]] = {
    "index": st.integers(0, 1) | _JSON,
    "delta": st.fixed_dictionaries({}, optional=_DELTAS) | _JSON,
    "finish_reason": st.sampled_from([None, "stop", "error", 7]),
    "logprobs": _JSON,
}
_REST: dict[str, st.SearchStrategy[Any]] = {
    "choices": st.lists(st.fixed_dictionaries({}, optional=_SIDES), max_size=2),
    "id": _JSON,
    "created": _JSON,
    "usage": _JSON,
    "error": st.none() | _JSON,
}
_CHUNKS: st.SearchStrategy[Json] = st.fixed_dictionaries({}, optional=_REST)


@settings(deadline=None, max_examples=60)
@given(st.lists(_CHUNKS, max_size=4))
def test_no_chunk_of_any_shape_does_more_than_fail(chunks: list[Json]) -> None:
    reader, writer = chat.reader(), chat.writer(ASK)
    watch = chat.watch(Facts(), {}, wants_usage=False)
    with suppress(UpstreamError):
        for told in chunks:
            watch.passes(b"", msgspec.json.encode(told))
    with suppress(UpstreamError):
        for told in chunks:
            writer.write(reader.read(b"", msgspec.json.encode(told)))
    writer.end()


def test_every_choice_has_to_finish_before_a_stream_without_done_is_good() -> None:
    watch = chat.watch(Facts(), {"n": 2}, wants_usage=True)
    for told in (chunk(reason="stop"), chunk(reason="stop")):
        watch.passes(b"", msgspec.json.encode(told))
    assert not watch.complete()
    watch.passes(b"", msgspec.json.encode(chunk(1, reason="stop")))
    assert watch.complete()
