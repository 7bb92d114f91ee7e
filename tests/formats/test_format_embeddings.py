"""Embeddings, for callers whose model has a format of its own for them."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from openai.types import CreateEmbeddingResponse

from tidegate.errors import BadRequest, Unsupported, UpstreamMalformed
from tidegate.formats import embeddings
from tidegate.formats.embeddings import Texts
from tidegate.formats.format import Heard
from tidegate.formats.words import Ask, Reply
from tidegate.types import Facts, Usage

HEARD: Heard = embeddings
VECTORS = [[0.5, -1.25], [3.0, 4.0]]


def asked(**fields: Any) -> Texts:
    return embeddings.read_texts({"model": "alias", "input": "a", **fields})


def test_texts_are_read_with_how_they_are_wanted() -> None:
    assert asked() == Texts(("a",))
    assert asked(
        input=["a", "b"], dimensions=8, encoding_format="base64", user="u-1", extra_body=None
    ) == Texts(("a", "b"), 8, "base64", ("user",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input", [1, 2]),
        ("input", [[1], [2]]),
        ("input", ["a", 2]),
        ("input", []),
        ("input", 7),
        ("encoding_format", "hex"),
        ("dimensions", "8"),
    ],
)
def test_a_mistake_is_told_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(BadRequest) as caught:
        asked(**{field: value})
    assert caught.value.param == field


def test_vectors_are_written_as_numbers() -> None:
    body = embeddings.write_vectors(VECTORS, "gpt-1", Usage(5, 0))
    told = CreateEmbeddingResponse.model_validate(msgspec.json.decode(body), strict=True)
    assert [each.embedding for each in told.data] == VECTORS
    assert [each.index for each in told.data] == [0, 1]
    assert (told.model, told.usage.prompt_tokens, told.usage.total_tokens) == ("gpt-1", 5, 5)


def test_vectors_are_written_as_base64_of_little_endian_floats() -> None:
    told = msgspec.json.decode(embeddings.write_vectors(VECTORS, "gpt-1", None, "base64"))
    packed = [b64decode(each["embedding"]) for each in told["data"]]
    assert [list(struct.unpack("<2f", each)) for each in packed] == VECTORS
    assert told["usage"] == {"prompt_tokens": 0, "total_tokens": 0}


def test_an_answer_without_vectors_is_malformed() -> None:
    with pytest.raises(UpstreamMalformed):
        embeddings.learn(Facts(), b'{"choices":[]}')


def test_vectors_are_no_conversation() -> None:
    ask = Ask(model="alias", turns=())
    for attempt in (
        lambda: embeddings.read_ask({"input": "a"}),
        lambda: embeddings.write_reply(Reply(None, None, (), None), "alias"),
        lambda: embeddings.writer(ask),
    ):
        with pytest.raises(Unsupported):
            attempt()


def test_a_watch_of_what_is_never_streamed_passes_what_it_sees() -> None:
    watch = embeddings.watch(Facts(), {}, wants_usage=False)
    assert watch.passes(b"", b'{"choices":[{}]}')
    assert not watch.passes(b"", b"[DONE]")
    assert watch.done
