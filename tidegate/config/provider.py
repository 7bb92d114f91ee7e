"""Where models are served: one class for each `kind` of provider."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from tidegate.config.addresses import checked_base_url, chosen_proxy
from tidegate.config.secrets import Secret
from tidegate.config.settings import Port, Settings, required, setting
from tidegate.config.surroundings import ExistingFile, refusal, surroundings

KINDS = ("openai", "local", "simulated")

LOCAL_MODELS = ("smollm2-135m",)
"""Models whose weights come as a package."""


_DELAYS = (
    "200ms",
    "normal:200ms,50ms",
    "uniform:100ms..300ms",
    "lognormal:200ms,0.5",
    "exp:25ms",
)
_LENGTHS = ("64", "normal:64,16", "uniform:16..256", "lognormal:64,0.5", "exp:64")

_OUR_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade"})
"""Headers that frame the message: whoever sets them twice smuggles."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


class ProviderTls(Settings):
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


class OpenAIProvider(Settings):
    """Any server that speaks OpenAI's HTTP API."""

    kind: Literal["openai"] = required("Any server that speaks OpenAI's HTTP API.")
    base_url: str = setting(
        "https://api.openai.com/v1", "Address of the API, with its version path."
    )
    api_key: Secret | None = setting(
        None, "Key sent as a bearer token; a reference such as `${env:OPENAI_API_KEY}`."
    )
    headers: Mapping[str, Secret] = setting(
        {}, "More headers to send with every request; values may be references to secrets."
    )
    allow_private: bool = setting(
        False, "Whether the address may be private, link-local or this machine itself."
    )
    proxy: Secret | None = setting(
        "env",
        "HTTP proxy to go through: a URL, `env` for HTTPS_PROXY and NO_PROXY, `none` for none.",
    )
    tls: ProviderTls = setting({}, "How the provider's certificate is verified.")
    max_connections: Annotated[int, Field(ge=1, le=65535)] = setting(
        1024, "Most connections open to this provider at once, for each gateway process."
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_base_url(cls, value: str) -> str:
        return checked_base_url(value)

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: Mapping[str, Secret]) -> Mapping[str, Secret]:
        for name in headers:
            if _HEADER_NAME.fullmatch(name) is None:
                raise refusal(f"has a name that is not an HTTP header's: `{name}`")
            if name.casefold() in _OUR_HEADERS:
                raise refusal(f"cannot set `{name}`, which the gateway sets itself")
        return headers

    @field_validator("proxy", mode="before")
    @classmethod
    def _resolve_proxy(cls, value: object, info: ValidationInfo) -> Secret | None:
        url = info.data.get("base_url")
        return chosen_proxy(value, url, surroundings(info)) if isinstance(url, str) else None


class LocalProvider(Settings):
    """The embedded model: no key, no network."""

    kind: Literal["local"] = required("The embedded model: no key, no network.")
    model: str = setting(
        "smollm2-135m", "Name of a model that comes as a package; not used if `weights` is given."
    )
    weights: ExistingFile | None = setting(None, "GGUF file with the weights of another model.")
    port: Port | None = setting(None, "Loopback port of its server; a free one if not given.")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = setting(
        None, "Processor threads to compute with; as many as there are cores if not given."
    )
    context: Annotated[int, Field(ge=64, le=10_000_000)] = setting(
        4096, "Tokens of context for each request."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = setting(
        2, "Requests answered at the same time; others wait."
    )

    @field_validator("model")
    @classmethod
    def _is_packaged(cls, value: str) -> str:
        if value not in LOCAL_MODELS:
            raise refusal(
                "is not a model that comes as a package; name its GGUF file in `weights`",
                allowed=LOCAL_MODELS,
                nearest=LOCAL_MODELS[0],
            )
        return value


def _handed_on(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Handed = Annotated[
    str,
    BeforeValidator(_handed_on),
    Field(min_length=1),
    WithJsonSchema({"title": "Distribution", "type": ["string", "integer"]}),
]
"""Text that the simulator itself understands."""


class SimulatedProvider(Settings):
    """Answers made up by rule, with faults on demand, for tests, drills and load."""

    kind: Literal["simulated"] = required("Made-up answers, with faults on demand, for tests.")
    port: Port | None = setting(None, "Loopback port of its server; a free one if not given.")
    seed: int = setting(0, "The same seed gives the same answers.")
    ttft: Handed | None = setting(
        None, "Time to the first token: `200ms`, or a distribution such as `normal:200ms,50ms`."
    )
    gap: Handed | None = setting(None, "Time between two tokens: `25ms`, or a distribution.")
    length: Handed | None = setting(
        None, "Tokens in an answer: `64`, or a distribution such as `uniform:16..256`."
    )

    @field_validator("ttft", "gap", "length")
    @classmethod
    def _is_a_distribution(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        # Only whoever configures a simulator pays for loading it.
        from tidegate.providers.simulated.distribution import (  # noqa: PLC0415
            delays,
            lengths,
        )

        forms = _LENGTHS if info.field_name == "length" else _DELAYS
        try:
            (lengths if info.field_name == "length" else delays)(value)
        except ValueError as error:
            bare = value.isascii() and value.isdecimal() and info.field_name != "length"
            likely = f"{value}ms" if bare else None
            message = "has no unit" if bare else "is not a distribution"
            raise refusal(message, allowed=forms, nearest=likely) from error
        return value


Provider = Annotated[
    OpenAIProvider | LocalProvider | SimulatedProvider, Field(discriminator="kind")
]
