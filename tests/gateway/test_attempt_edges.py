"""The seldom ways of a try: hostile providers and callers, and failures that are nobody's."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from tidegate.gateway.exchange import Exchange
from tidegate.gateway.openai import CHAT
from tidegate.gateway.serve import serve
from tidegate.telemetry.record import Record

from .conftest import Open
from .scripted import Step, scripted
from .test_attempt import HELLO, House

CONFIG = """
providers:
  one: {{kind: openai, base_url: "{one}", allow_private: true, api_key: first}}
  two: {{kind: openai, base_url: "{two}", allow_private: true}}
  claude: {{kind: anthropic, base_url: "{one}", allow_private: true, api_key: k}}
  three:
    kind: openai
    base_url: ["http://127.0.0.1:9/v1", "http://127.0.0.1:9/v2", "http://127.0.0.1:9/v3"]
    allow_private: true
    health: {{probe: none}}
  pair: {{kind: openai, base_url: ["{one}", "{one}/"], allow_private: true, api_key: k}}
models:
  alone:
    targets: [{{provider: one, model: m-1}}]
    retry: {{attempts: 3, backoff: 1ms..5ms, budget: 100%}}
    timeout: {{first_token: 200ms, idle: 5s, total: 5s}}
  once:
    targets: [{{provider: one, model: m-1}}]
    retry: {{attempts: 1}}
    breaker: {{failures: 2, cooldown: 1m}}
  covered:
    targets: [{{provider: one, model: m-1}}]
    fallback: [second]
    retry: {{attempts: 1}}
    breaker: {{failures: 2, cooldown: 1m}}
    timeout: {{first_token: 200ms, idle: 5s, total: 5s}}
  second: {{targets: [{{provider: two, model: m-2}}]}}
  translated:
    targets: [{{provider: claude, model: c-1}}]
    fallback: [second]
    retry: {{attempts: 1}}
    timeout: {{first_token: 200ms, idle: 5s, total: 5s}}
  backwards:
    targets: [{{provider: two, model: m-2}}]
    fallback: [claude-only]
    retry: {{attempts: 1}}
  claude-only: {{targets: [{{provider: claude, model: c-1}}]}}
  "any/*":
    targets: [{{provider: one, model: "*"}}]
    retry: {{attempts: 1}}
    breaker: {{failures: 2, cooldown: 1m}}
  held:
    targets: [{{provider: one, model: m-1}}]
    fallback: [second]
    on_content_filter: [second]
    on_malformed: {{streams: hold}}
    retry: {{attempts: 1}}
    timeout: {{first_token: 5s, idle: 200ms, total: 5s}}
  kind:
    targets: [{{provider: one, model: m-1}}]
    degraded: {{text: "Back soon."}}
    retry: {{attempts: 1}}
  three:
    targets: [{{provider: three, model: m-1}}]
    retry: {{attempts: 3, backoff: 1ms..2ms}}
    breaker: {{failures: 5, cooldown: 1m}}
  pair:
    targets: [{{provider: pair, model: m-1}}]
    retry: {{attempts: 3, backoff: 1ms..2ms, budget: 100%}}
  outage:
    targets: [{{provider: one, model: m-1}}]
    retry: {{attempts: 3, backoff: 1ms..2ms}}
    breaker: null
  burst:
    targets: [{{provider: one, model: m-1}}]
    retry: {{attempts: 3, backoff: 300ms..300ms}}
    breaker: null
  bounded:
    targets: [{{provider: one, model: m-1}}]
    output_tokens: {{default: 300, max: 400}}
  trims:
    targets: [{{provider: one, model: m-1}}]
    on_context_overflow: {{truncate: oldest}}
    on_malformed: {{repairs: 5}}
    retry: {{attempts: 1}}
