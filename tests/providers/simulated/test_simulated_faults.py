"""Every fault of the table, on the wire; the documentation has the table of the code."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tidegate.providers.simulated import Server
from tidegate.providers.simulated.faults import FAULTS, parse_faults
from tidegate.providers.simulated.wire import NOT_HTTP

Chat = Callable[..., Awaitable[Any]]
Raw = Callable[..., Awaitable[Any]]
Check = Callable[[Chat], Awaitable[None]]
CHECKS: dict[str, Check] = {}
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "simulate.md"
BRIEF_S = 0.1  # how long silence is watched to call it silence


def fault(name: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return keep


@fault("status")
async def _(chat: Chat) -> None:
    refused = await chat("status=418")
    assert (refused.status, refused.ended) == (418, "complete")
    assert refused.json["error"]["message"] == "Simulated status 418."
    assert (await chat(model="sim-1+status:500", stream=True)).status == 500
    assert (await chat("status=401")).json["error"]["code"] == "invalid_api_key"
    assert (await chat("status=103")).statuses == [103, 200]
    assert (await chat("status=201")).json["choices"]
    assert (await chat("status=204")).body == b""
    assert (await chat("status=307")).headers["location"] == "/v1/redirected"
    assert (await chat("status=999")).status == 999


@fault("retry-after")
async def _(chat: Chat) -> None:
    answer = await chat("retry-after=7")
    assert (answer.status, answer.headers["retry-after"]) == (429, "7")
    assert (await chat("status=503; retry-after=7")).status == 503


@fault("retry-after-date")
async def _(chat: Chat) -> None:
    answer = await chat("retry-after-date=3600")
    when = parsedate_to_datetime(answer.headers["retry-after"]).timestamp()
    assert answer.status == 429
    assert 3000 < when - time.time() <= 3600


@fault("retry-after-ms")
async def _(chat: Chat) -> None:
    assert (await chat("retry-after-ms=250")).headers["retry-after-ms"] == "250"


@fault("context-overflow")
async def _(chat: Chat) -> None:
    answer = await chat("context-overflow")
    assert (answer.status, answer.json["error"]["code"]) == (400, "context_length_exceeded")


@fault("overloaded")
async def _(chat: Chat) -> None:
    answer = await chat("overloaded")
    assert (answer.status, answer.json["error"]["code"]) == (503, "server_is_overloaded")
    streamed = await chat("overloaded; error-event=1", stream=True)
    assert (streamed.status, streamed.chunks[-1]["error"]["code"]) == (200, "server_is_overloaded")


@fault("content-policy")
async def _(chat: Chat) -> None:
    answer = await chat("content-policy")
    assert (answer.status, answer.json["error"]["code"]) == (400, "content_filter")


@fault("fail-first")
async def _(chat: Chat) -> None:
    model = "sim-1+fail-first:2"
    assert [(await chat(model=model)).status for _ in range(4)] == [503, 503, 200, 200]
    assert [(await chat("fail-first=1; status=500")).status for _ in range(2)] == [500, 200]


@fault("flap")
async def _(chat: Chat) -> None:
    assert [(await chat("flap")).status for _ in range(4)] == [503, 200, 503, 200]
    assert [(await chat("flap=2")).status for _ in range(5)] == [503, 503, 200, 200, 503]


@fault("hang")
async def _(chat: Chat) -> None:
    answer = await chat("hang", first_s=BRIEF_S)
    assert (answer.raw, answer.ended) == (b"", "open")


@fault("reset")
async def _(chat: Chat) -> None:
    answer = await chat("reset")
    assert (answer.raw, answer.ended) == (b"", "reset")


@fault("not-http")
async def _(chat: Chat) -> None:
    answer = await chat("not-http")
    assert (answer.raw, answer.ended) == (NOT_HTTP, "not http")


@fault("slow-headers")
async def _(chat: Chat) -> None:
    answer = await chat("slow-headers=1ms")
    assert answer.ended == "complete"
    assert answer.json["choices"]
    assert answer.reads > 1


@fault("early-headers")
async def _(chat: Chat) -> None:
    answer = await chat("early-headers; ttft=1m", stream=True, later_s=BRIEF_S)
    assert (answer.status, answer.body, answer.ended) == (200, b"", "open")


@fault("hang-after-first")
async def _(chat: Chat) -> None:
    streamed = await chat("hang-after-first", stream=True, later_s=BRIEF_S)
    assert (len(streamed.chunks), streamed.ended) == (2, "open")
    whole = await chat("hang-after-first", later_s=BRIEF_S)
    assert (whole.status, whole.ended) == (200, "open")
    assert 0 < len(whole.body) < int(whole.headers["content-length"])


@fault("drip")
async def _(chat: Chat) -> None:
    streamed = await chat("drip; tokens=1", stream=True)
    assert (streamed.events[-1], streamed.ended) == ("[DONE]", "complete")
    assert streamed.reads > streamed.frames  # these are cut, too
    whole = await chat("drip=1ms")
    assert whole.json["choices"]
    assert whole.reads > 1


@fault("truncate")
async def _(chat: Chat) -> None:
    streamed = await chat("truncate=2", stream=True)
    assert streamed.ended == "complete"
    assert len(streamed.said.split()) == 2
    assert "[DONE]" not in streamed.events
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in streamed.chunks)
    whole = await chat("truncate")
    assert whole.ended == "complete"
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        _ = whole.json


@fault("cut")
async def _(chat: Chat) -> None:
    streamed = await chat("cut=2", stream=True)
    assert (streamed.status, streamed.complete, streamed.ended) == (200, False, "closed")
    whole = await chat("cut")
    assert (whole.complete, whole.ended) == (False, "closed")
    assert 0 < len(whole.body) < int(whole.headers["content-length"])


@fault("reset-after")
async def _(chat: Chat) -> None:
    streamed = await chat("reset-after=4", stream=True)
    assert (streamed.ended, len(streamed.chunks)) == ("reset", 5)
    whole = await chat("reset-after")
    assert (whole.ended, bool(whole.body)) == ("reset", True)


@fault("error-event")
async def _(chat: Chat) -> None:
    streamed = await chat("error-event=2", stream=True)
    assert (streamed.ended, len(streamed.chunks)) == ("complete", 4)
    assert streamed.chunks[-1]["error"]["type"] == "server_error"
    whole = await chat("error-event")
    assert (whole.status, list(whole.json)) == (200, ["error"])


@fault("malformed-json")
async def _(chat: Chat) -> None:
    streamed = await chat("malformed-json", stream=True)
    assert streamed.events[-1] == "[DONE]"
    assert sum(not event.endswith(("}", "]")) for event in streamed.events) == 1
    whole = await chat("malformed-json")
    assert whole.status == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        _ = whole.json


@fault("corrupt")
async def _(chat: Chat) -> None:
    streamed = await chat("corrupt", stream=True)
    assert streamed.events[-1] == "[DONE]"
    assert [event[0] for event in streamed.events].count("[") == 2  # the other one is `[DONE]`
    assert (await chat("corrupt")).body[-1:] != b"}"


@fault("wrong-content-type")
async def _(chat: Chat) -> None:
    assert (await chat("wrong-content-type")).headers["content-type"] == "text/html"
    streamed = await chat("wrong-content-type=application/json", stream=True)
    assert streamed.headers["content-type"] == "application/json"
    assert streamed.events[-1] == "[DONE]"


@fault("odd-framing")
async def _(chat: Chat) -> None:
    plain = await chat(stream=True)
    odd = await chat("odd-framing", stream=True)
    assert (odd.said, odd.events[-1]) == (plain.said, "[DONE]")
    for sign in (b"\r\n\r\n", b": a comment", b"\ndata: ", b"data:{", b"data:[DONE]"):
        assert sign in odd.body
    assert odd.frames < plain.frames  # every third event leaves with its successor
    assert (await chat("odd-framing")).json["choices"]


@fault("empty-choices")
async def _(chat: Chat) -> None:
    assert (await chat("empty-choices")).json["choices"] == []
    streamed = await chat("empty-choices", stream=True)
    assert streamed.events[-1] == "[DONE]"
    assert {len(chunk["choices"]) for chunk in streamed.chunks} == {0}


WEATHER = {
    "type": "object",
    "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["place", "days"],
}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}]


@fault("badargs")
async def _(chat: Chat) -> None:
    asked: Any = {"tools": TOOLS, "tool_choice": "required"}
    call = (await chat("badargs", **asked)).json["choices"][0]["message"]["tool_calls"][0]
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        json.loads(call["function"]["arguments"])
    streamed = await chat("badargs", stream=True, **asked)
    assert streamed.chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


@fault("badschema")
async def _(chat: Chat) -> None:
    asked: Any = {"tools": TOOLS, "tool_choice": "required"}
    call = (await chat("badschema", **asked)).json["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"])["place"] == 0
    form = {"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER}}
    said = await chat("badschema", response_format=form)
    assert json.loads(said.json["choices"][0]["message"]["content"])["place"] == 0


@fault("content-filter")
async def _(chat: Chat) -> None:
    answer = (await chat("content-filter; tokens=10")).json
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert answer["usage"]["completion_tokens"] == 5
    streamed = await chat("content-filter", stream=True)
    assert streamed.chunks[-1]["choices"][0]["finish_reason"] == "content_filter"


@fault("length")
async def _(chat: Chat) -> None:
    assert (await chat("length")).json["choices"][0]["finish_reason"] == "length"
    streamed = await chat("length", stream=True)
    assert streamed.chunks[-1]["choices"][0]["finish_reason"] == "length"


@fault("missing-usage")
async def _(chat: Chat) -> None:
    assert "usage" not in (await chat("missing-usage")).json
    streamed = await chat("missing-usage", stream=True, stream_options={"include_usage": True})
    assert {chunk["usage"] for chunk in streamed.chunks} == {None}


@fault("cached")
async def _(chat: Chat) -> None:
    usage = (await chat("cached=5")).json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
    usage = (await chat("cached=500")).json["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"]


@fault("cache-write")
async def _(chat: Chat) -> None:
    usage = (await chat("cache-write=3; cached=4")).json["usage"]["prompt_tokens_details"]
    assert (usage["cache_write_tokens"], usage["cached_tokens"]) == (3, 4)


@fault("reasoning")
async def _(chat: Chat) -> None:
    answer = (await chat("reasoning=30; tokens=10", max_completion_tokens=34)).json
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 30
    assert answer["usage"]["completion_tokens"] == 34
    assert answer["choices"][0]["finish_reason"] == "length"


@fault("thinking")
async def _(chat: Chat) -> None:
    answer = (await chat("thinking=5; tokens=3")).json
    assert len(answer["choices"][0]["message"]["reasoning_content"].split()) == 5
    assert answer["usage"]["completion_tokens"] == 8
    streamed = await chat("thinking", stream=True)
    deltas = [chunk["choices"][0]["delta"] for chunk in streamed.chunks]
    assert len([delta for delta in deltas if "reasoning_content" in delta]) == 8
    assert streamed.said == (await chat()).json["choices"][0]["message"]["content"]


@fault("quota")
async def _(chat: Chat) -> None:
    headers = (await chat("quota=7")).headers
    assert headers["x-ratelimit-remaining-requests"] == "7"
    assert headers["x-ratelimit-remaining-tokens"] == "7000"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert (await chat("quota=0; status=429")).headers["x-ratelimit-remaining-requests"] == "0"


@fault("echo")
async def _(chat: Chat) -> None:
    answer = await chat("echo", unknown_field={"kept": "ü"})
    assert '"unknown_field"' in answer.json["choices"][0]["message"]["content"]
    assert '"unknown_field"' in (await chat("echo", unknown_field=1, stream=True)).said


@fault("ttft")
async def _(chat: Chat) -> None:
    answer = await chat("ttft=1m", stream=True, first_s=BRIEF_S)
    assert (answer.raw, answer.ended) == (b"", "open")


@fault("gap")
async def _(chat: Chat) -> None:
    answer = await chat("gap=1m", stream=True, later_s=BRIEF_S)
    assert (len(answer.chunks), answer.ended) == (2, "open")


@fault("tokens")
async def _(chat: Chat) -> None:
    assert (await chat("tokens=40")).json["usage"]["completion_tokens"] == 40
    assert (await chat("tokens=0", stream=True)).events[-1] == "[DONE]"
    drawn = {
        (await chat("tokens=uniform:1..99")).json["usage"]["completion_tokens"] for _ in range(9)
    }
    assert len(drawn) > 1
    assert drawn <= set(range(1, 100))


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
async def test_fault_does_what_the_table_says(name: str, chat: Chat, server: Server) -> None:
    await CHECKS[name](chat)
    healthy = await chat()
    assert healthy.status == 200
    assert healthy.json["choices"][0]["finish_reason"] == "stop"
    assert server.stats.requests > 1


def test_the_page_lists_the_faults_of_the_code() -> None:
    rows = re.findall(r"^\| `[^|]+` \| [^|]* ?\| .+ \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [f"| `{f.usage}` | {f.default or ''} | {f.effect} |" for f in FAULTS]


@pytest.mark.parametrize("name", [fault.name for fault in FAULTS])
def test_header_and_model_name_ask_for_the_same(name: str) -> None:
    row = next(fault for fault in FAULTS if fault.name == name)
    argument = {"": "", "NNN": "500", "DURATION": "5ms", "TYPE": "a/b", "DELAY": "exp:5ms"}
    written = argument.get(row.argument, "2")
    by_model = parse_faults(f"sim-1+{name}" + (f":{written}" if written else ""), "")
    by_header = parse_faults("sim-1", name + (f"={written}" if written else ""))
    assert by_model[0] == by_header[0] == "sim-1"
    assert by_model[1]._given == by_header[1]._given
    assert name in by_model[1]


@pytest.mark.parametrize(
    ("model", "header", "says"),
    [
        ("sim-1+nonsense", "", "unknown fault 'nonsense'; there are: status, "),
        ("sim-1+status", "", "needs an argument: status=NNN"),
        ("sim-1", "status=99", "not an HTTP status"),
        ("sim-1", "hang=3", "takes no argument"),
        ("sim-1", "drip=3", "not a duration"),
        ("sim-1", "truncate=-1", "not a whole number"),
        ("sim-1", "wrong-content-type=ü", "not a media type"),
    ],
)
def test_a_wrong_fault_says_what_is_right(model: str, header: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_faults(model, header)


def test_a_name_that_ends_in_plus_has_no_fault() -> None:
    assert not parse_faults("command-r+", "")[1]


def test_the_header_wins_over_the_model_name() -> None:
    assert parse_faults("sim-1+status:500", "status=404")[1].number("status") == 404


async def test_an_unknown_fault_is_a_bad_request(chat: Chat) -> None:
    answer = await chat("nonsense")
    assert (answer.status, answer.json["error"]["code"]) == (400, "unknown_fault")


async def test_faults_add_up(chat: Chat) -> None:
    answer = await chat("odd-framing; drip=1ms; error-event=1; wrong-content-type", stream=True)
    assert answer.headers["content-type"] == "text/html"
    assert answer.chunks[-1]["error"]


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/completions"])
async def test_other_endpoints_have_faults_too(path: str, server: Server, raw: Raw) -> None:
    async def ask(faults: str, **fields: object) -> Any:
        body = json.dumps({"model": "sim-1", "input": "a", "prompt": "a", **fields}).encode()
        head = f"POST {path} HTTP/1.1\r\nhost: sim\r\nx-simulate: {faults}\r\n"
        request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
        return await raw(server.port, request)

    empty = (await ask("empty-choices; missing-usage")).json
    assert empty.get("data", empty.get("choices")) == []
    assert "usage" not in empty
    assert (await ask("status=503")).status == 503
    assert (await ask("reset")).ended == "reset"
    if path == "/v1/completions":
        assert (await ask("truncate=1", stream=True)).events[-1] != "[DONE]"
        assert {len(c["choices"]) for c in (await ask("empty-choices", stream=True)).chunks} == {0}
