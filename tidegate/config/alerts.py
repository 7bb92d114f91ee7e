"""Settings of alerts: who is told, and rules where they should be other than they are."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parseaddr
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic import Field, ValidationInfo, field_validator

from tidegate.alerts.machine import Silence, Terms
from tidegate.alerts.mail import Mailbox
from tidegate.alerts.rules import DEFAULTS, Rule
from tidegate.alerts.settings import AlertSettings, Receiver
from tidegate.config.addresses import is_refused
from tidegate.config.mistakes import nearest
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, OneOrMore, Port, Settings, required, setting
from tidegate.config.surroundings import refusal
from tidegate.config.units import Duration, Moment, Share, Wait
from tidegate.net.urls import parse_base_url

_URLS = ("https://HOST/PATH", "${env:NAME}")
_ALERTS_PATH = "/api/v2/alerts"


class _Http(Settings):
    allow_private: bool = setting(
        False, "Whether its address may be private, link-local or this machine itself."
    )
    url: Secret = required("Where messages are sent to, or a reference to it.")

    @field_validator("url")
    @classmethod
    def _leads_somewhere(cls, value: Secret, info: ValidationInfo) -> Secret:
        # Not chained, and not repeated: such addresses are secrets.
        parts = urlsplit(value.reveal())
        plain = f"{parts.scheme}://{parts.netloc}{parts.path}"
        try:
            parse_base_url(plain)
        except ValueError:
            raise refusal("is not the address of a receiver", allowed=_URLS) from None
        if info.data.get("allow_private") is False and is_refused(plain):
            raise refusal(
                "is a private or reserved address, which is refused; if it is meant, say "
                "`allow_private: true` beside it"
            )
        return value


class SlackSink(_Http):
    """Slack, and whatever takes the same messages."""

    kind: Literal["slack"] = required("An incoming webhook of Slack's.")

    def value(self) -> Receiver:
        """As the courier knows it."""
        return Receiver("slack", self.url.reveal(), self.allow_private)


class WebhookSink(_Http):
    """Any receiver of JSON."""

    kind: Literal["webhook"] = required("JSON, signed if there is a `secret`.")
    secret: Secret | None = setting(None, "What messages are signed with: HMAC-SHA256.")
    authorization: Secret | None = setting(None, "The header `authorization`, if one is wanted.")

    def value(self) -> Receiver:
        """As the courier knows it."""
        return Receiver(
            "webhook", self.url.reveal(), self.allow_private,
            secret=_revealed(self.secret), authorization=_revealed(self.authorization),
        )  # fmt: skip


class AlertmanagerSink(_Http):
    """Prometheus's Alertmanager."""

    kind: Literal["alertmanager"] = required("Prometheus's Alertmanager, by its base address.")
    authorization: Secret | None = setting(None, "The header `authorization`, if one is wanted.")

    def value(self) -> Receiver:
        """As the courier knows it."""
        return Receiver(
            "alertmanager", self.url.reveal().rstrip("/") + _ALERTS_PATH, self.allow_private,
            authorization=_revealed(self.authorization),
        )  # fmt: skip


