"""Calls of tools out of the pieces of a stream, one after another.

Deltas of a call must not come after another part has begun. Servers send calls in turn, so each
piece goes on at once. Only if a call begins while the one before it is no whole JSON yet, which
means that they come side by side, is everything but the first of them held back until the end.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tidegate.errors import UpstreamMalformed
from tidegate.formats.chat.parts import ToolCall, arguments_text, read_signature
from tidegate.formats.chat.replies import CALLS_MAX, new_call_id
from tidegate.formats.openai import BROKEN
from tidegate.formats.words import Delta, ToolBegan, ToolDelta

ARGUMENTS_MAX_CHARACTERS = 8 << 20
"""Arguments of all calls of one answer together."""

_check = msgspec.json.Decoder(msgspec.Raw).decode


class Budget(Struct):
    """What all choices of one answer may call, together."""

    calls: int = CALLS_MAX
    characters: int = ARGUMENTS_MAX_CHARACTERS


class _Call:
    """One call as far as it is known."""

    __slots__ = ("began", "id", "index", "name", "pieces", "signature")

    def __init__(self, index: int, call_id: str | None) -> None:
        self.index = index
        self.id = call_id
        self.name = ""
        self.signature: str | None = None
        self.began = False
        self.pieces: list[str] = []

    def whole(self) -> bool:
        """Whether it may be over: it has a name, and arguments that are JSON."""
        if not self.began:
            return False
        try:
            _check("".join(self.pieces))
        except BROKEN:
            return False
        return True


class Calls:
    """The calls of one choice."""

    def __init__(self, choice: int, budget: Budget) -> None:
        self._choice = choice
        self._budget = budget
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._open: _Call | None = None
        self._held: list[_Call] = []

    def read(self, piece: ToolCall, deltas: list[Delta]) -> None:
        """Append the deltas that one piece of a call gives.

        Raises: `UpstreamMalformed`.
        """
        function = piece.function
        name = function.name if function is not None else None
        call = self._find(piece, name)
        if name and not call.name:
            call.name = name
        call.signature = read_signature(piece.extra_content) or call.signature
        text = arguments_text(function.arguments) if function is not None else ""
        if text:
            call.pieces.append(text)
            self._budget.characters -= len(text)
            if self._budget.characters < 0:
                raise UpstreamMalformed("The provider's stream calls tools without an end.")
        if call is self._open:
            self._say(call, text, deltas)
        elif text and not self._held_back(call):
            raise UpstreamMalformed("The provider's stream goes on with a call that had ended.")

    def settle(self, deltas: list[Delta], place: int) -> None:
        """Say what was held back, at `place` in `deltas`: another part begins there, or the end.

        Raises: `UpstreamMalformed`.
        """
        late: list[Delta] = []
        for call in self._held:
            self._say(call, "", late)
        for call in (self._open, *self._held):
            if call is not None and not call.began:
                raise UpstreamMalformed("The provider's stream calls a tool without a name.")
        self._open = None
        self._held.clear()
        deltas[place:place] = late

    def _find(self, piece: ToolCall, name: str | None) -> _Call:
        """The call that `piece` belongs to.

        Some servers give every call the same index, some none; then a new id or a name begins one.
        """
        call_id, index = piece.id or None, piece.index
        if index is not None:
            call = self._by_index.get(index)
            if call is not None and not (call_id and name and call.id not in (None, call_id)):
                return call
        elif self._calls:
            for call in self._calls:
                if call_id is not None and call.id == call_id:
                    return call
            if call_id is None and not name:
                return self._calls[-1]
        return self._begin(call_id, index)

    def _begin(self, call_id: str | None, index: int | None) -> _Call:
        self._budget.calls -= 1
        if self._budget.calls < 0:
            raise UpstreamMalformed(f"The provider's answer calls more than {CALLS_MAX} tools.")
        call = _Call(len(self._calls), call_id)
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        if self._held or not (self._open is None or self._open.whole()):
            self._held.append(call)
        else:
            self._open = call
        return call

    def _held_back(self, call: _Call) -> bool:
        return any(each is call for each in self._held)

    def _say(self, call: _Call, text: str, deltas: list[Delta]) -> None:
        """Append a beginning once the name is known, and what is new of the arguments."""
        if not call.began:
            if not call.name:
                return
            call.began = True
            call.id = call.id or new_call_id()
            deltas.append(ToolBegan(call.index, call.id, call.name, call.signature, self._choice))
            text = "".join(call.pieces)
        if text:
            deltas.append(ToolDelta(call.index, text, self._choice))
