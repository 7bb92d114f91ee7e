"""Embeddings as Google writes them: one, a batch, or Vertex AI's predictions."""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.providers.simulated.asking import text_tokens
from tidegate.providers.simulated.gemini.requests import Content, read
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import Reply, Turn
from tidegate.providers.simulated.vectors import MOST_DIMENSIONS, vector

_DIMENSIONS: Final = 3072


class EmbedRequest(msgspec.Struct, rename="camel"):
    """The body of `:embedContent`, and each request of a batch."""

    content: Content
    model: str = ""
    output_dimensionality: int | None = None


class _Batch(msgspec.Struct):
    """The body of `:batchEmbedContents`."""

    requests: list[EmbedRequest]


class _Instance(msgspec.Struct):
    """A text on Vertex AI."""

    content: str


class _Parameters(msgspec.Struct, rename="camel"):
    """What is wanted of all texts."""

    output_dimensionality: int | None = None


class _Predict(msgspec.Struct):
    """The body of `:predict`."""

    instances: list[_Instance]
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


def embed(turn: Turn) -> Reply:
    """Answer one body of `:embedContent`."""
    ask = read(EmbedRequest, turn.body)
    values = _values(turn, ask.content.text(), ask.output_dimensionality)
    return _json(turn, {"embedding": {} if "empty-choices" in turn.faults else {"values": values}})


def embed_all(turn: Turn) -> Reply:
    """Answer one body of `:batchEmbedContents`, in the requests' order."""
    batch = read(_Batch, turn.body).requests
    if not batch:
        raise Refusal(400, "* BatchEmbedContentsRequest.requests: requests is not specified\n")
    values = [_values(turn, ask.content.text(), ask.output_dimensionality) for ask in batch]
    said = [] if "empty-choices" in turn.faults else [{"values": one} for one in values]
    return _json(turn, {"embeddings": said})


def predict(turn: Turn) -> Reply:
    """Answer one body of `:predict` for a model of embeddings."""
    ask = read(_Predict, turn.body)
    size = ask.parameters.output_dimensionality
    predictions: list[dict[str, object]] = []
    for instance in ask.instances:
        values = _values(turn, instance.content, size)
        statistics = {"token_count": text_tokens(instance.content), "truncated": False}
        predictions.append({"embeddings": {"values": values, "statistics": statistics}})
    empty = "empty-choices" in turn.faults
    return _json(turn, {"predictions": [] if empty else predictions})


def _values(turn: Turn, text: str, size: int | None) -> tuple[float, ...]:
    size = _DIMENSIONS if size is None else size
    if not 1 <= size <= MOST_DIMENSIONS:
        raise Refusal(400, f"output_dimensionality must be within 1 and {MOST_DIMENSIONS}")
    turn.meter.prompt_tokens += text_tokens(text)
    return vector(text, size, turn.vocabulary.seed)


def _json(turn: Turn, value: object) -> Reply:
    return Reply(200, msgspec.json.encode(value), wait_s=turn.pace.whole_s(0))