"""
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
ODD: Any = [{"role": "user", "content": [{"type": "video_tape", "reel": 7}]}]
"""What OpenAI may understand one day, and can be said in no other format."""
WISH: Any = {
    "type": "json_schema",
    "json_schema": {"name": "p", "schema": {"type": "object", "required": ["age"]}},
}


def answered(status: int, body: bytes, length: int | None = None) -> bytes:
    told = len(body) if length is None else length
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {told}\r\n\r\n"
    ).encode() + body


@pytest.fixture
async def build(open_gateway: Open) -> Any:
    async with AsyncExitStack() as stack:

        async def build_(one: tuple[Step, ...] = (), two: tuple[Step, ...] = ()) -> House:
            first = await stack.enter_async_context(scripted(*one))
            second = await stack.enter_async_context(scripted(*two))
            gateway = await open_gateway(CONFIG, None, one=first.url, two=second.url)
            house = House(gateway, first, second)
            stack.push_async_callback(house.client.close)
            return house

        yield build_


# Providers that are slow in ways of their own.

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'


@pytest.mark.parametrize("drip", [b": still here\n\n", ROLE, b"\n"])
async def test_what_holds_no_content_does_not_put_the_first_token_off(
    build: Any, drip: bytes
) -> None:
    house = await build((Step(raw=STREAM, drip=drip),))
    assert await house.streamed("covered") == "Hello there."
    assert await house.outcomes() == ["upstream_first_token_timeout", "ok"]


async def test_nor_does_it_where_the_answer_is_translated(build: Any) -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    house = await build((Step(raw=STREAM, drip=ping),))
    assert await house.streamed("translated") == "Hello there."
    assert await house.outcomes() == ["upstream_first_token_timeout", "ok"]


async def test_a_flood_of_nothing_does_not_put_the_first_token_off(build: Any) -> None:
    house = await build((Step(raw=STREAM, drip=b": x\n\n" * 20_000),))
    assert await house.streamed("covered") == "Hello there."
    assert (await house.outcomes())[-1] == "ok"


async def test_silence_while_a_stream_is_held_back_is_called_what_it_is(build: Any) -> None:
    text = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    house = await build((Step(raw=STREAM + text, drip=b""),), (Step(text='{"age": 1}'),))
    assert await house.streamed("held", response_format=WISH) == '{"age": 1}'
    assert await house.outcomes() == ["upstream_idle_timeout", "ok"]


# Errors whose bodies are hostile.


@pytest.mark.parametrize("length", [None, 1 << 30])
async def test_a_refusal_stays_one_however_long_its_body_is(build: Any, length: int | None) -> None:
    echo = json.dumps({"error": {"message": "no", "input": "x" * (1 << 20)}}).encode()
    house = await build((Step(raw=answered(400, echo, length)),))
    with pytest.raises(Exception, match="refused") as told:
        await house.text("covered")
    assert getattr(told.value, "status_code", None) == 400
    assert (house.one.calls, house.two.calls) == (1, 0)
    assert await house.outcomes() == ["upstream_refused"]


async def test_a_refusal_stays_one_when_its_body_is_cut(build: Any) -> None:
    house = await build((Step(raw=answered(422, b'{"error": {"mess', 900)),))
    with pytest.raises(Exception, match="refused"):
        await house.text("covered")
    assert await house.outcomes() == ["upstream_refused"]


async def test_an_error_whose_body_never_ends_is_not_waited_for(build: Any) -> None:
    endless = Step(raw=answered(503, b"", 1 << 30), drip=b"x")
    house = await build((endless,))
    assert await house.text("covered") == "Hello there."
    assert await house.outcomes() == ["upstream_failed", "ok"]


@pytest.mark.parametrize(
    "raw",
    [
        answered(204, b""),
        answered(304, b""),
        answered(200, b""),
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        answered(200, b"[" * 100_000),
        answered(200, b'{"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        answered(200, b'{"choices": [{"message": {"content": "\xff"}}]}'),
        answered(200, b'{"choices": [{"message": {"content": "\\ud800"}}]}'),
        answered(200, b"{}"),
        answered(200, b"null"),
        answered(200, b'{"choices": [null]}'),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\n\r\n\x1f",
    ],
    ids=range(15),
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_none_leads_elsewhere(
    build: Any, *, raw: bytes, stream: bool
) -> None:
    house = await build((Step(raw=raw),))
    text = await (house.streamed("covered") if stream else house.text("covered"))
    assert text == "Hello there."
    assert (await house.outcomes())[1:] == ["ok"]


DEEP_EVENTS = [
    b"data: " + b"[" * 100_000 + b"\n\n",
    b'data: {"choices": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
    b'data: {"choices":[{"delta":{"x":' + b"[" * 9_000 + b"]" * 9_000 + b"}}]}\n\n",
]


@pytest.mark.parametrize("event", DEEP_EVENTS, ids=range(3))
@pytest.mark.parametrize("model", ["covered", "translated"])
async def test_a_deep_event_leads_elsewhere(build: Any, *, event: bytes, model: str) -> None:
    house = await build((Step(raw=STREAM + event),))
    assert await house.streamed(model) == "Hello there."


@pytest.mark.parametrize("number", ["-1", "1e300", "9" * 30, str(2**63), str(2**64)])
async def test_a_usage_beyond_belief_breaks_no_record(build: Any, number: str) -> None:
    body = (
        '{"choices":[{"index":0,"message":{"role":"assistant","content":"x"},'
        f'"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{number},'
        f'"completion_tokens":{number},"total_tokens":1}}}}'
    )
    house = await build((Step(body=body.encode()),))
    assert await house.text("covered") in ("x", "Hello there.")
    record = await house.gateway.record()
    assert record.outcome == "ok"
    assert (record.input_tokens or 0) >= 0


# Failures that are the caller's, or nobody's.


async def test_a_wish_that_no_answer_fits_rests_nobody(build: Any) -> None:
    house = await build()
    for _ in range(5):
        with pytest.raises(Exception, match="not what was asked for"):
            await house.text("once", response_format=WISH)
    assert await house.text("once") == "Hello there."


async def test_a_refusal_with_a_long_echo_rests_nobody(build: Any) -> None:
    echo = json.dumps({"detail": [{"msg": "no", "input": "x" * (1 << 20)}]}).encode()
    house = await build((Step(raw=answered(422, echo)),) * 4)
    for _ in range(4):
        with pytest.raises(Exception, match="refused"):
            await house.text("once")
    assert await house.text("once") == "Hello there."


async def test_what_one_format_cannot_say_another_may(build: Any) -> None:
    house = await build()
    answer = await house.client.chat.completions.create(model="translated", messages=ODD)
    assert answer.choices[0].message.content == "Hello there."
    assert (await house.outcomes())[-1] == "ok"


async def test_a_failure_is_told_rather_than_what_the_fallback_cannot_say(build: Any) -> None:
    house = await build((), (Step(500),))
    with pytest.raises(Exception, match="500"):
        await house.client.chat.completions.create(model="backwards", messages=ODD)
    assert (await house.gateway.record()).outcome == "upstream_failed"


async def test_what_nobody_can_say_is_the_callers_to_correct(build: Any) -> None:
    house = await build()
    with pytest.raises(Exception, match="400"):
        await house.client.chat.completions.create(model="claude-only", messages=ODD)
    record = await house.gateway.record()
    assert record.outcome == "invalid_request"
    assert [tried.outcome for tried in record.attempts] == ["invalid_request"]


@pytest.mark.parametrize("model", ["alone", "claude-only"])
@pytest.mark.parametrize("depth", [240, 460, 475, 500])
async def test_no_depth_is_a_bug_of_ours(build: Any, *, model: str, depth: int) -> None:
    house = await build()
    deep = b'{"properties":{"a":' * depth + b"{}" + b"}}" * depth
    raw = (
        b'{"model":"%b","messages":[{"role":"user","content":"Hello"}],"tools":[{"type":"function",'
        b'"function":{"name":"f","parameters":%b}}]}' % (model.encode(), deep)
    )
    await house.gateway.raw(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nconnection: close\r\n"
        b"content-length: %d\r\n\r\n%b" % (len(raw), raw)
    )
    assert (await house.gateway.record()).outcome != "internal_error"


async def test_the_models_behind_a_star_share_one_health(build: Any) -> None:
    house = await build((Step(500),) * 2)
    for number in range(2):
        with pytest.raises(Exception, match="500"):
            await house.text(f"any/{number}")
    with pytest.raises(Exception, match="resting"):
        await house.text("any/other")
    assert house.one.calls == 2


async def test_what_cannot_be_translated_can_be_answered_with_canned_text(build: Any) -> None:
    house = await build((Step(500),))
    stream: Any = await house.client.chat.completions.create(
        model="kind", messages=ODD, stream=True
    )
    said = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "Back soon." in said


async def test_a_good_answer_without_usage_is_kept_however_odd_it_is(build: Any) -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [{"type": "odd", "odd": 1}]}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    house = await build((Step(body=json.dumps({"choices": [choice]}).encode()),))
    assert await house.text("alone") == "Hi"
    assert (await house.gateway.record()).usage_estimated


@pytest.mark.parametrize("odd", [9, "x", [], {"a": 1}])
async def test_a_field_of_another_api_neither_breaks_nor_lifts_the_ceiling(
    build: Any, odd: object
) -> None:
    house = await build()
    await house.text("bounded", extra_body={"max_output_tokens": odd})
    assert house.one.bodies[0]["max_tokens"] == 300


# How many calls a failure costs.


async def test_when_all_replicas_are_down_the_target_rests(build: Any) -> None:
    house = await build()
    for _ in range(12):
        with pytest.raises(Exception, match="50"):
            await house.text("three")
    assert (await house.outcomes(12))[-1] == "skipped_breaker_open"


async def test_refused_credentials_are_not_taken_to_the_next_replica(build: Any) -> None:
    house = await build((Step(401),) * 3)
    with pytest.raises(Exception, match="credentials"):
        await house.text("pair")
    assert house.one.calls == 1


async def test_a_full_outage_is_not_multiplied(build: Any) -> None:
    house = await build()
    house.one.choose = lambda: Step(503)
    for _ in range(60):
        with pytest.raises(Exception, match="503"):
            await house.text("outage")
    assert house.one.calls <= 60 * 1.1 + 4


async def test_a_burst_is_not_multiplied_while_it_waits_to_try_again(build: Any) -> None:
    house = await build()
    house.one.choose = lambda: Step(503)
    burst = [asyncio.ensure_future(house.text("burst")) for _ in range(50)]
    await asyncio.gather(*burst, return_exceptions=True)
    assert house.one.calls <= 50 * 1.1 + 4


async def test_a_call_that_was_changed_takes_no_retry_from_others(build: Any) -> None:
    house = await build()
    long: Any = [{"role": "user", "content": "Hello"}] * 40
    house.one.choose = lambda: Step(400, body=b'{"error":{"code":"context_length_exceeded"}}')
    for _ in range(3):
        with pytest.raises(Exception, match="400"):
            await house.client.chat.completions.create(model="trims", messages=long)
    house.one.choose = Step
    with pytest.raises(Exception, match="not what was asked for"):
        await house.text("trims", response_format=WISH)
    assert house.one.calls == 3 * 6 + 6
    health = house.gateway.lasting.wards.get("one/m-1")
    assert health.retry_budget.allows(asyncio.get_running_loop().time())


@pytest.mark.parametrize("status", [405, 414, 415, 431, 451])
async def test_no_other_4xx_is_tried_again_or_rests_anybody(build: Any, status: int) -> None:
    house = await build((Step(status),) * 3)
    for number in range(3):
        with pytest.raises(Exception, match=str(status)):
            await house.text("once")
        assert house.one.calls == number + 1
    house.one.steps.append(Step(status))
    with pytest.raises(Exception, match=str(status)):
        await house.text("alone")
    assert house.one.calls == 4
    assert await house.text("once") == "Hello there."


async def test_a_filtered_stream_that_was_held_leads_to_its_chain(build: Any) -> None:
    begin = b'data: {"choices":[{"index":0,"delta":{"content":"{"}}]}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}\n\n'
    done = b"data: [DONE]\n\n"
    filtered = Step(raw=STREAM + begin, drip=end + done)
    house = await build((filtered,), (Step(text='{"age": 1}'),))
    assert await house.streamed("held", response_format=WISH) == '{"age": 1}'
    assert await house.outcomes() == ["content_filter", "ok"]


async def test_a_caller_who_leaves_during_a_pause_leaves_a_record(build: Any) -> None:
    house = await build((Step(429, headers={"retry-after": "3"}),))
    task = asyncio.ensure_future(house.text("alone"))
    async with asyncio.timeout(60):
        while house.one.calls == 0:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    record = await house.gateway.record()
    assert record.outcome == "client_gone"
    assert [tried.outcome for tried in record.attempts] == ["upstream_rate_limited"]


async def test_what_a_provider_and_a_caller_make_up_is_shortened_in_the_record(build: Any) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}}
    body = {"model": "m" * 100_000, "choices": [choice | {"finish_reason": "f" * 100_000}]}
    house = await build((Step(body=json.dumps(body).encode()),))
    assert await house.text("alone") == "Hi"
    record = await house.gateway.record()
    assert record.model == "m" * 200
    assert record.finish_reason == "f" * 200


class Spool:
    """A spool whose disk is slow."""

    healthy = True

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.taken = asyncio.Event()

    def append(self, payload: bytes) -> asyncio.Future[None]:
        self.payloads.append(payload)
        self.taken.set()
        return asyncio.get_running_loop().create_future()


class Line:
    """A caller's connection that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.write_paused = False

    def write(self, data: bytes) -> None:
        self.written += data

    def resume_reading(self) -> None:
        pass

    def done(self, *, keep_alive: bool) -> None:
        pass

    def abort(self) -> None:
        self.written = b"cut"

    async def drain(self) -> None:
        pass


async def test_a_drain_that_is_over_while_a_record_is_written_still_sends_the_answer(
    build: Any,
) -> None:
    house = await build()
    spool, line = Spool(), Line()
    rooms: Any = replace(house.gateway.live.house.rooms, spool=spool)
    exchange = Exchange(line, method=b"POST", url=b"/", headers=[], chunked=True, keep_alive=True)
    exchange.record = Record("r", 0, "w", "chat", "/", "v")
    exchange.take(json.dumps({"model": "alone", "messages": HELLO}).encode())
    exchange.complete()
    task = asyncio.ensure_future(serve(rooms, CHAT, exchange))
    await spool.taken.wait()
    task.cancel()
    await task
    assert b"Hello there." in line.written
    assert len(spool.payloads) == 1
