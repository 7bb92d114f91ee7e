"""Whose format a path is, and which model it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from tidegate.providers.simulated.anthropic.messages import count_tokens, messages
from tidegate.providers.simulated.anthropic.vendor import ANTHROPIC
from tidegate.providers.simulated.bedrock.converse import converse
from tidegate.providers.simulated.bedrock.invoke import invoke
from tidegate.providers.simulated.bedrock.vendor import BEDROCK
from tidegate.providers.simulated.gemini import embeddings as gemini
from tidegate.providers.simulated.gemini.generate import count, generate
from tidegate.providers.simulated.gemini.vendor import GEMINI
from tidegate.providers.simulated.openai.chat import chat
from tidegate.providers.simulated.openai.completions import completions
from tidegate.providers.simulated.openai.embeddings import embeddings
from tidegate.providers.simulated.openai.responses import responses
from tidegate.providers.simulated.openai.vendor import OPENAI
from tidegate.providers.simulated.reply import Reply, Turn
from tidegate.providers.simulated.vendor import Vendor


@dataclass(frozen=True, slots=True)
class Route:
    """What answers a path. `model` is the one that the path names, empty if the body does."""

    vendor: Vendor
    answer: Callable[[Turn], Reply]
    model: str = ""
    streams: bool = False
    method: bytes = b"POST"


@dataclass(frozen=True, slots=True)
class Listing:
    """A path that lists models, or shows the one of this name."""

    vendor: Vendor
    model: str


def _health(turn: Turn) -> Reply:
    """What servers that people run themselves say to a probe; nothing is billed."""
    turn.meter.tag = ""
    return Reply(200, b'{"status":"ok"}')


_OPENAI: Final[Mapping[str, Callable[[Turn], Reply]]] = {
    "/chat/completions": chat,
    "/completions": completions,
    "/embeddings": embeddings,
    "/responses": responses,
}
_ANTHROPIC: Final[Mapping[str, Callable[[Turn], Reply]]] = {
    "/v1/messages": messages,
    "/v1/messages/count_tokens": count_tokens,
}
_OPENAI_ROOTS: Final = ("", "/v1", "/openai/v1", "/api/v1", "/inference/v1", "/v1beta/openai")
_ROOTS: Final = ("", "/anthropic", "/api")
_EXACT: Final[Mapping[str, Route]] = {
    **{root + end: Route(OPENAI, a) for root in _OPENAI_ROOTS for end, a in _OPENAI.items()},
    **{root + end: Route(ANTHROPIC, a) for root in _ROOTS for end, a in _ANTHROPIC.items()},
    **{path: Route(OPENAI, _health, method=b"GET") for path in ("/health", "/api/version")},
}
_GEMINI: Final[Mapping[str, Route]] = {
    "generateContent": Route(GEMINI, generate),
    "streamGenerateContent": Route(GEMINI, generate, streams=True),
    "countTokens": Route(GEMINI, count),
    "embedContent": Route(GEMINI, gemini.embed),
    "batchEmbedContents": Route(GEMINI, gemini.embed_all),
    "predict": Route(GEMINI, gemini.predict),
}
_ON_VERTEX: Final[Mapping[str, Route]] = {
    "rawPredict": Route(ANTHROPIC, messages),
    "streamRawPredict": Route(ANTHROPIC, messages, streams=True),
}
_BEDROCK: Final[Mapping[str, Route]] = {
    "converse": Route(BEDROCK, converse),
    "converse-stream": Route(BEDROCK, converse, streams=True),
    "invoke": Route(BEDROCK, invoke),
}
_AZURE: Final = re.compile(r"/openai/deployments/([^/]+)(/.+)")
_GOOGLE: Final = re.compile(
    r"/v1(?:beta1?|alpha)?/(?:projects/[^/]+/locations/[^/]+/)?"
    r"(?:publishers/(google|anthropic)/)?(?:models|tunedModels)/([^/]+):([A-Za-z]+)"
)
_AMAZON: Final = re.compile(r"/model/([^/]+)/([a-z-]+)")
_LISTS: Final = re.compile(
    r"(/v1beta|/v1alpha|(?:/openai|/api|/inference)?(?:/v1)?)/models(?:/([^:]+))?"
)


def find(path: str) -> Route | Listing | None:
    """What answers `path`, or None where nobody does."""
    if (route := _EXACT.get(path)) is not None:
        return route
    if found := _LISTS.fullmatch(path):
        vendor = GEMINI if found[1] in ("/v1beta", "/v1alpha") else OPENAI
        return Listing(vendor, unquote(found[2] or ""))
    return _with_model(path)


def _with_model(path: str) -> Route | None:
    """The route of a path that names the model."""
    if found := _AZURE.fullmatch(path):
        answer = _OPENAI.get(found[2])
        return Route(OPENAI, answer, unquote(found[1])) if answer else None
    route, model = None, ""
    if found := _GOOGLE.fullmatch(path):
        if found[1] == "anthropic" and found[2] == "count-tokens":
            return Route(ANTHROPIC, count_tokens)
        verbs, model = _ON_VERTEX if found[1] == "anthropic" else _GEMINI, found[2]
        route = verbs.get(found[3])
    elif found := _AMAZON.fullmatch(path):
        route, model = _BEDROCK.get(found[2]), found[1]
    return replace(route, model=unquote(model)) if route else None


def vendor_of(path: str) -> Vendor:
    """Who says that a path is unknown."""
    if path.startswith("/model/"):
        return BEDROCK
    if path.startswith(("/v1beta", "/v1alpha", "/v1/projects")):
        return GEMINI
    return ANTHROPIC if "/messages" in path else OPENAI
