"""What is left of an account, as the provider's own headers tell it: pure, for any input.

Vendors agree on the idea and on nothing else, so each header that means something is a row of
`_FIELDS`, and a reset may be written in any of these forms:

    `6m0s`, `1m30.5s`, `20ms`   a duration                    OpenAI, Groq
    `10`, `59.3`                seconds                       Azure, Cerebras, Together
    `1741305600`, `…000`        Unix time, in s or in ms      OpenRouter
    `2025-01-01T00:00:00Z`      RFC 3339                      Anthropic

Sources: platform.openai.com/docs/guides/rate-limits, docs.anthropic.com/en/api/rate-limits,
console.groq.com/docs/rate-limits, inference-docs.cerebras.ai/support/rate-limits,
docs.together.ai/docs/rate-limits, openrouter.ai/docs/api-reference/limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import product
from typing import Final, Literal

from msgspec import Struct

Part = Literal["limit", "remaining", "reset"]

_LONGEST_S: Final = 31 * 86_400.0
"""No quota is counted over more than a month; later resets are slips."""

_UNIX_S: Final = 1e9
"""From here on a bare number is a time, not a wait: as a wait it would be thirty years."""
_UNIX_MS: Final = 1e12

_NUMBER: Final = re.compile(rb"-?\d{1,15}(?:\.\d{1,9})?")
_DURATION: Final = re.compile(
    rb"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?"
    rb"(?:(\d{1,9}(?:\.\d{1,9})?)ms)?(?:\d{1,9}(?:\.\d{1,9})?(?:us|\xb5s|\xc2\xb5s|ns))?"
)
_DURATION_UNITS_S: Final = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


class Window(Struct, frozen=True):
    """One allowance: so many of `kind` (`requests`, `tokens`, …) until it is filled up again."""

    kind: str
    remaining: float
    limit: float | None = None
    reset_s: float | None = None
    """Seconds from now until `remaining` is `limit` again."""


def read_quota(headers: Iterable[tuple[bytes, bytes]], unix_s: float) -> tuple[Window, ...]:
    """The allowances that `headers` (names in lower case) tell of, at the Unix time `unix_s`.

    What cannot be read counts as not said; an allowance without what remains of it is left out.
    """
    found: dict[str, dict[Part, float]] = {}
    for name, value in headers:
        field = _FIELDS.get(name)
        if field is None:
            continue
        kind, part = field
        number = _reset_s(value, unix_s) if part == "reset" else _count(value)
        if number is not None:
            found.setdefault(kind, {})[part] = number
    return tuple(
        Window(kind, parts["remaining"], parts.get("limit"), parts.get("reset"))
        for kind, parts in found.items()
        if "remaining" in parts
    )


def _names() -> dict[bytes, tuple[str, Part]]:
    """Every header that is understood, with what it counts and which part of it."""
    parts: tuple[Part, ...] = ("limit", "remaining", "reset")
    table: dict[bytes, tuple[str, Part]] = {}
    for kind, part in product(("requests", "tokens", "input-tokens", "output-tokens"), parts):
        counted = kind.replace("-", "_")
        table[f"anthropic-ratelimit-{kind}-{part}".encode()] = counted, part
        table[f"x-ratelimit-{part}-{kind}".encode()] = counted, part
    for part in parts:
        for kind, told in {
            "requests": "requests-day",  # Cerebras
            "tokens": "tokens-minute",  # Cerebras, Mistral
            "input_tokens": "tokens-prompt",  # Fireworks
            "output_tokens": "tokens-generated",
        }.items():
            table[f"x-ratelimit-{part}-{told}".encode()] = kind, part
        table[f"x-ratelimit-{part}-req-minute".encode()] = "requests", part  # Mistral
        table[f"x-ratelimit-{part}".encode()] = "requests", part  # Together, OpenRouter
        table[f"x-tokenlimit-{part}".encode()] = "tokens", part  # Together
    return table


_FIELDS: Final = _names()


def _count(value: bytes) -> float | None:
    """A whole number of something; below nothing there is nothing."""
    return max(0.0, float(value)) if _NUMBER.fullmatch(value) else None


def _reset_s(value: bytes, unix_s: float) -> float | None:
    """Seconds from `unix_s` until the time that `value` says, in whichever form."""
    if _NUMBER.fullmatch(value):
        number = float(value)
        if number >= _UNIX_MS:
            number = number / 1000 - unix_s
        elif number >= _UNIX_S:
            number -= unix_s
    elif value and (match := _DURATION.fullmatch(value)):
        number = sum(
            float(part) * unit_s
            for part, unit_s in zip(match.groups(b"0"), _DURATION_UNITS_S, strict=True)
        )
    else:
        try:
            at = datetime.fromisoformat(value.decode("ascii"))
        except ValueError:  # UnicodeDecodeError is one
            return None
        number = at.replace(tzinfo=at.tzinfo or UTC).timestamp() - unix_s
    return min(max(0.0, number), _LONGEST_S)
