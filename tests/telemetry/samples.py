"""Records as requests leave them, by what became of them."""

from __future__ import annotations

from typing import Any

from tidegate.telemetry.attributes import Place
from tidegate.telemetry.record import Attempt, Record

TRACE_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PLACES = {
    "openai": Place("openai", "api.openai.com", 443),
    "eu": Place("azure.ai.openai"),
}
_CHUNK = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-5-mini-2026",'
    b'"choices":[{"index":0,"delta":%b,"finish_reason":%b}]}\n\n'
)


def record(**fields: Any) -> Record:
    usual: dict[str, Any] = {
        "request_id": "req_1", "started_ns": 1_700_000_000_000_000_000, "worker": "gw-0",
        "wire": "chat", "path": "/v1/chat/completions", "config_version": "c0ffee",
        "alias": "fast", "status": 200, "duration_ms": 900.5,
    }  # fmt: skip
    return Record(**{**usual, **fields})


SAMPLES = {
    "streamed": record(
        stream=True, key="web", team="product", organisation="acme", user="ann", feature="search",
        conversation="c-1", environment="prod", tags={"run": "7"}, trace_parent=TRACE_PARENT,
        model="gpt-5-mini-2026", provider="openai", target="openai/gpt-5-mini", reason="primary",
        attempts=[Attempt("openai/gpt-5-mini", "ok", 2.5, 200.0)],
        input_tokens=12, cached_input_tokens=4, output_tokens=30, reasoning_tokens=8,
        cost_nanousd=1_234_500, price="openai/gpt-5-mini", gateway_ms=1.25, queue_ms=1.0,
        ttft_ms=202.5, tokens_per_s=41.5, max_gap_ms=30.5, chunks=31, finish_reason="stop",
        parameters={"temperature": 0, "max_tokens": 99, "stop": "END", "seed": 7, "n": 2},
        request_body=b'{"model":"fast","messages":[{"role":"system","content":"Be kind."},'
        b'{"role":"user","content":"Hello"}],"stream":true}',
        response_body=_CHUNK % (b'{"role":"assistant","content":"Good "}', b"null")
        + _CHUNK % (b'{"content":"day"}', b'"stop"')
        + b"data: [DONE]\n\n",
    ),
    "fallen_back": record(
        key="web", model="gpt-4o", provider="eu", target="eu/gpt-4o", reason="fallback",
        attempts=[
            Attempt(
                "openai/gpt-5-mini", "rate_limited", 3.0, 20.0, status=429, detail="Slow down.",
                queue_ms=1.5,
            ),
            Attempt("openai/gpt-4o", "skipped_breaker_open", 23.0, 0.0),
            Attempt(
                "eu/gpt-4o", "upstream_malformed", 24.0, 300.0, input_tokens=5, output_tokens=6,
                cost_nanousd=100,
            ),
            Attempt("eu/gpt-4o", "ok", 330.0, 570.0, hedge=True),
        ],
        input_tokens=7, output_tokens=9, cost_nanousd=350, gateway_ms=2.0, ttft_ms=900.0,
        finish_reason="tool_calls", adapted=["repaired"], dropped=["logit_bias"],
    ),
    "limited": record(
        key="web", team="product", outcome="rate_limit_reached", status=429,
        error="Too many requests.", limit="team product requests_per_minute", duration_ms=0.75,
    ),
    "cut": record(
        wire="messages", path="/v1/messages", stream=True, outcome="failed_after_commit",
        error="The provider cut its answer.", error_code="upstream_cut",
        provider="openai", target="openai/gpt-5-mini",
        attempts=[Attempt("openai/gpt-5-mini", "ok", 2.5, 200.0)], ttft_ms=202.5, gateway_ms=1.0,
    ),
    "failed": record(
        outcome="upstream_unreachable", status=502, error="Nobody listens.",
        attempts=[Attempt("openai/gpt-5-mini", "upstream_unreachable", 2.0, 5.0, detail="refused")],
        gateway_ms=2.0,
    ),
    "handed_on": record(
        wire="passthrough", path="/passthrough/openai/v1/batches", alias="passthrough/openai",
        provider="openai", target="openai", model="gpt-5-mini", input_tokens=3, output_tokens=4,
    ),
    "lost": record(outcome="lost", status=0, duration_ms=0.0, cost_nanousd=500),
}  # fmt: skip
