"""What real servers of the chat API have said, replayed: nothing that both sides know is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recorded import Exchange, recorded

from tidegate.errors import UpstreamRefused
from tidegate.formats import chat, embeddings
from tidegate.formats.gather import gathered
from tidegate.formats.words import (
    Ask,
    Audio,
    Delta,
    File,
    Finished,
    Image,
    Reply,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Turn,
    Used,
)
from tidegate.types import Facts

Json = dict[str, Any]

ASK = Ask(model="asked", turns=(Turn("user", (Text("hello"),)),), stream=True)


def data_of(chunks: bytes) -> list[Json]:
    return [
        msgspec.json.decode(event.removeprefix(b"data: "))
        for event in chunks.split(b"\n\n")
        if event and event != b"data: [DONE]"
    ]


def known(message: Json) -> Json:
    """A message as far as there are words for it; empty and missing are the same."""
    content: str | list[Json] | None = message.get("content")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, list):  # Mistral's, with reasoning inside
        thinking = "".join(text["text"] for part in content for text in part.get("thinking", ()))
        content = "".join(part.get("text") or "" for part in content)
    calls: list[Json] = message.get("tool_calls") or []
    return {
        "content": content or None,
        "thinking": thinking or None,
        "refusal": message.get("refusal"),
        "annotations": message.get("annotations") or None,
        "calls": [(call["id"], call["function"]) for call in calls],
    }


def in_lists(content: str | list[Json]) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def counts(usage: Json | None) -> Json | None:
    """A usage as far as there are words for it."""
    if usage is None:
        return None
    prompt: Json = usage.get("prompt_tokens_details") or {}
    completion: Json = usage.get("completion_tokens_details") or {}
    cached = prompt.get("cached_tokens")
    return {
        "prompt": usage["prompt_tokens"],
        "completion": usage["completion_tokens"],
        "total": usage["total_tokens"],
        "cached": usage.get("prompt_cache_hit_tokens") if cached is None else cached,
        "written": prompt.get("cache_write_tokens"),
        "reasoning": completion.get("reasoning_tokens"),
    }


@pytest.mark.parametrize("exchange", recorded("chat"))
def test_a_recorded_answer_is_read_and_written_without_loss(exchange: Exchange) -> None:
    told: Json = msgspec.json.decode(exchange.body)
    body = chat.write_reply(chat.read_reply(exchange.body.encode()), "other")
    again: Json = msgspec.json.decode(body)
    ChatCompletion.model_validate(again, strict=True)
    for name in ("id", "model", "created", "object"):
        assert again[name] == told[name]
    assert counts(again["usage"]) == counts(told["usage"])
    assert len(again["choices"]) == len(told["choices"])
    for mine, theirs in zip(again["choices"], told["choices"], strict=True):
        assert mine["finish_reason"] == theirs["finish_reason"]
        assert mine["index"] == theirs["index"]
        assert mine["logprobs"] == theirs.get("logprobs")
        assert known(mine["message"]) == known(theirs["message"])


@pytest.mark.parametrize("exchange", recorded("chat"))
def test_a_recorded_answer_that_passes_is_learnt_from(exchange: Exchange) -> None:
    told: Json = msgspec.json.decode(exchange.body)
    facts = Facts()
    chat.learn(facts, exchange.body.encode())
    assert facts.model == told["model"]
    assert facts.finish_reason == told["choices"][0]["finish_reason"]
    assert facts.usage is not None
    assert facts.usage == chat.read_reply(exchange.body.encode()).usage
    assert facts.usage.input == told["usage"]["prompt_tokens"]
    assert facts.usage.output == told["usage"]["completion_tokens"]


@pytest.mark.parametrize("exchange", recorded("chat", stream=True))
def test_a_recorded_stream_passes_whole_and_is_learnt_from(exchange: Exchange) -> None:
    told = [msgspec.json.decode(data) for _, data in exchange.events() if data != b"[DONE]"]
    facts = Facts()
    watch = chat.watch(facts, exchange.request, wants_usage=True)
    passed = [data for event, data in exchange.events() if watch.passes(event, data)]
    assert watch.done
    assert watch.complete()
    assert [msgspec.json.decode(data) for data in passed] == told
    usages = [chunk["usage"] for chunk in told if chunk.get("usage")]
    assert (facts.usage is None) == (not usages)
    if facts.usage is not None:
        assert facts.usage.input == usages[-1]["prompt_tokens"]
        assert facts.usage.output == usages[-1]["completion_tokens"]
    assert facts.model == told[0]["model"]
    assert facts.finish_reason in {"stop", "tool_calls"}
    assert facts.chunks == len(told)
    assert facts.content


@pytest.mark.parametrize("exchange", recorded("chat", stream=True))
def test_only_the_usage_chunk_is_kept_from_a_caller_that_did_not_ask(exchange: Exchange) -> None:
    watch = chat.watch(Facts(), exchange.request, wants_usage=False)
    events = [data for _, data in exchange.events() if data != b"[DONE]"]
    kept = [msgspec.json.decode(data) for data in events if not watch.passes(b"", data)]
    assert len(kept) <= 1
    assert all(not chunk["choices"] and chunk["usage"] for chunk in kept)


def read(exchange: Exchange) -> list[Delta]:
    reader = chat.reader()
    deltas = [delta for event, data in exchange.events() for delta in reader.read(event, data)]
    assert reader.done
    assert reader.complete()
    return deltas


@pytest.mark.parametrize("exchange", recorded("chat", stream=True))
def test_a_recorded_stream_is_read_without_loss(exchange: Exchange) -> None:
    told = [msgspec.json.decode(data) for _, data in exchange.events() if data != b"[DONE]"]
    sides: list[Json] = [side for chunk in told for side in chunk["choices"]]
    deltas = read(exchange)
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    assert text == "".join(side["delta"].get("content") or "" for side in sides)
    thoughts = "".join(delta.text for delta in deltas if isinstance(delta, ThinkingDelta))
    assert thoughts == "".join(side["delta"].get("reasoning") or "" for side in sides)
    notes = [note for side in sides for note in side["delta"].get("annotations", ())]
    assert notes == [
        {"type": note["type"], note["type"]: {k: v for k, v in note.items() if k != "type"}}
        for delta in deltas
        if isinstance(delta, TextDelta)
        for note in delta.notes
    ]
    encrypted = [
        detail["data"]
        for side in sides
        for detail in side["delta"].get("reasoning_details", ())
        if detail["type"] == "reasoning.encrypted"
    ]
    assert encrypted == [
        delta.redacted for delta in deltas if isinstance(delta, ThinkingDelta) and delta.redacted
    ]
    calls = [call for side in sides for call in side["delta"].get("tool_calls", ())]
    tools = [part for part in gathered(deltas).choices[0].parts if hasattr(part, "arguments")]
    assert len(tools) == len(calls)
    assert sum(isinstance(delta, Finished) for delta in deltas) == 1
    usages = [chunk["usage"] for chunk in told if chunk.get("usage")]
    assert sum(isinstance(delta, Used) for delta in deltas) == len(usages)


def without_tier(reply: Reply) -> Reply:
    """A reply without the tier it was served in: that is for the bill, and not passed on."""
    usage = None if reply.usage is None else msgspec.structs.replace(reply.usage, tier=None)
    return msgspec.structs.replace(reply, usage=usage)


@pytest.mark.parametrize("exchange", recorded("chat", stream=True))
def test_a_recorded_stream_is_written_again_without_loss(exchange: Exchange) -> None:
    deltas = read(exchange)
    writer = chat.writer(ASK)
    written = b"".join([*(writer.write([delta]) for delta in deltas), writer.end()])
    chunks = data_of(written)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)
    assert written.endswith(b"data: [DONE]\n\n")
    reader = chat.reader()
    again = [delta for chunk in chunks for delta in reader.read(b"", msgspec.json.encode(chunk))]
    assert reader.complete()
    assert without_tier(gathered(again)) == without_tier(gathered(deltas))


@pytest.mark.parametrize("exchange", [*recorded("chat", status=400), *recorded("chat", status=404)])
def test_a_recorded_refusal_keeps_its_meaning(exchange: Exchange) -> None:
    told: Json = msgspec.json.decode(exchange.body)["error"]
    error = chat.refusal(exchange.status, exchange.body.encode())
    assert type(error) is UpstreamRefused
    again: Json = msgspec.json.decode(chat.error_body(error, "id"))["error"]
    assert error.status == exchange.status
    assert {k: again[k] for k in ("message", "type", "code", "param")} == {
        "message": told["message"],
        "type": told["type"],
        "code": told["code"],
        "param": told.get("param"),
    }


@pytest.mark.parametrize("exchange", [*recorded("chat"), *recorded("chat", stream=True)])
def test_a_recorded_request_is_read_without_loss(exchange: Exchange) -> None:
    request = exchange.request
    ask = chat.read_ask(request)
    body, dropped = chat.write_ask(ask, chat.Accent(thinking="reasoning_content", cache=True))
    unknown = {k for k, v in request.items() if v is not None} - body.keys() - {"model", "stream"}
    assert unknown - {"max_tokens"} == set(dropped)
    for name, value in request.items():
        if name == "max_tokens":
            assert body["max_completion_tokens"] == value
        elif name in body and name not in ("messages", "stream_options"):
            assert body[name] == value
    assert body.get("tools") == request.get("tools")
    for mine, theirs in zip(body["messages"], request["messages"], strict=True):
        assert mine["role"] == {"developer": "system"}.get(theirs["role"], theirs["role"])
        if theirs["role"] != "assistant" and isinstance(theirs["content"], list):
            assert in_lists(mine["content"]) == theirs["content"]
        else:
            assert known(mine) == known(theirs)
        assert mine.get("tool_call_id") == theirs.get("tool_call_id")
        assert mine.get("prefix") == theirs.get("prefix")


def test_recorded_requests_hold_every_kind_of_part() -> None:
    """So that the test above means something."""
    kinds: set[type] = set()
    for parameters in recorded("chat"):
        if parameters.values[0] is None:
            pytest.skip("nothing recorded")
        for turn in chat.read_ask(parameters.values[0].request).turns:
            kinds |= {type(part) for part in turn.parts}
    assert kinds >= {Text, Image, Audio, File, Thinking}


@pytest.mark.parametrize("exchange", recorded("embeddings"))
def test_recorded_embeddings_are_learnt_from(exchange: Exchange) -> None:
    told: Json = msgspec.json.decode(exchange.body)
    facts = Facts()
    embeddings.learn(facts, exchange.body.encode())
    assert facts.model == told["model"]
    assert facts.usage is not None
    assert facts.usage.input == told["usage"]["prompt_tokens"]
    assert facts.finish_reason is None
