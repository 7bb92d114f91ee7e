"""OpenAI's Responses format towards the caller: what is a good request."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tidegate.gateway.wires import Wire

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _AnyObject(msgspec.Struct):
    """An object whose content is the provider's business."""


class _Responses(msgspec.Struct, kw_only=True):
    model: _Name
    input: str | list[_AnyObject] | None = None
    instructions: str | None = None
    stream: bool | None = None
    tools: list[_AnyObject] | None = None
    max_output_tokens: _Positive | None = None
    temperature: float | None = None
    top_p: float | None = None
    previous_response_id: str | None = None

    @property
    def streams(self) -> bool:
        """See `View`."""
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        """See `View`."""
        return True


RESPONSES = Wire("responses", msgspec.json.Decoder(_Responses).decode)
