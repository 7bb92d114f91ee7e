"""A conversation in no vendor's words: what every format is read into and written from.

A format that is asked in another one is read into an `Ask` and written from it; the answer comes
back as a `Reply`, or, streamed, as a sequence of deltas. So each format knows these words and none
knows another. What a request says that these words cannot is kept in `extra` or as `Foreign`,
under the name it had, so that nothing is lost unseen: whoever writes it in another format tells it
as dropped.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from tidegate.types import Usage

Json = dict[str, Any]

# Parts of a turn


class Text(Struct, frozen=True):
    """Text. `cache` is Anthropic's `cache_control`; `notes` are annotations or citations."""

    text: str
    cache: Json | None = None
    notes: tuple[Json, ...] = ()


class Image(Struct, frozen=True):
    """An image by `url`, or as base64 `data` with its `media_type`, or by a provider's file id."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    file_id: str | None = None
    detail: str | None = None
    cache: Json | None = None


class File(Struct, frozen=True):
    """A document: as base64 `data`, by `url`, by a provider's file id, or as plain `text`."""

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    media_type: str | None = None
    name: str | None = None
    cache: Json | None = None


class Audio(Struct, frozen=True):
    """Sound as base64; `kind` is `wav`, `mp3` and so on."""

    data: str
    kind: str


class ToolUse(Struct, frozen=True):
    """The model calls a tool; `arguments` is JSON text as the model wrote it.

    `signature` is what some providers want back with the call (Gemini's `thoughtSignature`).
    """

    id: str
    name: str
    arguments: str
    signature: str | None = None
    cache: Json | None = None


class ToolResult(Struct, frozen=True):
    """What a tool gave; `name` is known to some formats only (`""` if not)."""

    id: str
    parts: tuple[Part, ...]
    failed: bool = False
    name: str = ""
    cache: Json | None = None


class Thinking(Struct, frozen=True):
    """Reasoning: its text and the signature by which its provider knows it again.

    `redacted` holds what came encrypted instead; `id` is the Responses format's item id.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None


class Refusal(Struct, frozen=True):
    """The model's own words why it does not answer."""

    text: str


class Foreign(Struct, frozen=True):
    """A part that only its own format knows, as it stood there."""

    format: str
    value: Json


Part = Text | Image | File | Audio | ToolUse | ToolResult | Thinking | Refusal | Foreign


class Turn(Struct, frozen=True):
    """One message. Instructions are turns of the role `system`, wherever they stand."""

    role: Literal["system", "user", "assistant"]
    parts: tuple[Part, ...]
    name: str | None = None


# What shapes an answer


class Tool(Struct, frozen=True):
    """A function that the model may call; `schema` is the JSON schema of its arguments."""

    name: str
    description: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    cache: Json | None = None


class ForeignTool(Struct, frozen=True):
    """A tool that the provider runs itself, as its own format says it."""

    format: str
    value: Json


class ToolChoice(Struct, frozen=True):
    """Whether tools are called: `tool` means the one of that `name`."""

    mode: Literal["auto", "none", "any", "tool"]
    name: str | None = None


class JsonOutput(Struct, frozen=True):
    """The answer is to be JSON: any object, or one that fits `schema`."""

    schema: Json | None = None
    name: str | None = None
    strict: bool | None = None
    description: str | None = None


class Reasoning(Struct, frozen=True):
    """How much to think: `effort` (`none` to `xhigh`) or a budget; whether to show it.

    `summary` is the Responses format's word for how to show it; `adaptive` Anthropic's for a model
    that decides by itself.
    """

    effort: str | None = None
    budget_tokens: int | None = None
    show: bool | None = None
    summary: str | None = None
    adaptive: bool = False


class Ask(Struct, frozen=True):
    """A request. None is what the caller did not say."""

    model: str
    turns: tuple[Turn, ...]
    tools: tuple[Tool | ForeignTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output: JsonOutput | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str | None = None
    service_tier: str | None = None
    stream: bool = False
    wants_usage: bool = True
    extra: Json = {}
    """Fields at the top that these words do not know, under their own names."""


# What comes back

Finish = Literal["stop", "length", "tool_calls", "content_filter", "refusal", "pause", "other"]
"""Why an answer ended. `stop` includes a stop sequence; `pause` is to be continued by the caller;
`other` is a reason with no common word."""


class Said(Struct, frozen=True):
    """One choice of an answer.

    `logprobs` are OpenAI's `content` entries; `stop_sequence` is the one that ended it, if known.
    """

    parts: tuple[Part, ...]
    finish: Finish
    stop_sequence: str | None = None
    logprobs: tuple[Json, ...] | None = None


class Reply(Struct, frozen=True):
    """A whole answer. `created` is Unix time in seconds."""

    id: str | None
    model: str | None
    choices: tuple[Said, ...]
    usage: Usage | None
    created: int | None = None


# What comes back in a stream. Deltas of one choice come in the order of its parts: a delta of
# another kind, or of another tool, ends the part before it.


class Began(Struct, frozen=True):
    """The first delta of every stream. `usage` is what some providers tell of the input here."""

    id: str | None
    model: str | None
    created: int | None = None
    usage: Usage | None = None


class TextDelta(Struct, frozen=True):
    """More text; `notes` are annotations or citations that came with it."""

    text: str
    choice: int = 0
    logprobs: tuple[Json, ...] | None = None
    notes: tuple[Json, ...] = ()


class ThinkingDelta(Struct, frozen=True):
    """More reasoning; its signature comes with the last one. See `Thinking`."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    choice: int = 0


class RefusalDelta(Struct, frozen=True):
    """More of a refusal."""

    text: str
    choice: int = 0


class ToolBegan(Struct, frozen=True):
    """A call of a tool begins; `index` counts the calls of the choice from 0."""

    index: int
    id: str
    name: str
    signature: str | None = None
    choice: int = 0


class ToolDelta(Struct, frozen=True):
    """More of a call's arguments: a piece of JSON text."""

    index: int
    arguments: str
    choice: int = 0


class Finished(Struct, frozen=True):
    """A choice is complete."""

    finish: Finish
    stop_sequence: str | None = None
    choice: int = 0


class Used(Struct, frozen=True):
    """What the answer used, in whole: each one replaces what was told before."""

    usage: Usage


Delta = Began | TextDelta | ThinkingDelta | RefusalDelta | ToolBegan | ToolDelta | Finished | Used
