"""What every provider that is reached over HTTP has: addresses, connections, health, accounts."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic_core import CoreSchema

from tidegate.config.addresses import checked_base_url, chosen_proxy, is_refused
from tidegate.config.secrets import Secret
from tidegate.config.settings import Name, Settings, required, setting
from tidegate.config.surroundings import ExistingFile, Surroundings, refusal, surroundings
from tidegate.config.units import Duration, Share, Span, Wait

Balance = Literal[
    "weighted", "least_outstanding", "peak_ewma", "sticky_conversation", "sticky_prefix"
]

_OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})
"""Headers that frame the message: whoever sets them twice smuggles."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_PATH = re.compile(r"/[!-~]{0,500}")


class Tls(Settings):
    """How the provider's certificate is verified."""

    ca: ExistingFile | None = setting(
        None, "PEM file of certificate authorities to trust instead of the built-in ones."
    )

    @field_validator("ca")
    @classmethod
    def _holds_certificates(cls, path: Path | None) -> Path | None:
        try:
            if path is not None:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:  # every ssl.SSLError is one
            raise refusal("holds no certificates in PEM form") from error
        return path


class Address(Settings):
    """One of several servers that answer for the provider; may be written as its URL alone."""

    url: str = required("Base URL of the server, with its version path.")
    weight: Annotated[int, Field(ge=1, le=1_000_000)] = setting(
        1, "Share of the requests, relative to the other servers' weights."
    )

    @field_validator("url")
    @classmethod
    def _is_a_base_url(cls, value: str) -> str:
        return checked_base_url(value)


class _OneOrMore:
    """Tells the JSON schema of the short forms that `_listed` understands."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """An address, or a list of addresses and of sections."""
        several = handler(schema)
        several["items"] = {"anyOf": [{"type": "string"}, several["items"]]}
        return {"anyOf": [{"type": "string"}, several]}


def _listed(value: object) -> object:
    """The addresses in their long form."""
    if isinstance(value, str):
        return [{"url": value}]
    if isinstance(value, list):
        return [
            {"url": each} if isinstance(each, str) else each for each in cast("list[object]", value)
        ]
    return value


Addresses = Annotated[
    tuple[Address, ...],
    Field(strict=False, min_length=1),
    BeforeValidator(_listed),
    _OneOrMore(),
]
"""One server or several."""


class HealthRules(Settings):
    """When one of several servers is left out, and let in again."""

    probe: str | None = setting(
        None,
        "Path, from the server's root, that is asked for regularly; `none` for none. "
        "By default what the kind of server is known to have.",
    )
    interval: Wait = setting("5s", "Time between two probes of a server.")
    timeout: Wait = setting("2s", "Time that a probe may take.")
    failures: Annotated[int, Field(ge=1, le=1000)] = setting(
        5, "Failed requests in a row, or failed probes, after which a server is left out."
    )
    ejection: Span = setting(
        "10s..5m", "How long it is left out: doubled each time in a row, up to the second."
    )
    max_ejected: Share = setting("50%", "Share of the servers that failed requests may leave out.")
    slow_start: Duration = setting(
        "30s", "Time in which one that was let in again comes back to its full share."
    )

    @field_validator("probe")
    @classmethod
    def _is_a_path(cls, value: str | None) -> str | None:
        if value not in {None, "none"} and not _PATH.fullmatch(str(value)):
            raise refusal(
                "is not a path",
                allowed=("/health", "none"),
                nearest="/" + str(value) if _PATH.fullmatch(f"/{value}") else None,
            )
        return value


class Upstream(Settings):
    """A provider that is reached over HTTP."""

    # Their types are each kind's own; they stand here for their place before the others.
    kind: Any = required("What speaks there.")
    allow_private: bool = setting(
        False, "Whether its address may be private, link-local or this machine itself."
    )
    base_url: Any = required("Address of the API, with its version path.")
    headers: Mapping[str, Secret] = setting(
        {}, "More headers to send with every request; values may be references to secrets."
    )
    traceparent: bool | None = setting(
        None,
        "Whether it is told each request's place in a trace, by `traceparent` and `tracestate`; by "
        "default where `allow_private` says that it is one's own.",
    )
    proxy: Secret | None = setting(
        "env",
        "HTTP proxy to go through: a URL, `env` for HTTPS_PROXY and NO_PROXY, `none` for none.",
    )
    tls: Tls = setting({}, "How the provider's certificate is verified.")
    max_connections: Annotated[int, Field(ge=1, le=65535)] = setting(
        1024, "Most connections open to each of its servers at once, for each gateway process."
    )
    balance: Balance = setting(
        "weighted",
        "How one of several servers is chosen: by weight, by requests under way, by expected "
        "latency (`peak_ewma`), or so that a conversation, or prompts that begin alike, stay with "
        "the same one.",
    )
    health: HealthRules = setting({}, "When one of several servers is left out.")
    passthrough: bool = setting(
        False,
        "Whether callers may reach its API as it is, below `/passthrough/NAME/`; a key with "
        "`models` needs `passthrough/NAME` among them.",
    )

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The servers that answer for it."""
        return self.base_url

    @field_validator("base_url")
    @classmethod
    def _is_meant(
        cls, addresses: tuple[Address, ...] | None, info: ValidationInfo
    ) -> tuple[Address, ...] | None:
        if info.data.get("allow_private") is False:
            for address in addresses or ():
                if is_refused(address.url):
                    raise refusal(
                        "is a private or reserved address, which is refused; if it is meant, say "
                        "`allow_private: true` on the provider"
                    )
        return addresses

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
        return checked_headers(headers)

    @field_validator("proxy", mode="before")
    @classmethod
    def _resolve_proxy(cls, value: object, info: ValidationInfo) -> Secret | None:
        # Where an address depends on settings that come later, any public one stands for it.
        addresses: tuple[Address, ...] | None = info.data.get("base_url", ())
        urls = [each.url for each in addresses] if addresses else []
        if addresses is None:
            urls.append("https://vendor.example")
        return _one_proxy(value, urls, surroundings(info)) if urls else None


