"""OpenAI's API, and every server that speaks it.

What a caller asked in the same format passes on as it came, but for the few fields that must
differ: the model's name, the usage chunk (always asked for), and the bounds of the output. Anything
else is translated to chat, or to Responses where the provider says so.

Source: platform.openai.com/docs/api-reference (chat streaming, `stream_options`, `[DONE]`).
"""

from __future__ import annotations

from typing import Any, cast

from tidegate.errors import UpstreamError
from tidegate.formats import chat, responses
from tidegate.formats.format import Spoken
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Ask
from tidegate.net.http import Response
from tidegate.net.sse import SseDecoder
from tidegate.providers.answers import (
    EVENTS,
    JSON,
    PassedBody,
    PassedStream,
    expect,
    translated,
)
from tidegate.providers.compatible import Row, adapt
from tidegate.providers.dialect import Request, header_lines, written
from tidegate.types import Answer, Call, Choice, Facts, Target

PATHS = {
    "chat": "/chat/completions",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "responses": "/responses",
}
ENDS = {"chat": b"data: [DONE]\n\n", "completions": b"data: [DONE]\n\n"}
"""What closes a stream for the caller where the vendor leaves it out."""
OWN = ("openai", "azure")
"""Kinds that know the fields of OpenAI's own models only."""
EVENT_BYTES = 16 << 20
"""How long one event may be: those of Responses repeat the request, and the whole answer."""
OUTPUT_FIELDS = {
    "chat": ("max_tokens", "max_completion_tokens"),
    "completions": ("max_tokens",),
    "responses": ("max_output_tokens",),
}
"""Where a caller bounds the output; in another API's field it would bound nothing."""


class OpenAI:
    """The dialect of one row of the table of compatible servers."""

    counts = False

    def __init__(self, row: Row) -> None:
        self._row = row
        self._spoken = _spoken(row)
        self.native = frozenset(row.native)

    @staticmethod
    def credential(secret: str | None, headers: dict[str, str]) -> bytes:
        """The header lines of an account: its key as a bearer token, unless `headers` say else."""
        bearer = None if secret is None else f"Bearer {secret}"
        return header_lines("authorization", bearer, headers)

    def path(self, api: str, model: str) -> str:  # noqa: ARG002 - Azure's has the model in it
        """Where `api` is served, behind the base URL."""
        return PATHS[api]

    def request(self, choice: Choice, call: Call, credential: Any) -> Request:
        """See `Dialect.request`."""
        target, api, ask = choice.target, self._api(call), None
        dropped: list[str] = []
        if call.wire == api:
            body = call.body | {"model": choice.model}
        else:
            ask = HEARD[call.wire].read_ask(call.body)
            said, dropped = self._spoken.write_ask(ask)
            body = said | {"model": choice.model}
        if call.stream and api in ENDS:
            options = cast("dict[str, Any] | None", body.get("stream_options")) or {}
            body["stream_options"] = options | {"include_usage": True}
        if api in OUTPUT_FIELDS and (target.output_default or target.output_max):
            _bound_output(body, api, self._output_field(api), target)
        if self._row.adapts:
            dropped += adapt(body, self._row, api)
        encoded, names = written(choice, body, dropped)
        return Request(self.path(api, choice.model), credential, encoded, names, ask)

    def answer(
        self, response: Response, call: Call, facts: Facts, ask: Ask | None = None
    ) -> Answer:
        """See `Dialect.answer`."""
        api = self._api(call)
        expect(response, EVENTS if call.stream else JSON)
        if call.wire != api:
            return translated(response, call, facts, self._spoken, ask=ask)
        heard = HEARD[call.wire]
        if not call.stream:
            return PassedBody(response, facts, heard)
        watch = heard.watch(facts, call.body, wants_usage=call.wants_usage)
        return PassedStream(response, facts, watch, ENDS.get(api, b""), SseDecoder(EVENT_BYTES))

    def refusal(self, status: int, body: bytes) -> UpstreamError:
        """See `Dialect.refusal`."""
        return self._spoken.refusal(status, body)

    def signature(self, credential: Any, method: str, path: str, body: bytes) -> bytes:  # noqa: ARG002
        """See `Dialect.signature`."""
        return credential

    def _api(self, call: Call) -> str:
        return call.wire if call.wire in self.native else self._row.api

    def _output_field(self, api: str) -> str:
        match api:
            case "chat":
                return self._row.output_field
            case "responses":
                return "max_output_tokens"
            case _:
                return "max_tokens"


def _spoken(row: Row) -> Spoken:
    """The format that other callers' requests are translated to, as the server of `row` has it."""
    if row.api == "responses":
        return responses
    router = row.kind == "openrouter"
    return chat.accented(
        chat.Accent(
            output_field=row.output_field,
            thinking="reasoning_details" if router else row.reasoning_field or None,
            cache=router,
            also=chat.SHARED if row.kind in OWN else chat.SHARED | {"top_k"},
        )
    )


def _bound_output(body: dict[str, Any], api: str, field: str, target: Target) -> None:
    """Set the default where the caller named no output length; lower what passes the ceiling."""
    default, ceiling = target.output_default, target.output_max
    named = False
    for name in OUTPUT_FIELDS[api]:
        asked = body.get(name)
        if asked is not None:
            named = True
            if ceiling is not None and asked > ceiling:
                body[name] = ceiling
    if not named:
        length = default if default is not None else ceiling
        if length is not None:
            body[field] = length
