"""Settings of where records go besides the store: OTLP, webhook, ClickHouse, Parquet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from tidegate.config.addresses import chosen_proxy, is_refused
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, Settings, required, setting
from tidegate.config.surroundings import AnyPath, refusal, surroundings
from tidegate.config.units import Share, Wait
from tidegate.config.upstream import Address, Tls, Upstream, checked_headers
from tidegate.control.sinks import settings as sinks
from tidegate.net.urls import parse_base_url
from tidegate.telemetry.attributes import Place
from tidegate.telemetry.otlp import PATH

_KINDS: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""What OpenTelemetry's conventions call a kind of provider, where they have a name of their own."""


_DAY_S = 86_400
_Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class _Receiver(Settings):
    """Whatever is sent to."""

    allow_private: bool = setting(
        False, "Whether its address may be private, link-local or this machine itself."
    )
    # Each has its own type; it stands here for its place before the proxy.
    endpoint: Any = required("Where it is sent to.")
    headers: Mapping[str, Secret] = setting(
        {}, "More headers to send, such as `authorization`; values may be references to secrets."
    )
    tls: Tls = setting({}, "How the receiver's certificate is verified.")
    proxy: Secret | None = setting(
        "env",
        "HTTP proxy to go through: a URL, `env` for HTTPS_PROXY and NO_PROXY, `none` for none.",
    )

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
        return checked_headers(headers)

    @field_validator("proxy", mode="before")
    @classmethod
    def _resolve_proxy(cls, value: object, info: ValidationInfo) -> Secret | None:
        endpoint: str | Secret | None = info.data.get("endpoint")
        url = endpoint.reveal() if isinstance(endpoint, Secret) else endpoint
        return chosen_proxy(value, _plain(url), surroundings(info)) if url else None

    def receiver(self, url: str) -> sinks.Receiver:
        """Who is at `url`, as the control process knows it."""
        parts = urlsplit(url)
        return sinks.Receiver(
            origin=f"{parts.scheme}://{parts.netloc}",
            path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            headers={name.lower(): value.reveal() for name, value in self.headers.items()},
            allow_private=self.allow_private,
            ca=self.tls.ca,
            proxy=self.proxy.reveal() if self.proxy is not None else None,
        )


class Traces(_Receiver):
    """Where traces of requests are sent, by OTLP over HTTP."""

    endpoint: str | None = setting(
        None,
        "Address of a receiver of OTLP, such as `https://HOST:4318`; `/v1/traces` is added unless "
        "it ends so. Nothing is sent if not given.",
    )
    sample: Share = setting("100%", "The share of traces that are sent, chosen by their ids.")
    errors: bool = setting(True, "Whether requests that did not end well are sent in any case.")
    content: bool = setting(
        False, "Whether prompts and answers go along, of requests whose records keep them."
    )
    service: Name = setting("tidegate", "The `service.name` that they are sent under.")

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        _check(value, value, info, "https://HOST:4318")
        return value.rstrip("/").removesuffix(PATH) + PATH

    def value(self, providers: Mapping[str, Any]) -> sinks.Traces | None:
        """As the control process knows it; `providers` are the sections by name."""
        if self.endpoint is None:
            return None
        return sinks.Traces(
            to=self.receiver(self.endpoint),
            sample=self.sample,
            errors=self.errors,
            content=self.content,
            service=self.service,
            places={name: _place(each) for name, each in providers.items()},
        )


class WebhookExport(_Receiver):
    """Records as lines of JSON, many in one request, to any receiver."""

    kind: Literal["webhook"] = required("Lines of JSON, signed if there is a `secret`.")
    endpoint: Secret = required("Where they are sent to, or a reference to it.")
    secret: Secret | None = setting(None, "What they are signed with: HMAC-SHA256.")
    bodies: bool = setting(
        False, "Whether prompts and answers go along, of requests whose records keep them."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: Secret, info: ValidationInfo) -> Secret:
        _check(value.reveal(), _plain(value.reveal()), info, "https://HOST/PATH")
        return value

    def value(self) -> sinks.Webhook:
        """As the control process knows it."""
        return sinks.Webhook(
            to=self.receiver(self.endpoint.reveal()),
            secret=None if self.secret is None else self.secret.reveal(),
            bodies=self.bodies,
        )


