"""What Bedrock answers that is no conversation: vectors, and counts of tokens.

Converse has no embeddings, so texts go to the models in their own words (`InvokeModel`): Titan
takes one at a time, Cohere many, and counts its tokens in a header. Only Claude's can be counted
before they are sent.

Source: docs.aws.amazon.com/bedrock/latest/userguide: model-parameters-titan-embed-text,
model-parameters-embed, count-tokens.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from tidegate.errors import BadRequest, Unsupported, UpstreamMalformed
from tidegate.formats.embeddings import Texts, read_texts, write_vectors
from tidegate.net.http import Response
from tidegate.providers.answers import (
    ANSWER_LIMIT_BYTES,
    UpstreamAnswer,
)
from tidegate.types import Call, Facts, Usage

Json = dict[str, Any]

PURPOSES: Final = ("search_document", "search_query", "classification", "clustering", "image")
"""What Cohere wants to know of texts; a caller may say it as `input_type`."""

_COUNT_HEADER: Final = b"x-amzn-bedrock-input-token-count"
_COUNT_DIGITS: Final = 12
_COUNTED: Final = ("messages", "system", "toolConfig", "additionalModelRequestFields")
_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Count = Annotated[int, Meta(ge=0, le=1 << 40)]


# Texts


def write_texts(model: str, body: Json) -> tuple[Json, list[str]]:
    """What `body` asks to embed, in the words of `model`, and what could not be said.

    Raises: `BadRequest`, `Unsupported`.
    """
    asked = read_texts(body)
    dropped = list(asked.extra)
    if "cohere.embed" in model:
        return _cohere(model, asked, body, dropped), dropped
    if "amazon.titan-embed" not in model:
        raise Unsupported("This model makes no embeddings.", param="model")
    if len(asked.texts) != 1:
        raise Unsupported("This model takes one text at a time.", param="input")
    return _titan(model, asked, dropped), dropped


def _titan(model: str, asked: Texts, dropped: list[str]) -> Json:
    said: Json = {"inputText": asked.texts[0]}
    if asked.dimensions is None:
        pass
    elif "titan-embed-image" in model:
        said["embeddingConfig"] = {"outputEmbeddingLength": asked.dimensions}
    elif "titan-embed-text-v1" in model or "titan-embed-g1" in model:
        dropped.append("dimensions")
    else:
        said["dimensions"] = asked.dimensions
    return said


def _cohere(model: str, asked: Texts, body: Json, dropped: list[str]) -> Json:
    purpose = body.get("input_type") or PURPOSES[0]
    if purpose not in PURPOSES:
        known = ", ".join(PURPOSES)
        raise BadRequest(f"input_type: Expected one of {known}.", param="input_type")
    if "input_type" in dropped:
        dropped.remove("input_type")
    said: Json = {
        "texts": list(asked.texts),
        "input_type": purpose,
        "embedding_types": ["float"],
    }
    if asked.dimensions is not None:
        if "embed-v4" in model:
            said["output_dimension"] = asked.dimensions
        else:
            dropped.append("dimensions")
    return said


class _Floats(Struct):
    floats: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Vectors(Struct):
    """Titan's answer or Cohere's, whichever it is."""

    embedding: list[float] | None = None
    tokens: _Count | None = msgspec.field(default=None, name="inputTextTokenCount")
    embeddings: list[list[float]] | _Floats | None = None


_decode_vectors = msgspec.json.Decoder(_Vectors).decode


def read_vectors(body: bytes, count: int) -> tuple[list[list[float]], int | None]:
    """The `count` vectors in an answer, and how many tokens they were, if the body tells.

    Raises: `UpstreamMalformed`.
    """
    try:
        answer = _decode_vectors(body)
    except _BROKEN as error:
        raise UpstreamMalformed("The provider's answer is not the JSON it should be.") from error
    found = answer.embeddings
    vectors = found.floats if isinstance(found, _Floats) else found
    if vectors is None and answer.embedding is not None:
        vectors = [answer.embedding]
    if vectors is None or len(vectors) != count:
        raise UpstreamMalformed("The provider's answer does not hold a vector for each text.")
    return vectors, answer.tokens


class VectorsBody(UpstreamAnswer):
    """A whole answer with vectors, written in the caller's format."""

    def __init__(self, response: Response, facts: Facts, call: Call) -> None:
        super().__init__(response, facts)
        self._asked = read_texts(call.body)
        self._model = call.model

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._done:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._done = True
        vectors, tokens = read_vectors(body, len(self._asked.texts))
        told = self._response.header(_COUNT_HEADER) or b""
        if told.isdigit() and len(told) <= _COUNT_DIGITS:
            tokens = int(told)
        facts = self.facts
        facts.usage = None if tokens is None else Usage(tokens, 0)
        facts.content, facts.chunks = True, 1
        return write_vectors(vectors, self._model, facts.usage, self._asked.encoding)


# Counts


class _Counted(Struct, rename="camel"):
    input_tokens: _Count


_decode_counted = msgspec.json.Decoder(_Counted).decode


def write_count(model: str, body: Json) -> Json:
    """The body of `CountTokens` for a body of Converse.

    Raises: `Unsupported` when the model is known to have no such operation.
    """
    if "claude" not in model and ":application-inference-profile/" not in model:
        raise Unsupported("This model's tokens cannot be counted before they are sent.")
    counted = {name: body[name] for name in _COUNTED if name in body}
    return {"input": {"converse": counted}}


class CountBody(UpstreamAnswer):
    """A whole answer with a count, written in Anthropic's words."""

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._done:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._done = True
        try:
            counted = _decode_counted(body)
        except _BROKEN as error:
            raise UpstreamMalformed("The provider's answer is no count of tokens.") from error
        self.facts.content, self.facts.chunks = True, 1
        return b'{"input_tokens":%d}' % counted.input_tokens
