"""Legacy completions: texts for prompts, whole or streamed."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import msgspec

from tidegate.providers.simulated.asking import decode, text_tokens
from tidegate.providers.simulated.choices import Choice, speak, text_of
from tidegate.providers.simulated.framing import DONE
from tidegate.providers.simulated.openai.requests import (
    DECODE_COMPLETION,
    CompletionRequest,
    check_generation,
    texts,
)
from tidegate.providers.simulated.openai.usage import usage
from tidegate.providers.simulated.reply import EVENT_STREAM, Reply, Turn


def completions(turn: Turn) -> Reply:
    """Answer one body of `/v1/completions`: `n` choices for each prompt, in the prompts' order."""
    ask = decode(DECODE_COMPLETION, turn.body)
    check_generation(ask)
    prompts = texts(ask.prompt, "prompt")
    turn.meter.prompt_tokens = sum(map(text_tokens, prompts))
    turn.meter.stream = bool(ask.stream)
    many = ask.n or 1
    choices = [
        speak(turn, prompt, at * many + index, ask.max_tokens, ask.stops)
        for at, prompt in enumerate(prompts)
        for index in range(many)
    ]
    if ask.echo:
        for choice in choices:
            prompt = msgspec.json.encode(prompts[choice.index // many])[1:-1]
            choice.tokens.insert(0, prompt)
    return _stream(ask, turn, choices) if ask.stream else _whole(ask, turn, choices)


def _whole(ask: CompletionRequest, turn: Turn, choices: list[Choice]) -> Reply:
    said = b",".join(
        _choice(ask, choice, choice.tokens, b'"%b"' % choice.finish) for choice in choices
    )
    body = b'%b,"choices":[%b]%b}' % (
        turn.identify(b"cmpl", b"text_completion"),
        b"" if "empty-choices" in turn.faults else said,
        b"" if "missing-usage" in turn.faults else b',"usage":' + usage(turn),
    )
    return Reply(200, body, wait_s=turn.pace.whole_s(max(map(len, choices))))


def _stream(ask: CompletionRequest, turn: Turn, choices: list[Choice]) -> Reply:
    head = b"data: " + turn.identify(b"cmpl", b"text_completion")
    foot = b',"usage":null}\n\n' if ask.includes_usage else b"}\n\n"

    def event(choice: Choice, tokens: list[bytes], finish: bytes = b"null") -> bytes:
        said = _choice(ask, choice, tokens, finish)
        return b'%b,"choices":[%b]%b' % (
            head,
            b"" if "empty-choices" in turn.faults else said,
            foot,
        )

    def events() -> Iterator[bytes]:
        for at in range(max(map(len, choices))):
            beside = [choice for choice in choices if at < len(choice)]
            turn.meter.delivered_tokens += len(beside)
            yield b"".join(event(choice, choice.tokens[at : at + 1]) for choice in beside)

    tail = b"".join(event(choice, [], b'"%b"' % choice.finish) for choice in choices)
    if ask.includes_usage and "missing-usage" not in turn.faults:
        tail += b'%b,"choices":[],"usage":%b}\n\n' % (head, usage(turn))
    return Reply(
        200,
        events=events(),
        tail=tail + DONE,
        content_type=EVENT_STREAM,
        delays=turn.pace.delays(),
        trouble=lambda: b"data: %b\n\n" % turn.trouble(),
    )


def _choice(ask: CompletionRequest, choice: Choice, tokens: list[bytes], finish: bytes) -> bytes:
    return b'{"text":"%b","index":%d,"logprobs":%b,"finish_reason":%b}' % (
        b"".join(tokens),
        choice.index,
        _logprobs(tokens) if ask.logprobs is not None else b"null",
        finish,
    )


def _logprobs(tokens: list[bytes]) -> bytes:
    said = [text_of([token]) for token in tokens]
    scores = [-(crc32(token) % 1000) / 1000 for token in tokens]
    offsets = [sum(map(len, said[:at])) for at in range(len(said))]
    return msgspec.json.encode(
        {
            "tokens": said,
            "token_logprobs": scores,
            "top_logprobs": [{token: score} for token, score in zip(said, scores, strict=True)],
            "text_offset": offsets,
        }
    )
