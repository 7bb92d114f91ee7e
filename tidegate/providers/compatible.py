"""Servers that speak OpenAI's API, each a row of data with what is different about it.

A vendor is added as one row of `ROWS`, with the page that says so. What a server refuses is taken
out of a request by `adapt`, which tells what it was; what it merely ignores is told too where that
changes the answer. Fields that nobody here has heard of always pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr, replace

Api = Literal["chat", "responses"]

CHAT: Final = ("chat", "completions", "embeddings")
"""The formats that nearly every such server speaks."""

_NEW_AT_OPENAI: Final = frozenset(
    {
        "audio",
        "metadata",
        "modalities",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "verbosity",
        "web_search_options",
    }
)
"""What servers that check every field do not know, unless their row says otherwise."""


class Row(Struct, frozen=True):
    """How one kind of server differs from OpenAI's own API."""

    kind: str
    base_url: str
    """Where it is, with its version path; empty when only the operator knows."""
    local: bool = False
    """Whether it runs on the operator's own machines: `allow_private` has to be said."""
    api: Api = "chat"
    """What other formats are translated to."""
    native: tuple[str, ...] = CHAT
    """The callers' formats that are passed on as they are."""
    output_field: str = "max_tokens"
    """The field of a chat request that bounds its output."""
    renames: Mapping[str, str] = {}
    """Fields that it has under another name."""
    refuses: frozenset[str] = frozenset()
    """Fields that it answers with an error, or that it leaves out of account unseen."""
    message_fields: frozenset[str] | None = None
    """What a message may have; None is anything."""
    reasoning_field: Literal["", "reasoning", "reasoning_content"] = ""
    """The field in which it wants earlier reasoning back; empty leaves it where it is."""
    developer: bool = False
    """Whether it knows the role `developer`; otherwise it is told as `system`."""
    several: bool = True
    """Whether it gives more than one choice (`n`)."""
    stream_usage: bool = True
    """Whether it knows `stream_options.include_usage`; others send usage unasked, or never."""
    json_schema: Literal["native", "value", "object"] = "native"
    """How JSON by a schema is asked for: as at OpenAI, as TGI does, or in words, unenforced."""
    health: str | None = None
    """The path, from the server's root, that says whether it is well."""
    adapts: bool = False
    """Whether `adapt` has anything to do. Worked out here."""

    def __post_init__(self) -> None:
        """Work out `adapts`."""
        plain = (
            self.developer
            and self.several
            and self.stream_usage
            and self.json_schema == "native"
            and self.message_fields is None
            and not (self.refuses or self.renames or self.reasoning_field)
        )
        force_setattr(self, "adapts", not plain)


_DEFAULTS: Final[dict[str, object]] = {
    "parallel_tool_calls": True,
    "logprobs": False,
    "store": False,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "service_tier": "auto",
    "logit_bias": {},
    "metadata": {},
    "modalities": ["text"],
    "annotations": [],
    "tool_calls": [],
}
"""Values that say what is so anyway."""

_OUTPUT: Final = {"max_completion_tokens": "max_tokens"}
_STRICT_MESSAGE: Final = frozenset({"role", "content", "tool_calls", "tool_call_id"})

