"""OpenAI's embeddings: texts in, vectors out.

There is no conversation in it, so nothing is read as an `Ask`: a vendor without this format either
has one of its own for vectors (`read_texts`, `write_vectors`), or cannot answer.

Source: platform.openai.com/docs/api-reference/embeddings.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

import msgspec
from msgspec import Struct

from tidegate.errors import BadRequest, Unsupported
from tidegate.formats.faults import error_body, error_event
from tidegate.formats.format import Writer
from tidegate.formats.openai import PassingWatch, learn_vectors, understood
from tidegate.formats.words import Ask, Reply
from tidegate.types import Facts, Usage

__all__ = [
    "Texts",
    "error_body",
    "error_event",
    "learn",
    "read_ask",
    "read_texts",
    "watch",
    "write_reply",
    "write_vectors",
    "writer",
]

Json = dict[str, Any]

learn = learn_vectors
_encode = msgspec.json.Encoder().encode


class Texts(Struct, frozen=True):
    """What is to be embedded, and how the vectors are wanted."""

    texts: tuple[str, ...]
    dimensions: int | None = None
    encoding: Literal["float", "base64"] = "float"
    extra: tuple[str, ...] = ()
    """The names of other fields, which a vendor with another format cannot be told."""


class _Body(Struct):
    model: str
    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: Literal["float", "base64"] | None = None


_KNOWN = frozenset(_Body.__struct_fields__)


def read_texts(body: Json) -> Texts:
    """What `body` asks to embed.

    Raises: `BadRequest`, also for tokens instead of texts.
    """
    asked = understood(body, _Body)
    wanted = [asked.input] if isinstance(asked.input, str) else asked.input
    texts = tuple(text for text in wanted if isinstance(text, str))
    if not texts or len(texts) != len(wanted):
        raise BadRequest("input: This model takes texts, not tokens.", param="input")
    return Texts(
        texts,
        asked.dimensions,
        asked.encoding_format or "float",
        tuple(k for k, v in body.items() if k not in _KNOWN and v is not None),
    )


def write_vectors(
    vectors: Sequence[Sequence[float]],
    model: str,
    usage: Usage | None,
    encoding: Literal["float", "base64"] = "float",
) -> bytes:
    """An answer with `vectors`, in their order; base64 is of little-endian 32-bit floats."""
    tokens = 0 if usage is None else usage.input
    return _encode(
        {
            "object": "list",
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": _packed(vector) if encoding == "base64" else vector,
                }
                for index, vector in enumerate(vectors)
            ],
            "model": model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _packed(vector: Sequence[float]) -> str:
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def watch(facts: Facts, body: Json, *, wants_usage: bool) -> PassingWatch:  # noqa: ARG001
    """See `Heard.watch`; the edge lets no embeddings be streamed."""
    return PassingWatch(facts, wants_usage=wants_usage, choices=1)


def read_ask(body: Json) -> Ask:  # noqa: ARG001 - see `Heard.read_ask`
    """Raises: `Unsupported`, always: vectors are no conversation."""
    _refuse()


def write_reply(reply: Reply, model: str, ask: Ask | None = None) -> bytes:  # noqa: ARG001
    """Raises: `Unsupported`, always."""
    _refuse()


def writer(ask: Ask) -> Writer:  # noqa: ARG001 - see `Heard.writer`
    """Raises: `Unsupported`, always."""
    _refuse()


def _refuse() -> NoReturn:
    raise Unsupported("This target makes no embeddings.")
