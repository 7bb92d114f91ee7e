"""One rich request in each caller's format, and the body that each provider gets for it.

The bodies are kept in `golden/`. `TIDEGATE_WRITE_GOLDEN=1` writes them anew: read the difference
before it is committed.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from tests.formats import bedrock_model, chat_judge, gemini_judge, messages_judge
from tests.pairs.pair_samples import ALL
from tests.pairs.pair_tap import Asked, Tap, tapped
from tests.pairs.pair_ways import KEY, WAYS, Pairs, Way, open_pairs
from tidegate.providers.simulated.server import start
from tidegate.providers.simulated.settings import Settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]
Tapped = tuple[Pairs, Tap]

GOLDEN = Path(__file__).with_name("golden")
WRITES = "TIDEGATE_WRITE_GOLDEN"
PAIRS = [pytest.param(c, w, id=f"{c}-{w.name}") for c in ALL for w in WAYS]
STREAMING = ("stream", "stream_options")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Tapped]:
    directory = tmp_path_factory.mktemp("golden")
    async with (
        await start(Settings(key=KEY)) as vendors,
        tapped(vendors.port) as tap,
        open_pairs(directory, root=tap.url) as pairs,
    ):
        yield pairs, tap


async def sent(desk: Tapped, caller: str, way: Way, *, stream: bool) -> tuple[Asked, list[str]]:
    """What the provider gets for the rich request, and what the record says was dropped."""
    pairs, tap = desk
    body = json.loads((GOLDEN / "asked" / f"{caller}.json").read_text())
    if caller == "messages":  # which the SDK has no arguments for any more
        sampling = sorted(messages_judge.SAMPLING & body.keys())
        body["extra_body"] = {name: body.pop(name) for name in sampling}
    said = await pairs.callers[caller].ask(f"{way.name}/{way.model}", body, stream=stream)
    assert said.text
    record = pairs.record()
    assert record.outcome == "ok"
    return tap.asked[-1], record.dropped


@pytest.mark.parametrize(("caller", "way"), PAIRS)
async def test_a_rich_request_becomes_the_golden_one(desk: Tapped, caller: str, way: Way) -> None:
    asked, dropped = await sent(desk, caller, way, stream=False)
    judge(caller, way, asked.body)
    told = {"path": asked.path, "dropped": dropped, "body": asked.body}
    path = GOLDEN / caller / f"{way.name}.json"
    if os.environ.get(WRITES):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert told == json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("caller", "way"), PAIRS)
async def test_a_stream_is_asked_for_in_the_same_words(desk: Tapped, caller: str, way: Way) -> None:
    whole = json.loads((GOLDEN / caller / f"{way.name}.json").read_text(encoding="utf-8"))
    streamed, dropped = await sent(desk, caller, way, stream=True)
    assert {k: v for k, v in streamed.body.items() if k not in STREAMING} == whole["body"]
    assert dropped == whole["dropped"]
    assert (streamed.path != whole["path"]) is (way.speaks in ("gemini", "converse"))
    if speaks(caller, way) in ("chat", "completions"):
        assert streamed.body["stream_options"] == {"include_usage": True}


def judge(caller: str, way: Way, body: Json) -> None:
    """Fails unless the vendor's own SDK would send `body`."""
    if way.speaks not in ("gemini", "converse"):
        assert body["model"] == way.model
    JUDGES[speaks(caller, way)](body)


def speaks(caller: str, way: Way) -> str:
    return caller if caller in way.native else way.speaks


_RESPONSE = TypeAdapter[Any](ResponseCreateParamsNonStreaming)

JUDGES: dict[str, Callable[[Json], object]] = {
    "chat": chat_judge.assert_request,
    "responses": lambda body: _RESPONSE.validate_python(body, strict=False),
    "messages": messages_judge.assert_request,
    "gemini": gemini_judge.judge,
    "converse": bedrock_model.check_body,
    "completions": lambda body: body,
}
