"""The usage object of chat, legacy completions and embeddings."""

from __future__ import annotations

from tidegate.providers.simulated.reply import Turn


def usage(turn: Turn, *, prompt_only: bool = False) -> bytes:
    """The usage of this turn as it is known when the answer is made."""
    meter = turn.meter
    prompt = meter.prompt_tokens
    if prompt_only:
        return b'{"prompt_tokens":%d,"total_tokens":%d}' % (prompt, prompt)
    completion = meter.visible_tokens + meter.reasoning_tokens
    written = b',"cache_write_tokens":%d' % turn.cache_write if turn.cache_write else b""
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d%b,"audio_tokens":0},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
        b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
    ) % (
        prompt,
        completion,
        prompt + completion,
        turn.cached,
        written,
        meter.reasoning_tokens,
    )
