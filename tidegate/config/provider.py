"""Where models are served: one class for each `kind` of provider, and their union."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tidegate.config.shape import kinds_of, sections_of
from tidegate.config.sidecars import LOCAL_MODELS, LocalProvider, SimulatedProvider
from tidegate.config.upstream import Account, Address, HealthRules, Keyed, Upstream
from tidegate.config.vendors import (
    AnthropicProvider,
    AzureProvider,
    BedrockProvider,
    CompatibleProvider,
    GeminiProvider,
    OpenAIProvider,
    Quirks,
    VertexProvider,
)

__all__ = [
    "KINDS",
    "LOCAL_MODELS",
    "Account",
    "Address",
    "AnthropicProvider",
    "AzureProvider",
    "BedrockProvider",
    "CompatibleProvider",
    "GeminiProvider",
    "HealthRules",
    "Keyed",
    "LocalProvider",
    "OpenAIProvider",
    "Provider",
    "Quirks",
    "SimulatedProvider",
    "Upstream",
    "VertexProvider",
]

Provider = Annotated[
    OpenAIProvider
    | AnthropicProvider
    | AzureProvider
    | BedrockProvider
    | GeminiProvider
    | VertexProvider
    | LocalProvider
    | SimulatedProvider
    | CompatibleProvider,
    Field(discriminator="kind"),
]

KINDS = tuple(kind for section in sections_of(Provider) for kind in kinds_of(section))
"""Every kind, in the order they are told."""
