"""Settings of traces and exports: where they lead, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import ENVIRON

from tidegate.config.exports import sinks_of
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.control.sinks.settings import Sinks, Traces, Webhook
from tidegate.telemetry.attributes import Place

GROUND = """
providers:
  openai: {kind: openai, api_key: "${env:OPENAI_API_KEY}"}
  clouds:
    kind: azure
    api_key: "${env:OPENAI_API_KEY}"
    base_url: [https://one.openai.azure.com, https://two.openai.azure.com]
  sim: {kind: simulated}
models: {fast: {targets: [{provider: sim, model: one}]}}
"""


def read(directory: Path, text: str, **environ: str) -> Sinks:
    path = directory / "tidegate.yaml"
    path.write_text(GROUND + text)
    config = load(path, environ={**ENVIRON, **environ})
    return sinks_of(config.traces, config.exports, config.providers)


def mistake(directory: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(directory, text, TOKEN="t-4711")
    assert "t-4711" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_sent_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, "") == {}


@pytest.mark.parametrize("end", ["", "/", "/v1/traces", "/v1/traces/"])
def test_the_path_of_traces_is_added_where_it_is_missing(tmp_path: Path, end: str) -> None:
    found = read(tmp_path, f"traces: {{endpoint: 'https://otlp.example.com/otel{end}'}}")["traces"]
    assert isinstance(found, Traces)
    assert (found.to.origin, found.to.path) == ("https://otlp.example.com", "/otel/v1/traces")


def test_traces_know_the_providers_and_their_secrets(tmp_path: Path) -> None:
    text = "traces: {endpoint: 'https://otlp.example.com', headers: {X-Key: '${env:TOKEN}'},"
    found = read(tmp_path, text + " sample: 10%, errors: false}", TOKEN="t-4711")["traces"]
    assert isinstance(found, Traces)
    assert (found.sample, found.errors, found.content) == (0.1, False, False)
    assert found.to.headers == {"x-key": "t-4711"}
    assert found.places["openai"] == Place("openai", "api.openai.com", 443)
    assert found.places["clouds"] == Place("azure.ai.openai")
    assert found.places["sim"].name == "simulated"
    assert "t-4711" not in repr(found)


def test_a_webhook_is_named_and_its_address_may_be_secret(tmp_path: Path) -> None:
    text = "exports: {wh: {kind: webhook, endpoint: 'https://h.example/in?key=${env:TOKEN}'}}"
    found = read(tmp_path, text, TOKEN="t-4711")["exports.wh"]
    assert isinstance(found, Webhook)
    assert found.to.path == "/in?key=t-4711"


def test_an_address_inside_must_be_meant(tmp_path: Path) -> None:
    text = "traces: {endpoint: 'http://127.0.0.1:4318'}"
    assert "allow_private: true" in mistake(tmp_path, text)
    meant = read(tmp_path, "traces: {endpoint: 'http://127.0.0.1:4318', allow_private: true}")
    found = meant["traces"]
    assert isinstance(found, Traces)
    assert found.to.allow_private


@pytest.mark.parametrize(
    "text",
    [
        "traces: {endpoint: 'ftp://otlp.example.com'}",
        "traces: {endpoint: 'https://otlp.example.com/?a=b'}",
        "traces: {endpoint: 'https://u:p@otlp.example.com'}",
        "traces: {endpoint: 'https://otlp.example.com', headers: {Host: a}}",
        "exports: {a: {kind: webhook, endpoint: 'https:///${env:TOKEN}'}}",
        "exports: {a: {kind: webhook, endpoint: 'https://h.example/${env:TOKEN}#x'}}",
        "exports: {a: {kind: webhook}}",
        "exports: {a: {endpoint: 'https://h.example'}}",
    ],
)
def test_what_leads_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    assert mistake(tmp_path, text)