class ClickHouseExport(_Receiver):
    """Records as rows of a table in ClickHouse, over HTTP; the table is made if it is not there."""

    kind: Literal["clickhouse"] = required("Rows of a table in ClickHouse.")
    endpoint: Secret = required("Its HTTP interface, such as `https://HOST:8443`.")
    user: Secret = setting("default", "Whom it knows us as.")
    password: Secret | None = setting(None, "That user's password; a reference to it.")
    database: _Identifier = setting("default", "Database, which has to be there.")
    table: _Identifier = setting("tidegate_records", "Table.")
    ttl: Wait | None = setting(
        None, "How long it keeps rows, in whole days; set when the table is made, and not later."
    )
    bodies: bool = setting(
        False, "Whether prompts and answers go along, of requests whose records keep them."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: Secret, info: ValidationInfo) -> Secret:
        _check(value.reveal(), _plain(value.reveal()), info, "https://HOST:8443")
        return value

    def value(self) -> sinks.ClickHouse:
        """As the control process knows it."""
        to = self.receiver(self.endpoint.reveal())
        who = {"x-clickhouse-user": self.user.reveal()}
        if self.password is not None:
            who["x-clickhouse-key"] = self.password.reveal()
        return sinks.ClickHouse(
            to=replace(to, headers=who | dict(to.headers)),
            database=self.database,
            table=self.table,
            ttl_days=_days(self.ttl),
            bodies=self.bodies,
        )


class ParquetExport(Settings):
    """Records as Parquet files in a directory, by day and hour; needs `tidegate[parquet]`."""

    kind: Literal["parquet"] = required("Parquet files.")
    directory: AnyPath = required("Where `date=…/hour=…/part-….parquet` are written.")
    every: Wait = setting("5m", "How old a record gets at most before it is written.")
    rows: Annotated[int, Field(ge=1, le=1_000_000)] = setting(50_000, "Most records in a file.")
    keep: Wait | None = setting(
        None, "How long files are kept, in whole days; for ever if not set."
    )
    bodies: bool = setting(
        False, "Whether prompts and answers go along, of requests whose records keep them."
    )

    def value(self) -> sinks.Parquet:
        """As the control process knows it."""
        return sinks.Parquet(self.directory, self.rows, self.every, _days(self.keep), self.bodies)


Export = Annotated[WebhookExport | ClickHouseExport | ParquetExport, Field(discriminator="kind")]


def sinks_of(
    traces: Traces, exports: Mapping[str, Export], providers: Mapping[str, Any]
) -> sinks.Sinks:
    """All of them, by the names that their places in the store have."""
    told: dict[str, sinks.Settings] = {}
    told_as = traces.value(providers)
    if told_as is not None:
        told["traces"] = told_as
    return told | {f"exports.{name}": each.value() for name, each in exports.items()}


def _days(wait_s: float | None) -> int | None:
    return None if wait_s is None else max(1, math.ceil(wait_s / _DAY_S))


def _plain(url: str) -> str:
    """`url` without its query, which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{parts.path}"


def _check(whole: str, plain: str, info: ValidationInfo, example: str) -> None:
    try:
        parse_base_url(plain)
    except ValueError:  # not chained, and not repeated: it may hold a secret
        raise refusal("is not the address of a receiver", allowed=(example,)) from None
    if not (whole.isascii() and whole.isprintable()) or " " in whole or "#" in whole:
        raise refusal("is not the address of a receiver", allowed=(example,))
    if info.data.get("allow_private") is False and is_refused(plain):
        raise refusal(
            "is a private or reserved address, which is refused; if it is meant, say "
            "`allow_private: true` beside it"
        )


def _place(provider: Any) -> Place:
    kind: str = provider.kind
    addresses: tuple[Address, ...] = provider.addresses if isinstance(provider, Upstream) else ()
    name = _KINDS.get(kind, kind)
    if len(addresses) != 1:
        return Place(name)
    at = parse_base_url(addresses[0].url)
    return Place(name, at.host, at.port)
