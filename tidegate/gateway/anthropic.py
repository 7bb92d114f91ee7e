"""Anthropic's wire format towards the caller: what is a good request.

What is unknown is kept, what is known is of the right type or refused by its path.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tidegate.gateway.wires import AnyObject, ModelName, Wire

FORWARDED = frozenset({b"anthropic-beta", b"anthropic-version"})
"""The caller's headers that a provider of the same format gets too."""

_Length = Annotated[int, msgspec.Meta(ge=0)]


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[AnyObject]


class _Common(msgspec.Struct, kw_only=True):
    model: ModelName
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    system: str | list[AnyObject] | None = None
    tools: list[AnyObject] | None = None
    tool_choice: AnyObject | None = None
    thinking: AnyObject | None = None
    output_config: AnyObject | None = None

    @property
    def streams(self) -> bool:
        """See `View`."""
        return False

    @property
    def wants_usage(self) -> bool:
        """See `View`."""
        return True


class _Count(_Common, kw_only=True):
    stream: None = None


class _Messages(_Common, kw_only=True):
    max_tokens: _Length
    """0 fills the provider's cache and answers nothing."""
    stream: bool | None = None
    stop_sequences: list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    metadata: AnyObject | None = None

    @property
    def streams(self) -> bool:
        """See `View`."""
        return bool(self.stream)


MESSAGES = Wire("messages", msgspec.json.Decoder(_Messages).decode, FORWARDED)
COUNT_TOKENS = Wire("count_tokens", msgspec.json.Decoder(_Count).decode, FORWARDED)
