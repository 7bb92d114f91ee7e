"""Messages as Anthropic writes them: one object, or named events with one token each.

Source: docs.anthropic.com/en/docs/build-with-claude/streaming, and recorded streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tidegate.providers.simulated.anthropic.requests import DECODE_MESSAGES, ask_of, check
from tidegate.providers.simulated.asking import decode
from tidegate.providers.simulated.choices import Choice, converse, signature
from tidegate.providers.simulated.framing import server_sent
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import EVENT_STREAM, Reply, Turn

_FRAMING: Final = server_sent(
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"te\n\n',
    b'event: content_block_delta\ndata: {"type":"conte',
)
_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_PING: Final = b'event: ping\ndata: {"type": "ping"}\n\n'
_REASONS: Final = {
    b"stop": b"end_turn",
    b"length": b"max_tokens",
    b"tool_calls": b"tool_use",
    b"content_filter": b"refusal",
}


@dataclass(slots=True)
class _Block:
    """A block as it is streamed: what opens it, what stands around each piece, what closes it."""

    opening: bytes
    before: bytes
    after: bytes
    pieces: Sequence[bytes]
    closing: bytes = b""
    counted: bool = True
    """Whether its pieces are visible tokens."""
    opens: bool = False
    """Whether its opening is a token too."""


def messages(turn: Turn) -> Reply:
    """Answer one body of `/v1/messages`."""
    body = decode(DECODE_MESSAGES, turn.body)
    if not body.anthropic_version and not turn.has_header(b"anthropic-version"):
        raise Refusal(400, "anthropic-version: header is required")
    check(body)
    streams = turn.streams or bool(body.stream)
    turn.meter.prompt_tokens = body.prompt_tokens()
    turn.meter.stream = streams
    (choice,) = converse(ask_of(body), turn)
    return _stream(turn, choice) if streams else _whole(turn, choice)


def count_tokens(turn: Turn) -> Reply:
    """Answer one body of `/v1/messages/count_tokens`; nothing is billed."""
    body = decode(DECODE_MESSAGES, turn.body)
    check(body, counts=True)
    turn.meter.tag = ""
    return Reply(200, b'{"input_tokens":%d}' % body.prompt_tokens(), wait_s=turn.pace.whole_s(0))


def _whole(turn: Turn, choice: Choice) -> Reply:
    blocks: list[bytes] = []
    if choice.thoughts:
        signed = signature(choice.thought)
        said = b'{"type":"thinking","thinking":"%b","signature":"%b"}'
        blocks.append(said % (choice.thought, signed))
    if choice.tokens:
        blocks.append(b'{"type":"text","text":"%b"}' % choice.text)
    blocks += [
        b'{"type":"tool_use","id":"toolu_%b","name":%b,"input":%b}'
        % (call.number, call.name, call.arguments)
        for call in choice.calls
    ]
    content = b"" if "empty-choices" in turn.faults else b",".join(blocks)
    body = b"%b%b}" % (_head(turn, content, _ending(choice)), _usage(turn))
    tokens = len(choice) + len(choice.thoughts)
    return Reply(200, body, wait_s=turn.pace.whole_s(tokens))


def _head(turn: Turn, content: bytes, ending: bytes) -> bytes:
    return b'{"id":"msg_%b","type":"message","role":"assistant","model":%b,"content":[%b],%b' % (
        turn.tag,
        msgspec.json.encode(turn.model),
        content,
        ending,
    )


def _ending(choice: Choice) -> bytes:
    reason, sequence = _REASONS[choice.finish], b"null"
    if choice.finish == b"stop" and choice.stopped is not None:
        reason, sequence = b"stop_sequence", msgspec.json.encode(choice.stopped)
    return b'"stop_reason":"%b","stop_sequence":%b' % (reason, sequence)


def _usage(turn: Turn, *, begun: bool = False) -> bytes:
    """The usage field; when the answer has only `begun`, one token of output is told."""
    if "missing-usage" in turn.faults:
        return b""
    meter, read, written = turn.meter, turn.cached, turn.cache_write
    thought = meter.reasoning_tokens
    return (
        b',"usage":{"input_tokens":%d,"cache_creation_input_tokens":%d,'
        b'"cache_read_input_tokens":%d,"cache_creation":{"ephemeral_5m_input_tokens":%d,'
        b'"ephemeral_1h_input_tokens":0},"output_tokens":%d%b,"service_tier":"standard"}'
    ) % (
        meter.prompt_tokens - read - written,
        written,
        read,
        written,
        1 if begun else meter.visible_tokens + thought,
        b',"output_tokens_details":{"thinking_tokens":%d}' % thought if thought else b"",
    )


def _stream(turn: Turn, choice: Choice) -> Reply:
    blocks = [] if "empty-choices" in turn.faults else _blocks(choice)
    meter = turn.meter
    usage = b""
    if "missing-usage" not in turn.faults:
        usage = b',"usage":{"output_tokens":%d}' % (meter.visible_tokens + meter.reasoning_tokens)
    tail = b"".join(
        (
            _closing(blocks, len(blocks) - 1),
            b'event: message_delta\ndata: {"type":"message_delta","delta":{%b}%b}\n\n'
            % (_ending(choice), usage),
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        )
    )
    return Reply(
        200,
        events=_events(turn, blocks),
        tail=tail,
        content_type=EVENT_STREAM,
        delays=turn.pace.delays(),
        framing=_FRAMING,
        trouble=lambda: b"event: error\ndata: %b\n\n" % turn.trouble(),
    )


def _blocks(choice: Choice) -> list[_Block]:
    blocks: list[_Block] = []
    if choice.thoughts:
        signed = b'{"type":"signature_delta","signature":"%b"}' % signature(choice.thought)
        opening = b'{"type":"thinking","thinking":"","signature":""}'
        before = b'{"type":"thinking_delta","thinking":"'
        blocks.append(_Block(opening, before, b'"}', choice.thoughts, signed, counted=False))
    if choice.tokens:
        opening, before = b'{"type":"text","text":""}', b'{"type":"text_delta","text":"'
        blocks.append(_Block(opening, before, b'"}', choice.tokens))
    for call in choice.calls:
        opening = b'{"type":"tool_use","id":"toolu_%b","name":%b,"input":{}}'
        opening %= (call.number, call.name)
        before = b'{"type":"input_json_delta","partial_json":"'
        blocks.append(_Block(opening, before, b'"}', call.pieces, opens=True))
    return blocks


def _events(turn: Turn, blocks: list[_Block]) -> Iterator[bytes]:
    """One piece for each token; what opens the message and each block goes out with the first."""
    meter = turn.meter
    head = _head(turn, b"", b'"stop_reason":null,"stop_sequence":null')
    begun = b'event: message_start\ndata: {"type":"message_start","message":%b%b}}\n\n'
    kept = begun % (head, _usage(turn, begun=True))
    for index, block in enumerate(blocks):
        kept += _closing(blocks, index - 1) + _opening(index, block.opening)
        if not index:
            kept += _PING
        if block.opens:
            meter.delivered_tokens += 1
            yield kept
            kept = b""
        before = _delta(index, block.before)
        after = block.after + b"}\n\n"
        counted = block.counted
        for piece in block.pieces:
            meter.delivered_tokens += counted
            yield kept + before + piece + after
            kept = b""
    if kept:
        yield kept


def _opening(index: int, block: bytes) -> bytes:
    said = b'{"type":"content_block_start","index":%d,"content_block":%b}' % (index, block)
    return b"event: content_block_start\ndata: %b\n\n" % said


def _delta(index: int, delta: bytes) -> bytes:
    said = b'{"type":"content_block_delta","index":%d,"delta":%b' % (index, delta)
    return b"event: content_block_delta\ndata: " + said


def _closing(blocks: list[_Block], index: int) -> bytes:
    """What closes the block at `index`; nothing when there is none."""
    if index < 0:
        return b""
    closing = blocks[index].closing
    last = b"%b}\n\n" % _delta(index, closing) if closing else b""
    return last + _STOP % index
