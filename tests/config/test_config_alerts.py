"""The section `alerts`: what it becomes, and which mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from reading import mistakes_in, read

from tidegate.alerts.machine import Silence
from tidegate.alerts.mail import Mailbox
from tidegate.alerts.rules import DEFAULTS
from tidegate.alerts.settings import AlertSettings, Receiver

SINKS = """\
alerts:
  sinks:
    chat: {kind: slack, url: "https://hooks.example/${env:WEB_KEY}"}
    am: {kind: alertmanager, url: "http://am.example:9093/", authorization: "Basic x"}
    hook: {kind: webhook, url: "http://10.0.0.1/in?x=1", allow_private: true, secret: s3}
    post: {kind: email, host: smtp.example, sender: a@b.example, to: [c@d.example], password: p}
"""
RULES = """\
alerts:
  rules:
    errors: {threshold: 0.5, severity: info, lasts: 1m, least: 7}
    budget: {steps: [10%, 90%]}
    throughput-drop: {enabled: false}
  repeat: 1h
  runbooks: https://wiki.example/
  silence: {rule: limited, labels: {alias: batch}, until: 2027-01-01, why: known}
"""


def settings(tmp_path: Path, text: str) -> AlertSettings:
    return read(tmp_path, text).alerts.value()


def test_sinks_are_what_the_courier_knows(tmp_path: Path) -> None:
    assert settings(tmp_path, SINKS).sinks == {
        "chat": Receiver("slack", "https://hooks.example/caller-key-0815"),
        "am": Receiver(
            "alertmanager", "http://am.example:9093/api/v2/alerts", authorization="Basic x"
        ),
        "hook": Receiver("webhook", "http://10.0.0.1/in?x=1", allow_private=True, secret="s3"),
        "post": Mailbox("smtp.example", 587, "a@b.example", ("c@d.example",), password="p"),
    }


def test_rules_are_tuned_by_name_and_the_rest_stay(tmp_path: Path) -> None:
    made = settings(tmp_path, RULES)
    rules = {rule.name: rule for rule in made.rules}
    errors = rules["errors"]
    assert (errors.threshold, errors.severity, errors.for_s, errors.least) == (0.5, "info", 60.0, 7)
    assert rules["budget"].steps == (0.1, 0.9)
    assert rules.keys() == DEFAULTS.keys() - {"throughput-drop"}
    assert rules["latency-p99"] == DEFAULTS["latency-p99"]
    assert (made.terms.repeat_s, made.terms.runbooks) == (3_600.0, "https://wiki.example/")
    ends_ns = 1_798_761_600 * 10**9
    assert made.silences == (Silence(ends_ns, "limited", {"alias": "batch"}, why="known"),)


def test_nothing_is_looked_at_where_alerts_are_off(tmp_path: Path) -> None:
    assert settings(tmp_path, "alerts: {enabled: false}").rules == ()


def test_everything_is_looked_at_where_nothing_is_said(tmp_path: Path) -> None:
    assert settings(tmp_path, "{}") == AlertSettings()


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("{rules: {erors: {}}}", "alerts.rules", "names a rule that there is not: `erors`"),
        (
            "{sinks: {a: {kind: slack, url: 'http://127.0.0.1/x-secret'}}}",
            "alerts.sinks.a.slack.url",
            "private or reserved address",
        ),
        (
            "{sinks: {a: {kind: webhook, url: 'ftp://h.example/x-secret'}}}",
            "alerts.sinks.a.webhook.url",
            "is not the address of a receiver",
        ),
        (
            '{sinks: {a: {kind: email, host: h, sender: "a@b\\r\\nBcc: c", to: [x@y.example]}}}',
            "alerts.sinks.a.email.sender",
            "is not an address",
        ),
        (
            "{sinks: {a: {kind: email, host: h, sender: a@b.example, to: []}}}",
            "alerts.sinks.a.email.to",
            "",
        ),
        ("{rules: {errors: {threshold: -1}}}", "alerts.rules.errors.threshold", ""),
    ],
)
def test_mistakes_are_told_and_secrets_are_not(
    tmp_path: Path, text: str, path: str, message: str
) -> None:
    (mistake,) = mistakes_in(tmp_path, f"alerts: {text}")
    assert mistake.path == path
    assert message in mistake.message
    assert "x-secret" not in str(mistake)
