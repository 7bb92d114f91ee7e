"""Every setting of Tidegate, typed, described and frozen.

Units are resolved when the file is read: an attribute is seconds where the file has a duration,
bytes where it has a size, nano-dollars per million tokens where it has a price. What one section
takes over from another (a target's timeouts from its alias, an alias's `records` from the top) is
resolved here too, so that nobody merges anything later. Rules between sections stand in
`agreement`, because they need the lines of both.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar, cast

from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from tidegate.config.addresses import is_loopback
from tidegate.config.provider import Provider
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, Port, Settings, required, setting
from tidegate.config.surroundings import AnyPath, ExistingFile, refusal, surroundings
from tidegate.config.units import Duration, PerMillion, Share, Size, Span, Wait, parse_duration

Bodies = Literal["none", "metadata", "full"]

_SQLITE = "sqlite:///"
_Section = TypeVar("_Section", bound=Settings)


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
    keepalive: Wait = setting("75s", "Time an idle connection of a caller is kept open.")
    drain: Duration = setting("30s", "Time that running requests have to finish at shutdown.")
    tls: ServerTls | None = setting(None, "Serve HTTPS with this certificate.")


class Control(Settings):
    """Where the control process listens."""

    host: Name = setting("127.0.0.1", "Address the control process listens on.")
    port: Port = setting(8081, "Port the control process listens on; 0 takes a free one.")


class Spool(Settings):
    """The files that records wait in on their way to the store."""

    directory: AnyPath = setting(".tidegate/spool", "Directory of the segments.")
    segment: Size = setting("16MiB", "Size at which a new segment is begun.")
    pending_limit: Size = setting(
        "64MiB", "Most bytes held in memory while the disk refuses; above it requests are refused."
    )


class Records(Settings):
    """What is kept of each request."""

    bodies: Bodies = setting(
        "metadata",
        "`metadata` keeps figures and parameters, `full` prompts and answers too, `none` neither.",
    )


class Log(Settings):
    """The log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least level written.")


class Key(Settings):
    """A caller's key."""

    name: Name = required("Name of the key in records; never the key itself.")
    secret: Secret = required("The key that callers send; a reference such as `${env:WEB_KEY}`.")
    team: Name | None = setting(None, "Team that the key's requests are counted for.")
    models: Annotated[tuple[Name, ...], Field(strict=False)] | None = setting(
        None, "Aliases that the key may use, `*` standing for anything; all if not given."
    )


class Timeout(Settings):
    """How long each phase of a request may take."""

    connect: Wait = setting("2s", "Until a connection to the provider stands.")
    first_token: Wait = setting("30s", "From sending the request until the first token.")
    idle: Wait = setting("30s", "Longest silence in the middle of an answer.")
    total: Wait = setting("300s", "The whole request, with all attempts.")


class Price(Settings):
    """What tokens cost at a target."""

    input: PerMillion = required("Price of input tokens, such as `$0.15/M`.")
    output: PerMillion = required("Price of output tokens.")
    cached_input: PerMillion | None = setting(
        None, "Price of input tokens read from the provider's cache; as `input` if not given."
    )
    cache_write: PerMillion | None = setting(
        None, "Price of input tokens written to the provider's cache; as `input` if not given."
    )
    reasoning: PerMillion | None = setting(
        None, "Price of reasoning tokens; as `output` if not given."
    )


class Target(Settings):
    """A provider's model that may answer."""

    provider: Name = required("Name of a provider from `providers`.")
    model: Name = required("The provider's own name of the model; `*` passes the caller's on.")
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = setting(
        1, "Share of the requests, relative to the other targets' weights."
    )
    timeout: Timeout = setting({}, "Timeouts of this target, where they differ from the alias's.")
    price: Price | None = setting(None, "What its tokens cost; unknown if not given.")


class OutputTokens(Settings):
    """How long answers may be."""

    default: Annotated[int, Field(ge=1)] | None = setting(
        None, "Limit asked for when the caller names none."
    )
    max: Annotated[int, Field(ge=1)] | None = setting(
        None, "Ceiling; a caller's higher limit is lowered to it."
    )


