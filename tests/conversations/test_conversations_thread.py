"""A request as its target gets it: whole, or by the id that the target knows itself."""

from __future__ import annotations

from typing import Any

from memory import ANN, Memory, answer, call, choice, message, say
from msgspec import structs

from tidegate.formats.responses import read_ask
from tidegate.formats.responses.ask import CONTINUED
from tidegate.formats.trim import trimmed

OPAQUE: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [],
    "encrypted_content": "gAAA",
}
SEALED: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_2",
    "summary": [],
    "encrypted_content": "tg1s:sig",
}
CALLED: dict[str, Any] = {
    "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}",
    "signature": "sig",
}  # fmt: skip
RESULT = {"type": "function_call_output", "call_id": "call_1", "output": "done"}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


async def test_target_that_keeps_the_answer_itself_gets_its_id(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", OPAQUE, message("a"), provider="openai", native=True)
    asked = call("two", previous_response_id="resp_1", temperature=0.5)
    thread = await process.thread(ANN, asked)
    assert thread.fitted(thread.call, choice("openai"), native=True).body == asked.body


async def test_target_that_keeps_the_last_answer_has_all_before_it(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("a"), provider="other")
    await say(
        process, "resp_2", "two", message("b"),
        provider="openai", native=True, previous_response_id="resp_1",
    )  # fmt: skip
    asked = call("three", previous_response_id="resp_2")
    thread = await process.thread(ANN, asked)
    assert thread.fitted(thread.call, choice("openai"), native=True).body == asked.body


async def test_another_target_gets_what_anybody_understands(memory: Memory) -> None:
    process = memory.process()
    items = (OPAQUE, SEARCH, message("a"), CALLED)
    await say(process, "resp_1", "one", *items, provider="openai", native=True)
    thread = await process.thread(ANN, call([RESULT], previous_response_id="resp_1"))
    body = thread.fitted(thread.call, choice("azure"), native=True).body
    assert body == {
        "model": "assistant",
        "input": [
            {"role": "user", "content": "one"},
            {name: value for name, value in message("a").items() if name != "id"},
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            RESULT,
        ],
    }


async def test_translated_target_gets_the_whole_conversation(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", SEALED, message("a"), CALLED)
    thread = await process.thread(ANN, call([RESULT], previous_response_id="resp_1"))
    fitted = thread.fitted(thread.call, choice(), native=False)
    assert fitted is thread.call
    ask = read_ask(fitted.body)
    assert [turn.role for turn in ask.turns] == ["user", "assistant", "user"]
    assert [getattr(part, "signature", None) for part in ask.turns[1].parts] == [
        "sig", None, "sig",
    ]  # fmt: skip
    assert ask.extra == {}
    assert fitted.body[CONTINUED] == "resp_1"


async def test_reasoning_of_a_translation_is_kept_from_who_would_refuse_it(
    memory: Memory,
) -> None:
    thread = await memory.process().thread(ANN, call([SEALED, OPAQUE, CALLED, RESULT]))
    body = thread.fitted(thread.call, choice("openai"), native=True).body
    call_ = {name: value for name, value in CALLED.items() if name != "signature"}
    assert body["input"] == [OPAQUE, call_, RESULT]


async def test_shortened_conversation_is_sent_as_it_is(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("a"), provider="openai", native=True)
    thread = await process.thread(ANN, call("two", previous_response_id="resp_1"))
    body = trimmed("responses", thread.call.body)
    assert body is not None
    shorter = structs.replace(thread.call, body=body)
    fitted = thread.fitted(shorter, choice("openai"), native=True)
    assert fitted.body == {"model": "assistant", "input": [{"role": "user", "content": "two"}]}


async def test_input_may_be_left_out(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("a"), provider="openai", native=True)
    asked = call(None, previous_response_id="resp_1")
    del asked.body["input"]
    thread = await process.thread(ANN, asked)
    assert len(thread.call.body["input"]) == 2
    assert thread.fitted(thread.call, choice("openai"), native=True).body == asked.body


async def test_answer_of_a_native_target_is_known_by_its_name(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", provider="openai", native=True)
    await say(process, "resp_2", "one", provider="openai")
    assert memory.rows["resp_1"].provider == "openai"
    assert memory.rows["resp_2"].provider is None


async def test_caller_s_call_is_never_changed(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("a"))
    asked = call("two", previous_response_id="resp_1")
    before = dict(asked.body)
    thread = await process.thread(ANN, asked)
    thread.fitted(thread.call, choice(), native=True)
    process.keep(ANN, thread, choice(), answer("resp_2"))
    assert asked.body == before
