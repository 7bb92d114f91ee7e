"""Legacy completions, for callers whose model speaks something else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types import Completion

from tidegate.errors import BadRequest, UpstreamMalformed
from tidegate.formats import chat, completions
from tidegate.formats.format import Heard
from tidegate.formats.words import (
    Ask,
    Began,
    Delta,
    Finish,
    Finished,
    Part,
    Refusal,
    RefusalDelta,
    Reply,
    Said,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Turn,
    Used,
)
from tidegate.types import Facts, Usage

Json = dict[str, Any]
HEARD: Heard = completions
ONCE = (Turn("user", (Text("Once"),)),)
SCORES: tuple[Json, ...] = (
    {
        "token": "Hi",
        "logprob": -0.1,
        "bytes": [72, 105],
        "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": None}],
    },
    {"token": "!", "logprob": -0.2, "bytes": None, "top_logprobs": []},
)


def asked(**fields: Any) -> Ask:
    return completions.read_ask({"model": "alias", "prompt": "Once", **fields})


def written(*parts: Part, finish: Finish = "stop", scores: Any = None) -> Json:
    reply = Reply("id", "gpt-1", (Said(parts, finish, logprobs=scores),), Usage(3, 4), 7)
    body: Json = msgspec.json.decode(completions.write_reply(reply, "alias"))
    Completion.model_validate(body, strict=True)
    assert body["object"] == "text_completion"
    choice: Json = body["choices"][0]
    return choice


def test_a_prompt_is_one_users_turn() -> None:
    assert asked().turns == ONCE
    assert asked(prompt=["Once"]).turns == ONCE


def test_everything_that_shapes_an_answer_is_read() -> None:
    fields: Json = {
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": "END",
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "n": 2,
        "user": "u-1",
    }
    ask = asked(**fields, logprobs=3, stream=True, echo=True, suffix=None)
    told = {name: getattr(ask, name) for name in fields}
    assert told == fields | {"stop": ("END",)}
    assert (ask.logprobs, ask.top_logprobs) == (True, 3)
    assert (ask.stream, ask.wants_usage) == (True, False)
    assert ask.extra == {"echo": True}
    assert asked(stream=True, stream_options={"include_usage": True}).wants_usage


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("prompt", [1, 2], "prompt"),
        ("prompt", [[1], [2]], "prompt"),
        ("prompt", [], "prompt"),
        ("prompt", ["a", "b"], "prompt"),
        ("prompt", {}, "prompt"),
        ("stop", [7], "stop[0]"),
        ("logprobs", True, "logprobs"),
    ],
)
def test_what_cannot_be_translated_is_told_by_its_name(field: str, value: Any, param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        asked(**{field: value})
    assert caught.value.param == param


def test_an_answer_is_its_text() -> None:
    choice = written(Thinking("hm"), Text("upon"), Text(" a time"), ToolUse("a", "f", "{}"))
    assert choice == {
        "text": "upon a time", "index": 0, "logprobs": None, "finish_reason": "stop",
    }  # fmt: skip
    assert written(Refusal("No."), finish="refusal")["text"] == "No."


@pytest.mark.parametrize(
    ("finish", "told"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "stop"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
        ("pause", "length"),
        ("other", "stop"),
    ],
)
def test_every_end_has_a_word(finish: Finish, told: str) -> None:
    assert written(Text("x"), finish=finish)["finish_reason"] == told


def test_scores_are_told_as_lists_with_their_places() -> None:
    assert written(Text("Hi!"), scores=SCORES)["logprobs"] == {
        "tokens": ["Hi", "!"],
        "token_logprobs": [-0.1, -0.2],
        "top_logprobs": [{"Ho": -2.0}, {}],
        "text_offset": [0, 2],
    }
    assert written(Text("Hi!"), scores=({"token": 7},))["logprobs"] is None


def test_a_stream_is_its_text() -> None:
    deltas: list[Delta] = [
        Began("id", "gpt-1", 7),
        ThinkingDelta("hm"),
        TextDelta("Hi", logprobs=SCORES[:1]),
        TextDelta("!", logprobs=SCORES[1:]),
        RefusalDelta("No.", 1),
        ToolBegan(0, "a", "f"),
        ToolDelta(0, "{}"),
        Finished("tool_calls"),
        Finished("refusal", choice=1),
        Used(Usage(3, 4)),
    ]
    writer = completions.writer(asked(stream=True, stream_options={"include_usage": True}))
    stream = writer.write(deltas) + writer.end()
    *events, done, rest = stream.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks: list[Json] = [msgspec.json.decode(event.removeprefix(b"data: ")) for event in events]
    # The SDK's type knows no chunk without a reason, though the API sends them so.
    assert all(each["object"] == "text_completion" for each in chunks)
    said = [(each["index"], each["text"]) for chunk in chunks for each in chunk["choices"]]
    assert said == [(0, "Hi"), (0, "!"), (1, "No."), (0, ""), (1, "")]
    assert chunks[1]["choices"][0]["logprobs"]["text_offset"] == [2]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[3:5]] == [
        "stop", "content_filter",
    ]  # fmt: skip
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 7


def test_the_prompt_reaches_a_chat_model() -> None:
    body, dropped = chat.write_ask(asked(max_tokens=5, logit_bias={"7": 1}, best_of=2))
    assert body == {
        "messages": [{"role": "user", "content": "Once"}],
        "max_completion_tokens": 5,
        "logit_bias": {"7": 1},
    }
    assert dropped == ["best_of"]


@pytest.mark.parametrize(
    ("body", "choices"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2]]}, 2),
        ({"prompt": []}, 1),
    ],
)
def test_each_prompt_has_to_finish_before_a_stream_without_done_is_good(
    body: Json, choices: int
) -> None:
    facts = Facts()
    watch = completions.watch(facts, body, wants_usage=True)
    for index in range(choices):
        assert not watch.complete()
        choice = {"index": index, "text": "x", "finish_reason": "stop"}
        assert watch.passes(b"", msgspec.json.encode({"choices": [choice]}))
    assert watch.complete()
    assert facts.content


def test_an_answer_that_passes_is_learnt_from() -> None:
    facts = Facts()
    choice = {"text": "x", "finish_reason": "length"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    told = {"model": "gpt-1", "choices": [choice], "usage": usage}
    completions.learn(facts, msgspec.json.encode(told))
    assert (facts.model, facts.finish_reason, facts.usage) == ("gpt-1", "length", Usage(3, 4))
    with pytest.raises(UpstreamMalformed):
        completions.learn(facts, b'{"choices":[]}')