class Retry(Settings):
    """When a failed try is made again at the same target."""

    attempts: Annotated[int, Field(ge=1, le=10)] = setting(
        3, "Tries at one target at most, the first one included."
    )
    backoff: Span = setting(
        "200ms..5s", "Longest pause before the first new try, which doubles up to the second."
    )
    budget: Share = setting(
        "10%", "New tries for each first one at most, so that an outage does not multiply load."
    )


class Breaker(Settings):
    """When a failing target is left alone for a while."""

    failures: Annotated[int, Field(ge=1, le=10_000)] = setting(
        5, "Failures in a row after which the target rests."
    )
    share: Share = setting("50%", "Share of failures within the window after which it rests.")
    window: Wait = setting("30s", "The window that the share is counted over.")
    min_requests: Annotated[int, Field(ge=1, le=100_000)] = setting(
        20, "Requests within the window below which the share says nothing."
    )
    cooldown: Wait = setting("10s", "How long it rests; twice as long each time it fails again.")
    max_cooldown: Wait = setting("5m", "How long it rests at most.")

    probes: Annotated[int, Field(ge=1, le=100)] = setting(
        1, "Requests at a time that find out whether it has recovered."
    )

    @field_validator("max_cooldown")
    @classmethod
    def _is_the_longer_one(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("cooldown", 0.0):
            raise refusal("is shorter than `cooldown`")
        return value


class Hedge(Settings):
    """When a second target is asked because the first is slow."""

    after: str = setting(
        "p95", "Time without a first token: a percentile of the target's recent times, or a wait."
    )
    least: Wait = setting("100ms", "Shortest time to wait, whatever the percentile says.")
    max_share: Share = setting("5%", "Requests that may be hedged at most.")
    max_cost: Share = setting("5%", "Cost that hedging may add at most.")

    @field_validator("after")
    @classmethod
    def _is_a_percentile_or_a_wait(cls, value: str) -> str:
        if not re.fullmatch(r"p[1-9]\d?", value):
            try:
                parse_duration(value)
            except ValueError as error:
                raise refusal(
                    "is neither a percentile nor a duration", allowed=("p95", "800ms")
                ) from error
        return value

    @property
    def percentile(self) -> float | None:
        """The percentile as a share, if it is one."""
        return int(self.after[1:]) / 100 if self.after.startswith("p") else None

    @property
    def after_s(self) -> float | None:
        """The wait in seconds, if it is one."""
        return None if self.after.startswith("p") else parse_duration(self.after)


Names = Annotated[tuple[Name, ...], Field(strict=False)]


class Elsewhere(Settings):
    """Where to go on when a particular kind of failure was met; may be written as a list."""

    fallback: Names = setting((), "Aliases to try in turn.")

    @model_validator(mode="before")
    @classmethod
    def _from_a_list(cls, value: object) -> object:
        if isinstance(value, list):
            return {"fallback": cast("list[object]", value)}
        return value


class OnOverflow(Elsewhere):
    """What to do when the conversation is too long for the model; may be written as a list."""

    truncate: Literal["none", "oldest"] = setting(
        "none", "Whether to leave out the oldest turns (never instructions) and try again."
    )


class OnMalformed(Elsewhere):
    """What to do with an answer that is not what was asked for; may be written as a list."""

    check: bool = setting(
        True, "Whether tool arguments and JSON answers are checked against what was asked for."
    )
    repairs: Annotated[int, Field(ge=0, le=5)] = setting(
        0, "How often the model is told its mistake and asked again."
    )
    streams: Literal["pass", "hold"] = setting(
        "pass",
        "`hold` keeps streams whose format is checked back until they are complete; `pass` lets "
        "them through unchecked.",
    )


class Degraded(Settings):
    """What is answered when nothing else could."""

    text: str | None = setting(
        None, "Text to answer with, as if the model had said it; an error if not given."
    )


class Commit(Settings):
    """How long an answer may go on without content before the next target is tried."""

    bytes: Size = setting("256KiB", "Most bytes that are held back.")


class Alias(Settings):
    """A model name that callers ask for."""

    timeout: Timeout = setting({}, "How long each phase of a request may take.")
    targets: Annotated[tuple[Target, ...], Field(strict=False, min_length=1)] = required(
        "Provider's models that may answer, chosen by weight."
    )
    fallback: Names = setting((), "Aliases to try in turn when no target of this one could answer.")
    on_context_overflow: OnOverflow = setting(
        {}, "Where to go on when the conversation is too long for the model."
    )
    on_content_filter: Elsewhere = setting(
        {}, "Where to go on when a provider's content filter stops the answer."
    )
    on_malformed: OnMalformed = setting(
        {}, "What to do with an answer that is not what was asked for."
    )
    degraded: Degraded = setting({}, "What is answered when nothing else could.")
    retry: Retry = setting({}, "When a failed try is made again at the same target.")
    breaker: Breaker | None = setting(
        {}, "When a failing target is left alone for a while; `null` for never."
    )
    hedge: Hedge | None = setting(
        None, "When a second target is asked because the first is slow; never if not given."
    )
    commit: Commit = setting({}, "How much is held back before the first content.")
    unsupported: Literal["drop", "error"] = setting(
        "drop", "Whether fields that a target's format has no word for are dropped or refused."
    )
    output_tokens: OutputTokens = setting({}, "How long answers may be.")
    allow_floating: bool = setting(
        False, "Whether targets may have names such as `latest`, whose model changes unseen."
    )
    records: Records = setting({}, "What is kept of requests to this alias.")

    @field_validator("targets")
    @classmethod
    def _inherit_timeouts(
        cls, targets: tuple[Target, ...], info: ValidationInfo
    ) -> tuple[Target, ...]:
        timeout: Timeout | None = info.data.get("timeout")
        if timeout is None:  # it is wrong itself, which is told already
            return targets
        return tuple(
            target.model_copy(update={"timeout": _over(timeout, target.timeout)})
            for target in targets
        )


class Responses(Settings):
    """What is kept so that a caller may go on with an earlier response."""

    store: bool = setting(
        False,
        "Whether prompts and answers of the Responses format are kept for `previous_response_id`; "
        "if not, only providers that keep them themselves can go on.",
    )
    retention: Wait = setting("30d", "How long they are kept.")


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
    store: str = setting(
        "sqlite:///.tidegate/tidegate.db",
        "SQLite database of the records: `sqlite:///PATH`, relative to this file or absolute.",
    )
    shared: Secret | None = setting(
        None,
        "Redis or Valkey by which gateways tell each other which targets rest: `redis://HOST:PORT`,"
        " or a reference to it; taken over at a restart.",
    )
    spool: Spool = setting({}, "The files that records wait in on their way to the store.")
    records: Records = setting({}, "What is kept of each request.")
    responses: Responses = setting(
        {}, "What is kept so that a caller may go on with an earlier response."
    )
    log: Log = setting({}, "The log on standard error.")
    secrets: Secrets = setting({}, "How secrets that stand elsewhere are kept up to date.")
    keys: Annotated[tuple[Key, ...], Field(strict=False)] = setting((), "The callers' keys.")
    anonymous: Annotated[bool, WithJsonSchema({"type": "boolean"})] = setting(
        None,
        "Whether callers without a key are served; by default only if there are no keys and the "
        "gateway listens on this machine alone.",
    )
    providers: Mapping[Name, Provider] = setting({}, "Where models are served, by name.")
    models: Mapping[Name, Alias] = setting({}, "The model names that callers ask for.")

    _file: Path = PrivateAttr(default_factory=Path)
    _version: str = PrivateAttr("")

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
    def _locate_store(cls, value: str, info: ValidationInfo) -> str:
        place = value.removeprefix(_SQLITE)
        if place == value or not place or "\0" in place:
            raise refusal("must be a SQLite database", allowed=("sqlite:///PATH",), nearest=None)
        return _SQLITE + str(surroundings(info).locate(place))

    @field_validator("shared")
    @classmethod
    def _is_redis(cls, value: Secret | None) -> Secret | None:
        if value is not None and not value.reveal().startswith(
            ("redis://", "rediss://", "unix://")
        ):
            raise refusal(
                "is not the address of a Redis", allowed=("redis://HOST:PORT", "rediss://HOST:PORT")
            )
        return value

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
            name: alias.model_copy(update={"records": _over(records, alias.records)})
            for name, alias in models.items()
        }


def _over(ground: _Section, own: _Section) -> _Section:
    """`ground` with whatever `own` was given in the file."""
    return ground.model_copy(
        update={name: getattr(own, name) for name in sorted(own.model_fields_set)}
    )
