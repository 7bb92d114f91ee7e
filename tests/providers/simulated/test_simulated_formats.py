"""Every format has every fault, and says the same as the others."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch
from vendor_formats import FORMATS, Format

from tidegate.providers.simulated import Server

Ask = Callable[..., Awaitable[Any]]
Raw = Callable[..., Awaitable[Any]]
BRIEF_S = 0.1


@pytest.fixture(params=list(FORMATS))
def form(request: pytest.FixtureRequest) -> Format:
    return FORMATS[request.param]


@pytest.fixture
def ask(server: Server, raw: Raw, form: Format) -> Ask:
    async def ask(
        faults: str = "", *, stream: bool = False, later_s: float = 10.0, **f: Any
    ) -> Any:
        request = form.request(faults, stream=stream, **f)
        return await raw(server.port, request, later_s=later_s)

    return ask


async def test_whole_and_streamed_answers_say_the_same_in_every_format(
    ask: Ask, form: Format, server: Server, raw: Raw
) -> None:
    chat = FORMATS["chat"]
    expected = chat.text((await raw(server.port, chat.request())).json)
    whole = (await ask()).json
    assert form.text(whole) == expected
    assert form.usage(whole) == (8, 16)
    streamed = await ask(stream=True)
    events = form.events(streamed)
    assert (form.said(events), streamed.ended) == (expected, "complete")
    assert [form.is_end(event) for event in events].count(True) == 1
    assert server.stats.billed_tokens == server.stats.delivered_tokens == 3 * 16


async def test_an_error_comes_after_some_tokens_and_is_the_last(ask: Ask, form: Format) -> None:
    streamed = await ask("error-event=2", stream=True)
    events = form.events(streamed)
    assert (streamed.ended, form.is_error(events[-1])) == ("complete", True)
    assert len(form.said(events).split()) == 2
    assert not any(form.is_end(event) for event in events if not form.is_error(event))
    whole = await ask("error-event")
    assert (whole.status, form.is_error(whole.json)) == (200, True)


async def test_an_end_that_is_none_has_no_end_mark(ask: Ask, form: Format) -> None:
    streamed = await ask("truncate=2", stream=True)
    events = form.events(streamed)
    assert (streamed.ended, len(form.said(events).split())) == ("complete", 2)
    assert not any(form.is_end(event) for event in events)


@pytest.mark.parametrize(
    ("fault", "ended"), [("cut=2", "closed"), ("reset-after=2", "reset"), ("reset", "reset")]
)
async def test_connections_end_early(ask: Ask, fault: str, ended: str) -> None:
    for stream in (False, True):
        answer = await ask(fault, stream=stream)
        assert (answer.ended, answer.complete) == (ended, False)


async def test_streams_stop_in_the_middle(ask: Ask, form: Format) -> None:
    streamed = await ask("hang-after-first", stream=True, later_s=BRIEF_S)
    assert streamed.ended == "open"
    assert len(form.said(form.events(streamed)).split()) == 1


async def test_one_event_is_broken_and_the_rest_is_not(ask: Ask, form: Format) -> None:
    streamed = await ask("malformed-json", stream=True)
    with pytest.raises(json.JSONDecodeError):
        form.events(streamed)
    assert (await ask("malformed-json")).body[-1:] != b"}"


async def test_a_flipped_bit_shows(ask: Ask, form: Format) -> None:
    streamed = await ask("corrupt", stream=True)
    with pytest.raises((json.JSONDecodeError, ChecksumMismatch)):
        form.events(streamed)


async def test_odd_framing_says_the_same(ask: Ask, form: Format) -> None:
    plain, odd = await ask(stream=True), await ask("odd-framing", stream=True)
    assert form.said(form.events(odd)) == form.said(form.events(plain))
    assert odd.frames > 2
    assert form.text((await ask("odd-framing")).json)


async def test_nothing_said_still_ends_well(ask: Ask, form: Format) -> None:
    for fault in ("empty-choices", "tokens=0"):
        events = form.events(await ask(fault, stream=True))
        assert form.said(events) == ""
        assert any(form.is_end(event) for event in events) or fault == "empty-choices"
    assert (await ask("empty-choices")).status == 200


async def test_usage_can_be_missing(ask: Ask) -> None:
    for stream in (False, True):
        body = (await ask("missing-usage", stream=stream)).body
        assert b'"usage' not in body.replace(b'"usage":null', b"")


@pytest.mark.parametrize(
    ("fault", "status"), [("status=503", 503), ("overloaded", None), ("retry-after=2", 429)]
)
async def test_errors_are_told_before_anything_is_said(
    ask: Ask, fault: str, status: int | None, form: Format
) -> None:
    for stream in (False, True):
        answer = await ask(fault, stream=stream)
        overloaded = 529 if form is FORMATS["messages"] else 503
        assert answer.status == (status or overloaded)
        assert "message" in answer.body.decode()
        assert answer.headers.get("retry-after") == ("2" if fault == "retry-after=2" else None)


REASONS = {
    "chat": ("stop", "length", "content_filter"),
    "responses": ('"status":"completed"', "max_output_tokens", "content_filter"),
    "messages": ("end_turn", "max_tokens", "refusal"),
    "gemini": ("STOP", "MAX_TOKENS", "SAFETY"),
    "converse": ("end_turn", "max_tokens", "content_filtered"),
}


@pytest.mark.parametrize("stream", [False, True])
async def test_finish_reasons_are_the_vendor_s_words(
    ask: Ask, form: Format, *, stream: bool
) -> None:
    name = next(name for name, one in FORMATS.items() if one is form)
    for fault, word in zip(("", "length", "content-filter"), REASONS[name], strict=True):
        assert word in (await ask(fault, stream=stream)).body.decode("utf-8", "replace")


async def test_reasoning_is_shown_and_billed(ask: Ask, form: Format, server: Server) -> None:
    whole = await ask("thinking=5")
    assert len(form.text(whole.json).split()) >= 16
    assert '"signature":"' in whole.body.decode() or form not in (
        FORMATS["messages"],
        FORMATS["converse"],
    )
    streamed = form.events(await ask("thinking=5", stream=True))
    assert any(form.is_end(event) for event in streamed)
    assert server.stats.billed_tokens == 2 * 21
    assert server.stats.delivered_tokens == 2 * 16
