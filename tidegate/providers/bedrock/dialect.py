"""Bedrock's dialect: conversations as Converse, vectors and counts by their own operations.

A model is named by its id, by an inference profile's, or by an ARN; whatever it is, it becomes one
segment of the path. An alias may let callers choose it, so nothing in it can reach beyond.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from tidegate.errors import BadRequest, Unsupported, UpstreamError
from tidegate.formats import converse
from tidegate.formats.heard import HEARD
from tidegate.net.eventstream import CONTENT_TYPE, EventStreamDecoder
from tidegate.net.http import Response
from tidegate.providers.answers import JSON, TranslatedBody, TranslatedStream, expect
from tidegate.providers.bedrock.auth import Credential
from tidegate.providers.bedrock.plain import CountBody, VectorsBody, write_count, write_texts
from tidegate.providers.dialect import Request
from tidegate.types import Answer, Call, Choice, Facts, Target

Json = dict[str, Any]

COUNT, EMBED = "count_tokens", "embeddings"

_encode = msgspec.json.Encoder().encode


class Bedrock:
    """Amazon Bedrock's runtime. Accounts' credentials are `auth.Credential`s."""

    native = frozenset[str]()
    counts = True

    def request(self, choice: Choice, call: Call, credential: Credential) -> Request:
        """See `Dialect.request`. Raises also what `credential` raises: no keys, no request."""
        if call.wire == EMBED:
            body, dropped = write_texts(choice.model, call.body)
            operation = "invoke"
        else:
            body, dropped = _said(choice, call)
            operation = "converse-stream" if call.stream else "converse"
            if call.wire == COUNT:
                body, dropped, operation = write_count(choice.model, body), [], "count-tokens"
        if dropped and choice.target.unsupported == "error":
            raise Unsupported(
                f"{choice.name} cannot do this: {', '.join(dropped)}.", param=dropped[0]
            )
        return _request(f"/model/{segment(choice.model)}/{operation}", body, dropped, credential)

    def answer(self, response: Response, call: Call, facts: Facts) -> Answer:
        """See `Dialect.answer`."""
        if call.stream:
            expect(response, CONTENT_TYPE)
            heard = HEARD[call.wire]
            writer = heard.writer(heard.read_ask(call.body))
            return TranslatedStream(
                response, facts, converse.reader(), writer, EventStreamDecoder()
            )
        expect(response, JSON)
        if call.wire == EMBED:
            return VectorsBody(response, facts, call)
        if call.wire == COUNT:
            return CountBody(response, facts)
        return TranslatedBody(response, facts, converse, HEARD[call.wire], call.model)

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`."""
        return converse.refusal(status, body)

    def signature(self, credential: Credential, method: str, path: str, body: bytes) -> bytes:
        """See `Dialect.signature`."""
        return credential.lines(path, body, method)


def _said(choice: Choice, call: Call) -> tuple[Json, list[str]]:
    """The body of a conversation, and what it leaves out."""
    heard = HEARD["messages" if call.wire == COUNT else call.wire]
    ask = heard.read_ask(call.body)
    bound = _bounded(ask.max_tokens, choice.target)
    return converse.write_ask(replace(ask, model=choice.model, max_tokens=bound))


def _bounded(asked: int | None, target: Target) -> int | None:
    """The output length to ask for: the caller's, within the target's ceiling, or its default."""
    ceiling = target.output_max
    if asked is None:
        return ceiling if target.output_default is None else target.output_default
    return asked if ceiling is None else min(asked, ceiling)


def _request(path: str, body: Json, dropped: Sequence[str], credential: Credential) -> Request:
    try:
        encoded = _encode(body)
    except RecursionError:
        raise BadRequest("The request is nested too deeply.") from None
    return Request(path, credential.lines(path, encoded), encoded, tuple(dropped))


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