ROWS: Final[dict[str, Row]] = {
    row.kind: row
    for row in (
        # OpenAI's reasoning models refuse `max_tokens`.
        # platform.openai.com/docs/api-reference/chat/create
        Row(
            "openai",
            "https://api.openai.com/v1",
            native=(*CHAT, "responses"),
            output_field="max_completion_tokens",
            developer=True,
        ),
        # docs.together.ai/docs/openai-api-compatibility
        Row("together", "https://api.together.xyz/v1", renames=_OUTPUT),
        # Unknown fields are a 400, in messages too; `n` must be 1.
        # console.groq.com/docs/openai, console.groq.com/docs/api-reference; for earlier reasoning
        # in messages: github.com/janhq/jan/issues/8136
        Row(
            "groq",
            "https://api.groq.com/openai/v1",
            native=("chat", "embeddings"),
            output_field="max_completion_tokens",
            refuses=_NEW_AT_OPENAI | {"logprobs", "top_logprobs", "logit_bias"},
            message_fields=_STRICT_MESSAGE,
            several=False,
        ),
        # `developer` and `json_schema` are a 400; JSON mode wants the word "json" in the prompt.
        # api-docs.deepseek.com/api/create-chat-completion, api-docs.deepseek.com/guides/json_mode,
        # github.com/earendil-works/pi/issues/1048, github.com/llm-exe/llm-exe/issues/662
        Row(
            "deepseek",
            "https://api.deepseek.com/v1",
            native=("chat", "embeddings"),
            renames=_OUTPUT,
            refuses=frozenset({"logit_bias", "seed", "parallel_tool_calls"}),
            reasoning_field="reasoning_content",
            several=False,
            json_schema="object",
        ),
        # Extra fields are a 422. Usage comes in the last chunk unasked.
        # docs.mistral.ai/api, github.com/mistralai/platform-docs-public/issues/7; and for the
        # output field github.com/editor-code-assistant/eca/issues/231, for the usage of streams
        # and the seed github.com/posit-dev/chatlas/pull/145
        Row(
            "mistral",
            "https://api.mistral.ai/v1",
            native=("chat", "embeddings"),
            renames=_OUTPUT | {"seed": "random_seed", "dimensions": "output_dimension"},
            refuses=(_NEW_AT_OPENAI - {"metadata", "prediction"})
            | {
                "logit_bias",
                "logprobs",
                "top_logprobs",
                "user",
                "service_tier",
                "functions",
                "function_call",
            },
            message_fields=_STRICT_MESSAGE | {"prefix"},
            stream_usage=False,
        ),
        # Comments (`: OPENROUTER PROCESSING`) keep the stream awake; errors come inside it.
        # openrouter.ai/docs/api-reference/streaming, openrouter.ai/docs/api-reference/errors,
        # openrouter.ai/docs/use-cases/reasoning-tokens
        Row(
            "openrouter",
            "https://openrouter.ai/api/v1",
            reasoning_field="reasoning",
            developer=True,
        ),
        # docs.fireworks.ai/tools-sdks/openai-compatibility
        Row(
            "fireworks",
            "https://api.fireworks.ai/inference/v1",
            renames=_OUTPUT,
            reasoning_field="reasoning_content",
        ),
        # Refused with 400. `system` has the weight that `developer` has at OpenAI.
        # inference-docs.cerebras.ai/resources/openai, github.com/Kilo-Org/kilocode/issues/10375
        Row(
            "cerebras",
            "https://api.cerebras.ai/v1",
            output_field="max_completion_tokens",
            refuses=_NEW_AT_OPENAI | {"frequency_penalty", "presence_penalty", "logit_bias"},
            message_fields=_STRICT_MESSAGE | {"name"},
            several=False,
        ),
        # `max_tokens` is deprecated, `logit_bias` unsupported.
        # docs.x.ai/docs/api-reference
        Row(
            "xai",
            "https://api.x.ai/v1",
            native=(*CHAT, "responses"),
            output_field="max_completion_tokens",
            refuses=frozenset({"logit_bias"}),
        ),
        # Roles are the chat template's, and few templates have `developer`.
        # docs.vllm.ai/en/latest/serving/openai_compatible_server.html
        Row("vllm", "http://127.0.0.1:8000/v1", local=True, health="/health"),
        # docs.sglang.ai/basic_usage/openai_api_completions.html
        Row(
            "sglang",
            "http://127.0.0.1:30000/v1",
            local=True,
            reasoning_field="reasoning_content",
            health="/health",
        ),
        # `n` and `logit_bias` are read and unused, the latter as a list, so that a mapping fails.
        # huggingface.co/docs/text-generation-inference/messages_api,
        # huggingface.co/docs/text-generation-inference/basic_tutorials/using_guidance,
        # github.com/huggingface/text-generation-inference/blob/main/router/src/lib.rs
        Row(
            "tgi",
            "http://127.0.0.1:3000/v1",
            local=True,
            renames=_OUTPUT,
            refuses=frozenset({"logit_bias"}),
            several=False,
            json_schema="value",
            health="/health",
        ),
        # docs.ollama.com/api/openai-compatibility: not in its list of fields
        Row(
            "ollama",
            "http://127.0.0.1:11434/v1",
            local=True,
            renames=_OUTPUT,
            refuses=frozenset({"logit_bias", "parallel_tool_calls"}),
            reasoning_field="reasoning",
            several=False,
            health="/api/version",
        ),
        # github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
        Row(
            "llamacpp",
            "http://127.0.0.1:8080/v1",
            local=True,
            reasoning_field="reasoning_content",
            health="/health",
        ),
        # lmstudio.ai/docs/developer/openai-compat/chat-completions
        Row(
            "lmstudio",
            "http://127.0.0.1:1234/v1",
            local=True,
            renames=_OUTPUT,
            reasoning_field="reasoning_content",
            several=False,
            health="/v1/models",
        ),
    )
}
"""The table, by kind."""