def checked_headers(headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
    """`headers` if they may be sent. Raises: a pydantic refusal."""
    for name in headers:
        if _HEADER_NAME.fullmatch(name) is None:
            raise refusal(f"has a name that is not an HTTP header's: `{name}`")
        if name.casefold() in _OUR_HEADERS:
            raise refusal(f"cannot set `{name}`, which the gateway sets itself")
    return headers


def _one_proxy(value: object, urls: list[str], around: Surroundings) -> Secret | None:
    chosen = [chosen_proxy(value, url, around) for url in urls]
    if any(each != chosen[0] for each in chosen):
        raise refusal(
            "follows the environment, which has different proxies for the servers of this provider",
            allowed=("none", "http://HOST:PORT"),
        )
    return chosen[0]


class Account(Settings):
    """One of several accounts with the provider."""

    name: Name = required("Name of the account in logs and on the status board; never its key.")
    api_key: Secret = required("The account's key; a reference such as `${env:KEY_EU}`.")


class Keyed(Upstream):
    """A provider that knows us by a key, or by several."""

    api_key: Secret | None = setting(
        None, "Key of the account; a reference such as `${env:OPENAI_API_KEY}`."
    )
    accounts: Annotated[tuple[Account, ...], Field(strict=False)] = setting(
        (), "Several accounts instead of `api_key`, used evenly by what is left of each."
    )

    @field_validator("accounts")
    @classmethod
    def _are_the_only_keys(
        cls, accounts: tuple[Account, ...], info: ValidationInfo
    ) -> tuple[Account, ...]:
        if accounts and info.data.get("api_key") is not None:
            raise refusal("stands beside `api_key`; put that key into this list, or remove one")
        names = [account.name for account in accounts]
        for name in names:
            if names.count(name) > 1:
                raise refusal(f"has two accounts called `{name}`")
        return accounts

    @property
    def keys(self) -> tuple[tuple[str, str | None], ...]:
        """Name and key of every account; a provider without any key has one without."""
        if self.accounts:
            return tuple((each.name, each.api_key.reveal()) for each in self.accounts)
        return (("default", self.api_key.reveal() if self.api_key else None),)
