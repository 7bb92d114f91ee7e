"""The colours can be read: WCAG 2.2, contrast (minimum), for every pair that is used."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import tidegate.console

CSS = (Path(tidegate.console.__file__).parent / "static" / "console.css").read_text()
TOKEN = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
COLOURS = {name: (light, dark) for name, light, dark in TOKEN.findall(CSS)}
WORDS = ("text", "muted", "accent", "good", "warn", "bad")
GROUNDS = ("page", "raised", "sunken")
SOFT = (
    ("accent", "accent-soft"),
    ("good", "good-soft"),
    ("warn", "warn-soft"),
    ("bad", "bad-soft"),
)
PAIRS = [*product(WORDS, GROUNDS), *SOFT, ("on-accent", "accent")]
TONES = [f"tone-{number}" for number in range(1, 9)]


def light_of(colour: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str, scheme: int) -> float:
    lights = sorted(light_of(COLOURS[name][scheme]) for name in (one, other))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("word", "ground"), PAIRS)
def test_words_can_be_read(word: str, ground: str, scheme: int) -> None:
    assert contrast(word, ground, scheme) >= 4.5


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("tone", TONES)
def test_what_is_drawn_can_be_seen(tone: str, scheme: int) -> None:
    assert contrast(tone, "raised", scheme) >= 3.0