ANY: Final = Row("openai", "", developer=True)
"""A server of which only the operator knows what it is: nothing of a request is changed."""


def row_for(
    kind: str, *, own: bool = True, api: Api | None = None, quirks: Mapping[str, Any] | None = None
) -> Row:
    """The row of `kind` as an operator has it.

    `own` says that the address is the vendor's own: of another server behind `kind: openai` nothing
    is known. `api` is the only one of its two APIs that is to be used. `quirks` are fields of `Row`
    that the operator knows better.
    """
    row = ROWS[kind] if own or kind != "openai" else ANY
    changes = dict(quirks or {})
    if api is not None:
        changes["api"] = api
        if api == "responses":
            changes["native"] = ("responses", "embeddings")
        else:
            changes["native"] = tuple(each for each in row.native if each != "responses")
    return replace(row, **changes) if changes else row


def adapt(body: dict[str, Any], row: Row, api: str) -> list[str]:
    """Take out of `body`, which is changed, what a server of `row` does not take.

    What its values hold is copied before it is changed: it is the caller's. Comes back: the fields
    whose loss may change the answer, as paths.
    """
    dropped = _without_fields(body, row)
    if api == "responses":
        return dropped
    if not row.stream_usage:
        body.pop("stream_options", None)  # not told: usage is the gateway's wish
    if api != "chat":
        return dropped
    if not row.several and body.get("n") is not None and body.pop("n") != 1:
        dropped.append("n")
    if row.json_schema != "native":
        dropped += _asked_otherwise(body, row)
    if isinstance(body.get("messages"), list):
        body["messages"] = _messages(cast("list[Any]", body["messages"]), row, dropped)
    return dropped


def _without_fields(body: dict[str, Any], row: Row) -> list[str]:
    for name, theirs in row.renames.items():
        if name in body:
            body.setdefault(theirs, body.pop(name))
    if row.refuses.isdisjoint(body):
        return []
    refused = sorted(row.refuses & body.keys())
    return [name for name in refused if _says_something(name, body.pop(name))]


def _says_something(name: str, value: object) -> bool:
    """Whether leaving a field out with this value changes the answer."""
    return value is not None and value != _DEFAULTS.get(name)


def _asked_otherwise(body: dict[str, Any], row: Row) -> list[str]:
    """Ask for JSON by a schema in the server's own way."""
    asked = body.get("response_format")
    if not isinstance(asked, dict):
        return []
    wanted = cast("dict[str, Any]", asked).get("json_schema")
    if not isinstance(wanted, dict):
        return []
    schema: object = cast("dict[str, Any]", wanted).get("schema", {})
    if row.json_schema == "value":
        body["response_format"] = {"type": "json", "value": schema}
        return []
    body["response_format"] = {"type": "json_object"}
    messages = body.get("messages")
    if isinstance(messages, list):
        told = f"Answer with JSON that fits this schema: {msgspec.json.encode(schema).decode()}"
        body["messages"] = [{"role": "system", "content": told}, *cast("list[Any]", messages)]
    return ["response_format.json_schema"]


def _messages(messages: list[Any], row: Row, dropped: list[str]) -> list[Any]:
    """The messages as `row` has them; those that are already, are the same objects."""
    kept: list[Any] = []
    for message in messages:
        if isinstance(message, dict):
            said = cast("dict[str, Any]", message)
            if not row.developer and said.get("role") == "developer":
                said = said | {"role": "system"}
            if row.reasoning_field:
                said = _with_reasoning(said, row.reasoning_field)
            if row.message_fields is not None and not said.keys() <= row.message_fields:
                for name in sorted(said.keys() - row.message_fields):
                    if _says_something(name, said[name]) and f"messages[].{name}" not in dropped:
                        dropped.append(f"messages[].{name}")
                said = {name: said[name] for name in said if name in row.message_fields}
            kept.append(said)
        else:
            kept.append(message)
    return kept


def _with_reasoning(message: dict[str, Any], field: str) -> dict[str, Any]:
    """The message with its reasoning, if it has some, in `field`."""
    other = "reasoning" if field == "reasoning_content" else "reasoning_content"
    if other not in message:
        return message
    moved = dict(message)
    moved.setdefault(field, moved.pop(other))
    return moved
