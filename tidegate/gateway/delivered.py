"""What an answer used when its provider did not say: counted from what was delivered.

A stream that was cut, or left by its caller, ends before the usage comes, or after no more than a
first figure of it (Anthropic's and Google's streams begin with one); some providers never send it.
Such an answer is neither free nor charged as if it had been whole: what came of it is counted, a
short piece of a stream as a token and the text of a whole answer as a request's is. No count is
above what the answer was allowed to be, for no more was held for it.
"""

from __future__ import annotations

from msgspec import structs

from tidegate.errors import TidegateError, UpstreamError
from tidegate.formats.estimate import input_tokens
from tidegate.formats.heard import HEARD
from tidegate.formats.words import Ask, Turn
from tidegate.gateway import bounds
from tidegate.gateway.verify import READABLE
from tidegate.types import Call, Choice, Facts, Usage

BODY_BYTES_PER_TOKEN = 4
EMPTY_REQUEST = Ask(model="", turns=())


def delivered(call: Call, choice: Choice, facts: Facts, first: bytes) -> Usage | None:
    """The usage of an answer: as told, if that is the last word; None when nothing was delivered.

    `first` is all of an answer that is not streamed.
    """
    told = facts.usage
    later = call.body.get("background")  # all that was delivered is a promise
    if not facts.content or later or call.wire in ("embeddings", "count_tokens"):
        return told
    if told is None:
        said = facts.said_tokens if call.stream else _whole(call, first)
        return Usage(input=asked(call), output=min(said, _most(call, choice, said)))
    if not call.stream or facts.finish_reason is not None:
        return told
    said = min(facts.said_tokens, _most(call, choice, facts.said_tokens))
    return structs.replace(told, output=max(told.output, said))


def asked(call: Call) -> int:
    """About how many tokens the request was."""
    try:
        return input_tokens(HEARD[call.wire].read_ask(call.body))
    except (TidegateError, RecursionError):  # only its own format could read it
        return len(str(call.body)) // BODY_BYTES_PER_TOKEN


def _most(call: Call, choice: Choice, otherwise: int) -> int:
    """The most that all answers may have; `otherwise` where they were not bounded."""
    length = bounds.output_bound(bounds.output_asked(call), choice.target, otherwise)
    return length * bounds.answers(call)


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
