"""What one server of the chat API understands beyond OpenAI's own words, or short of them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

SHARED = frozenset({
    "logit_bias", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "verbosity",
})  # fmt: skip
"""Fields that OpenAI's formats share by name and meaning, and the neutral words do not know."""


class Accent(Struct, frozen=True, kw_only=True):
    """How requests are written; the defaults are OpenAI's own."""

    output_field: str = "max_completion_tokens"
    """The field for the greatest length of an answer; many servers know only `max_tokens`."""
    system_role: str = "system"
    """The role of instructions: `developer` for some models."""
    thinking: Literal["reasoning_content", "reasoning", "reasoning_details"] | None = None
    """The field in which reasoning of earlier turns is given back; None gives none back."""
    signatures: bool = False
    """Whether tool calls carry signatures of thought (`extra_content`), as at Google."""
    cache: bool = False
    """Whether parts and tools may carry `cache_control`, as at OpenRouter."""
    lists: bool = True
    """Whether instructions, answers and results may be lists of texts; else these are joined."""
    stops: int = 4
    """How many stop sequences are taken."""
    also: frozenset[str] = SHARED
    """Fields beyond the neutral words, or `top_k`, that are known under the caller's name."""


PLAIN = Accent()
