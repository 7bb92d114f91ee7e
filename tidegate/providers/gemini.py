"""Google's Gemini models, at AI Studio (a key) and at Vertex AI (a project and access tokens).

Both speak `formats.gemini`; they differ in where a model stands, in whose name is asked, and in how
texts are embedded and tokens counted. A model's name becomes part of a path, and an alias may let
callers choose it, so nothing in it can reach beyond the place of a model.

Source: ai.google.dev/api, cloud.google.com/vertex-ai/docs/reference/rest
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats import gemini
from tidegate.formats.embeddings import Texts, read_texts, write_vectors
from tidegate.formats.gemini.counting import read_count, write_count
from tidegate.formats.gemini.embeddings import read_vectors, write_studio, write_vertex
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Ask
from tidegate.net.http import Response
from tidegate.providers.answers import (
    ANSWER_LIMIT_BYTES,
    EVENTS,
    JSON,
    UpstreamAnswer,
    expect,
    translated,
)
from tidegate.providers.dialect import Request, header_lines, joined, written
from tidegate.types import Answer, Call, Choice, Facts, output_limit

Json = dict[str, Any]

_COUNT, _EMBED = "count_tokens", "embeddings"

_encode = msgspec.json.Encoder().encode


class Bearer(Protocol):
    """The credential of an account at Vertex AI. `google_auth.Tokens` is one."""

    def header(self) -> bytes:
        """The header lines for a request sent now. Raises: `UpstreamError` when there are none."""
        ...


class _Google:
    """What both have in common."""

    native = frozenset[str]()
    counts = True

    def answer(
        self, response: Response, call: Call, facts: Facts, ask: Ask | None = None
    ) -> Answer:
        """See `Dialect.answer`."""
        expect(response, EVENTS if call.stream else JSON)
        if call.wire == _COUNT:
            return Converted(response, facts, lambda body, _: read_count(body))
        if call.wire == _EMBED:
            return Converted(response, facts, _embedded(read_texts(call.body), call.model))
        ask = ask or _read(call)
        reader = gemini.Reader(ask.n or 1) if call.stream else None
        return translated(response, call, facts, gemini, ask=ask, reader=reader)

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`."""
        return gemini.refusal(status, body)


class Gemini(_Google):
    """AI Studio. Accounts' credentials are header lines: see `credential`."""

    @staticmethod
    def credential(secret: str | None, headers: Mapping[str, str]) -> bytes:
        """The header lines of an account: its key, unless `headers` say who asks."""
        return header_lines("x-goog-api-key", secret, headers, unless="authorization")

    def request(self, choice: Choice, call: Call, credential: bytes) -> Request:
        """See `Dialect.request`."""
        resource = studio_resource(choice.model)
        ask: Ask | None = None
        if call.wire == _EMBED:
            texts = read_texts(call.body)
            method, dropped = "batchEmbedContents", texts.extra
            body = write_studio(texts.texts, texts.dimensions, resource)
        else:
            method, ask = _method(call), _read(call)
            body, dropped = _said(choice, call, ask, resource)
        encoded, names = written(choice, body, dropped)
        return Request(f"/{resource}:{method}", credential, encoded, names, ask)

    def signature(self, credential: bytes, method: str, path: str, body: bytes) -> bytes:  # noqa: ARG002
        """See `Dialect.signature`."""
        return credential


class Vertex(_Google):
    """Vertex AI. Accounts' credentials are `Bearer`s."""

    def __init__(self, project: str, location: str, headers: Mapping[str, str]) -> None:
        """`project` pays for what is asked in `location`; `headers` go with every request."""
        self._within = f"/projects/{quote(project, safe=':')}/locations/{quote(location, safe='')}/"
        lines = {"content-type": "application/json", **{k.lower(): v for k, v in headers.items()}}
        self._headers = joined(lines)

    def request(self, choice: Choice, call: Call, credential: Bearer) -> Request:
        """See `Dialect.request`. Raises also what `credential` raises: no token, no request."""
        resource = vertex_resource(choice.model)
        ask: Ask | None = None
        if call.wire == _EMBED:
            texts = read_texts(call.body)
            dropped = texts.extra
            method, body = write_vertex(texts.texts, texts.dimensions, choice.model)
        else:
            method, ask = _method(call), _read(call)
            body, dropped = _said(choice, call, ask, None)
        encoded, names = written(choice, body, dropped)
        headers = self._headers + credential.header()
        return Request(f"{self._within}{resource}:{method}", headers, encoded, names, ask)

    def signature(self, credential: Bearer, method: str, path: str, body: bytes) -> bytes:  # noqa: ARG002
        """See `Dialect.signature`."""
        return self._headers + credential.header()


