"""Embeddings in the words of Google's three methods: texts in, vectors out.

AI Studio takes all texts in one `batchEmbedContents`. Vertex AI has `embedContent` and its batch
for Gemini's own models, and `predict` for the older ones.

Source: ai.google.dev/api/embeddings, cloud.google.com/vertex-ai/generative-ai/docs/model-reference
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.gemini.answer import UsageMetadata
from tidegate.formats.gemini.refusal import reported
from tidegate.types import Usage

Json = dict[str, Any]


class _Statistics(Struct):
    token_count: float = 0.0


class _Values(Struct):
    values: list[float]
    statistics: _Statistics | None = None


class _Prediction(Struct):
    embeddings: _Values


class _Answer(Struct, rename="camel"):
    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    predictions: list[_Prediction] | None = None
    usage_metadata: UsageMetadata | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Answer).decode


def write_studio(texts: Sequence[str], dimensions: int | None, resource: str) -> Json:
    """The body of AI Studio's `batchEmbedContents`; `resource` is `models/…`."""
    shape: Json = {"model": resource}
    if dimensions is not None:
        shape["outputDimensionality"] = dimensions
    return {"requests": [shape | _content(text) for text in texts]}


def write_vertex(texts: Sequence[str], dimensions: int | None, model: str) -> tuple[str, Json]:
    """The method of Vertex AI's that `model` has, and its body."""
    shape: Json = {} if dimensions is None else {"outputDimensionality": dimensions}
    name = model.rpartition("/")[2]
    if "gemini" not in name and "maas" not in name:
        body: Json = {"instances": [{"content": text} for text in texts]}
        return "predict", body | ({"parameters": shape} if shape else {})
    config: Json = {"embedContentConfig": shape} if shape else {}
    if len(texts) == 1:
        return "embedContent", _content(texts[0]) | config
    return "batchEmbedContents", {"requests": [_content(text) | config for text in texts]}


def _content(text: str) -> Json:
    return {"content": {"parts": [{"text": text}]}}


def read_vectors(body: bytes, count: int) -> tuple[list[list[float]], Usage | None]:
    """The `count` vectors in an answer of any of the methods; what they used, if that is told.

    Raises: `UpstreamMalformed`, or what an error inside stands for.
    """
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    if answer.error is not None:
        raise reported(answer.error)
    if answer.predictions is not None:
        found = [each.embeddings for each in answer.predictions]
    else:
        found = [answer.embedding] if answer.embedding is not None else answer.embeddings or []
    if len(found) != count:
        raise UpstreamMalformed("The provider's answer does not hold a vector for each text.")
    return [each.values for each in found], _used(answer, found)


def _used(answer: _Answer, found: list[_Values]) -> Usage | None:
    told = answer.usage_metadata
    if told is not None and told.prompt_token_count is not None:
        return Usage(input=told.prompt_token_count, output=0)
    counts = [each.statistics.token_count for each in found if each.statistics is not None]
    if not found or len(counts) != len(found):
        return None
    return Usage(input=int(min(max(sum(counts), 0.0), 2.0**53)), output=0)
