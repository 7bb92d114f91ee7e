"""What follows a failure: again, elsewhere, a second one beside it, or the end."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from openai import AsyncOpenAI, NotFoundError
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted

CONFIG = """
providers:
  one: {{kind: openai, base_url: "{one}", allow_private: true, api_key: first}}
  two: {{kind: openai, base_url: "{two}", allow_private: true}}
  pair: {{kind: openai, base_url: ["{one}", "{two}"], allow_private: true}}
  purse:
    kind: openai
    base_url: "{one}"
    allow_private: true
    accounts: [{{name: a, api_key: key-a}}, {{name: b, api_key: key-b}}]
models:
  alone:
    targets: [{{provider: one, model: m-1, price: {{input: $1/M, output: $2/M}}}}]
    retry: {{attempts: 3, backoff: 1ms..5ms, budget: 100%}}
  covered:
    targets: [{{provider: one, model: m-1}}]
    fallback: [second]
    retry: {{attempts: 2, backoff: 1ms..5ms, budget: 100%}}
    timeout: {{first_token: 200ms, total: 5s}}
    on_context_overflow: [second]
    on_content_filter: {{fallback: [second]}}
  second: {{targets: [{{provider: two, model: m-2}}]}}
  trims:
    targets: [{{provider: one, model: m-1}}]
    on_context_overflow: {{truncate: oldest}}
  repairs:
    targets: [{{provider: one, model: m-1}}]
    on_malformed: {{repairs: 1, streams: hold}}
    retry: {{attempts: 1}}
  kind:
    targets: [{{provider: one, model: m-1}}]
    degraded: {{text: "Back soon."}}
    retry: {{attempts: 1}}
  any/*:
    targets: [{{provider: one, model: "*"}}]
    fallback: [second]
    breaker: {{failures: 2, cooldown: 1m}}
  rests:
    targets: [{{provider: one, model: m-1}}]
    retry: {{attempts: 1}}
    breaker: {{failures: 2, cooldown: 1m}}
  sleepy:
    targets: [{{provider: one, model: m-1}}]
    timeout: {{total: 60ms}}
    retry: {{attempts: 1}}
    breaker: {{failures: 2, cooldown: 1m}}
  hedged:
    targets: [{{provider: one, model: m-1}}]
    fallback: [second]
    hedge: {{after: 10ms, least: 10ms, max_share: 100%, max_cost: 100%}}
  pair:
    targets: [{{provider: pair, model: m-1}}]
    retry: {{attempts: 2, backoff: 1s..2s, budget: 100%}}
  purse: {{targets: [{{provider: purse, model: m-1}}], retry: {{attempts: 2, backoff: 1s..2s}}}}
"""
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
OVERFLOW = Step(
    400,
    body=json.dumps(
        {"error": {"message": "too long", "code": "context_length_exceeded", "type": "x"}}
    ).encode(),
)


def refusal(status: int, message: str, code: str | None = None) -> Step:
    error = {"message": message, "code": code, "type": "invalid_request_error"}
    return Step(status, body=json.dumps({"error": error}).encode())


NO_MODEL = refusal(404, "The model `m-1` does not exist or you do not have access to it.")


class House:
    """A gateway with two scripted providers behind it."""

    def __init__(self, gateway: Gateway, one: Scripted, two: Scripted) -> None:
        self.gateway = gateway
        self.one = one
        self.two = two
        self.client = AsyncOpenAI(base_url=gateway.url + "/v1", api_key="k", max_retries=0)

    async def text(self, model: str, **more: Any) -> str | None:
        create: Any = self.client.chat.completions.create
        answer: ChatCompletion = await create(model=model, messages=HELLO, **more)
        return answer.choices[0].message.content

    async def streamed(self, model: str, **more: Any) -> str:
        stream = await self.client.chat.completions.create(
            model=model, messages=HELLO, stream=True, **more
        )
        chunks: list[ChatCompletionChunk] = [chunk async for chunk in stream]
        return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)

    async def outcomes(self, number: int = 1) -> list[str]:
        return [attempt.outcome for attempt in (await self.gateway.record(number)).attempts]


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


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
async def test_what_may_pass_is_tried_again(build: Any, status: int) -> None:
    house = await build((Step(status), Step(status)))
    assert await house.text("alone") == "Hello there."
    assert house.one.calls == 3
    assert (await house.outcomes())[2] == "ok"


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_callers_mistake_is_not_tried_again(build: Any, status: int) -> None:
    house = await build((Step(status),))
    with pytest.raises(Exception, match="scripted"):
        await house.text("covered")
    assert (house.one.calls, house.two.calls) == (1, 0)


@pytest.mark.parametrize(
    "gone",
    [
        NO_MODEL,
        refusal(404, "Not here.", "model_not_found"),
        refusal(400, "It has been decommissioned.", "model_decommissioned"),
        refusal(404, "model: m-1"),
        refusal(404, "The API deployment for this resource does not exist."),
        refusal(404, "This model version has reached the end of its life."),
        Step(410),
    ],
)
async def test_a_model_that_is_gone_leads_elsewhere(build: Any, gone: Step) -> None:
    house = await build((gone,))
    assert await house.text("covered") == "Hello there."
    assert (house.one.calls, house.two.calls) == (1, 1)
    assert await house.outcomes() == ["upstream_model_gone", "ok"]


@pytest.mark.parametrize(
    "missing",
    [
        refusal(404, "No such File object: file-1."),
        refusal(404, "This is a chat model and not supported in the v1/completions endpoint."),
        refusal(400, "The model does not exist."),
    ],
)
async def test_what_the_caller_named_and_is_not_there_is_its_mistake(
    build: Any, missing: Step
) -> None:
    house = await build((missing,))
    with pytest.raises(Exception, match=r"40[04]"):
        await house.text("covered")
    assert (house.one.calls, house.two.calls) == (1, 0)
    assert await house.outcomes() == ["upstream_refused"]


async def test_a_model_that_is_gone_rests_and_is_told_in_the_providers_words(build: Any) -> None:
    house = await build((NO_MODEL, NO_MODEL))
    for _ in range(2):
        with pytest.raises(NotFoundError, match="does not exist"):
            await house.text("rests")
    with pytest.raises(Exception, match="resting"):
        await house.text("rests")
    assert house.one.calls == 2


async def test_a_wrong_name_of_a_caller_rests_no_model(build: Any) -> None:
    house = await build((NO_MODEL, NO_MODEL))
    for _ in range(2):
        with pytest.raises(NotFoundError, match="does not exist"):
            await house.text("any/m-9")
    assert await house.text("any/m-1") == "Hello there."
    assert (house.one.calls, house.two.calls) == (3, 0)


async def test_a_retry_after_is_waited_for(build: Any) -> None:
    house = await build((Step(429, headers={"retry-after-ms": "40"}),))
    assert await house.text("alone") == "Hello there."
    first, second = (await house.gateway.record()).attempts
    assert (first.status, second.status) == (429, None)
    assert second.started_ms - (first.started_ms + first.duration_ms) >= 39


async def test_a_retry_after_that_is_too_long_leads_elsewhere(build: Any) -> None:
    house = await build((Step(429, headers={"retry-after": "30"}),))
    assert await house.text("covered") == "Hello there."
    assert (house.one.calls, house.two.calls) == (1, 1)
    record = await house.gateway.record()
    assert (record.target, record.reason) == ("two/m-2", "fallback to second")


async def test_a_timeout_leads_elsewhere_at_once(build: Any) -> None:
    house = await build((Step(hang=True),))
    assert await house.streamed("covered") == "Hello there."
    assert (house.one.calls, house.two.calls) == (1, 1)
    assert await house.outcomes() == ["upstream_first_token_timeout", "ok"]


async def test_when_all_is_spent_the_sdk_is_told_not_to_try_again(build: Any) -> None:
    house = await build((Step(503),) * 3)
    eager = house.client.with_options(max_retries=2)
    with pytest.raises(Exception, match="503"):
        await eager.chat.completions.create(model="alone", messages=HELLO)
    assert house.one.calls == 3
    assert len(house.gateway.records()) == 1


async def test_a_failure_after_the_first_content_is_never_tried_again(build: Any) -> None:
    house = await build((Step(cut_after=2),))
    with pytest.raises(Exception, match="ended"):
        await house.streamed("covered")
    assert (house.one.calls, house.two.calls) == (1, 0)
    record = await house.gateway.record()
    assert (record.outcome, record.error_code) == ("failed_after_commit", "upstream_cut")


async def test_a_cut_stream_costs_what_was_delivered(build: Any) -> None:
    house = await build((Step(cut_after=2),))
    with pytest.raises(Exception, match="ended"):
        await house.streamed("alone")
    record = await house.gateway.record()
    assert record.usage_estimated
    assert record.output_tokens == 1
    assert record.input_tokens
    assert record.cost_nanousd == record.input_tokens * 1000 + 2000


async def test_an_answer_that_tells_its_usage_is_not_estimated(build: Any) -> None:
    house = await build()
    await house.text("alone")
    record = await house.gateway.record()
    assert (record.input_tokens, record.output_tokens) == (3, 2)
    assert not record.usage_estimated


async def test_a_whole_answer_without_usage_is_counted(build: Any) -> None:
    choice = {"message": {"role": "assistant", "content": "x" * 400}, "finish_reason": "stop"}
    house = await build((Step(body=json.dumps({"choices": [{"index": 0, **choice}]}).encode()),))
    await house.text("alone")
    record = await house.gateway.record()
    assert record.usage_estimated
    assert record.output_tokens is not None
    assert 100 <= record.output_tokens < 110


async def test_a_failure_before_the_first_content_is_invisible(build: Any) -> None:
    house = await build((Step(cut_after=1), Step(cut_after=1)))
    assert await house.streamed("covered") == "Hello there."
    assert await house.outcomes() == ["upstream_cut", "upstream_cut", "ok"]


async def test_an_overflow_leads_to_the_larger_window(build: Any) -> None:
    house = await build((OVERFLOW,))
    assert await house.text("covered") == "Hello there."
    assert await house.outcomes() == ["context_length_exceeded", "ok"]
    assert (await house.gateway.record()).reason == "context overflow, so second"


async def test_an_overflow_without_a_remedy_is_the_callers_to_know(build: Any) -> None:
    house = await build((OVERFLOW,))
    with pytest.raises(Exception, match="too long") as told:
        await house.text("alone")
    assert getattr(told.value, "code", None) == "context_length_exceeded"


async def test_an_overflow_drops_the_oldest_turns_where_that_is_wanted(build: Any) -> None:
    house = await build((OVERFLOW, OVERFLOW))
    turns: list[Any] = [{"role": "system", "content": "Be kind."}]
    for number in range(8):
        turns += [
            {"role": "user", "content": f"q{number}"},
            {"role": "assistant", "content": f"a{number}"},
        ]
    turns.append({"role": "user", "content": "last"})
    raw = await house.client.chat.completions.with_raw_response.create(
        model="trims", messages=turns
    )
    assert raw.headers["x-tidegate-adapted"] == "trimmed"
    sent = [len(body["messages"]) for body in house.one.bodies]
    assert sent[0] > sent[1] > sent[2]
    assert house.one.bodies[2]["messages"][0] == turns[0]
    assert house.one.bodies[2]["messages"][-1] == turns[-1]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_filtered_answer_leads_to_the_chain_for_it(build: Any, *, stream: bool) -> None:
    house = await build((Step(finish="content_filter", text=""),))
    text = await (house.streamed("covered") if stream else house.text("covered"))
    assert text == "Hello there."
    assert await house.outcomes() == ["content_filter", "ok"]


@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_is_told_its_mistake_and_asked_again(build: Any, *, stream: bool) -> None:
    house = await build((Step(text="not json"), Step(text='{"age": 3}')))
    wish: Any = {
        "type": "json_schema",
        "json_schema": {"name": "p", "schema": {"type": "object", "required": ["age"]}},
    }
    ask = house.streamed if stream else house.text
    assert await ask("repairs", response_format=wish) == '{"age": 3}'
    assert await house.outcomes() == ["upstream_malformed", "ok"]
    record = await house.gateway.record()
    assert (record.adapted, record.form) == (["repaired"], "repaired")
    assert "not json" in json.dumps(house.one.bodies[1]["messages"])


async def test_a_model_that_does_not_learn_is_an_error(build: Any) -> None:
    house = await build((Step(tool_arguments="{"), Step(tool_arguments="{")))
    tools: Any = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    with pytest.raises(Exception, match="not JSON"):
        await house.text("repairs", tools=tools)
    assert house.one.calls == 2
    assert (await house.gateway.record()).form == "malformed"


@pytest.mark.parametrize(
    ("streams", "model", "form"), [(False, "repairs", "good"), (True, "covered", "unchecked")]
)
async def test_whether_an_answer_has_the_form_is_in_the_record(
    build: Any, *, streams: bool, model: str, form: str
) -> None:
    house = await build((Step(text='{"age": 3}'), Step(text='{"age": 3}')))
    ask = house.streamed if streams else house.text
    await ask(model, response_format={"type": "json_object"})
    assert (await house.gateway.record(1)).form == form
    await ask(model)
    assert (await house.gateway.record(2)).form is None


@pytest.mark.parametrize("stream", [False, True])
async def test_a_canned_answer_is_given_when_nothing_else_can_be(
    build: Any, *, stream: bool
) -> None:
    house = await build((Step(500),))
    assert await (house.streamed("kind") if stream else house.text("kind")) == "Back soon."
    record = await house.gateway.record()
    assert (record.degraded, record.outcome) == ("canned", "ok")
    assert record.error_code == "upstream_failed"
    assert record.cost_nanousd is None


async def test_a_callers_mistake_gets_no_canned_answer(build: Any) -> None:
    house = await build((Step(400),))
    with pytest.raises(Exception, match="scripted"):
        await house.text("kind")


async def test_a_target_that_fails_is_left_alone(build: Any) -> None:
    house = await build((Step(500), Step(500)))
    for _ in range(2):
        with pytest.raises(Exception, match="500"):
            await house.text("rests")
    with pytest.raises(Exception, match="resting") as told:
        await house.text("rests")
    assert house.one.calls == 2
    response = getattr(told.value, "response", None)
    assert response is not None
    assert response.status_code == 503
    assert 0 < int(response.headers["retry-after"]) <= 60
    assert await house.outcomes(3) == ["skipped_breaker_open"]


async def test_a_target_that_uses_up_all_the_time_is_left_alone(build: Any) -> None:
    house = await build((Step(hang=True), Step(hang=True)))
    for _ in range(2):
        with pytest.raises(Exception, match="time"):
            await house.text("sleepy")
    with pytest.raises(Exception, match="resting"):
        await house.text("sleepy")


async def test_a_caller_in_a_hurry_rests_nobody(build: Any) -> None:
    house = await build((Step(hang=True),) * 3)
    for _ in range(3):
        with pytest.raises(Exception, match="time"):
            await house.text("rests", extra_headers={"x-tidegate-timeout-ms": "20"})
    assert await house.text("rests") == "Hello there."


async def test_a_reload_forgets_no_rest(build: Any) -> None:
    house = await build((Step(500), Step(500)))
    for _ in range(2):
        with pytest.raises(Exception, match="500"):
            await house.text("rests")
    assert await house.gateway.live.reload()
    with pytest.raises(Exception, match="resting"):
        await house.text("rests")


async def test_callers_mistakes_rest_nobody(build: Any) -> None:
    house = await build((Step(400),) * 5)
    for _ in range(5):
        with pytest.raises(Exception, match="scripted"):
            await house.text("rests")
    assert await house.text("rests") == "Hello there."


async def test_a_slow_target_is_overtaken_and_let_go(build: Any) -> None:
    house = await build((Step(text="slow"), Step(hang=True)))
    assert await house.text("hedged") == "slow"
    assert await house.streamed("hedged") == "Hello there."
    record = await house.gateway.record(2)
    assert [(a.target, a.outcome, a.hedge) for a in record.attempts] == [
        ("one/m-1", "cancelled", False),
        ("two/m-2", "ok", True),
    ]
    assert record.target == "two/m-2"
    async with asyncio.timeout(60):
        while house.one.closed == 0:  # noqa: ASYNC110 - the socket tells nobody else
            await asyncio.sleep(0.01)


async def test_a_caller_who_leaves_a_race_takes_both_with_it(build: Any) -> None:
    house = await build((Step(hang=True),), (Step(hang=True),))
    task = asyncio.ensure_future(house.streamed("hedged"))
    async with asyncio.timeout(60):
        while house.two.calls == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        while (house.one.closed, house.two.closed) != (1, 1):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert (await house.gateway.record()).outcome == "client_gone"


async def test_the_other_replica_is_asked_without_a_pause(build: Any) -> None:
    house = await build((Step(500),) * 20, ())
    for _ in range(24):
        assert await house.text("pair") == "Hello there."
    assert house.one.calls > 0  # but by a chance of one in 2^24
    assert house.two.calls == 24


async def test_the_other_account_pays_when_one_is_refused(build: Any) -> None:
    house = await build((Step(401),))
    assert await house.text("purse") == "Hello there."
    assert await house.text("purse") == "Hello there."
    refused, *others = house.one.keys
    assert set(others) == {"key-a", "key-b"} - {refused}


async def test_a_caller_may_wait_less_but_not_longer(build: Any) -> None:
    house = await build((Step(hang=True),))
    with pytest.raises(Exception, match=r"time"):
        await house.text("alone", extra_headers={"x-tidegate-timeout-ms": "80"})
    assert (await house.gateway.record()).outcome == "deadline_exceeded"


@pytest.mark.parametrize("value", ["0", "-1", "soon", "1.5", "9999999999"])
async def test_a_wait_that_is_none_is_refused(build: Any, value: str) -> None:
    house = await build()
    with pytest.raises(Exception, match="milliseconds"):
        await house.text("alone", extra_headers={"x-tidegate-timeout-ms": value})


async def test_the_caller_is_told_how_its_answer_came_about(build: Any) -> None:
    house = await build((Step(429, headers={"retry-after": "30"}),))
    raw = await house.client.chat.completions.with_raw_response.create(
        model="covered", messages=HELLO
    )
    assert raw.headers["x-tidegate-target"] == "two/m-2"
    assert raw.headers["x-tidegate-attempts"] == "2"
    assert raw.headers["x-tidegate-reason"] == "fallback to second"
