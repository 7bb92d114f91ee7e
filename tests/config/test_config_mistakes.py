from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import ENVIRON, EVERYTHING, VENDORS, mistakes_in

from tidegate.config.model import Config
from tidegate.config.shape import section_at
from tidegate.config.source import read as read_source

TARGET = "models: {a: {targets: [{provider: p, model: m"

WRONG = [
    ("server: {prot: 1}", "server.prot", "unknown key", "port"),
    ("serve: {}", "serve", "unknown key", "server"),
    ("server: {port: '8080'}", "server.port", "must be a whole number", "8080"),
    ("server: {port: 70000}", "server.port", "at most 65535", None),
    ("server: {port: -1}", "server.port", "at least 0", None),
    ("server: {port: 1.5}", "server.port", "must be a whole number, not the number 1.5", None),
    ("server: {port: true}", "server.port", "must be a whole number, not true", None),
    ("server: {workers: 0}", "server.workers", "at least 1", None),
    ("server: {host: ''}", "server.host", "must not be empty", None),
    ("server: {host: 5}", "server.host", "must be text", '"5"'),
    ("server: [1]", "server", "must be a section of `key: value` lines, not a list", None),
    ("server: 5", "server", "must be a section", None),
    ("server:", "server", "has no value", None),
    ("server: {read_timeout: 30}", "server.read_timeout", "has no unit", "30s"),
    ("server: {read_timeout: 30sec}", "server.read_timeout", "unknown unit `sec`", "30s"),
    ("server: {read_timeout: 0s}", "server.read_timeout", "longer than nothing", None),
    ("server: {read_timeout: soon}", "server.read_timeout", "is not a duration", None),
    ("server: {body_limit: 32MIB}", "server.body_limit", "unknown unit `MIB`", "32MiB"),
    ("server: {body_limit: 1024}", "server.body_limit", "has no unit", "1024B"),
    ("server: {tls: {certificate: no.pem}}", "server.tls.certificate", "No such file", None),
    ("server: {tls: {certificate: no.pem}}", "server.tls", "needs `key`", None),
    ("server: {tls: yes}", "server.tls", "must be a section", None),
    ("store: mysql://x", "store", "must be a SQLite or PostgreSQL database", None),
    ("records: {bodies: ful}", "records.bodies", "cannot be the text `ful`", "full"),
    ("log: {level: INFO}", "log.level", "cannot be the text `INFO`", "info"),
    ("anonymous: yes", "anonymous", "must be true or false", "true"),
    ("keys: {name: a}", "keys", "must be a list, not a section", None),
    ("keys: [a]", "keys[0]", "must be a section", None),
    ("keys: [{name: a}]", "keys[0]", "needs `secret`", None),
    ("keys: [{name: a, secret: ''}]", "keys[0].secret", "is empty", None),
    ("keys: [{name: a, secret: 12345}]", "keys[0].secret", "must be text", None),
    ("keys: [{name: a, secret: b, models: m}]", "keys[0].models", "must be a list", "[m]"),
    ("providers: {p: {}}", "providers.p", "needs `kind`", None),
    ("providers: {p: {kid: local}}", "providers.p.kid", "unknown key", "kind"),
    ("providers: {p: {kind: opnai}}", "providers.p.kind", "unknown kind", "openai"),
    ("providers: {p: {kind: 3}}", "providers.p.kind", "must be text", None),
    ("providers: {p: {kind: openai, base_url: x}}", "providers.p.base_url", "http://", None),
    ("providers: {p: {kind: openai, proxy: envv}}", "providers.p.proxy", "", "env"),
    (
        "providers: {p: {kind: openai, headers: {'a b': c}}}",
        "providers.p.headers",
        "not an HTTP header's",
        None,
    ),
    ("providers: {p: {kind: openai, headers: {Host: c}}}", "providers.p.headers", "`Host`", None),
    ("providers: {p: {kind: grok}}", "providers.p.kind", "unknown kind", "groq"),
    ("providers: {p: {kind: ollama}}", "providers.p.base_url", "`allow_private: true`", None),
    (
        "providers: {p: {kind: openai, base_url: [https://a.example/v1, 10.0.0.1]}}",
        "providers.p.base_url[1]",
        "http://",
        None,
    ),
    (
        "providers: {p: {kind: vllm, base_url: [{url: 'http://10.0.0.1'}]}}",
        "providers.p.base_url",
        "`allow_private: true`",
        None,
    ),
    (
        "providers: {p: {kind: openai, base_url: [{url: 'https://a.example', wight: 2}]}}",
        "providers.p.base_url[0].wight",
        "unknown key",
        "weight",
    ),
    ("providers: {p: {kind: openai, base_url: []}}", "providers.p.base_url", "one entry", None),
    ("providers: {p: {kind: openai, balance: ewma}}", "providers.p.balance", "", "peak_ewma"),
    (
        "providers: {p: {kind: openai, health: {probe: health}}}",
        "providers.p.health.probe",
        "is not a path",
        "/health",
    ),
    (
        "providers: {p: {kind: openai, health: {ejection: 10s}}}",
        "providers.p.health.ejection",
        "two durations",
        None,
    ),
    ("providers: {p: {kind: groq}}", "providers.p", "needs `api_key`", None),
    ("providers: {p: {kind: azure, api_key: a}}", "providers.p", "needs `base_url`", None),
    (
        "providers: {p: {kind: azure, api_key: a, base_url: 'https://a.example/openai/v1'}}",
        "providers.p.base_url",
        "has a path",
        "https://a.example",
    ),
    (
        "providers: {p: {kind: azure, api_version: '2024', base_url: 'https://a.example'}}",
        "providers.p.api_version",
        "not a version",
        "v1",
    ),
    (
        "providers: {p: {kind: groq, api_key: a, accounts: [{name: a, api_key: b}]}}",
        "providers.p.accounts",
        "beside `api_key`",
        None,
    ),
    (
        "providers: {p: {kind: groq, accounts: [{name: a, api_key: b}, {name: a, api_key: c}]}}",
        "providers.p.accounts",
        "two accounts called `a`",
        None,
    ),
    ("providers: {p: {kind: vertex, location: global}}", "providers.p", "needs `project`", None),
    ("providers: {p: {kind: bedrock, region: Frankfurt}}", "providers.p.region", "region", None),
    (
        "providers: {p: {kind: bedrock, region: us-east-1, access_key_id: a}}",
        "providers.p",
        "needs `secret_access_key` too",
        None,
    ),
    (
        "providers: {p: {kind: bedrock, region: us-east-1, session_token: a}}",
        "providers.p",
        "without the keys",
        None,
    ),
    (
        "providers: {p: {kind: bedrock, region: us-east-1, profile: a, api_key: b}}",
        "providers.p",
        "has both `api_key` and `profile`",
        None,
    ),
    (
        "providers: {p: {kind: xai, api_key: a, quirks: {json_schema: yes}}}",
        "providers.p.quirks.json_schema",
        "cannot be",
        None,
    ),
    ("providers: {p: {kind: local, model: smol}}", "providers.p.model", "", "smollm2-135m"),
    ("providers: {p: {kind: local, context: 1}}", "providers.p.context", "at least 64", None),
    ("providers: {p: {kind: simulated, ttft: 200}}", "providers.p.ttft", "no unit", "200ms"),
    ("providers: {p: {kind: simulated, gap: x}}", "providers.p.gap", "not a distribution", None),
    ("providers: {'': {kind: local}}", 'providers[""]', "a name that is empty", None),
    ("models: {a: {}}", "models.a", "needs `targets`", None),
    ("models: {a: {targets: []}}", "models.a.targets", "at least one entry", None),
    ("models: {a: {tagrets: []}}", "models.a.tagrets", "unknown key", "targets"),
    (TARGET + ", modle: 1}]}}", "models.a.targets[0].modle", "unknown key", "model"),
    (TARGET + ", weight: -1}]}}", "models.a.targets[0].weight", "at least 0", None),
    (TARGET + ", weight: 0}]}}", "models.a.targets", "weight above 0", None),
    (
        TARGET + ", price: {input: 0.15, output: $1/M}}]}}",
        "models.a.targets[0].price.input",
        "has no unit",
        "$0.15/M",
    ),
    (
        TARGET + ", price: {input: $1, output: $1/M}}]}}",
        "models.a.targets[0].price.input",
        "per how many tokens",
        "$1/M",
    ),
    (TARGET + ", price: {input: $1/M}}]}}", "models.a.targets[0].price", "needs `output`", None),
    (TARGET + "}], fallback: [1]}}", "models.a.fallback[0]", "must be text", '"1"'),
    (TARGET + "}], timeout: {idle: 5}}}", "models.a.timeout.idle", "has no unit", "5s"),
    ("[1, 2]", "", "must be a section", None),
    ("just text", "", "must be a section", None),
]


