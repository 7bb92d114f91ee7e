"""Bedrock's dialect: conversations as Converse, vectors and counts by their own operations.

A model is named by its id, by an inference profile's, or by an ARN; whatever it is, it becomes one
segment of the path. An alias may let callers choose it, so nothing in it can reach beyond.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats import converse
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Ask
from tidegate.net.eventstream import CONTENT_TYPE, EventStreamDecoder
from tidegate.net.http import Response
from tidegate.providers.answers import JSON, expect, translated
from tidegate.providers.bedrock.auth import Credential
from tidegate.providers.bedrock.plain import CountBody, VectorsBody, write_count, write_texts
from tidegate.providers.dialect import Request, written
from tidegate.types import Answer, Call, Choice, Facts, output_limit

Json = dict[str, Any]

COUNT, EMBED = "count_tokens", "embeddings"

_encode = msgspec.json.Encoder().encode


class Bedrock:
    """Amazon Bedrock's runtime. Accounts' credentials are `auth.Credential`s."""

    native = frozenset[str]()
    counts = True

    def request(self, choice: Choice, call: Call, credential: Credential) -> Request:
        """See `Dialect.request`. Raises also what `credential` raises: no keys, no request."""
        ask: Ask | None = None
        if call.wire == EMBED:
            body, dropped = write_texts(choice.model, call.body)
            operation = "invoke"
        else:
            ask = HEARD["messages" if call.wire == COUNT else call.wire].read_ask(call.body)
            body, dropped = _said(choice, ask)
            operation = "converse-stream" if call.stream else "converse"
            if call.wire == COUNT:
                body, dropped, operation = write_count(choice.model, body), [], "count-tokens"
        path = f"/model/{segment(choice.model)}/{operation}"
        encoded, names = written(choice, body, dropped)
        return Request(path, credential.lines(path, encoded), encoded, names, ask)

    def answer(
        self, response: Response, call: Call, facts: Facts, ask: Ask | None = None
    ) -> Answer:
        """See `Dialect.answer`."""
        expect(response, CONTENT_TYPE if call.stream else JSON)
        if call.wire == EMBED:
            return VectorsBody(response, facts, call)
        if call.wire == COUNT:
            return CountBody(response, facts)
        decoder = EventStreamDecoder()
        return translated(response, call, facts, converse, ask=ask, decoder=decoder)

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`."""
        return converse.refusal(status, body)

    def signature(self, credential: Credential, method: str, path: str, body: bytes) -> bytes:
        """See `Dialect.signature`."""
        return credential.lines(path, body, method)


def _said(choice: Choice, ask: Ask) -> tuple[Json, list[str]]:
    """The body of a conversation, and what it leaves out."""
    bound = output_limit(ask.max_tokens, choice.target)
    return converse.write_ask(replace(ask, model=choice.model, max_tokens=bound))


@lru_cache(maxsize=256)
def segment(model: str) -> str:
    """`model` as one segment of a path. Raises: `BadRequest` when it is no model's name."""
    try:
        if model not in ("", ".", ".."):
            return quote(model, safe="-._~")
    except UnicodeEncodeError:
        pass
    shown = model[:100].encode("ascii", "backslashreplace").decode()
    raise BadRequest(f"model: {shown!r} cannot be the name of a model.", param="model")
