"""One request as a part of its conversation: what goes before it, and what is kept of it.

The turns before it are put in front of its own, so that every target understands it, and so that
it can be shortened like any other. A target that keeps its answers itself, and made the last one,
gets the request as the caller sent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec
from msgspec import Struct, structs

from tidegate.conversations.kept import Kept, is_id
from tidegate.errors import BadRequest, UpstreamError
from tidegate.formats.responses.ask import CONTINUED
from tidegate.formats.responses.seal import is_ours
from tidegate.net.sse import SseDecoder
from tidegate.types import Call, Choice

Json = dict[str, Any]

_CONTINUES = "previous_response_id"
_PORTABLE = frozenset({"message", "function_call"})
"""What a provider takes of another one's answer; the rest only its maker knows."""
_KEPT_STATUSES = frozenset({"completed", "incomplete"})
_LAST_EVENT_BYTES = 64 << 20

_encode = msgspec.json.Encoder().encode
_decode_items = msgspec.json.Decoder(list[Any]).decode


class _Answer(Struct):
    id: str = ""
    status: str = ""


class _Output(Struct):
    output: list[Any] = []


class _Last(Struct):
    response: msgspec.Raw = msgspec.Raw(b"{}")


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_output = msgspec.json.Decoder(_Output).decode
_decode_last = msgspec.json.Decoder(_Last).decode


class Thread:
    """What one call goes on with. `past` is in the order in which it was said."""

    def __init__(self, call: Call, past: Sequence[Kept]) -> None:
        self._asked = call
        self._past = past
        self._makers: dict[int, str | None] = {}
        """Who made an item of the past, by the item's identity; None is a translation."""
        self._whole: list[Any] | None = None
        self._native: set[str] = set()
        self.call = self._resumed() if past else call
        """The call with all that goes before it."""

    @property
    def wants_keeping(self) -> bool:
        """Whether the answer may be kept: as at OpenAI, unless the caller says otherwise."""
        return self._asked.body.get("store") is not False

    def fitted(self, call: Call, choice: Choice, *, native: bool) -> Call:
        """`call` (which is `self.call`, or made of it) as it is put to `choice`.

        `native` says whether the target speaks this format itself.
        """
        if not native:
            return call
        self._native.add(choice.name)
        provider = choice.target.provider
        body = {name: value for name, value in call.body.items() if name != CONTINUED}
        items = body.get("input")
        if self._past and items is self._whole and self._past[-1].provider == provider:
            body[_CONTINUES] = self._past[-1].id
            body["input"] = self._asked.body.get("input")
            if body["input"] is None:
                del body["input"]
        elif isinstance(items, list):
            body["input"] = list(self._portable(cast("list[Any]", items), provider))
        return structs.replace(call, body=body)

    def kept(
        self, choice: Choice, sent: bytes, owner: str, *, now_ns: int, expires_ns: int
    ) -> Kept | None:
        """What is to be kept of the answer that ended in `sent`; None when it is no good one.

        `sent` is the whole answer, or a stream's last event.
        """
        found = _answer_in(sent, stream=self._asked.stream)
        if found is None:
            return None
        id_, response = found
        return Kept(
            id=id_,
            owner=owner,
            root=self._past[0].root if self._past else id_,
            previous=self._past[-1].id if self._past else None,
            provider=choice.target.provider if choice.name in self._native else None,
            created_ns=now_ns,
            expires_ns=expires_ns,
            input=_encode(_own_items(self._asked.body)),
            response=response,
        )

    def _resumed(self) -> Call:
        items: list[Any] = []
        for kept in self._past:
            items += _decode_items(kept.input)
            made = _decode_output(kept.response).output
            self._makers.update((id(item), kept.provider) for item in made)
            items += made
        self._whole = items + _own_items(self._asked.body)
        body = {name: value for name, value in self._asked.body.items() if name != _CONTINUES}
        body["input"] = self._whole
        body[CONTINUED] = self._past[-1].id
        return structs.replace(self._asked, body=body)

    def _portable(self, items: Iterable[Any], provider: str) -> Iterable[Any]:
        """`items` without what `provider` cannot know."""
        for item in items:
            if not isinstance(item, dict):
                yield item
                continue
            item = cast("Json", item)
            maker = self._makers.get(id(item), provider)
            kind = item.get("type", "message")
            if kind == "reasoning" and is_ours(item.get("encrypted_content")):
                continue
            if maker == provider:
                yield _without(item, "signature") if "signature" in item else item
            elif kind in _PORTABLE:
                yield _without(item, "id", "signature")


def _without(item: Json, *names: str) -> Json:
    return {name: value for name, value in item.items() if name not in names}


def _own_items(body: Json) -> list[Any]:
    """The items of a request. Raises: `BadRequest` when they are none."""
    items = body.get("input")
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if items is not None and not isinstance(items, list):
        raise BadRequest("input: Expected `str | array`.", param="input")
    return cast("list[Any]", items or [])


def _answer_in(sent: bytes, *, stream: bool) -> tuple[str, bytes] | None:
    """The id and the bytes of the complete response in `sent`."""
    try:
        response = sent
        if stream:
            events = SseDecoder(_LAST_EVENT_BYTES).feed(sent)
            response = bytes(_decode_last(events[-1].data).response) if events else b"{}"
        told = _decode_answer(response)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, UpstreamError):
        return None
    if told.status not in _KEPT_STATUSES or not is_id(told.id):
        return None
    return told.id, response
