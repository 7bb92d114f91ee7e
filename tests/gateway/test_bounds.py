"""No call uses more than it was taken for: what stands in it, and what it only refers to."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.formats.estimate import input_tokens
from tidegate.formats.heard import HEARD
from tidegate.formats.repair import repaired
from tidegate.formats.responses.ask import CONTINUED
from tidegate.formats.words import Reply, Said, Text
from tidegate.gateway import bounds
from tidegate.providers.simulated.anthropic.requests import MessagesRequest
from tidegate.providers.simulated.openai.requests import ChatRequest
from tidegate.types import Call, Target, Terms, Timeouts

TARGET = Target("p", "m", Timeouts(1, 1, 1, 1))
WINDOW = 200_000
ASKED: Any = [{"role": "user", "content": "Hello"}]


def call(wire: str = "chat", **body: Any) -> Call:
    return Call(wire, "m", {"model": "m", **body}, stream=False, wants_usage=False)


def reads(made: Call, window: int | None = None, body: bytes | None = None) -> int:
    sent = json.dumps(made.body).encode() if body is None else body
    return bounds.input_bound(bounds.heard(made, sent), window)


texts = st.text(max_size=60)
picture: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "type": st.just("image_url"),
        "image_url": st.fixed_dictionaries({"url": st.just("https://x.example/a.png")}),
    }
)
part: st.SearchStrategy[Any] = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}), picture
)
message: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system"]),
        "content": st.one_of(texts, st.lists(part, min_size=1, max_size=4)),
    }
)
tool: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": st.just("look"), "description": texts}),
    }
)
chats: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"model": st.just("m"), "messages": st.lists(message, min_size=1, max_size=6)},
    optional={"tools": st.lists(tool, max_size=3)},
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(chats, st.booleans())
def test_a_chat_is_read_as_no_more_than_its_bound(body: Any, escaped: bool) -> None:
    sent = json.dumps(body, ensure_ascii=escaped, separators=(",", ":"))
    try:
        encoded = sent.encode()
    except UnicodeEncodeError:  # half a pair, which no body can hold
        return
    made = Call("chat", "m", body, stream=False, wants_usage=False)
    bound = bounds.input_bound(bounds.heard(made, encoded), None)
    try:
        asked = msgspec.json.decode(encoded, type=ChatRequest)
    except msgspec.DecodeError:
        return
    assert bound >= asked.prompt_tokens()
    assert bound >= input_tokens(HEARD["chat"].read_ask(body))
    letters = "".join(
        each["content"] if isinstance(each["content"], str) else json.dumps(each["content"])
        for each in body["messages"]
    )
    assert bound >= len(letters.encode("utf-8", "replace"))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.lists(texts, min_size=1, max_size=5), texts)
def test_messages_are_read_as_no_more_than_their_bound(said: list[str], system: str) -> None:
    turns = [{"role": "user", "content": text or "x"} for text in said]
    body: Any = {"model": "m", "max_tokens": 5, "messages": turns, "system": system}
    encoded = json.dumps(body).encode()
    made = Call("messages", "m", body, stream=False, wants_usage=False)
    bound = bounds.input_bound(bounds.heard(made, encoded), None)
    try:
        asked = msgspec.json.decode(encoded, type=MessagesRequest)
    except msgspec.DecodeError:
        return
    assert bound >= asked.prompt_tokens()


def test_it_is_never_more_than_the_models_window() -> None:
    body = b"x" * 900_000
    assert reads(call(messages=ASKED), WINDOW, body) == WINDOW
    assert reads(call(messages=ASKED), None, body) > 900_000


def test_a_wider_window_that_is_asked_for_by_a_header_is_believed() -> None:
    beta = ((b"anthropic-beta", b"context-1m-2025-08-07"),)
    made = Call("messages", "m", {"messages": ASKED}, stream=False, wants_usage=True, forward=beta)
    assert reads(made, WINDOW, b"x" * 900_000) > 900_000


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "input_image", "file_id": "f-1"},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {"type": "computer_screenshot", "file_id": "f-1"},
        {"image_url": "https://x.example/a.png"},
        {"role": "assistant", "audio": {"id": "audio_1"}},
    ],
)
def test_a_picture_by_its_address_is_as_dear_as_any(part: Any) -> None:
    plain = reads(call(messages=ASKED))
    assert reads(call(messages=[part])) >= plain + bounds.MEDIUM_TOKENS - 100
    assert reads(call(messages=[part, part])) >= plain + 2 * bounds.MEDIUM_TOKENS - 100


def test_a_picture_is_found_however_its_name_is_written() -> None:
    made = call(messages=[{"type": "image", "source": {"type": "url", "url": "u"}}])
    escaped = json.dumps(made.body).replace('"image"', '"im\\u0061ge"').encode()
    assert b'"image"' not in escaped
    assert reads(made, None, escaped) > bounds.MEDIUM_TOKENS


@pytest.mark.parametrize(
    "made",
    [
        call(messages=[{"type": "file", "file": {"file_id": "f-1"}}]),
        call("messages", messages=[{"type": "document", "source": {"type": "url", "url": "u"}}]),
        call("messages", messages=[{"type": "container_upload", "file_id": "f-1"}]),
        call(messages=[{"type": "video_url", "video_url": {"url": "u"}}]),
        call("responses", input=[{"type": "input_file", "file_id": "f-1"}]),
        call("responses", input=[{"type": "item_reference", "id": "msg_1"}]),
        call("responses", input=[{"id": "msg_1"}]),
        call("responses", input=[{"type": "reasoning", "id": "rs_1", "summary": []}]),
        call("responses", input="Go on.", previous_response_id="resp_1"),
        call("responses", input="Go on.", conversation="conv_1"),
        call("responses", prompt={"id": "pmpt_1"}),
    ],
)
def test_what_only_the_provider_has_may_fill_the_window(made: Call) -> None:
    assert reads(made, WINDOW) == WINDOW
    assert reads(made, None) > bounds.WINDOW_TOKENS


def test_what_stands_in_it_does_not() -> None:
    items: Any = [
        {"role": "user", "content": "Hello"},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Sun"},
    ]
    tools: Any = [{"type": "function", "name": "look", "parameters": {"file": {"type": "string"}}}]
    assert reads(call("responses", input=items, tools=tools), WINDOW) < 2_000


def test_a_conversation_that_is_gone_on_with_counts_whole() -> None:
    past: Any = [{"role": "user", "content": "long " * 20_000}, {"role": "user", "content": "On."}]
    made = call("responses", input=past, **{CONTINUED: "resp_1"})
    assert reads(made, None, b'{"previous_response_id":"resp_1"}') > 100_000


@pytest.mark.parametrize(
    ("made", "rounds"),
    [
        (call("responses", input="x", tools=[{"type": "web_search"}]), 11),
        (call("responses", input="x", tools=[{"type": "mcp"}], max_tool_calls=3), 4),
        (call("messages", tools=[{"type": "web_search_20250305", "max_uses": 2}]), 3),
        (call("messages", mcp_servers=[{}]), 11),
        (call("chat", messages=ASKED, web_search_options={}), 11),
        (call("messages", tools=[{"type": "bash_20250124"}, {"name": "look"}]), 1),
    ],
)
def test_each_call_of_a_tool_that_the_provider_runs_is_another_round(
    made: Call, rounds: int
) -> None:
    bound = reads(made, WINDOW)
    assert bound == rounds * WINDOW if rounds > 1 else bound < 5_000


@pytest.mark.parametrize(
    ("made", "fees"),
    [
        (call("responses", input="x", tools=[{"type": "web_search"}]), True),
        (call("responses", input="x", tools=[{"type": "code_interpreter"}]), True),
        (call("responses", input="x", tools=[{"type": "mcp"}]), False),
        (call("messages", tools=[{"type": "web_search_20250305", "max_uses": 2}]), True),
        (call("messages", tools=[{"type": "web_fetch_20250910"}]), False),
        (call("messages", tools=[{"type": "bash_20250124"}, {"name": "look"}]), False),
        (call("chat", messages=ASKED, web_search_options={}), True),
        (call("chat", messages=ASKED, plugins=[{"id": "web"}]), True),
        (call("chat", messages=ASKED, tools=[{"type": "function", "function": {}}]), False),
    ],
)
def test_tools_that_a_provider_runs_for_a_fee_are_found(made: Call, *, fees: bool) -> None:
    assert bounds.heard(made, json.dumps(made.body).encode()).fees is fees


@pytest.mark.parametrize(
    ("made", "answers"),
    [
        (call(n=3), 3),
        (call("completions", prompt="a", n=2, best_of=5), 5),
        (call("completions", prompt="a", best_of=5.0), 5),
        (call("completions", prompt="a", best_of="5"), 5),
        (call("completions", prompt=["a", "b"], n=2), 4),
        (call("completions", prompt=[1, 2, 3]), 1),
        (call("completions", prompt=[[1, 2], [3]]), 2),
        (call("completions", prompt=[1, "a"]), 2),
        (call("responses", input="x", n=4), 1),
    ],
)
def test_every_answer_counts(made: Call, answers: int) -> None:
    assert bounds.answers(made) == answers


def test_an_answer_is_bounded_by_the_caller_or_by_the_alias() -> None:
    ceiling = msgspec.structs.replace(TARGET, output_max=400)
    default = msgspec.structs.replace(TARGET, output_default=300)
    assert bounds.output_bound(9_000, ceiling, 1) == 400
    assert bounds.output_bound(None, ceiling, 1) == 400
    assert bounds.output_bound(None, default, 1) == 300
    assert bounds.output_bound(None, TARGET, 7) == 7
    assert bounds.output_asked(call(max_tokens=5, max_completion_tokens=9)) == 9
    assert bounds.output_asked(call("responses", max_tokens=5)) is None


def test_thinking_and_predictions_may_make_an_answer_longer() -> None:
    plain = bounds.beside(call(messages=ASKED), 100)
    thinking = {"type": "enabled", "budget_tokens": 5_000}
    assert bounds.beside(call("messages", thinking=thinking), 1_000) == plain + 4_000
    assert bounds.beside(call(reasoning_effort="high"), None) == plain + 16_384
    assert bounds.beside(call(reasoning={"max_tokens": 60_000}), None) == plain + 60_000
    assert bounds.beside(call(reasoning_effort="high"), 100) == plain
    assert bounds.beside(call(prediction={"content": "x" * 500}), 100) > plain + 500


def test_a_repair_shows_the_answer_again() -> None:
    body: Any = {"messages": ASKED, "response_format": {"type": "json_object"}}
    terms, made = Terms(repairs=2), call(**body)
    said = Reply(
        id="x", model="m", choices=(Said((Text("é" * 3_000),), "stop"),), usage=None, created=1
    )
    longer = repaired("chat", repaired("chat", body, said, "no JSON") or {}, said, "no JSON")
    grown = len(json.dumps(longer, ensure_ascii=False).encode()) - len(json.dumps(body))
    assert bounds.repairs(made, terms, 3_000) >= grown
    assert bounds.repairs(made, Terms(), 3_000) == 0
    assert bounds.repairs(call(messages=ASKED), terms, 3_000) == 0


def test_absurd_numbers_stay_within_what_engines_count() -> None:
    made = call("messages", tools=[{"type": "web_search", "max_uses": 10**30}])
    assert reads(made, WINDOW) == bounds.MOST_TOKENS
    assert bounds.answers(call("completions", prompt="a", best_of=1e999)) == bounds.MOST_TOKENS
    assert bounds.answers(call("completions", prompt="a", best_of="none")) == 1


def test_words_of_a_text_refer_to_nothing() -> None:
    said = 'see "type": "image_url" and "type": "file", "input_audio": 1'
    made = call(messages=[{"role": "system", "content": ""}, {"role": "user", "content": said}])
    sent = json.dumps(made.body).encode()
    assert bounds.heard(made, sent) == bounds.Heard(len(sent) + bounds.UNSEEN_TOKENS)


MORE: list[dict[str, Any]] = [
    {"messages": [{"role": "assistant", "content": "Hm", "audio": {"id": "a-1"}}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
    {"messages": ASKED, "system": [{"type": "image", "source": {}}]},
    {"messages": ASKED, "web_search_options": {}},
]


@pytest.mark.parametrize("more", MORE)
def test_what_is_more_than_text_is_looked_at(more: dict[str, Any]) -> None:
    made = call("messages" if "system" in more else "chat", **more)
    sent = json.dumps(made.body).encode()
    assert bounds.heard(made, sent) != bounds.Heard(len(sent) + bounds.UNSEEN_TOKENS)
