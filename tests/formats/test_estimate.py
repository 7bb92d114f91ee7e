"""An estimate of a request's tokens follows its formula."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tidegate.formats.estimate import (
    IMAGE_TOKENS,
    PAGE_TOKENS,
    SMALL_IMAGE_TOKENS,
    input_tokens,
    piece_tokens,
)
from tidegate.formats.messages import read_ask, read_reply
from tidegate.formats.words import (
    Ask,
    Audio,
    File,
    Foreign,
    ForeignTool,
    Image,
    JsonOutput,
    Part,
    Refusal,
    Text,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)

PARTS: dict[str, tuple[Part, int]] = {
    "nothing": (Text(""), 0),
    "text": (Text("12345"), 2),
    "Chinese": (Text("你好"), 2),
    "half a pair": (Text("\ud800"), 1),
    "refusal": (Refusal("1234"), 1),
    "thinking": (Thinking("1234", "s" * 99), 1),
    "image": (Image(url="u"), IMAGE_TOKENS),
    "small image": (Image(url="u", detail="low"), SMALL_IMAGE_TOKENS),
    "text file": (File(text="1234"), 1),
    "file by url": (File(url="u"), PAGE_TOKENS),
    "long file": (File(data="x" * (4 << 16)), 3 * PAGE_TOKENS),
    "sound": (Audio("x" * 6_400, "wav"), 3),
    "call": (ToolUse("a", "1234", "{}"), 10),
    "result": (ToolResult("a", (Text("1234"), Image(url="u"))), 9 + IMAGE_TOKENS),
    "foreign": (Foreign("x", {"a": 1}), 2),
}


@pytest.mark.parametrize("name", PARTS)
def test_every_part_counts(name: str) -> None:
    part, tokens = PARTS[name]
    assert input_tokens(Ask(model="m", turns=(Turn("user", (part,)),))) == 3 + 4 + tokens


def test_tools_and_schemas_count() -> None:
    tools = (Tool("1234", "12345678", {"a": 1}), ForeignTool("x", {"a": 1}))
    ask = Ask(model="m", turns=(), tools=tools, output=JsonOutput({"a": 1}))
    assert input_tokens(ask) == 3 + 100 + (8 + 1 + 2 + 2) + (8 + 2) + 2


RECORDED = Path(__file__).parents[2] / "../shared/data/wire/recorded_part.jsonl.gz"


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded exchanges are not here")
def test_recorded_requests_without_tools_are_met_by_half_to_double() -> None:
    met = 0
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            exchange = json.loads(line)
            request, body = exchange["request"], exchange["body"]
            if exchange["kind"] != "messages" or exchange["stream"] or "tools" in request:
                continue
            answer = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            if exchange["status"] != 200:
                continue
            usage = read_reply(answer).usage
            if usage is not None and usage.input > 500:
                met += 1
                assert usage.input / 2 < input_tokens(read_ask(request)) < usage.input * 2
    assert met


def test_a_piece_of_a_stream_is_a_token_unless_it_is_long() -> None:
    assert [piece_tokens(each) for each in (None, " water", "x" * 15)] == [1, 1, 1]
    assert piece_tokens("x" * 400) == 100
