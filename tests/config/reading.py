"""What the tests of the configuration read, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError, Mistake
from tidegate.config.model import Config

ENVIRON: Mapping[str, str] = {
    "OPENAI_API_KEY": "provider-key-4711",
    "WEB_KEY": "caller-key-0815",
}

EVERYTHING: str = """\
server:
  host: 127.0.0.1
  port: 9000
  workers: 2
  body_limit: 8MiB
  header_limit: 16KiB
  read_timeout: 10s
  keepalive: 1m
  drain: 0s
control:
  host: localhost
  port: 9001
store: sqlite:///data/records.db
spool:
  directory: data/spool
  segment: 1MiB
  pending_limit: 2MiB
records:
  bodies: none
log:
  level: warning
secrets:
  refresh: 5m
keys:
  - name: web
    secret: ${env:WEB_KEY}
    team: product
    models: [assistant, "any/*"]
anonymous: false
providers:
  openai:
    kind: openai
    base_url: https://api.example.com/v1
    api_key: ${env:OPENAI_API_KEY}
    headers:
      x-project: blue
    allow_private: false
    proxy: none
    tls:
      ca: null
    max_connections: 10
  local:
    kind: local
    model: smollm2-135m
    port: 9002
    threads: 2
    context: 2048
    parallel: 1
  simulated:
    kind: simulated
    port: 9003
    seed: 7
    ttft: normal:200ms,50ms
    gap: 25ms
    length: 64
models:
  assistant:
    timeout:
      connect: 1s
      first_token: 2s
      idle: 3s
      total: 1m30s
    targets:
      - provider: openai
        model: gpt-4o-mini-2024-07-18
        weight: 9
        timeout:
          idle: 500ms
        price:
          input: $0.15/M
          output: $0.60/M
          cached_input: $0.075/M
          cache_write: $0.0003/K
          reasoning: $0.60/M
      - provider: local
        model: smollm2-135m
    fallback: [spare]
    output_tokens:
      default: 256
      max: 1024
    allow_floating: false
    records:
      bodies: full
  spare:
    targets:
      - provider: simulated
        model: sim-1
  any/*:
    targets:
      - provider: openai
        model: "*"
"""
"""A configuration in which nearly every key is used, one on each line where that is possible."""

VENDORS: str = """\
providers:
  groq:
    kind: groq
    accounts:
      - name: eu
        api_key: ${env:OPENAI_API_KEY}
      - name: us
        api_key: other-key-4712
  gpus:
    kind: vllm
    allow_private: true
    base_url:
      - http://10.0.0.7:8000/v1
      - url: http://10.0.0.8:8000/v1
        weight: 3
    proxy: none
    balance: sticky_prefix
    health:
      probe: /health
      interval: 3s
      timeout: 1s
      failures: 2
      ejection: 5s..1m
      max_ejected: 50%
      slow_start: 1m
    api: chat
    quirks:
      output_field: max_completion_tokens
      refuses: [logit_bias]
      message_fields: [role, content]
      reasoning_field: reasoning
      developer: true
      several: false
      stream_usage: true
      json_schema: native
  azure:
    kind: azure
    base_url: https://example.openai.azure.com
    api_version: "2024-10-21"
    token: token-4713
  claude:
    kind: anthropic
    api_key: key-4714
    version: "2023-06-01"
  gemini:
    kind: gemini
    api_key: key-4715
  vertex:
    kind: vertex
    project: example
    location: europe-west4
    credentials: "{}"
  bedrock:
    kind: bedrock
    region: eu-central-1
    access_key_id: key-4716
    secret_access_key: key-4717
    session_token: key-4718
"""
"""The same for the providers that `EVERYTHING` leaves out."""


def read(
    directory: Path, text: str, environ: Mapping[str, str] = ENVIRON, name: str = "tidegate.yaml"
) -> Config:
    """Load `text` as a file of `directory`."""
    file = directory / name
    file.write_text(dedent(text), encoding="utf-8")
    return load(file, environ)


def mistakes_in(
    directory: Path, text: str, environ: Mapping[str, str] = ENVIRON
) -> tuple[Mistake, ...]:
    """The mistakes in `text`, none if it is good."""
    try:
        read(directory, text, environ)
    except ConfigError as error:
        return error.mistakes
    return ()
