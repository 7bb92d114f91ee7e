from __future__ import annotations

from pathlib import Path

import pytest
from reading import mistakes_in

PROVIDERS = "providers: {openai: {kind: openai}, sim: {kind: simulated}, own: {kind: local}}\n"
SIM = "targets: [{provider: sim, model: m}]"
ANY = "targets: [{provider: openai, model: '*'}]"
CIRCLE = f"""\
models:
  a: {{{SIM}, fallback: [b]}}
  b: {{{SIM}, fallback: [c]}}
  c: {{{SIM}, fallback: [b]}}
"""


@pytest.mark.parametrize(
    ("text", "path", "message", "nearest"),
    [
        (
            "models: {a: {targets: [{provider: opnai, model: m}]}}",
            "models.a.targets[0].provider",
            "no provider is called `opnai`",
            "openai",
        ),
        (
            f"models: {{chat: {{{SIM}, fallback: [chta2]}}, chat2: {{{SIM}}}}}",
            "models.chat.fallback[0]",
            "no alias is called `chta2`",
            "chat2",
        ),
        (f"models: {{a: {{{SIM}, fallback: [a]}}}}", "models.a.fallback[0]", "a → a", None),
        (
            CIRCLE,
            "models.c.fallback[0]",
            "goes in a circle: b → c → b",
            None,
        ),
        (
            "models: {a: {targets: [{provider: openai, model: gpt-4o-latest}]}}",
            "models.a.targets[0].model",
            "floating name",
            None,
        ),
        (
            "models: {a: {targets: [{provider: openai, model: 'llama3:latest'}]}}",
            "models.a.targets[0].model",
            "allow_floating: true",
            None,
        ),
        (
            "models: {'x/*': {targets: [{provider: openai, model: gpt}]}}",
            'models["x/*"].targets[0].model',
            "must be `*`",
            "*",
        ),
        (
            "models: {x: {targets: [{provider: openai, model: '*'}]}}",
            "models.x.targets[0].model",
            "needs an alias ending in `*`",
            None,
        ),
        (
            f"models: {{'a*b': {{{SIM}}}}}",
            'models["a*b"]',
            "may have `*` only at its end",
            None,
        ),
        (
            f"models: {{x: {{{SIM}, fallback: ['y/*']}}, 'y/*': {{{ANY}}}}}",
            "models.x.fallback[0]",
            "stands for many names",
            None,
        ),
        (
            f"models: {{a: {{{SIM}, output_tokens: {{default: 9, max: 8}}}}}}",
            "models.a.output_tokens.default",
            "above the ceiling",
            None,
        ),
        (
            "keys: [{name: a, secret: x}, {name: a, secret: y}]",
            "keys[1].name",
            "another key is called `a`",
            None,
        ),
        (
            "keys: [{name: a, secret: x}, {name: b, secret: x}]",
            "keys[1].secret",
            "the same as another key's",
            None,
        ),
        (
            f"keys: [{{name: a, secret: x, models: [chat]}}]\nmodels: {{chats: {{{SIM}}}}}",
            "keys[0].models[0]",
            "no alias is called `chat`",
            "chats",
        ),
        ("server: {host: 0.0.0.0}", "server.host", "there are no keys", None),
        ("anonymous: false", "anonymous", "nobody could call", None),
        ("control: {port: 8080}", "control.port", "port of server already", None),
    ],
)
def test_parts_that_do_not_fit_each_other_are_told(
    tmp_path: Path, text: str, path: str, message: str, nearest: str | None
) -> None:
    (found,) = mistakes_in(tmp_path, PROVIDERS + text)
    assert (found.path, found.nearest) == (path, nearest)
    assert message in found.message


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/v1", "http://10.0.0.7/v1", "http://169.254.169.254/", "http://[::1]/"],
)
def test_a_private_address_needs_to_be_meant(tmp_path: Path, url: str) -> None:
    (found,) = mistakes_in(tmp_path, f'providers: {{p: {{kind: openai, base_url: "{url}"}}}}')
    assert "allow_private: true" in found.message
    text = f'providers: {{p: {{kind: openai, base_url: "{url}", allow_private: true}}}}'
    assert mistakes_in(tmp_path, text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "models: {a: {allow_floating: true, targets: [{provider: openai, model: x-latest}]}}",
        "models: {a: {targets: [{provider: sim, model: latest}]}}",
        "models: {a: {targets: [{provider: own, model: latest}]}}",
        "models: {a: {targets: [{provider: openai, model: latestness-1}]}}",
        "models: {'*': {targets: [{provider: openai, model: '*'}]}}",
        f"models: {{a: {{{SIM}, fallback: [c]}}, b: {{{SIM}, fallback: [c]}}, c: {{{SIM}}}}}",
        "server: {port: 0}\ncontrol: {port: 0}",
        f"keys: [{{name: k, secret: s, models: ['ch*']}}]\nmodels: {{chat: {{{SIM}}}}}",
        f"keys: [{{name: k, secret: s, models: ['o/gpt']}}]\nmodels: {{'o/*': {{{ANY}}}}}",
    ],
)
def test_what_fits_is_let_through(tmp_path: Path, text: str) -> None:
    assert mistakes_in(tmp_path, PROVIDERS + text) == ()


def test_a_chain_of_a_thousand_fallbacks_is_followed(tmp_path: Path) -> None:
    rows = [f"  a{n}: {{{SIM}, fallback: [a{n + 1}]}}" for n in range(1000)]
    text = PROVIDERS + "models:\n" + "\n".join(rows) + f"\n  a1000: {{{SIM}, fallback: [a0]}}\n"
    (found,) = mistakes_in(tmp_path, text)
    assert found.path == "models.a1000.fallback[0]"
