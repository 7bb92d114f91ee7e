"""OpenAI's wire format towards the caller: what is a good request, and the list of models."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from tidegate.gateway.wires import AnyObject, ModelName, Positive, Wire

_encode = msgspec.json.Encoder().encode


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Common(msgspec.Struct, kw_only=True):
    model: ModelName
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: Positive | None = None
    max_completion_tokens: Positive | None = None
    n: Positive | None = None
    temperature: float | None = None
    top_p: float | None = None

    @property
    def streams(self) -> bool:
        """See `View`."""
        return bool(self.stream)

    @property
    def wants_usage(self) -> bool:
        """See `View`."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class _Chat(_Common, kw_only=True):
    messages: Annotated[list[AnyObject], msgspec.Meta(min_length=1)]
    tools: list[AnyObject] | None = None


class _Completions(_Common, kw_only=True):
    prompt: str | list[Any]


class _Embeddings(msgspec.Struct, kw_only=True):
    model: ModelName
    input: str | list[Any]
    stream: None = None
    stream_options: None = None

    @property
    def streams(self) -> bool:
        """See `View`."""
        return False

    @property
    def wants_usage(self) -> bool:
        """See `View`."""
        return True


CHAT = Wire("chat", msgspec.json.Decoder(_Chat).decode)
COMPLETIONS = Wire("completions", msgspec.json.Decoder(_Completions).decode)
EMBEDDINGS = Wire("embeddings", msgspec.json.Decoder(_Embeddings).decode)


def model_list(names: list[str]) -> bytes:
    """The answer of `GET /v1/models`."""
    return _encode({"object": "list", "data": [_model(name) for name in names]})


def model_one(name: str) -> bytes:
    """The answer of `GET /v1/models/{name}`."""
    return _encode(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "tidegate"}
