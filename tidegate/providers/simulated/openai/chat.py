"""Chat completions as OpenAI writes them: one object, or events with one token each.

Source: the API reference, "Chat Completions" and "Streaming": with `include_usage` every chunk
has `"usage":null` but the last, which has no choices; without it no chunk has the field.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from zlib import crc32

import msgspec

from tidegate.providers.simulated.asking import decode
from tidegate.providers.simulated.choices import Call, Choice, converse, text_of
from tidegate.providers.simulated.framing import DONE
from tidegate.providers.simulated.openai.requests import (
    DECODE_CHAT,
    ChatRequest,
    ask_of,
    check_generation,
)
from tidegate.providers.simulated.openai.usage import usage
from tidegate.providers.simulated.reply import EVENT_STREAM, Reply, Turn

_SYSTEM = b',"service_tier":"default","system_fingerprint":"fp_simulated"'
_THOUGHT = b'{"reasoning_content":'  # DeepSeek's field, which many took over; OpenAI has none

_Frame = tuple[bytes, bytes]  # what stands before and after the choices of an event


def chat(turn: Turn) -> Reply:
    """Answer one body of `/v1/chat/completions`."""
    ask = decode(DECODE_CHAT, turn.body)
    check_generation(ask)
    turn.meter.prompt_tokens = ask.prompt_tokens()
    turn.meter.stream = bool(ask.stream)
    wanted = ask_of(ask)
    choices = converse(wanted, turn)
    if wanted.choice == "named":
        for choice in choices:  # OpenAI's quirk: a call that was dictated ends with "stop"
            choice.finish = b"stop" if choice.finish == b"tool_calls" else choice.finish
    return _stream(ask, turn, choices) if ask.stream else _whole(ask, turn, choices)


def _whole(ask: ChatRequest, turn: Turn, choices: list[Choice]) -> Reply:
    said = b",".join(
        b'{"index":%d,"message":%b,"logprobs":%b,"finish_reason":"%b"}'
        % (choice.index, _message(choice), _logprobs(ask, choice.tokens), choice.finish)
        for choice in choices
    )
    body = b'%b,"choices":[%b]%b%b}' % (
        turn.identify(b"chatcmpl", b"chat.completion"),
        b"" if "empty-choices" in turn.faults else said,
        b"" if "missing-usage" in turn.faults else b',"usage":' + usage(turn),
        _SYSTEM,
    )
    return Reply(200, body, wait_s=turn.pace.whole_s(max(map(len, choices))))


def _message(choice: Choice) -> bytes:
    thought = b',"reasoning_content":"%b"' % choice.thought if choice.thoughts else b""
    if not choice.calls:
        said = b'{"role":"assistant","content":"%b"%b,"refusal":null,"annotations":[]}'
        return said % (choice.text, thought)
    calls = b",".join(
        b'{"id":"call_%b","type":"function","function":{"name":%b,"arguments":"%b"}}'
        % (call.number, call.name, b"".join(call.pieces))
        for call in choice.calls
    )
    said = b'{"role":"assistant","content":null%b,"tool_calls":[%b],"refusal":null}'
    return said % (thought, calls)


def _stream(ask: ChatRequest, turn: Turn, choices: list[Choice]) -> Reply:
    frame = (
        b"data: " + turn.identify(b"chatcmpl", b"chat.completion.chunk") + _SYSTEM,
        b',"usage":null}\n\n' if ask.includes_usage else b"}\n\n",
    )
    tail = b"".join(
        _event(frame, turn, choice, b"{}", finish=b'"%b"' % choice.finish) for choice in choices
    )
    if ask.includes_usage and "missing-usage" not in turn.faults:
        tail += b'%b,"choices":[],"usage":%b}\n\n' % (frame[0], usage(turn))
    return Reply(
        200,
        events=_events(ask, turn, choices, frame),
        tail=tail + DONE,
        content_type=EVENT_STREAM,
        delays=turn.pace.delays(),
        trouble=lambda: b"data: %b\n\n" % turn.trouble(),
    )


def _events(ask: ChatRequest, turn: Turn, choices: list[Choice], frame: _Frame) -> Iterator[bytes]:
    """One piece for each token; the roles go out with the first."""
    opening = b"".join(_event(frame, turn, choice, _opening(choice)) for choice in choices)
    one = choices[0]
    special = ask.logprobs or one.thoughts or "empty-choices" in turn.faults
    plain = one.tokens and not special
    if plain and len(choices) == 1:
        return _plain(turn, one, frame, opening)
    tokens = _mixed(ask, turn, choices, frame)
    return chain((opening + next(tokens, b"") for _ in range(1)), tokens)


def _plain(turn: Turn, choice: Choice, frame: _Frame, opening: bytes) -> Iterator[bytes]:
    """The common case, kept short because load tests live on it: one choice, text only."""
    event = _event(frame, turn, choice, b'{"content":"\0"}')
    before, after = event.split(b"\0")  # JSON never has a bare NUL elsewhere
    meter = turn.meter
    for token in choice.tokens:
        meter.delivered_tokens += 1
        yield opening + before + token + after
        opening = b""


def _mixed(ask: ChatRequest, turn: Turn, choices: list[Choice], frame: _Frame) -> Iterator[bytes]:
    """Any number of choices, side by side."""
    sides = [_deltas(ask, choice) for choice in choices]
    meter = turn.meter
    while True:
        piece: list[bytes] = []
        for choice, side in zip(choices, sides, strict=True):
            delta, logprobs = next(side, (b"", b""))
            if delta:
                meter.delivered_tokens += not delta.startswith(_THOUGHT)
                piece.append(_event(frame, turn, choice, delta, logprobs=logprobs))
        if not piece:
            return
        yield b"".join(piece)


def _opening(choice: Choice) -> bytes:
    content = b"null" if choice.calls else b'""'
    return b'{"role":"assistant","content":%b,"refusal":null}' % content


def _deltas(ask: ChatRequest, choice: Choice) -> Iterator[tuple[bytes, bytes]]:
    for token in choice.thoughts:
        yield b'%b"%b"}' % (_THOUGHT, token), b"null"
    for token in choice.tokens:
        yield b'{"content":"%b"}' % token, _logprobs(ask, [token])
    for at, call in enumerate(choice.calls):
        yield _call_opening(at, call), b"null"
        for piece in call.pieces:
            delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":"%b"}}]}' % (at, piece)
            yield delta, b"null"


def _call_opening(at: int, call: Call) -> bytes:
    return (
        b'{"tool_calls":[{"index":%d,"id":"call_%b","type":"function",'
        b'"function":{"name":%b,"arguments":""}}]}'
    ) % (at, call.number, call.name)


def _event(
    frame: _Frame,
    turn: Turn,
    choice: Choice,
    delta: bytes,
    *,
    logprobs: bytes = b"null",
    finish: bytes = b"null",
) -> bytes:
    head, foot = frame
    if "empty-choices" in turn.faults:
        return b'%b,"choices":[]%b' % (head, foot)
    return b'%b,"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b' % (
        head,
        choice.index,
        delta,
        logprobs,
        finish,
        foot,
    )


def _logprobs(ask: ChatRequest, tokens: list[bytes]) -> bytes:
    if not ask.logprobs:
        return b"null"
    content = [_scored(text_of([token]), ask.top_logprobs or 0) for token in tokens]
    return msgspec.json.encode({"content": content, "refusal": None})


def _scored(token: str, alternatives: int) -> dict[str, object]:
    score = -(crc32(token.encode()) % 1000) / 1000
    top = [
        {"token": said, "logprob": score - rank, "bytes": list(said.encode())}
        for rank, said in enumerate([token, *(f"{token}{n}" for n in range(1, alternatives))])
    ]
    return {**top[0], "top_logprobs": top[:alternatives]}
