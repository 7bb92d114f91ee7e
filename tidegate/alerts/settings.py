"""What the operator has set: rules as they are tuned, what is silent, sinks; and these opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from tidegate.alerts.machine import Silence, Terms
from tidegate.alerts.mail import Mail, Mailbox
from tidegate.alerts.rules import DEFAULTS, Rule
from tidegate.alerts.sinks import Alertmanager, Post, Sink, Slack, Webhook
from tidegate.net.dns import Resolver


class Receiver(Struct, frozen=True):
    """What is reached over HTTP."""

    kind: Literal["slack", "webhook", "alertmanager"]
    url: str
    allow_private: bool = False
    secret: str | None = None
    """What a webhook's messages are signed with."""
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Receiver({self.kind})"


class AlertSettings(Struct, frozen=True):
    """Everything about alerts."""

    rules: tuple[Rule, ...] = tuple(DEFAULTS.values())
    sinks: Mapping[str, Receiver | Mailbox] = {}
    terms: Terms = Terms()
    silences: tuple[Silence, ...] = ()
    retirements: Mapping[str, int] = {}
    """When models go, by name or `provider/model`; Unix nanoseconds."""
    every_s: float = 3.0


def open_sinks(
    settings: AlertSettings, resolver: Resolver, now_ns: Callable[[], int]
) -> dict[str, Sink]:
    """The sinks, to be closed at the end."""
    return {
        name: _open(each, settings.terms, resolver, now_ns) for name, each in settings.sinks.items()
    }


def _open(
    sink: Receiver | Mailbox, terms: Terms, resolver: Resolver, now_ns: Callable[[], int]
) -> Sink:
    if isinstance(sink, Mailbox):
        return Mail(sink)
    post = Post(
        sink.url,
        allow_private=sink.allow_private,
        resolver=resolver,
        authorization=sink.authorization,
    )
    if sink.kind == "slack":
        return Slack(post)
    if sink.kind == "alertmanager":
        return Alertmanager(post, terms.repeat_s)
    return Webhook(post, sink.secret, now_ns)