@pytest.mark.parametrize(("text", "path", "message", "nearest"), WRONG)
def test_a_mistake_says_where_what_and_what_was_meant(
    tmp_path: Path, text: str, path: str, message: str, nearest: str | None
) -> None:
    found = mistakes_in(tmp_path, text)
    assert any(
        (each.path, each.nearest) == (path, nearest) and message in each.message for each in found
    ), "\n".join(map(str, found))
    for each in found:
        assert "Input should" not in str(each)
        assert "pydantic" not in str(each).lower().replace(str(tmp_path).lower(), "")


def test_all_mistakes_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = mistakes_in(
        tmp_path,
        """\
        server:
          prot: 8080
          read_timeout: 30
        providers:
          openai:
            kind: openai
            api_key: ${env:NOT_SET}
        models:
          assistant:
            targets:
              - provider: opnai
                modle: gpt-4o
            fallback: [nobody]
        """,
    )
    assert [(each.line, each.column, each.path) for each in found] == [
        (2, 3, "server.prot"),
        (3, 17, "server.read_timeout"),
        (7, 14, "providers.openai.api_key"),
        (11, 19, "models.assistant.targets[0].provider"),
        (12, 9, "models.assistant.targets[0].modle"),
        (13, 16, "models.assistant.fallback[0]"),
    ]


