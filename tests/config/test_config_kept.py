"""What is kept of a configuration's text: never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.config.kept import Kept, keepable
from tidegate.config.load import load, version_of

SAFE = """
# Ours; ask ann.
store: postgresql://tidegate:${env:PASSWORD}@db.internal/tidegate
shared: redis://redis.internal:6379
keys:
  - {name: web, secret: "${env:WEB_KEY}"}
providers:
  openai:
    kind: openai
    api_key: "${env:OPENAI}"
    headers: {x-team: search, authorization: "Bearer ${env:TOKEN}"}
models:
  fast: {targets: [{provider: openai, model: gpt-5-mini}]}
"""
AROUND = {"PASSWORD": "hunter22", "WEB_KEY": "web-1234", "OPENAI": "sk-12345", "TOKEN": "t-12345"}


def kept(directory: Path, text: str) -> Kept:
    path = directory / "tidegate.yaml"
    path.write_text(text)
    config = load(path, AROUND)
    assert version_of(text) == config.version
    return keepable(text, config)


def test_text_whose_secrets_stand_elsewhere_is_kept_as_it_is(tmp_path: Path) -> None:
    assert kept(tmp_path, SAFE) == Kept(SAFE)
    assert kept(tmp_path, "") == Kept("")


@pytest.mark.parametrize(
    ("old", "new", "secret", "where"),
    [
        ('"${env:WEB_KEY}"', "tg-web-9876", "tg-web-9876", "keys[0].secret"),
        ('"${env:OPENAI}"', "an-api-key  # mine", "an-api-key", "providers.openai.api_key"),
        ("${env:PASSWORD}@", "hunter22@", "hunter22", "store"),
        ("redis://", "redis://:opensesame@", "opensesame", "shared.url"),
        ("x-team: search", "x-api-key: search-1", "search-1", "providers.openai.headers.x-api-key"),
        ("search", "sk-abcdefghijkl", "sk-abcdefghijkl", "providers.openai.headers.x-team"),
        (
            "Bearer ${env:TOKEN}", "Bearer abcdefgh-${env:TOKEN}", "abcdefgh",
            "providers.openai.headers.authorization",
        ),
    ],
)  # fmt: skip
def test_secret_that_stands_in_the_text_is_hidden(
    tmp_path: Path, old: str, new: str, secret: str, where: str
) -> None:
    found = kept(tmp_path, SAFE.replace(old, new))
    assert found.hidden == (where,)
    assert found.text is not None
    assert secret not in found.text
    assert "[secret]" in found.text
    assert "gpt-5-mini" in found.text


def test_webhook_whose_address_opens_it_is_hidden_and_a_plain_one_is_not(tmp_path: Path) -> None:
    sinks = "alerts: {{sinks: {{one: {{kind: slack, url: '{}', allow_private: true}}}}}}\n"
    opens = "https://hooks.example.com/services/T0/B0/abcdefghijklmnopqrstuvwx"
    found = kept(tmp_path, sinks.format(opens))
    assert found.hidden == ("alerts.sinks.one.url",)
    assert "abcdefghijklmnop" not in (found.text or "")
    plain = sinks.format("http://alertmanager.internal:9093")
    assert kept(tmp_path, plain) == Kept(plain)


@pytest.mark.parametrize(
    "written",
    [
        r'"a-sec\x72et-escaped"',  # never spelled as it is meant
        '"a-secret-\n    escaped"',
        "abc",  # too short to be looked for
    ],
)
def test_text_is_not_kept_where_a_secret_cannot_be_found_in_it(
    tmp_path: Path, written: str
) -> None:
    assert kept(tmp_path, f"keys:\n  - name: web\n    secret: {written}\n") == Kept(
        None, ("keys[0].secret",)
    )


def test_secret_that_is_written_in_two_ways_is_not_kept_in_either(tmp_path: Path) -> None:
    text = (
        'keys:\n  - {name: a, secret: one-secret}\n  - {name: b, team: "one-s\\x65cret", '
        "secret: other-secret}\n"
    )
    assert kept(tmp_path, text).text is None


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=30))
def test_no_literal_secret_is_kept(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    if "${" in secret:
        return
    quoted = "'" + secret.replace("'", "''") + "'"
    text = f"keys: [{{name: 0, secret: {quoted}}}]\n".replace("name: 0", "name: '0'")
    found = kept(tmp_path_factory.getbasetemp(), text)
    assert found.hidden
    assert found.text is None or quoted not in found.text
