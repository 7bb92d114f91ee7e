"""Converse as Bedrock writes it: one object, or frames of its event stream with one token each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tidegate.providers.simulated.asking import decode
from tidegate.providers.simulated.bedrock.eventstream import (
    CONTENT_TYPE,
    FRAMING,
    event,
    exception,
    frame,
)
from tidegate.providers.simulated.bedrock.requests import DECODE_CONVERSE, ask_of, check
from tidegate.providers.simulated.bedrock.vendor import kind_of
from tidegate.providers.simulated.choices import Choice, signature
from tidegate.providers.simulated.choices import converse as say
from tidegate.providers.simulated.reply import Reply, Turn

_START: Final = frame(event("messageStart"), b'{"role":"assistant","p":"abcdefgh"}')
_OPENING: Final = event("contentBlockStart")
_DELTA: Final = event("contentBlockDelta")
_CLOSING: Final = event("contentBlockStop")
_STOP: Final = event("messageStop")
_METADATA: Final = event("metadata")
_REASONS: Final = {
    b"stop": b"end_turn",
    b"length": b"max_tokens",
    b"tool_calls": b"tool_use",
    b"content_filter": b"content_filtered",
}


@dataclass(slots=True)
class _Block:
    """A block as it is streamed. Only calls of tools have an opening, which is a token too."""

    before: bytes
    after: bytes
    pieces: Sequence[bytes]
    opening: bytes = b""
    closing: bytes = b""
    counted: bool = True
    """Whether its pieces are visible tokens."""


def converse(turn: Turn) -> Reply:
    """Answer one body of `/converse` or `/converse-stream`."""
    body = decode(DECODE_CONVERSE, turn.body)
    check(body)
    turn.meter.prompt_tokens = body.prompt_tokens()
    turn.meter.stream = turn.streams
    (choice,) = say(ask_of(body), turn)
    return _stream(turn, choice) if turn.streams else _whole(turn, choice)


def _whole(turn: Turn, choice: Choice) -> Reply:
    blocks: list[bytes] = []
    if choice.thoughts:
        said = b'{"reasoningContent":{"reasoningText":{"text":"%b","signature":"%b"}}}'
        blocks.append(said % (choice.thought, signature(choice.thought)))
    if choice.tokens:
        blocks.append(b'{"text":"%b"}' % choice.text)
    blocks += [
        b'{"toolUse":{"toolUseId":"tooluse_%b","name":%b,"input":%b}}'
        % (call.number, call.name, call.arguments)
        for call in choice.calls
    ]
    content = b"" if "empty-choices" in turn.faults else b",".join(blocks)
    wait_s = turn.pace.whole_s(len(choice) + len(choice.thoughts))
    body = b'{"output":{"message":{"role":"assistant","content":[%b]}},"stopReason":"%b"%b}' % (
        content,
        _reason(choice),
        _usage(turn, wait_s),
    )
    return Reply(200, body, wait_s=wait_s)


def _reason(choice: Choice) -> bytes:
    if choice.finish == b"stop" and choice.stopped is not None:
        return b"stop_sequence"
    return _REASONS[choice.finish]


def _usage(turn: Turn, latency_s: float) -> bytes:
    """Usage and metrics; tokens read from a cache or written to one are counted apart."""
    metrics = b',"metrics":{"latencyMs":%d}' % (latency_s * 1000)
    if "missing-usage" in turn.faults:
        return metrics
    meter, read, written = turn.meter, turn.cached, turn.cache_write
    output = meter.visible_tokens + meter.reasoning_tokens
    return (
        b',"usage":{"inputTokens":%d,"outputTokens":%d,"totalTokens":%d,'
        b'"cacheReadInputTokens":%d,"cacheWriteInputTokens":%d}%b'
    ) % (
        meter.prompt_tokens - read - written,
        output,
        meter.prompt_tokens + output,
        read,
        written,
        metrics,
    )


def _stream(turn: Turn, choice: Choice) -> Reply:
    blocks = [] if "empty-choices" in turn.faults else _blocks(choice)
    tail = _closing(blocks, len(blocks) - 1)
    tail += frame(_STOP, b'{"stopReason":"%b","p":"ab"}' % _reason(choice))
    tail += frame(_METADATA, b"{%b}" % _usage(turn, 0)[1:])
    return Reply(
        200,
        events=_events(turn, blocks),
        tail=tail,
        content_type=CONTENT_TYPE,
        delays=turn.pace.delays(),
        framing=FRAMING,
        trouble=lambda: _trouble(turn),
    )


def _blocks(choice: Choice) -> list[_Block]:
    blocks: list[_Block] = []
    if choice.thoughts:
        signed = b'{"reasoningContent":{"signature":"%b"}}' % signature(choice.thought)
        before, after = b'{"reasoningContent":{"text":"', b'"}}'
        blocks.append(_Block(before, after, choice.thoughts, closing=signed, counted=False))
    if choice.tokens:
        blocks.append(_Block(b'{"text":"', b'"}', choice.tokens))
    for call in choice.calls:
        opening = b'{"toolUse":{"toolUseId":"tooluse_%b","name":%b}}' % (call.number, call.name)
        blocks.append(_Block(b'{"toolUse":{"input":"', b'"}}', call.pieces, opening=opening))
    return blocks


def _events(turn: Turn, blocks: list[_Block]) -> Iterator[bytes]:
    """One piece for each token; what opens the message and each block goes out with the first."""
    meter = turn.meter
    kept = _START
    for index, block in enumerate(blocks):
        kept += _closing(blocks, index - 1)
        if block.opening:
            said = b'{"contentBlockIndex":%d,"start":%b,"p":"abcdef"}' % (index, block.opening)
            meter.delivered_tokens += 1
            yield kept + frame(_OPENING, said)
            kept = b""
        before = b'{"contentBlockIndex":%d,"delta":%b' % (index, block.before)
        after = block.after + b',"p":"abcd"}'
        for piece in block.pieces:
            meter.delivered_tokens += block.counted
            yield kept + frame(_DELTA, before + piece + after)
            kept = b""
    if kept:
        yield kept


def _closing(blocks: list[_Block], index: int) -> bytes:
    """What closes the block at `index`; nothing when there is none."""
    if index < 0:
        return b""
    last = b""
    if closing := blocks[index].closing:
        last = frame(_DELTA, b'{"contentBlockIndex":%d,"delta":%b,"p":"a"}' % (index, closing))
    return last + frame(_CLOSING, b'{"contentBlockIndex":%d,"p":"abc"}' % index)


def _trouble(turn: Turn) -> bytes:
    """The exception in the middle of a stream; not streamed, the body that says it."""
    if not turn.streams:
        return turn.trouble()
    cause = "overloaded" if "overloaded" in turn.faults else "failed"
    kind = kind_of(turn.vendor.refusal(cause))
    return frame(exception(kind[0].lower() + kind[1:]), turn.trouble())
