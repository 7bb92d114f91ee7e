"""Vendors of models, and servers that speak the way they do: one class for each way to know us."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, cast

from pydantic import Field, field_validator, model_validator

from tidegate.config.secrets import Document, Secret
from tidegate.config.settings import Name, Settings, required, setting
from tidegate.config.surroundings import refusal
from tidegate.config.upstream import Address, Addresses, Keyed, Upstream
from tidegate.providers.compatible import ROWS

CompatibleKind = Literal[
    "together",
    "groq",
    "deepseek",
    "mistral",
    "openrouter",
    "fireworks",
    "cerebras",
    "xai",
    "vllm",
    "sglang",
    "tgi",
    "ollama",
    "llamacpp",
    "lmstudio",
]

OutputField = Literal["max_tokens", "max_completion_tokens"]

_API_VERSION = re.compile(r"v1|\d{4}-\d{2}-\d{2}(-preview)?")
_REGION = re.compile(r"[a-z0-9-]{2,40}")


class Quirks(Settings):
    """What the operator knows better of a server than its kind says."""

    output_field: OutputField | None = setting(
        None, "The field of a chat request that bounds its output."
    )
    refuses: Annotated[frozenset[Name], Field(strict=False)] | None = setting(
        None, "Fields that it does not take; they are left out, and told."
    )
    message_fields: Annotated[frozenset[Name], Field(strict=False)] | None = setting(
        None, "The only fields that it takes in a message; others are left out, and told."
    )
    reasoning_field: Literal["reasoning", "reasoning_content"] | None = setting(
        None, "The field in which it wants the reasoning of earlier answers."
    )
    developer: bool | None = setting(
        None, "Whether it knows the role `developer`; if not, it is told as `system`."
    )
    several: bool | None = setting(None, "Whether it gives more than one choice (`n`).")
    stream_usage: bool | None = setting(
        None, "Whether it knows `stream_options.include_usage`; if not, that is left out."
    )
    json_schema: Literal["native", "value", "object"] | None = setting(
        None,
        "How it is asked for JSON by a schema: as OpenAI is (`native`), as TGI is (`value`), or "
        "by JSON mode with the schema in the instructions (`object`).",
    )

    @property
    def known(self) -> dict[str, Any]:
        """The quirks that were given, by their name in `providers.compatible.Row`."""
        return {
            name: value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


class OpenAIProvider(Keyed):
    """OpenAI, or any other server that speaks its API."""

    kind: Literal["openai"] = required("OpenAI, or any other server that speaks its API.")
    base_url: Addresses = setting(
        "https://api.openai.com/v1",
        "Address of the API, with its version path; or a list of such, each an address or "
        "`{url: …, weight: …}`.",
    )
    api: Literal["chat", "responses"] | None = setting(
        None,
        "The API that it is asked in; if not given, the caller's own where it has that one, else "
        "`chat`.",
    )
    quirks: Quirks = setting({}, "What is different about this server.")

    @property
    def own(self) -> bool:
        """Whether it is OpenAI itself."""
        return all(each.url.startswith("https://api.openai.com/") for each in self.base_url)


class CompatibleProvider(Keyed):
    """A vendor or server that speaks OpenAI's API with differences that are known."""

    kind: CompatibleKind = required(
        "A vendor or server that speaks OpenAI's API with differences that are known."
    )
    base_url: Addresses = Field(
        default_factory=lambda data: cast("Any", ROWS[data["kind"]].base_url),
        validate_default=True,
        description="Address of the API, with its version path, or a list of such, each an address "
        "or `{url: …, weight: …}`; if not given, the vendor's own, or the usual port of this "
        "machine.",
    )
    api: Literal["chat", "responses"] | None = setting(
        None,
        "The API that it is asked in; if not given, the caller's own where it has that one, else "
        "`chat`.",
    )
    quirks: Quirks = setting({}, "What is different about this server.")

    @model_validator(mode="after")
    def _is_known_by_a_key(self) -> Self:
        return self if ROWS[self.kind].local else _with_key(self)