def test_a_mistake_on_one_line_reads_like_a_compilers(tmp_path: Path) -> None:
    (found,) = mistakes_in(tmp_path, "log: {levl: info}")
    assert str(found) == (
        f"{tmp_path}/tidegate.yaml:1:7: log.levl: unknown key `levl`; did you mean `level`?; "
        "allowed: level"
    )


def test_names_with_dots_are_quoted_in_paths(tmp_path: Path) -> None:
    (found,) = mistakes_in(tmp_path, "models: {'gpt-4.1': {targets: 5}}")
    assert found.path == 'models["gpt-4.1"].targets'


def test_a_misspelt_section_does_not_make_a_mistake_of_everything_that_needs_it(
    tmp_path: Path,
) -> None:
    found = mistakes_in(tmp_path, EVERYTHING.replace("providers:", "provdiers:"))
    assert [(each.path, each.nearest) for each in found] == [("provdiers", "providers")]


_SECRET = "hunter2-hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "keys: [{name: a, secret: [X]}]",
        "keys: [{name: a, secret: {X: X}}]",
        "keys: [{name: a, secret: '${evn:X}'}]",
        "keys: [{name: a, secret: '${X}'}]",
        "keys: [{name: a, secret: X, models: 1}, {name: b, secret: X}]",
        "keys: X",
        "keys: [X]",
        "providers: {p: {kind: openai, api_key: *X}}",
        "providers: {p: {kind: openai, api_key: !X a}}",
        "providers: {p: {kind: openai, api_key: !X!X a}}",
        "providers: {p: {kind: openai, api_key: [X}}",
        "providers: {p: {kind: openai, headers: X}}",
        "providers: {p: {kind: openai, headers: {a: [X]}}}",
        "providers: {p: {kind: openai, headers: {a: {b: X}}}}",
        "providers: {p: {kind: openai, proxy: 'http://u:X@'}}",
        "providers: {p: {kind: openai, proxy: 'ftp://u:X@h'}}",
        "providers: {p: {kind: openai, base_url: 'https://u:X@h/v1'}}",
        "providers: {p: {kind: openai, base_url: 'ftp://u:X@h/v1'}}",
        'providers: {p: {kind: openai, api_key: "X\\n"}}',
        "providers: {p: {kind: openai, api_kye: X}}",
        "providers: {p: {kind: groq, accounts: X}}",
        "providers: {p: {kind: groq, accounts: [X]}}",
        "providers: {p: {kind: groq, accounts: [{name: a, api_key: [X]}]}}",
        "providers: {p: {kind: groq, api_key: X, accounts: [{name: a, api_key: X}]}}",
        "providers: {p: {kind: bedrock, region: a, access_key_id: X}}",
        "providers: {p: {kind: vertex, project: p, location: a, credentials: [X]}}",
        "providers: {p: {kind: openai, base_url: ['https://u:X@h/v1']}}",
        "providers: {p: {kind: openai, base_url: [{url: 'ftp://u:X@h/v1'}]}}",
    ],
)
def test_no_mistake_repeats_a_secret(tmp_path: Path, text: str) -> None:
    found = mistakes_in(tmp_path, text.replace("X", _SECRET))
    assert found
    assert _SECRET not in "\n".join(map(str, found))


def test_a_bad_proxy_of_the_environment_is_told_without_its_password(tmp_path: Path) -> None:
    (found,) = mistakes_in(
        tmp_path,
        "providers: {p: {kind: openai}}",
        {"HTTPS_PROXY": f"https://u:{_SECRET}@proxy"},
    )
    assert found.path == "providers.p.proxy"
    assert "HTTPS_PROXY" in found.message
    assert _SECRET not in str(found)


def _settings_keys(text: str) -> list[tuple[int, int, str]]:
    """Line, column and name of each key of `text` that is ours, not the operator's."""
    source = read_source(text, "-")
    found: list[tuple[int, int, str]] = []
    for path, (line, column) in source.key_places.items():
        section = section_at(Config, path[:-1], source.value)
        if section is not None and path[-1] in section.model_fields:
            found.append((line, column, str(path[-1])))
    return found


def _misspellings(word: str) -> st.SearchStrategy[str]:
    """The slips of people who type: a letter twice, left out, or after the next one."""
    places = range(len(word))
    slips = {word[:i] + word[i] + word[i:] for i in places}
    slips |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in places[:-1]}
    slips |= {word[:i] + word[i + 1 :] for i in places} if len(word) > 2 else set()
    return st.sampled_from(sorted(slips - {word}))


@given(data=st.data())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_misspelt_key_is_found_at_its_line_with_the_right_one(
    tmp_path: Path, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from([EVERYTHING, VENDORS]))
    line, column, key = data.draw(st.sampled_from(_settings_keys(text)))
    misspelt = data.draw(_misspellings(key))
    lines = text.split("\n")
    row = lines[line - 1]
    lines[line - 1] = row[: column - 1] + misspelt + row[column - 1 + len(key) :]
    found = mistakes_in(tmp_path, "\n".join(lines), ENVIRON)
    places = [(each.line, each.column, each.nearest) for each in found]
    assert (line, column, key) in places, "\n".join(map(str, found))