class EmailSink(Settings):
    """E-mail, handed in by SMTP."""

    kind: Literal["email"] = required("E-mail.")
    allow_private: bool = setting(
        False, "Whether the server's address may be private or this machine itself."
    )
    host: Name = required("Name of the mail server.")
    port: Port = setting(587, "Its port.")
    security: Literal["starttls", "tls", "none"] = setting("starttls", "How it is encrypted.")
    user: Secret | None = setting(None, "Name to sign in with.")
    password: Secret | None = setting(None, "Password to sign in with.")
    sender: Name = required("Whom it is from.")
    to: Annotated[tuple[Name, ...], Field(strict=False, min_length=1)] = required("Whom it is for.")

    @field_validator("sender", "to")
    @classmethod
    def _are_addresses(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for each in (value,) if isinstance(value, str) else value:
            if not each.isprintable() or "@" not in parseaddr(each)[1]:
                raise refusal("is not an address", allowed=("on-call@example.com",))
        return value

    def value(self) -> Mailbox:
        """As the courier knows it."""
        return Mailbox(
            self.host, self.port, self.sender, self.to, self.security,
            _revealed(self.user), _revealed(self.password), self.allow_private,
        )  # fmt: skip


Sink = Annotated[
    SlackSink | WebhookSink | EmailSink | AlertmanagerSink, Field(discriminator="kind")
]


class RuleTuning(Settings):
    """What is other than usual in a rule."""

    enabled: bool = setting(True, "Whether it is looked at.")
    severity: Literal["page", "ticket", "info"] | None = setting(None, "How grave it is.")
    threshold: Annotated[float, Field(strict=False, ge=0)] | None = setting(
        None, "From which value on it fires, in the rule's own unit."
    )
    least: Annotated[float, Field(strict=False, ge=0)] | None = setting(
        None, "How many requests, or dollars, there must be before anything is said."
    )
    lasts: Duration | None = setting(None, "How long it must last.")
    steps: Annotated[tuple[Share, ...], Field(strict=False, min_length=1)] | None = setting(
        None, "Of `budget`: the shares that are told of."
    )

    def tuned(self, rule: Rule) -> Rule:
        """`rule` with what was set."""
        return replace(
            rule,
            severity=self.severity or rule.severity,
            threshold=rule.threshold if self.threshold is None else self.threshold,
            least=rule.least if self.least is None else self.least,
            for_s=rule.for_s if self.lasts is None else self.lasts,
            steps=self.steps or rule.steps,
        )


class SilenceSetting(Settings):
    """What is not told for a time."""

    rule: Name | None = setting(None, "Only of this rule.")
    labels: Mapping[Name, Name] = setting({}, "Only with these labels, such as `alias: fast`.")
    until: Moment = required("When it is told again.")
    why: Name = setting("set in the configuration", "Why, for whoever wonders.")


class Alerts(Settings):
    """Who is told of what, and how often."""

    enabled: bool = setting(True, "Whether anything is looked at.")
    sinks: Mapping[Name, Sink] = setting({}, "Who is told, by name; the log is told in any case.")
    rules: Mapping[Name, RuleTuning] = setting({}, "Rules that should be other than they are.")
    silence: Annotated[tuple[SilenceSetting, ...], Field(strict=False), OneOrMore()] = setting(
        (), "What is not told for a time."
    )
    repeat: Wait = setting("4h", "How often it is told again of what still fires.")
    runbooks: Name = setting(
        "docs/runbooks/", "Where runbooks are; the rule's name and `.md` follow."
    )
    retirements: Mapping[Name, Moment] = setting(
        {}, "When models go, as their vendors have announced: `openai/gpt-4o-2024-05-13: 2027-…`."
    )

    @field_validator("rules")
    @classmethod
    def _are_known(cls, rules: Mapping[str, RuleTuning]) -> Mapping[str, RuleTuning]:
        for name in rules:
            if name not in DEFAULTS:
                raise refusal(
                    f"names a rule that there is not: `{name}`",
                    allowed=tuple(DEFAULTS),
                    nearest=nearest(name, DEFAULTS),
                )
        return rules

    def value(self, console: str | None = None) -> AlertSettings:
        """As the control process knows it; links go to `console`, if there is one."""
        usual = RuleTuning()
        tuning = {name: self.rules.get(name, usual) for name in DEFAULTS}
        return AlertSettings(
            rules=tuple(
                each.tuned(DEFAULTS[name])
                for name, each in tuning.items()
                if each.enabled and self.enabled
            ),
            sinks={name: sink.value() for name, sink in self.sinks.items()},
            terms=Terms(self.repeat, runbooks=self.runbooks, console=console or ""),
            silences=tuple(
                Silence(each.until, each.rule, dict(each.labels), why=each.why)
                for each in self.silence
            ),
            retirements=self.retirements,
        )


def _revealed(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal()
