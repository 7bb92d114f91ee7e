"""The last resort: what a caller gets when no target could answer."""

from __future__ import annotations

from tidegate.errors import BadRequest, TidegateError, Unsupported, UpstreamRefused
from tidegate.formats.format import Heard
from tidegate.formats.heard import HEARD
from tidegate.formats.messages import counting
from tidegate.formats.words import Ask, Began, Finished, Reply, Said, Text, TextDelta, Used
from tidegate.gateway.delivered import asked
from tidegate.gateway.exchange import JSON, Ending, Exchange
from tidegate.types import Call, Plan, Usage

_NOTHING = Usage(input=0, output=0)


def degraded(exchange: Exchange, call: Call, plan: Plan, error: TidegateError) -> Ending:
    """The alias's canned text as an answer of the model.

    A count of tokens that nobody could give is estimated. Raises: `error` where that is the honest
    answer: where no text is configured, and where the request itself was at fault.
    """
    text = plan.terms.degraded
    if isinstance(error, UpstreamRefused):
        raise error
    if call.wire == "count_tokens":
        exchange.record.degraded = "estimated"
        headers = [(b"x-tidegate-degraded", b"estimated"), JSON]
        return Ending(200, headers, counting.write_count(asked(call)))
    if text is None or call.wire == "embeddings" or isinstance(error, Unsupported):
        raise error
    record, heard = exchange.record, HEARD[call.wire]
    record.degraded, record.error, record.error_code = "canned", error.message, error.code
    record.finish_reason = "stop"
    headers = [(b"x-tidegate-degraded", b"canned")]
    identity, created = f"tidegate-{record.request_id}", record.started_ns // 10**9
    if not call.stream:
        reply = Reply(
            id=identity,
            model=call.model,
            choices=(Said((Text(text),), "stop"),),
            usage=_NOTHING,
            created=created,
        )
        return Ending(200, [*headers, JSON], heard.write_reply(reply, call.model))
    writer = heard.writer(_ask(call, heard))
    said = writer.write(
        [
            Began(identity, call.model, created),
            TextDelta(text),
            Finished("stop"),
            Used(_NOTHING),
        ]
    )
    events = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    exchange.start(200, [*headers, *events])
    return Ending(200, [], said + writer.end())


def _ask(call: Call, heard: Heard) -> Ask:
    try:
        return heard.read_ask(call.body)
    except BadRequest:  # only the provider's own format could say what was asked
        return Ask(model=call.model, turns=())
