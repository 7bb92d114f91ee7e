"""OpenAI's Responses format towards the caller: what is a good request.

What is unknown is kept, what is known is of the right type or refused by its path. What stands
inside an item is looked at only where it has to be translated: there are more kinds than we know.
"""

from __future__ import annotations

import msgspec

from tidegate.gateway.wires import AnyObject, ModelName, Positive, Wire


class _Responses(msgspec.Struct, kw_only=True):
    model: ModelName
    input: str | list[AnyObject] | None = None
    instructions: str | None = None
    stream: bool | None = None
    tools: list[AnyObject] | None = None
    tool_choice: str | AnyObject | None = None
    text: AnyObject | None = None
    reasoning: AnyObject | None = None
    include: list[str] | None = None
    max_output_tokens: Positive | None = None
    temperature: float | None = None
    top_p: float | None = None
    store: bool | None = None
    background: bool | None = None
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
