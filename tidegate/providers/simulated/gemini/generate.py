"""Generated content as Google writes it: one object, or a stream of such objects.

Source: ai.google.dev/api/generate-content. Each event of a stream is a whole response object with
what is new in it; usage is told in each, in full in the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Final

import msgspec

from tidegate.providers.simulated.choices import Call, Choice, converse, signature
from tidegate.providers.simulated.framing import server_sent
from tidegate.providers.simulated.gemini.requests import (
    CountRequest,
    GenerateRequest,
    ask_of,
    check,
    read,
)
from tidegate.providers.simulated.reply import EVENT_STREAM, Reply, Turn

_FRAMING: Final = server_sent(
    b'data: {"candidates": [{"content": {"parts": [{"te\r\n\r\n', b'data: {"candidates": [{"con'
)
_REASONS: Final = {
    b"stop": b"STOP",
    b"length": b"MAX_TOKENS",
    b"tool_calls": b"STOP",
    b"content_filter": b"SAFETY",
}


def generate(turn: Turn) -> Reply:
    """Answer one body of `:generateContent` or `:streamGenerateContent`."""
    body = read(GenerateRequest, turn.body)
    check(body)
    turn.meter.prompt_tokens = body.prompt_tokens()
    turn.meter.stream = turn.streams
    if "content-policy" in turn.faults:
        return _blocked(turn)
    choices = converse(ask_of(body), turn)
    return _stream(turn, choices) if turn.streams else _whole(turn, choices)


def count(turn: Turn) -> Reply:
    """Answer one body of `:countTokens`; nothing is billed."""
    body = read(CountRequest, turn.body)
    asked = body.generate_content_request or body
    check(asked)
    turn.meter.tag = ""
    tokens = asked.prompt_tokens()
    said = b'{"totalTokens":%d,"promptTokensDetails":[{"modality":"TEXT","tokenCount":%d}]}'
    return Reply(200, said % (tokens, tokens), wait_s=turn.pace.whole_s(0))


def _blocked(turn: Turn) -> Reply:
    """What offends the policy is no error with Google: an answer without candidates."""
    said = b'{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}%b' % _foot(turn, ended=True)
    if not turn.streams:
        return Reply(200, said, wait_s=turn.pace.whole_s(0))
    return Reply(
        200,
        events=iter(()),
        tail=_event(said),
        content_type=EVENT_STREAM,
        delays=turn.pace.delays(),
        framing=_FRAMING,
    )


def _whole(turn: Turn, choices: list[Choice]) -> Reply:
    candidates: list[bytes] = []
    for choice in choices:
        parts = [_thought(choice.thought)] if choice.thoughts else []
        if choice.tokens:
            parts.append(b'{"text":"%b"}' % choice.text)
        parts += [_call(call, choice) for call in choice.calls if not call.broken]
        candidates.append(_candidate(choice.index, parts, _reason(choice)))
    said = b"" if "empty-choices" in turn.faults else b",".join(candidates)
    tokens = max(len(choice) + len(choice.thoughts) for choice in choices)
    body = b'{"candidates":[%b]%b' % (said, _foot(turn, ended=True))
    return Reply(200, body, wait_s=turn.pace.whole_s(tokens))


def _stream(turn: Turn, choices: list[Choice]) -> Reply:
    last = b",".join(
        _candidate(choice.index, [b'{"text":""}'], _reason(choice)) for choice in choices
    )
    said = b"" if "empty-choices" in turn.faults else last
    return Reply(
        200,
        events=_events(turn, choices),
        tail=_event(b'{"candidates":[%b]%b' % (said, _foot(turn, ended=True))),
        content_type=EVENT_STREAM,
        delays=turn.pace.delays(),
        framing=_FRAMING,
        trouble=lambda: _event(turn.trouble()),
    )


def _events(turn: Turn, choices: list[Choice]) -> Iterator[bytes]:
    """One piece for each token; a call is one piece, for Google sends it whole."""
    foot = _foot(turn, ended=False)
    empty = "empty-choices" in turn.faults
    sides = [_parts(choice) for choice in choices]
    while True:
        said: list[bytes] = []
        for choice, side in zip(choices, sides, strict=True):
            part, tokens = next(side, (b"", 0))
            if part:
                turn.meter.delivered_tokens += tokens
                said.append(_candidate(choice.index, [part], b""))
        if not said:
            return
        candidates = b"" if empty else b",".join(said)
        yield _event(b'{"candidates":[%b]%b' % (candidates, foot))


def _parts(choice: Choice) -> Iterator[tuple[bytes, int]]:
    """Each part with the number of visible tokens in it."""
    thoughts = ((_thought(token), 0) for token in choice.thoughts)
    texts = ((b'{"text":"%b"}' % token, 1) for token in choice.tokens)
    calls = (
        (_call(call, choice), 1 + len(call.pieces)) for call in choice.calls if not call.broken
    )
    return chain(thoughts, texts, calls)


def _thought(text: bytes) -> bytes:
    return b'{"text":"%b","thought":true}' % text


def _call(call: Call, choice: Choice) -> bytes:
    signed = b""
    if choice.thoughts:
        signed = b',"thoughtSignature":"%b"' % signature(choice.thought)
    return b'{"functionCall":{"name":%b,"args":%b}%b}' % (call.name, call.arguments, signed)


def _reason(choice: Choice) -> bytes:
    if choice.finish == b"tool_calls" and any(call.broken for call in choice.calls):
        return b"MALFORMED_FUNCTION_CALL"  # arguments are an object here: bad ones have no place
    return _REASONS[choice.finish]


def _candidate(index: int, parts: list[bytes], reason: bytes) -> bytes:
    return b'{"content":{"parts":[%b],"role":"model"}%b,"index":%d}' % (
        b",".join(parts),
        b',"finishReason":"%b"' % reason if reason else b"",
        index,
    )


def _foot(turn: Turn, *, ended: bool) -> bytes:
    """Usage, version and id: what every object ends with."""
    return b'%b,"modelVersion":%b,"responseId":"%b"}' % (
        b"" if "missing-usage" in turn.faults else _usage(turn, ended=ended),
        msgspec.json.encode(turn.model),
        turn.tag,
    )


def _usage(turn: Turn, *, ended: bool) -> bytes:
    meter = turn.meter
    prompt, thought = meter.prompt_tokens, meter.reasoning_tokens
    said = meter.visible_tokens if ended else 0
    thought = thought if ended else 0
    fields = b"".join(
        b'"%b":%d,' % (name, number)
        for name, number in (
            (b"candidatesTokenCount", said),
            (b"thoughtsTokenCount", thought),
            (b"cachedContentTokenCount", turn.cached),
        )
        if number
    )
    total = prompt + said + thought
    return b',"usageMetadata":{"promptTokenCount":%d,%b"totalTokenCount":%d}' % (
        prompt,
        fields,
        total,
    )


def _event(body: bytes) -> bytes:
    return b"data: %b\r\n\r\n" % body