class AzureProvider(Keyed):
    """Azure OpenAI. The targets' models are the names of deployments."""

    kind: Literal["azure"] = required("Azure OpenAI; the targets' models are its deployments.")
    base_url: Addresses = required(
        "Address of the resource, `https://NAME.openai.azure.com`; or a list of such."
    )
    api_version: str = setting(
        "v1", "`v1` for the newer surface, or a dated version such as `2024-10-21`."
    )
    token: Secret | None = setting(
        None, "Access token of Entra ID, sent as a bearer token instead of a key."
    )

    @field_validator("base_url")
    @classmethod
    def _is_a_resource(cls, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
        for address in addresses:
            root, slash, _ = address.url.partition("/openai")
            if slash:
                raise refusal("has a path, which the gateway adds itself", nearest=root)
        return addresses

    @field_validator("api_version")
    @classmethod
    def _is_a_version(cls, value: str) -> str:
        if _API_VERSION.fullmatch(value) is None:
            raise refusal("is not a version of the API", allowed=("v1", "2024-10-21"), nearest="v1")
        return value

    @model_validator(mode="after")
    def _is_known_by_something(self) -> Self:
        return self if self.token is not None else _with_key(self, " or `token`")


class AnthropicProvider(Keyed):
    """Anthropic's Messages API."""

    kind: Literal["anthropic"] = required("Anthropic's Messages API.")
    base_url: Addresses = setting(
        "https://api.anthropic.com/v1",
        "Address of the API, with its version path; or a list of such.",
    )
    version: Name = setting("2023-06-01", "Value of the `anthropic-version` header.")

    @model_validator(mode="after")
    def _is_known_by_a_key(self) -> Self:
        return _with_key(self)


class GeminiProvider(Keyed):
    """Google's Gemini API, as AI Studio gives keys for."""

    kind: Literal["gemini"] = required("Google's Gemini API, as AI Studio gives keys for.")
    base_url: Addresses = setting(
        "https://generativelanguage.googleapis.com/v1beta",
        "Address of the API, with its version path; or a list of such.",
    )

    @model_validator(mode="after")
    def _is_known_by_a_key(self) -> Self:
        return _with_key(self)


class VertexProvider(Upstream):
    """Google's models on Vertex AI."""

    kind: Literal["vertex"] = required("Google's models on Vertex AI.")
    base_url: Addresses | None = setting(
        None, "Address of the API, with its version path; if not given, the location's own."
    )
    project: Name = required("The Google Cloud project.")
    location: Name = required("The region, such as `europe-west4`, or `global`.")
    credentials: Document | None = setting(
        None,
        "Service account's key in JSON, as a reference such as `${file:/run/secrets/vertex.json}`; "
        "if not given, the application default credentials.",
    )

    @field_validator("location")
    @classmethod
    def _is_a_location(cls, value: str) -> str:
        return _region(value, ("europe-west4", "us-central1", "global"))

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The servers; the location's own if none is given."""
        host = "aiplatform.googleapis.com"
        own = host if self.location == "global" else f"{self.location}-{host}"
        return self.base_url or (Address(url=f"https://{own}/v1"),)


class BedrockProvider(Upstream):
    """Models on Amazon Bedrock, by its Converse API."""

    kind: Literal["bedrock"] = required("Models on Amazon Bedrock, by its Converse API.")
    base_url: Addresses | None = setting(
        None, "Address of the API; if not given, the region's own."
    )
    region: Name = required("The AWS region, such as `eu-central-1`.")
    access_key_id: Secret | None = setting(None, "Access key; with `secret_access_key`.")
    secret_access_key: Secret | None = setting(None, "Secret key; with `access_key_id`.")
    session_token: Secret | None = setting(None, "Session token of temporary keys.")
    api_key: Secret | None = setting(
        None, "Bedrock API key, sent as a bearer token instead of a signature."
    )
    profile: Name | None = setting(
        None,
        "Profile of the AWS configuration; if no credentials are given at all, AWS's default chain "
        "finds them.",
    )

    @field_validator("region")
    @classmethod
    def _is_a_region(cls, value: str) -> str:
        return _region(value, ("us-east-1", "eu-central-1"))

    @model_validator(mode="after")
    def _is_known_in_one_way(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            absent = "access_key_id" if self.access_key_id is None else "secret_access_key"
            raise refusal(f"needs `{absent}` too: the two keys go together")
        if self.session_token is not None and self.access_key_id is None:
            raise refusal("has a `session_token` without the keys it belongs to")
        if self.base_url is not None and len(self.base_url) > 1 and self.api_key is None:
            raise refusal("has several addresses, but a signature is good for one host only")
        given = [
            name
            for name in ("access_key_id", "api_key", "profile")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise refusal(f"has both `{given[0]}` and `{given[1]}`; keep one of them")
        return self

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The servers; the region's own if none is given."""
        suffix = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        return self.base_url or (Address(url=f"https://bedrock-runtime.{self.region}.{suffix}"),)


def _region(value: str, forms: tuple[str, ...]) -> str:
    """`value`, which becomes a part of a host's name."""
    if _REGION.fullmatch(value) is None:
        raise refusal("is not the name of a region", allowed=forms)
    return value


def _with_key(provider: Keyed, other: str = "") -> Any:
    """`provider`, if it has what the vendor knows its customers by."""
    named = {name.casefold() for name in provider.headers}
    if provider.keys[0][1] is None and not named & {"authorization", "x-api-key", "api-key"}:
        raise refusal(f"needs `api_key`, `accounts`{other}: the vendor asks for a key")
    return provider
