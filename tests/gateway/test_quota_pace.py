"""A provider that says its quota runs dry is asked more slowly, before it has to refuse."""

from __future__ import annotations

from pathlib import Path

from .running import running
from .scripted import Step, scripted

CONFIG = """
server: {{port: 0}}
providers:
  one: {{kind: openai, base_url: "{one}", api_key: k, allow_private: true}}
models:
  m: {{targets: [{{provider: one, model: gpt-4o-mini-2024-07-18}}]}}
"""
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
POST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
)


def _left(remaining: int) -> Step:
    return Step(
        headers={
            "x-ratelimit-limit-requests": "1000",
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": "20s",
        }
    )


async def test_a_target_whose_quota_runs_dry_is_paced(tmp_path: Path) -> None:
    async with scripted(_left(100)) as one, running(tmp_path, CONFIG, one=one.url) as gateway:
        assert b" 200 OK" in await gateway.raw(POST)
        (lane,) = gateway.lasting.slots.snapshot()
        assert lane.pace_per_s == 5.0
        assert lane.limit is not None


async def test_a_target_with_plenty_left_is_not(tmp_path: Path) -> None:
    async with scripted(_left(999)) as one, running(tmp_path, CONFIG, one=one.url) as gateway:
        assert b" 200 OK" in await gateway.raw(POST)
        (lane,) = gateway.lasting.slots.snapshot()
        assert lane.pace_per_s is None
