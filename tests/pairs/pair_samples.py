"""What is asked in these tests, and what the simulator's seed makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pairs.pair_ways import WAYS
from tests.pairs.pair_words import Called
from tidegate.providers.simulated.choices import text_of
from tidegate.providers.simulated.vocabulary import Vocabulary

Json = dict[str, Any]

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJg"
    "gg=="
)
"""One pixel as PNG in base64."""


def _object(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


WEATHER: Json = {
    "name": "weather",
    "description": "Tells the weather of some days.",
    "schema": _object(city={"type": "string"}, days={"type": "integer"}),
}
CLOCK: Json = {
    "name": "clock",
    "description": "Tells the time.",
    "schema": _object(zone={"type": "string"}),
}
BOTH = "Please call the tools"
"""Words that make the simulator call every tool."""
CALLED = [("weather", {"city": "wave", "days": 59}), ("clock", {"zone": "tide"})]
POINT = _object(x={"type": "integer"}, name={"type": "string"})


_SPOKEN = Vocabulary(0)


def words(prompt: str, number: int = 16) -> str:
    """What the simulator says to `prompt`."""
    return text_of(_SPOKEN.tokens(_SPOKEN.start(prompt), number))


def thoughts(prompt: str, number: int) -> str:
    """What it thinks before that."""
    return text_of(_SPOKEN.tokens(_SPOKEN.start(prompt) + 997 // 2, number))


def calls(called: tuple[Called, ...]) -> list[tuple[str, Json]]:
    """Names and arguments of calls; fails unless each has an id of its own."""
    assert len({call.id for call in called}) == len(called)
    assert all(call.id for call in called)
    return [(call.name, call.arguments) for call in called]


DIFFERENT = [way for way in WAYS if way.name not in ("azure_dated", "ollama")]
"""Without those whose answers are like another one's."""
CONVERSING = ("chat", "responses", "messages")
"""The formats that know turns, tools, images and schemas."""
ALL = (*CONVERSING, "completions")


def every_pair(*callers: str) -> pytest.MarkDecorator:
    """Run a test for each of `callers`, each way out, whole and streamed."""
    return pytest.mark.parametrize(
        ("caller", "way", "stream"),
        [
            pytest.param(caller, way, stream, id=f"{caller}-{way.name}-{kind}")
            for caller in callers
            for way in DIFFERENT
            for stream, kind in ((False, "whole"), (True, "streamed"))
        ],
    )
