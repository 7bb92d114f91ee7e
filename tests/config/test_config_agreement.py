from __future__ import annotations

from pathlib import Path

import pytest
from reading import mistakes_in, read

from tidegate.limits import Budget, Rate

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


LIMITED = "keys: [{name: k, secret: s, limits: {requests_per_minute: 5}}]"


def test_several_processes_keep_limits_only_by_what_they_share(tmp_path: Path) -> None:
    (mistake,) = mistakes_in(tmp_path, f"server: {{workers: 2}}\n{LIMITED}")
    assert mistake.path == "server.workers"
    assert "set `shared`" in mistake.message
    assert mistakes_in(tmp_path, f"server: {{workers: 1}}\n{LIMITED}") == ()
    shared = f"server: {{workers: 2}}\nshared: redis://127.0.0.1:1\n{LIMITED}"
    assert mistakes_in(tmp_path, shared) == ()


@pytest.mark.parametrize(
    ("text", "path", "part"),
    [
        ("limits: [{scope: alias, name: b}]", "limits[0].name", "no alias is called `b`"),
        ("limits: [{scope: provider, name: q}]", "limits[0].name", "no provider is called `q`"),
        ("limits: [{scope: user}, {scope: user}]", "limits[1]", "the same scope and name"),
        ("teams: {t: {budget: {usd: 1, downgrade: b}}}", "teams.t.budget.downgrade", "`b`"),
        ("teams: {t: {budget: [{usd: 1, downgrade: b}]}}", "teams.t.budget[0].downgrade", "`b`"),
        ("teams: {t: {budget: {usd: x}}}", "teams.t.budget.usd", "not a number of dollars"),
        ("teams: {t: {budget: {usd: 9999999}}}", "teams.t.budget.usd", "too much"),
        ("teams: {t: {budget: {usd: 0.0000000001}}}", "teams.t.budget.usd", "dollars"),
        ("teams: {t: {budget: {usd: 1, timezone: Moon}}}", "teams.t.budget.timezone", "time zone"),
        ("teams: {t: {budget: {used: 1}}}", "teams.t.budget.used", "unknown key"),
        ("limits: [{scope: users}]", "limits[0].scope", "users"),
        ("keys: [{name: k, secret: s, expires: soon}]", "keys[0].expires", "not a date"),
    ],
)
def test_limits_that_cannot_be_meant_are_told(
    tmp_path: Path, text: str, path: str, part: str
) -> None:
    text += "\nmodels: {a: {targets: [{provider: p, model: m}]}}\nproviders: {p: {kind: simulated}}"
    mistakes = mistakes_in(tmp_path, text)
    assert [mistake.path for mistake in mistakes if part in mistake.message] == [path]


def test_limits_are_rules_wherever_they_are_written(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
keys:
  - {name: web, secret: s, limits: {requests_per_minute: 600}, budget: {usd: 0.5, period: day}}
teams: {product: {budget: [{usd: 500, soft: 50%}, {usd: 9, period: total}]}}
limits: [{scope: conversation, limits: {steps: 50}}]
""",
    )
    web, product, conversation = config.rules
    assert (web.kind, web.name) == ("key", "web")
    assert web.limits.requests == (Rate(600, 60),)
    assert web.limits.budgets == (Budget(500_000_000, "day"),)
    assert [budget.soft for budget in product.limits.budgets] == [0.5, 0.8]
    assert (conversation.name, conversation.limits.steps) == (None, 50)
