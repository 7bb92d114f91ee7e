"""Texts embedded by Titan and Cohere, and told in OpenAI's words."""

from __future__ import annotations

import json
from base64 import b64decode
from struct import unpack
from typing import Any

import openai.types
import pytest
from bedrock_asking import CLAUDE, TITAN, answered, call, choice, written
from bedrock_server import http

from tidegate.errors import BadRequest, Unsupported, UpstreamMalformed
from tidegate.providers.bedrock import ApiKey, Bedrock
from tidegate.providers.bedrock.plain import read_vectors
from tidegate.types import Usage

COHERE = "cohere.embed-multilingual-v3"


@pytest.mark.parametrize(
    ("model", "body", "sent", "dropped"),
    [
        (TITAN, {}, {"inputText": "Hello"}, ()),
        (TITAN, {"dimensions": 256}, {"inputText": "Hello", "dimensions": 256}, ()),
        (
            "amazon.titan-embed-text-v1",
            {"dimensions": 256, "user": "me", "input_type": "search_query"},
            {"inputText": "Hello"},
            ("user", "input_type", "dimensions"),
        ),
        (
            "amazon.titan-embed-image-v1",
            {"dimensions": 256},
            {"inputText": "Hello", "embeddingConfig": {"outputEmbeddingLength": 256}},
            (),
        ),
        (
            COHERE,
            {"input": ["a", "b"], "dimensions": 256},
            {"texts": ["a", "b"], "input_type": "search_document", "embedding_types": ["float"]},
            ("dimensions",),
        ),
        (
            "cohere.embed-v4:0",
            {"dimensions": 256, "input_type": "search_query"},
            {
                "texts": ["Hello"],
                "input_type": "search_query",
                "embedding_types": ["float"],
                "output_dimension": 256,
            },
            (),
        ),
    ],
)
def test_texts_are_said_in_the_models_words(
    model: str, body: dict[str, Any], sent: dict[str, Any], dropped: tuple[str, ...]
) -> None:
    request = Bedrock().request(choice(model), call("embeddings", **body), ApiKey("k"))
    assert json.loads(request.body) == sent
    assert request.dropped == dropped


@pytest.mark.parametrize(
    ("model", "body", "error"),
    [
        (TITAN, {"input": ["a", "b"]}, Unsupported),
        (CLAUDE, {}, Unsupported),
        (TITAN, {"input": [1, 2]}, BadRequest),
        (TITAN, {"input": []}, BadRequest),
        (COHERE, {"input_type": "poem"}, BadRequest),
        (COHERE, {"input_type": ["x"]}, BadRequest),
    ],
)
def test_texts_that_cannot_be_embedded_are_told(
    model: str, body: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        written(call("embeddings", **body), choice(model))


async def test_titans_vector_is_openais() -> None:
    body = b'{"embedding":[0.5,-1],"embeddingsByType":{"float":[0.5,-1]},"inputTextTokenCount":3}'
    data, facts = await answered(http(body), call("embeddings"), choice(TITAN))
    told = openai.types.CreateEmbeddingResponse.model_validate_json(data)
    assert told.data[0].embedding == [0.5, -1]
    assert (told.model, told.usage.total_tokens) == ("assistant", 3)
    assert facts.usage == Usage(3, 0)
    assert facts.content


@pytest.mark.parametrize("vectors", ['{"float":[[0.5,-1],[2,3]]}', "[[0.5,-1],[2,3]]"])
async def test_coheres_vectors_are_openais_also_packed(vectors: str) -> None:
    body = http(
        f'{{"embeddings":{vectors}}}'.encode(), more="X-Amzn-Bedrock-Input-Token-Count: 7\r\n"
    )
    said = call("embeddings", input=["a", "b"], encoding_format="base64")
    data, facts = await answered(body, said, choice(COHERE))
    told = json.loads(data)
    packed = [unpack("<2f", b64decode(each["embedding"])) for each in told["data"]]
    assert packed == [(0.5, -1), (2, 3)]
    assert facts.usage == Usage(7, 0)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"embedding":[]}' * 2,
        b'{"embedding":"x"}',
        b'{"embeddings":[[1]]}',
        b'{"embeddings":{"float":[[1],[2],[3]]}}',
        b'{"embedding":[1],"inputTextTokenCount":-1}',
        b"\xff",
    ],
)
def test_other_vectors_than_asked_for_are_malformed(body: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        read_vectors(body, 2)
