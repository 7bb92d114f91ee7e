"""What each generation of Claude takes: newer ones refuse fields that older ones need.

Only translation asks here; what passes through is the caller's business. A model whose name is not
Claude's is a server that speaks the same format, and gets what all of them understand.

Source: platform.claude.com/docs, "Thinking", "Effort", "Structured outputs" and the migration
guides of each model.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from msgspec import Struct

_NAME = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)"
)
_ALWAYS_THINK = ("fable", "mythos")

Version = tuple[int, int]


class Traits(Struct, frozen=True):
    """What one model takes."""

    sampling: Literal["all", "one", "none"] = "all"
    """Whether `temperature`, `top_p` and `top_k` are taken; `one`: not the first two together."""
    thinking: Literal["none", "budget", "adaptive"] = "budget"
    off: Literal["unsaid", "disabled", "between_tools", "never"] = "disabled"
    """How thinking is switched off: by saying nothing, by a type, or not at all."""
    efforts: tuple[str, ...] = ()
    """The levels of `output_config.effort`, from least to most."""
    forced_tools: bool = True
    """Whether a call of a tool can be demanded."""
    schemas: bool = False
    """Whether an answer can be held to a JSON schema, and a tool's arguments to theirs."""


@lru_cache(maxsize=1024)
def traits(model: str) -> Traits:
    """What `model` takes, told by its name; a Claude without a number counts as the newest."""
    name = model.lower()
    if "claude" not in name:
        return Traits()
    found = _NAME.search(name)
    if found is None:
        return _traits("fable", (99, 0))
    family = found["family"] or next(
        (each for each in ("opus", "sonnet", "haiku") if each in name), ""
    )
    return _traits(family, (int(found["major"]), int(found["minor"] or 0)))


def _traits(family: str, version: Version) -> Traits:
    always = family in _ALWAYS_THINK
    return Traits(
        sampling=_sampling(always, version),
        thinking=_thinking(always, version),
        off=_off(family, version),
        efforts=_efforts(family, version),
        forced_tools=version < ((5, 1) if always else (5, 5)) or family == "haiku",
        schemas=version >= (4, 5) or (family, version) == ("opus", (4, 1)),
    )


def _sampling(always: bool, version: Version) -> Literal["all", "one", "none"]:
    if always or version >= (4, 7):
        return "none"
    return "one" if version >= (4, 1) else "all"


def _thinking(always: bool, version: Version) -> Literal["none", "budget", "adaptive"]:
    if always or version >= (4, 6):
        return "adaptive"
    return "budget" if version >= (3, 7) else "none"


def _off(family: str, version: Version) -> Literal["unsaid", "disabled", "between_tools", "never"]:
    if family in _ALWAYS_THINK or (family == "opus" and version >= (5, 5)):
        return "never"
    if version < (5, 0):
        return "unsaid"
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"


def _efforts(family: str, version: Version) -> tuple[str, ...]:
    if family in _ALWAYS_THINK or version >= (4, 7):
        return ("low", "medium", "high", "xhigh", "max")
    if version >= (4, 6):
        return ("low", "medium", "high", "max")
    return ("low", "medium", "high") if (family, version) == ("opus", (4, 5)) else ()
