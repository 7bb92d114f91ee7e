"""What an answer used when its provider did not say: counted from what was delivered.

A stream that was cut, or left by its caller, ends before the usage comes; some providers never
send it. Such an answer is neither free nor charged as if it had been whole: a chunk of a stream
counts as a token, which is how providers send them, and the text of a whole answer is counted as a
request's is.
"""

from __future__ import annotations

from tidegate.errors import TidegateError, UpstreamError
from tidegate.formats.estimate import input_tokens
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Ask, Turn
from tidegate.gateway.verify import READABLE
from tidegate.types import Call, Facts, Usage

BODY_BYTES_PER_TOKEN = 4
EMPTY_REQUEST = Ask(model="", turns=())


def delivered(call: Call, facts: Facts, first: bytes) -> Usage | None:
    """The usage of an answer that told none; None when nothing of it was delivered.

    `first` is all of an answer that is not streamed.
    """
    if not facts.content or call.wire in ("embeddings", "count_tokens"):
        return None
    return Usage(input=asked(call), output=facts.chunks if call.stream else _whole(call, first))


def asked(call: Call) -> int:
    """About how many tokens the request was."""
    try:
        return input_tokens(HEARD[call.wire].read_ask(call.body))
    except (TidegateError, RecursionError):  # only its own format could read it
        return len(str(call.body)) // BODY_BYTES_PER_TOKEN


def _whole(call: Call, body: bytes) -> int:
    spoken = READABLE.get(call.wire)
    if spoken is None:
        return len(body) // BODY_BYTES_PER_TOKEN
    try:
        reply = spoken.read_reply(body)
    except UpstreamError:  # what passes unchanged may hold more than we can read
        return len(body) // BODY_BYTES_PER_TOKEN
    turns = tuple(Turn("assistant", said.parts) for said in reply.choices)
    return input_tokens(Ask(model="", turns=turns)) - input_tokens(EMPTY_REQUEST)
