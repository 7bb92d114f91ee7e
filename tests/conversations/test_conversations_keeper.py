"""Keeping answers and going on from them."""

from __future__ import annotations

import json

import pytest
from memory import ANN, BOB, CAT, DAN, Memory, Time, answer, call, choice, message, say

from tidegate.conversations.keeper import (
    MOST_TURNS,
    TooLongPast,
    UnknownResponse,
)
from tidegate.conversations.kept import MOST_BYTES, Kept, decode, encode, is_kept
from tidegate.conversations.recent import AGE_S
from tidegate.errors import BadRequest, Unavailable
from tidegate.formats.faults import error_body
from tidegate.formats.responses import read_ask
from tidegate.formats.responses.failure import UnknownPrevious
from tidegate.telemetry.record import Record
from tidegate.telemetry.record import encode as encode_record


async def test_what_was_said_goes_before_what_is_said_now(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    await say(process, "resp_2", "two", message("second"), previous_response_id="resp_1")
    thread = await process.thread(ANN, call("three", previous_response_id="resp_2"))
    body = thread.call.body
    assert "previous_response_id" not in body
    said = [item["content"] for item in body["input"]]
    assert [each if isinstance(each, str) else each[0]["text"] for each in said] == [
        "one", "first", "two", "second", "three",
    ]  # fmt: skip
    assert len(read_ask(body).turns) == 5
    assert memory.asked == []


async def test_instructions_are_of_their_turn_only(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"), instructions="Be brief.")
    thread = await process.thread(ANN, call("two", previous_response_id="resp_1"))
    assert "instructions" not in thread.call.body


async def test_another_process_finds_it_in_the_store(memory: Memory) -> None:
    await say(memory.process(), "resp_1", "one", message("first"))
    other = memory.process()
    thread = await other.thread(ANN, call("two", previous_response_id="resp_1"))
    assert len(thread.call.body["input"]) == 3
    await other.thread(ANN, call("two", previous_response_id="resp_1"))
    assert memory.asked == ["resp_1"]


async def test_conversation_may_be_half_in_memory(memory: Memory) -> None:
    first, second = memory.process(), memory.process()
    await say(first, "resp_1", "one", message("first"))
    await say(second, "resp_2", "two", message("second"), previous_response_id="resp_1")
    await say(first, "resp_3", "three", message("third"), previous_response_id="resp_2")
    thread = await first.thread(ANN, call("four", previous_response_id="resp_3"))
    assert len(thread.call.body["input"]) == 7


async def test_two_may_go_on_from_one(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    await say(process, "resp_2", "two", message("second"), previous_response_id="resp_1")
    await say(process, "resp_3", "other", message("third"), previous_response_id="resp_1")
    assert memory.rows["resp_2"].root == memory.rows["resp_3"].root == "resp_1"
    thread = await process.thread(ANN, call("x", previous_response_id="resp_3"))
    assert len(thread.call.body["input"]) == 5


@pytest.mark.parametrize("known", ["memory", "store"])
async def test_only_its_owner_goes_on_from_an_answer(memory: Memory, known: str) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    asked = process if known == "memory" else memory.process()
    with pytest.raises(UnknownPrevious) as refused:
        await asked.thread(BOB, call("two", previous_response_id="resp_1"))
    told = json.loads(error_body(refused.value, ""))["error"]
    assert told == {
        "message": "Previous response with id 'resp_1' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
    with pytest.raises(UnknownResponse):
        await asked.find(BOB, "resp_1")
    with pytest.raises(UnknownResponse):
        await asked.forget(BOB, "resp_1")
    assert await asked.find(ANN, "resp_1")


async def test_team_goes_on_together(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"), caller=CAT)
    assert (await process.thread(DAN, call("two", previous_response_id="resp_1"))).call


@pytest.mark.parametrize("id_", ["resp_none", "", "a b", "../healthz", "x" * 300, "é"])
async def test_unknown_id_is_refused(memory: Memory, id_: str) -> None:
    process = memory.process()
    with pytest.raises(UnknownPrevious):
        await process.thread(ANN, call("one", previous_response_id=id_))
    with pytest.raises(UnknownResponse):
        await process.find(ANN, id_)
    with pytest.raises(UnknownResponse):
        await process.forget(ANN, id_)


async def test_deleted_answer_is_gone_and_so_is_what_went_on_from_it(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    await say(process, "resp_2", "two", message("second"), previous_response_id="resp_1")
    told = json.loads(await process.forget(ANN, "resp_1"))
    assert told == {"id": "resp_1", "object": "response", "deleted": True}
    for id_ in ("resp_1", "resp_2"):
        with pytest.raises(UnknownPrevious):
            await process.thread(ANN, call("x", previous_response_id=id_))
    with pytest.raises(UnknownResponse):
        await process.find(ANN, "resp_1")
    assert json.loads(await process.find(ANN, "resp_2"))["id"] == "resp_2"


async def test_answer_is_shown_as_it_was_given(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    for each in (process, memory.process()):
        assert await each.find(ANN, "resp_1") == answer("resp_1", message("first"))


async def test_memory_of_a_process_is_short(memory: Memory, time: Time) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    time.now_s += AGE_S
    await process.thread(ANN, call("two", previous_response_id="resp_1"))
    assert memory.asked == ["resp_1"]


async def test_answers_expire(memory: Memory, time: Time) -> None:
    process = memory.process(retention_s=60.0)
    await say(process, "resp_1", "one", message("first"))
    time.now_s += 60.0
    with pytest.raises(UnknownPrevious):
        await process.thread(ANN, call("two", previous_response_id="resp_1"))


@pytest.mark.parametrize(("store", "asked"), [(False, None), (True, False), (False, True)])
async def test_nothing_is_kept_against_anybodys_will(
    memory: Memory, *, store: bool, asked: bool | None
) -> None:
    await say(memory.process(store=store), "resp_1", "one", message("first"), store=asked)
    assert memory.rows == {}


async def test_where_nothing_is_kept_the_provider_is_asked_to_go_on(memory: Memory) -> None:
    asked = call("two", previous_response_id="resp_1")
    thread = await memory.process(store=False).thread(ANN, asked)
    assert thread.fitted(thread.call, choice(), native=True).body == asked.body
    with pytest.raises(BadRequest) as refused:
        read_ask(thread.fitted(thread.call, choice(), native=False).body)
    assert refused.value.param == "previous_response_id"


@pytest.mark.parametrize("status", ["failed", "queued", "in_progress", "cancelled", ""])
async def test_only_good_answers_are_kept(memory: Memory, status: str) -> None:
    process = memory.process()
    thread = await process.thread(ANN, call())
    assert process.keep(ANN, thread, choice(), answer("resp_1", status=status)) is None


@pytest.mark.parametrize("sent", [b"", b"canned", b"{}", b"data: {}\n\n", b'{"id":"a b"}'])
async def test_what_is_no_answer_is_not_kept(memory: Memory, sent: bytes) -> None:
    process = memory.process()
    for stream in (False, True):
        thread = await process.thread(ANN, call(stream=stream))
        assert process.keep(ANN, thread, choice(), sent) is None


@pytest.mark.parametrize("status", ["completed", "incomplete"])
async def test_last_event_of_a_stream_is_kept_whole(memory: Memory, status: str) -> None:
    process = memory.process()
    thread = await process.thread(ANN, call(stream=True))
    sent = answer("resp_1", message("first"), status=status, stream=True)
    written = process.keep(ANN, thread, choice(), sent)
    assert written is not None
    await written
    whole = answer("resp_1", message("first"), status=status)
    assert await process.find(ANN, "resp_1") == whole


async def test_answer_that_is_too_long_is_not_kept(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("x" * MOST_BYTES))
    assert memory.rows == {}


async def test_full_spool_keeps_nobody_from_an_answer(memory: Memory) -> None:
    memory.full = True
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    with pytest.raises(UnknownPrevious):
        await process.thread(ANN, call("two", previous_response_id="resp_1"))


async def test_store_that_is_down_is_said(memory: Memory) -> None:
    process = memory.process()
    await say(process, "resp_1", "one", message("first"))
    memory.down = True
    assert await process.thread(ANN, call("two", previous_response_id="resp_1"))
    with pytest.raises(Unavailable):
        await memory.process().thread(ANN, call("two", previous_response_id="resp_1"))


async def test_conversation_has_a_bound(memory: Memory) -> None:
    process = memory.process()
    previous = None
    for number in range(MOST_TURNS + 1):
        row = Kept(f"r{number}", "key:ann", "r0", previous, None, 0, 1 << 62, b"[]", b"{}")
        await process._spool.append(encode(row))
        previous = row.id
    assert await process.thread(ANN, call("x", previous_response_id=f"r{MOST_TURNS - 1}"))
    with pytest.raises(TooLongPast):
        await memory.process().thread(ANN, call("x", previous_response_id=f"r{MOST_TURNS}"))
    await say(memory.process(), "big_0", "x" * (15 << 20))
    await say(memory.process(), "big_1", "x" * (15 << 20), previous_response_id="big_0")
    await say(memory.process(), "big_2", "x" * (15 << 20), previous_response_id="big_1")
    with pytest.raises(TooLongPast):
        await memory.process().thread(ANN, call("x", previous_response_id="big_2"))


async def test_conversation_of_openai_s_own_stands_alone(memory: Memory) -> None:
    body = call("x", previous_response_id="resp_1", conversation="conv_1")
    with pytest.raises(BadRequest, match="conversation"):
        await memory.process().thread(ANN, body)


def test_payloads_are_told_apart() -> None:
    kept = Kept("resp_1", "key:ann", "resp_1", None, None, 1, 2, b"[]", b"{}")
    assert is_kept(encode(kept))
    assert decode(encode(kept)) == kept
    assert not is_kept(encode_record(Record("response", 1, "gw", "responses", "/", "")))
    assert not is_kept(b"")