class Converted(UpstreamAnswer):
    """A whole answer that is no conversation: read to its end and written anew by a function."""

    def __init__(
        self, response: Response, facts: Facts, convert: Callable[[bytes, Facts], bytes]
    ) -> None:
        """`convert` fills the facts and raises `UpstreamError` for what it cannot understand."""
        super().__init__(response, facts)
        self._convert = convert

    async def read(self) -> bytes:
        """The whole body, then empty. See `Answer.read`."""
        if self._done:
            return b""
        body = await self._response.read_all(ANSWER_LIMIT_BYTES)
        self._done = True
        written = self._convert(body, self.facts)
        self.facts.content, self.facts.chunks = True, 1
        return written


@lru_cache(maxsize=256)
def studio_resource(model: str) -> str:
    """Where `model` stands at AI Studio: `models/…` or `tunedModels/…`.

    Raises: `BadRequest` when it is no model's name.
    """
    kind, slash, name = model.rpartition("/")
    if slash and kind not in ("models", "tunedModels"):
        raise _no_model(model)
    return f"{kind or 'models'}/{_segment(name)}"


@lru_cache(maxsize=256)
def vertex_resource(model: str) -> str:
    """Where `model` stands within a project and location of Vertex AI.

    A bare name is a model of Google's; `PUBLISHER/MODEL` (or in full, `publishers/PUBLISHER/models/
    MODEL`) is somebody else's, `endpoints/ID` one of the project's own.

    Raises: `BadRequest` when it is no model's name.
    """
    match [_segment(each) for each in model.split("/")]:
        case [name]:
            return f"publishers/google/models/{name}"
        case ["endpoints", name]:
            return f"endpoints/{name}"
        case ["models", name]:
            return f"publishers/google/models/{name}"
        case [publisher, name] | ["publishers", publisher, "models", name]:
            return f"publishers/{publisher}/models/{name}"
        case _:
            raise _no_model(model)


def _segment(text: str) -> str:
    """`text` as one segment of a path."""
    if text in ("", ".", ".."):
        raise _no_model(text)
    try:
        return quote(text, safe="@")
    except UnicodeEncodeError:
        raise _no_model(text) from None


def _no_model(name: str) -> BadRequest:
    shown = name[:100].encode("ascii", "backslashreplace").decode()
    return BadRequest(f"model: {shown!r} cannot be the name of a model.", param="model")


def _read(call: Call) -> Ask:
    return HEARD["messages" if call.wire == _COUNT else call.wire].read_ask(call.body)


def _said(
    choice: Choice, call: Call, ask: Ask, resource: str | None
) -> tuple[Json, tuple[str, ...]]:
    """The body of a conversation that is to be answered or counted, and what it leaves out.

    `resource` is as `write_count` wants it.
    """
    bound = output_limit(ask.max_tokens, choice.target)
    body, dropped = gemini.write_ask(replace(ask, model=choice.model, max_tokens=bound))
    if call.wire == _COUNT:
        return write_count(body, resource), ()
    return body, tuple(dropped)


def _method(call: Call) -> str:
    if call.wire == _COUNT:
        return "countTokens"
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"


def _embedded(texts: Texts, model: str) -> Callable[[bytes, Facts], bytes]:
    def convert(body: bytes, facts: Facts) -> bytes:
        vectors, facts.usage = read_vectors(body, len(texts.texts))
        return write_vectors(vectors, model, facts.usage, texts.encoding)

    return convert
