"""What vendors charge, as the package `genai-prices` lists it.

Its data is read without running the package's `__init__`, which imports an HTTP client: that one
has no place in the data plane. Nothing is ever fetched; newer prices come with a newer package.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module, metadata
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING, Final, cast

from tidegate.ledger.listed import Schedule, schedule

if TYPE_CHECKING:
    from genai_prices.types import Provider

PACKAGE: Final = "genai_prices"

VENDORS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex": "google",
    "bedrock": "aws",
    "together": "together",
    "groq": "groq",
    "deepseek": "deepseek",
    "mistral": "mistral",
    "openrouter": "openrouter",
    "fireworks": "fireworks",
    "cerebras": "cerebras",
    "xai": "x-ai",
}
"""The vendor in the list that a kind of provider is."""


class Catalogue:
    """The list of one version of the package."""

    def __init__(self, providers: Iterable[Provider], version: str) -> None:
        self._providers = list(providers)
        self._by_id = {each.id: each for each in self._providers}
        self._version = version

    def vendor(self, kind: str, urls: Iterable[str] = ()) -> str | None:
        """The vendor's name in the list of a provider of `kind` at `urls`.

        Who speaks like OpenAI elsewhere, or like a server that one may run oneself, is known by its
        address only; servers of different vendors are none's.
        """
        if kind in VENDORS and kind != "openai":
            return VENDORS[kind]
        found = {self._at(url) for url in urls}
        if not found and kind == "openai":
            return "openai"
        return found.pop() if len(found) == 1 else None

    def _at(self, url: str) -> str | None:
        return next((p.id for p in self._providers if re.match(p.api_pattern, url)), None)

    def find(self, vendor: str, model: str) -> Schedule | None:
        """The prices of `model` at `vendor`, by the package's own rules of matching names.

        Looks through the vendor's models one by one: whoever asks often keeps the answer.
        """
        provider = self._by_id[vendor]
        if model.startswith(("publishers/", "projects/", "models/")):  # Google's long names
            model = model.rpartition("/")[2]
        found = provider.find_model(model, all_providers=self._providers)
        if found is None:
            return None
        label = f"genai-prices {self._version} {vendor}/{found.id}"
        # The package, too, has variants only for a vendor's own models.
        own = any(found is each for each in provider.models)
        return schedule(found, found.price_variants or [] if own else [], label)


@cache
def bundled() -> Catalogue:
    """The list of the installed package; read once, which takes about an eighth of a second."""
    if PACKAGE in sys.modules:  # somebody else's, whole
        return _catalogue()
    spec = find_spec(PACKAGE)
    if spec is None:
        raise ModuleNotFoundError(PACKAGE)
    sys.modules[PACKAGE] = module_from_spec(spec)  # not executed: its `__init__` does not run
    try:
        return _catalogue()
    finally:  # whoever imports the package later gets it whole
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]


def _catalogue() -> Catalogue:
    providers = cast("list[Provider]", import_module(f"{PACKAGE}.data").providers)
    return Catalogue(providers, metadata.version(PACKAGE))
