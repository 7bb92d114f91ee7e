"""Every setting of Tidegate, typed, described and frozen.

Units are resolved when the file is read: an attribute is seconds where the file has a duration,
bytes where it has a size, nano-dollars per million tokens where it has a price. What one section
takes over from another (a target's timeouts from its alias, an alias's `records` from the top) is
resolved here too, so that nobody merges anything later. Rules between sections stand in
`agreement`, because they need the lines of both.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tidegate.config.addresses import is_loopback
from tidegate.config.alerts import Alerts
from tidegate.config.alias import Alias, Records
from tidegate.config.exports import Export, Traces
from tidegate.config.limits import Key, LimitRule, Organisation, Owner, Team
from tidegate.config.provider import Provider
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, OrWritten, Port, Settings, over, required, setting
from tidegate.config.surroundings import AnyPath, ExistingFile, refusal, surroundings
from tidegate.config.units import Duration, Share, Size, Wait
from tidegate.limits import Kind, Limits, Rule
from tidegate.net.urls import parse_base_url

_SQLITE = "sqlite:///"
_ORIGIN = ("https://tidegate.example.com",)
_POSTGRES = ("postgresql://", "postgresql+psycopg://")


class ServerTls(Settings):
    """The certificate that the gateway shows to its callers."""

    certificate: ExistingFile = required("PEM file with the certificate and its chain.")
    key: ExistingFile = required("PEM file with the private key.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        try:
            # With a password an encrypted key is an error, and not a question at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
                self.certificate, self.key, password=""
            )
        except OSError as error:  # every ssl.SSLError is one
            raise refusal(
                "is not a certificate in PEM form with its own private key, unencrypted"
            ) from error
        return self


class Server(Settings):
    """Where and how the gateway listens."""

    host: Name = setting("127.0.0.1", "Address to listen on; `0.0.0.0` for every interface.")
    port: Port = setting(8080, "Port to listen on; 0 takes a free one.")
    workers: Annotated[int, Field(ge=1, le=256)] = setting(
        1, "Gateway processes; one for each core that they may use."
    )
    body_limit: Size = setting("32MiB", "Longest request body accepted.")
    header_limit: Size = setting("32KiB", "Longest request line and headers accepted.")
    read_timeout: Wait = setting("30s", "Time a caller has to send its headers and its body.")
    max_lag: Wait | None = setting(
        "250ms",
        "How late a gateway process may be with its work for a while before it refuses a part of "
        "the new requests; `null` refuses none.",
    )
    keepalive: Wait = setting("75s", "Time an idle connection of a caller is kept open.")
    drain: Duration = setting("30s", "Time that running requests have to finish at shutdown.")
    tls: ServerTls | None = setting(None, "Serve HTTPS with this certificate.")


class Control(Settings):
    """Where the control process listens."""

    host: Name = setting("127.0.0.1", "Address the control process listens on.")
    port: Port = setting(8081, "Port the control process listens on; 0 takes a free one.")
    url: str | None = setting(
        None,
        "Where people reach the console from other machines, through whatever stands in front: "
        "`https://HOST`. Alerts carry links to it; with `https` its cookie never goes without.",
    )

    @field_validator("url")
    @classmethod
    def _is_an_origin(cls, value: str | None) -> str | None:
        if value is None:
            return None
        value = value.rstrip("/")
        try:
            base = parse_base_url(value)
        except ValueError as error:
            raise refusal(f"is not the address of a site: {error}", allowed=_ORIGIN) from error
        if base.path:
            raise refusal("must end with its host or port", allowed=_ORIGIN)
        return value


class Spool(Settings):
    """The files that records wait in on their way to the store."""

    directory: AnyPath = setting(".tidegate/spool", "Directory of the segments.")
    segment: Size = setting(
        "16MiB", "Size at which a new segment is begun; so is one after a minute."
    )
    pending_limit: Size = setting(
        "64MiB", "Most bytes held in memory while the disk refuses; above it requests are refused."
    )


class Log(Settings):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level written.")


class Responses(Settings):
    """What is kept so that a caller may go on with an earlier response."""

    store: bool = setting(
        False,
        "Whether prompts and answers of the Responses format are kept for `previous_response_id`; "
        "if not, only providers that keep them themselves can go on.",
    )
    retention: Wait = setting("30d", "How long they are kept.")


class Shared(Settings):
    """What gateways share, and what happens when they cannot; may be written as its `url`."""

    url: Secret = required("`redis://HOST:PORT`, `rediss://…`, or a reference to it.")
    timeout: Wait = setting("50ms", "Longest that a request waits for an answer.")
    on_loss: Literal["fail_closed", "fail_open"] = setting(
        "fail_closed",
        "While it is lost, what a limit covers is refused, or counted by each gateway on its own.",
    )
    share: Share = setting(
        "10%",
        "With `fail_open`, the part of each limit that one gateway process may use alone; all "
        "processes' parts together should not be more than the whole.",
    )

    @model_validator(mode="before")
    @classmethod
    def _from_a_url(cls, value: object) -> object:
        return {"url": value} if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _is_redis(cls, value: Secret) -> Secret:
        if not value.reveal().startswith(("redis://", "rediss://", "unix://")):
            raise refusal(
                "is not the address of a Redis", allowed=("redis://HOST:PORT", "rediss://HOST:PORT")
            )
        return value


class Ledger(Settings):
    """How money is counted where it is not plain."""

    unpriced: Literal["refuse", "allow"] = setting(
        "refuse",
        "What happens to a request that a budget covers, at a target without a price: it is "
        "refused, or it costs nothing.",
    )
    lost: Literal["upper", "delivered", "zero"] = setting(
        "upper",
        "What is charged for a request whose gateway process was killed: the upper bound that was "
        "held, what had been delivered, or nothing.",
    )
    output_tokens: Annotated[int, Field(ge=1)] = setting(
        4096, "Limit on an answer that a budget covers, where neither caller nor alias names one."
    )


class Retention(Settings):
    """How long what is stored stays; for ever where it is `null`."""

    records: Wait | None = setting("90d", "Records, and what people said of their answers.")
    bodies: Wait | None = setting(
        "30d", "Prompts and answers in records, where these are kept; never longer than `records`."
    )
    untold: Wait | None = setting(
        "30d",
        "How much longer records stay that an export has not been told of, because it is down; "
        "`null` keeps them until it was.",
    )
    rollups: Wait | None = setting("800d", "Sums of tokens and money, by which spending is shown.")
    audit: Wait | None = setting(None, "Who changed what.")


class Secrets(Settings):
    """How secrets that stand elsewhere are kept up to date."""

    refresh: Wait | None = setting(
        None,
        "How often references to secrets are looked up again; a changed one is taken over as by a "
        "reload. Never, but for reloads, if not given.",
    )


class Config(Settings):
    """The whole configuration."""

    server: Server = setting({}, "Where and how the gateway listens.")
    control: Control = setting({}, "Where the control process listens.")
    store: Secret = setting(
        "sqlite:///.tidegate/tidegate.db",
        "Database of the records: `sqlite:///PATH`, relative to this file or absolute, or "
        "`postgresql://USER:PASSWORD@HOST/DATABASE`.",
    )
    shared: Annotated[Shared | None, OrWritten({"type": "string", "title": "Secret"})] = setting(
        None,
        "Redis or Valkey that gateways share limits and resting targets by; may be written as its "
        "`url` alone. Taken over at a restart.",
    )
    spool: Spool = setting({}, "The files that records wait in on their way to the store.")
    records: Records = setting({}, "What is kept of each request.")
    responses: Responses = setting(
        {}, "What is kept so that a caller may go on with an earlier response."
    )
    log: Log = setting({}, "The log on standard error.")
    secrets: Secrets = setting({}, "How secrets that stand elsewhere are kept up to date.")
    ledger: Ledger = setting({}, "How money is counted where it is not plain.")
    retention: Retention = setting({}, "How long what is stored stays.")
    alerts: Alerts = setting({}, "Who is told when something is wrong.")
    traces: Traces = setting({}, "Where traces of requests are sent, by OTLP over HTTP.")
    exports: Mapping[Name, Export] = setting(
        {}, "Where records are sent besides the store, by name."
    )
    keys: Annotated[tuple[Key, ...], Field(strict=False)] = setting((), "The callers' keys.")
    teams: Mapping[Name, Team] = setting({}, "Teams that keys belong to, by name.")
    organisations: Mapping[Name, Organisation] = setting({}, "Organisations, by name.")
    limits: Annotated[tuple[LimitRule, ...], Field(strict=False)] = setting(
        (), "Limits on other scopes: users, features, aliases, providers, conversations."
    )
    anonymous: Annotated[bool, WithJsonSchema({"type": "boolean"})] = setting(
        None,
        "Whether callers without a key are served; by default only if there are no keys, none was "
        "deleted, and the gateway listens on this machine alone.",
    )
    providers: Mapping[Name, Provider] = setting({}, "Where models are served, by name.")
    models: Mapping[Name, Alias] = setting({}, "The model names that callers ask for.")

    _file: Path = PrivateAttr(default_factory=Path)
    _version: str = PrivateAttr("")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """Every limit that stands in the file, wherever it was written."""
        owners: list[tuple[Kind, str, Owner]] = [
            *(("key", key.name, key) for key in self.keys),
            *(("team", name, team) for name, team in self.teams.items()),
            *(("organisation", name, each) for name, each in self.organisations.items()),
        ]
        own = (Rule(kind, owner.values(), name) for kind, name, owner in owners)
        return tuple(
            rule
            for rule in (*own, *(each.rule() for each in self.limits))
            if rule.limits != Limits()
        )

    @property
    def file(self) -> Path:
        """The file it was read from."""
        return self._file

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits that change when the content does, comments aside."""
        return self._version

    def remember(self, file: Path, version: str) -> None:
        """Note where it came from; `load` does, once."""
        self._file = file
        self._version = version

    @field_validator("store")
    @classmethod
    def _locate_store(cls, value: Secret, info: ValidationInfo) -> Secret:
        url = value.reveal()
        if url.startswith(_POSTGRES):
            return value
        place = url.removeprefix(_SQLITE)
        if place == url or not place or "\0" in place:
            raise refusal(
                "must be a SQLite or PostgreSQL database",
                allowed=("sqlite:///PATH", "postgresql://USER:PASSWORD@HOST/DATABASE"),
                nearest=None,
            )
        located = _SQLITE + str(surroundings(info).locate(place))
        return Secret(located, value.source, value.written())

    @field_validator("anonymous", mode="before")
    @classmethod
    def _decide_anonymous(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            return value
        server: Server | None = info.data.get("server")
        return not info.data.get("keys") and server is not None and is_loopback(server.host)

    @field_validator("models")
    @classmethod
    def _inherit_records(
        cls, models: Mapping[str, Alias], info: ValidationInfo
    ) -> Mapping[str, Alias]:
        records: Records | None = info.data.get("records")
        if records is None:
            return models
        return {
            name: alias.model_copy(update={"records": over(records, alias.records)})
            for name, alias in models.items()
        }
