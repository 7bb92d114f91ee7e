"""How answers end, in the words of every vendor: cut short, refused; and which requests waited."""

from __future__ import annotations

from typing import Final

TRUNCATED: Final = frozenset(
    {"length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "incomplete", "model_length"}
)
REFUSED: Final = frozenset(
    {
        "content_filter", "refusal", "content_filtered", "guardrail_intervened", "SAFETY",
        "PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION", "SPII", "safety",
    }
)  # fmt: skip
FILTERED: Final = "content_filter"
"""The outcome of a request whose answer a filter refused."""
_WAITED: Final = frozenset({"ok", "client_gone", "failed_after_commit", "deadline_exceeded"})


def has_waited(outcome: str) -> bool:
    """Whether the wait of a request that ended so says something about a provider."""
    return outcome in _WAITED or outcome.endswith("_timeout")
