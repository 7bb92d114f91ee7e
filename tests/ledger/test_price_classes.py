"""The classes of tokens: each vendor's usage as it is documented, what it is here, what it costs.

The price has another rate for every class, in whole nano-dollars a token, so that a token in the
wrong class shows in the cost.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.formats import openai
from tidegate.formats.converse import reply as converse_reply
from tidegate.formats.gemini import answer as gemini_answer
from tidegate.formats.messages import shapes as messages_shapes
from tidegate.formats.responses import reply as responses_reply
from tidegate.formats.responses import shapes as responses_shapes
from tidegate.ledger.price import Price, bound, cost
from tidegate.types import Facts, Usage

Json = dict[str, Any]

A_TOKEN = 1_000_000
PRICE = Price(
    input_nanousd=100 * A_TOKEN,
    cached_input_nanousd=10 * A_TOKEN,
    cached_audio_input_nanousd=70 * A_TOKEN,
    cache_write_nanousd=125 * A_TOKEN,
    cache_write_1h_nanousd=200 * A_TOKEN,
    audio_input_nanousd=700 * A_TOKEN,
    output_nanousd=400 * A_TOKEN,
    reasoning_nanousd=500 * A_TOKEN,
    audio_output_nanousd=900 * A_TOKEN,
)


def chat(body: Json) -> Usage:
    return openai.read_usage(msgspec.convert(body, openai.Counts))


def response(body: Json) -> Usage:
    return msgspec.convert(body, responses_shapes.UsageShape).usage(None)


def message(body: Json) -> Usage:
    return messages_shapes.read_usage(msgspec.convert(body, messages_shapes.UsageView))


def generated(body: Json) -> Usage:
    return gemini_answer.usage(msgspec.convert(body, gemini_answer.UsageMetadata))


def conversed(body: Json) -> Usage:
    return converse_reply.read_usage(msgspec.convert(body, converse_reply.Counts))


READERS = {
    "chat": chat,
    "responses": response,
    "messages": message,
    "gemini": generated,
    "converse": conversed,
}

DOCUMENTED: list[tuple[str, str, Json, Usage, int]] = [
    (
        # platform.openai.com/docs/guides/prompt-caching
        "openai, cached",
        "chat",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        Usage(2006, 300, 1920, None, 0),
        1920 * 10 + 86 * 100 + 300 * 400,
    ),
    (
        # platform.openai.com/docs/api-reference/chat/object: tokens that were rejected are among
        # the completion's, and charged as such.
        "openai, reasoning and predicted outputs",
        "chat",
        {
            "prompt_tokens": 19,
            "completion_tokens": 110,
            "total_tokens": 129,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 64,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 20,
                "rejected_prediction_tokens": 10,
            },
        },
        Usage(19, 110, 0, None, 64, 0, 0),
        19 * 100 + 64 * 500 + 46 * 400,
    ),
    (
        # platform.openai.com/docs/guides/audio
        "openai, audio",
        "chat",
        {
            "prompt_tokens": 105,
            "completion_tokens": 238,
            "total_tokens": 343,
            "prompt_tokens_details": {"audio_tokens": 88, "cached_tokens": 0, "text_tokens": 17},
            "completion_tokens_details": {"audio_tokens": 190, "text_tokens": 48},
        },
        Usage(105, 238, 0, None, None, 88, 190),
        17 * 100 + 88 * 700 + 190 * 900 + 48 * 400,
    ),
    (
        # More is cached than there was text: so much of it at least was audio.
        "openai, cached audio",
        "chat",
        {
            "prompt_tokens": 100,
            "completion_tokens": 1,
            "total_tokens": 101,
            "prompt_tokens_details": {"audio_tokens": 80, "cached_tokens": 60},
        },
        Usage(100, 1, 60, None, None, 40, None, 40),
        20 * 10 + 40 * 70 + 40 * 700 + 400,
    ),
    (
        "more audio than prompt",
        "chat",
        {"prompt_tokens": 3, "prompt_tokens_details": {"audio_tokens": 9, "cached_tokens": 2}},
        Usage(9, 0, 2, None, None, 7, None, 2),
        2 * 70 + 7 * 700,
    ),
    (
        # platform.openai.com/docs/guides/embeddings
        "openai, vectors",
        "chat",
        {"prompt_tokens": 5, "total_tokens": 5},
        Usage(5, 0),
        500,
    ),
    (
        # platform.openai.com/docs/api-reference/responses/object
        "openai, responses",
        "responses",
        {
            "input_tokens": 328,
            "input_tokens_details": {"cached_tokens": 128, "cache_write_tokens": 100},
            "output_tokens": 52,
            "output_tokens_details": {"reasoning_tokens": 40},
            "total_tokens": 380,
        },
        Usage(328, 52, 128, 100, 40),
        100 * 100 + 128 * 10 + 100 * 125 + 12 * 400 + 40 * 500,
    ),
    (
        # platform.claude.com/docs/en/build-with-claude/prompt-caching (1-hour cache duration)
        "anthropic, both caches",
        "messages",
        {
            "input_tokens": 2048,
            "cache_read_input_tokens": 1800,
            "cache_creation_input_tokens": 248,
            "output_tokens": 503,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 148,
                "ephemeral_1h_input_tokens": 100,
            },
        },
        Usage(4096, 503, 1800, 248, cache_write_1h=100),
        2048 * 100 + 1800 * 10 + 148 * 125 + 100 * 200 + 503 * 400,
    ),
    (
        # platform.claude.com/docs/en/build-with-claude/extended-thinking
        "anthropic, thinking",
        "messages",
        {
            "input_tokens": 51,
            "output_tokens": 168,
            "output_tokens_details": {"thinking_tokens": 112},
        },
        Usage(51, 168, reasoning=112),
        51 * 100 + 112 * 500 + 56 * 400,
    ),
    (
        # platform.claude.com/docs/en/build-with-claude/compaction: outside stand the others only.
        "anthropic, compaction",
        "messages",
        {
            "input_tokens": 23000,
            "output_tokens": 1000,
            "iterations": [
                {"type": "compaction", "input_tokens": 180000, "output_tokens": 3500},
                {"type": "message", "input_tokens": 23000, "output_tokens": 1000},
            ],
        },
        Usage(203000, 4500),
        203000 * 100 + 4500 * 400,
    ),
    (
        # UsageMetadata of ai.google.dev/api/generate-content: the cached part is in the prompt,
        # thoughts and the results of tools stand beside.
        "gemini, cache, thoughts and tools",
        "gemini",
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 600,
            "toolUsePromptTokenCount": 50,
            "candidatesTokenCount": 200,
            "thoughtsTokenCount": 300,
            "totalTokenCount": 1550,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}],
        },
        Usage(1050, 500, 600, None, 300),
        600 * 10 + 450 * 100 + 300 * 500 + 200 * 400,
    ),
    (
        # ai.google.dev/gemini-api/docs/audio, and cacheTokensDetails of the same page
        "gemini, audio of which some was cached",
        "gemini",
        {
            "promptTokenCount": 400,
            "cachedContentTokenCount": 150,
            "candidatesTokenCount": 90,
            "totalTokenCount": 490,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 100},
                {"modality": "AUDIO", "tokenCount": 300},
            ],
            "cacheTokensDetails": [
                {"modality": "TEXT", "tokenCount": 50},
                {"modality": "AUDIO", "tokenCount": 100},
            ],
            "candidatesTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 60},
                {"modality": "TEXT", "tokenCount": 30},
            ],
        },
        Usage(400, 90, 150, None, None, 200, 60, 100),
        50 * 10 + 100 * 70 + 200 * 700 + 50 * 100 + 60 * 900 + 30 * 400,
    ),
    (
        # docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html, API_runtime_TokenUsage
        "bedrock, both caches",
        "converse",
        {
            "inputTokens": 12,
            "outputTokens": 40,
            "totalTokens": 1352,
            "cacheReadInputTokens": 1000,
            "cacheWriteInputTokens": 300,
            "cacheDetails": [
                {"ttl": "1h", "inputTokens": 100},
                {"ttl": "5m", "inputTokens": 200},
            ],
        },
        Usage(1312, 40, 1000, 300, cache_write_1h=100),
        12 * 100 + 1000 * 10 + 200 * 125 + 100 * 200 + 40 * 400,
    ),
    (
        # api-docs.deepseek.com/guides/kv_cache: hit and miss make the prompt.
        "deepseek",
        "chat",
        {
            "prompt_tokens": 130,
            "completion_tokens": 50,
            "total_tokens": 180,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 66,
            "completion_tokens_details": {"reasoning_tokens": 30},
        },
        Usage(130, 50, 64, None, 30),
        66 * 100 + 64 * 10 + 30 * 500 + 20 * 400,
    ),
    (
        # docs.x.ai/docs/guides/reasoning: reasoning stands beside the completion.
        "xai",
        "chat",
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 276,
            "prompt_tokens_details": {
                "text_tokens": 32,
                "audio_tokens": 0,
                "image_tokens": 0,
                "cached_tokens": 6,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 235,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        Usage(32, 244, 6, None, 235, 0, 0),
        26 * 100 + 6 * 10 + 235 * 500 + 9 * 400,
    ),
    (
        # console.groq.com/docs/prompt-caching
        "groq",
        "chat",
        {
            "queue_time": 0.026,
            "prompt_tokens": 4641,
            "prompt_time": 0.009,
            "completion_tokens": 1817,
            "completion_time": 5.57,
            "total_tokens": 6458,
            "total_time": 5.58,
            "prompt_tokens_details": {"cached_tokens": 4608},
        },
        Usage(4641, 1817, 4608),
        33 * 100 + 4608 * 10 + 1817 * 400,
    ),
    (
        # docs.mistral.ai/api (usage): audio is told in seconds, which are not tokens.
        "mistral",
        "chat",
        {
            "prompt_tokens": 43,
            "completion_tokens": 7,
            "total_tokens": 50,
            "prompt_audio_seconds": None,
        },
        Usage(43, 7),
        43 * 100 + 7 * 400,
    ),
    (
        # openrouter.ai/docs/use-cases/usage-accounting
        "openrouter",
        "chat",
        {
            "prompt_tokens": 194,
            "completion_tokens": 20,
            "total_tokens": 214,
            "cost": 0.95,
            "prompt_tokens_details": {
                "cached_tokens": 50,
                "cache_write_tokens": 100,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Usage(194, 20, 50, 100, 5, 0),
        44 * 100 + 50 * 10 + 100 * 125 + 5 * 500 + 15 * 400,
    ),
]


def parts(usage: Usage) -> tuple[int, int]:
    """What of input and output is in one of the classes."""
    given = (usage.cached_input or 0) + (usage.cache_write or 0) + (usage.audio_input or 0)
    return given, (usage.reasoning or 0) + (usage.audio_output or 0)


@pytest.mark.parametrize(
    ("reader", "body", "usage", "nanousd"),
    [row[1:] for row in DOCUMENTED],
    ids=[row[0] for row in DOCUMENTED],
)
def test_documented_usage_is_charged_class_by_class(
    reader: str, body: Json, usage: Usage, nanousd: int
) -> None:
    read = READERS[reader](body)
    assert read == usage
    assert cost(PRICE, read) == nanousd
    check_parts(read)


def check_parts(usage: Usage) -> None:
    """Fails unless no part is larger than its whole, and no bound smaller than the cost."""
    given, made = parts(usage)
    assert given <= usage.input
    assert made <= usage.output
    assert (usage.cached_audio_input or 0) <= (usage.cached_input or 0)
    assert (usage.cache_write_1h or 0) <= (usage.cache_write or 0)
    assert cost(PRICE, usage) <= bound(PRICE, usage.input, usage.output)


TOLD = st.none() | st.integers(0, 300)
MODALITIES = st.none() | st.lists(
    st.fixed_dictionaries({"modality": st.sampled_from(["TEXT", "AUDIO"]), "tokenCount": TOLD}),
    max_size=3,
)
DETAILS = st.none() | st.fixed_dictionaries(
    dict.fromkeys(("cached_tokens", "cache_write_tokens", "reasoning_tokens", "audio_tokens"), TOLD)
)
MESSAGE: dict[str, st.SearchStrategy[Any]] = {
    "input_tokens": TOLD,
    "output_tokens": TOLD,
    "cache_read_input_tokens": TOLD,
    "cache_creation_input_tokens": TOLD,
    "cache_creation": st.none()
    | st.fixed_dictionaries({"ephemeral_5m_input_tokens": TOLD, "ephemeral_1h_input_tokens": TOLD}),
}
ANYTHING: list[tuple[str, dict[str, st.SearchStrategy[Any]]]] = [
    (
        "chat",
        {
            "prompt_tokens": TOLD,
            "completion_tokens": TOLD,
            "total_tokens": TOLD,
            "prompt_cache_hit_tokens": TOLD,
            "prompt_tokens_details": DETAILS,
            "completion_tokens_details": DETAILS,
        },
    ),
    (
        "responses",
        {
            "input_tokens": TOLD,
            "output_tokens": TOLD,
            "input_tokens_details": DETAILS,
            "output_tokens_details": DETAILS,
        },
    ),
    (
        "messages",
        MESSAGE
        | {
            "output_tokens_details": st.none() | st.fixed_dictionaries({"thinking_tokens": TOLD}),
            "iterations": st.none()
            | st.lists(
                st.fixed_dictionaries(
                    MESSAGE | {"type": st.sampled_from(["message", "compaction", None])}
                ),
                max_size=3,
            ),
        },
    ),
    (
        "gemini",
        {
            name: MODALITIES if name.endswith("Details") else TOLD
            for name in (
                "promptTokenCount",
                "cachedContentTokenCount",
                "candidatesTokenCount",
                "toolUsePromptTokenCount",
                "thoughtsTokenCount",
                "totalTokenCount",
                "promptTokensDetails",
                "cacheTokensDetails",
                "toolUsePromptTokensDetails",
                "candidatesTokensDetails",
            )
        },
    ),
    (
        "converse",
        {
            "inputTokens": st.integers(0, 300),
            "outputTokens": st.integers(0, 300),
            "totalTokens": TOLD,
            "cacheReadInputTokens": TOLD,
            "cacheWriteInputTokens": TOLD,
            "cacheDetails": st.none()
            | st.lists(
                st.fixed_dictionaries(
                    {"ttl": st.sampled_from(["5m", "1h"]), "inputTokens": st.integers(0, 300)}
                ),
                max_size=3,
            ),
        },
    ),
]


@pytest.mark.parametrize(("reader", "fields"), ANYTHING, ids=[row[0] for row in ANYTHING])
@given(data=st.data())
def test_classes_add_up_whatever_is_told(
    reader: str, fields: dict[str, st.SearchStrategy[Any]], data: st.DataObject
) -> None:
    check_parts(READERS[reader](data.draw(st.fixed_dictionaries(fields))))


def test_tier_that_an_answer_tells_is_known() -> None:
    told = b'"service_tier":"priority"'
    counts = b'"usage":{"prompt_tokens":1,"completion_tokens":2}'
    facts = Facts()
    openai.learn_choices(facts, b'{"choices":[{}],%b,%b}' % (counts, told))
    assert facts.usage == Usage(1, 2, tier="priority")

    watch = openai.PassingWatch(streamed := Facts(), wants_usage=False, choices=1)
    watch.passes(b"", b'{"choices":[],%b,%b}' % (counts, told))
    assert streamed.usage == facts.usage

    counts = b'"usage":{"input_tokens":1,"output_tokens":2}'
    response = responses_reply.decode_response(b'{"id":"r","output":[],%b,%b}' % (counts, told))
    assert response.usage is not None
    assert response.usage.usage(response.service_tier) == facts.usage

    usage = {"input_tokens": 1, "output_tokens": 2, "service_tier": "priority"}
    advised = [{"type": "advisor", "input_tokens": 3, "output_tokens": 4}]
    assert message({**usage, "iterations": advised}) == Usage(4, 6, tier="priority")
    assert message({**usage, "service_tier": ["odd"]}) == Usage(1, 2)
