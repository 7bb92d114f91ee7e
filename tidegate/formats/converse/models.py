"""What the models behind Converse take beyond the words they share, told from their ids.

An id names vendor, family and generation (`us.anthropic.claude-sonnet-4-5-20250929-v1:0`); a name
that the account gave itself (an application profile, an imported model) tells nothing, and gets
what most models take. There is a row for each family of which something is refused, for a whole
request fails over one field that its model does not know.

Source: docs.aws.amazon.com/bedrock/latest/userguide: model parameters, prompt caching, structured
output; platform.claude.com/docs: the migration guides of each model.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

from msgspec import Struct

Place = Literal["tools", "system", "messages"]

_CLAUDE: Final = re.compile(r"claude-(?:[a-z]+-)?(\d{1,2})(?:-(\d{1,2}))?(?!\d)")
_ALWAYS_THINK: Final = ("fable", "mythos")
_EVERYWHERE: Final[tuple[Place, ...]] = ("tools", "system", "messages")


class Traits(Struct, frozen=True):
    """What a family of models takes."""

    thinking: Literal["budget", "adaptive", "effort", "nova"] | None = None
    """How reasoning is asked for: Claude's two ways, gpt-oss's word, Nova's object."""
    thinks_unasked: Literal["until_told", "always"] | None = None
    """Whether it reasons although nobody asked, and whether it can be told not to."""
    efforts: tuple[str, ...] = ()
    """The levels of effort, from least to most."""
    forced_tools: bool = True
    """Whether a call of a tool can be demanded."""
    sampling: Literal["all", "one", "none"] = "all"
    """`one` refuses temperature and top_p together, `none` refuses both and top_k."""
    top_k: tuple[str, ...] = ()
    """Where it stands in the additional fields."""
    structured: bool = True
    """Whether output can be bound to a schema, and tool arguments to theirs."""
    cache: tuple[Place, ...] = ()
    """Where cache points may stand."""
    cache_hour: bool = False
    """Whether they may ask for an hour."""
    marks_failure: bool = False
    """Whether a tool's result may say that it failed."""
    one_tool: bool = False
    """Whether calls of several tools at once can be ruled out."""
    stop_told: bool = False
    """Whether the stop sequence that ended an answer can be had."""
    blank_stops: bool = True
    """Whether a stop sequence may be nothing but white space."""


def _claude(generation: tuple[int, int], model: str) -> Traits:
    always = any(family in model for family in _ALWAYS_THINK)
    sampling = "none" if generation >= (4, 7) else "one" if generation >= (4, 1) else "all"
    thinking = None
    efforts: tuple[str, ...] = ()
    if generation >= (4, 6):
        thinking, efforts = "adaptive", ("low", "medium", "high", "max")
        if generation >= (4, 7):
            efforts = ("low", "medium", "high", "xhigh", "max")
    elif generation >= (3, 7):
        thinking = "budget"
    caches = generation >= (3, 5) and "3-5-sonnet-20240620" not in model
    return Traits(
        thinking=thinking,
        thinks_unasked="always" if always else "until_told" if generation >= (5, 0) else None,
        efforts=efforts,
        forced_tools=generation < ((5, 1) if always else (5, 5)) or "haiku" in model,
        sampling=sampling,
        top_k=() if sampling == "none" else ("top_k",),
        structured=generation >= (4, 5),
        cache=_EVERYWHERE if caches else (),
        cache_hour=generation >= (4, 5),
        marks_failure=True,
        one_tool=generation >= (4, 5),
        stop_told=True,
        blank_stops=False,
    )


_NEWEST_CLAUDE: Final = (99, 0)
_OLDEST_CLAUDE: Final = (2, 0)
_EFFORTS: Final = ("low", "medium", "high")
_PLAIN: Final = Traits(structured=False)
_PLAIN_TOP_K: Final = Traits(top_k=("top_k",), structured=False)
_NOVA_TOP_K: Final = ("inferenceConfig", "topK")
_NOVA_CACHE: Final[tuple[Place, ...]] = ("system", "messages")
_ROWS: Final = (
    ("amazon.nova-2", Traits(
        thinking="nova", efforts=_EFFORTS, top_k=_NOVA_TOP_K, structured=False, cache=_NOVA_CACHE,
        marks_failure=True,
    )),
    ("amazon.nova", Traits(
        top_k=_NOVA_TOP_K, structured=False, cache=_NOVA_CACHE, marks_failure=True,
    )),
    ("amazon.", _PLAIN),
    ("meta.", _PLAIN),
    ("ai21.", _PLAIN),
    ("writer.", _PLAIN),
    ("cohere.", Traits(top_k=("k",), structured=False)),
    ("mistral.mistral-7b", _PLAIN_TOP_K),
    ("mistral.mixtral", _PLAIN_TOP_K),
    ("mistral.mistral-large-24", _PLAIN),
    ("mistral.mistral-small-24", _PLAIN),
    ("mistral.pixtral", _PLAIN),
    ("deepseek.r1", _PLAIN),
    ("openai.", Traits(thinking="effort", efforts=_EFFORTS)),
)  # fmt: skip
_OTHERS: Final = Traits()
_NAMED_BY_ACCOUNT: Final = Traits(cache=_EVERYWHERE, cache_hour=True, marks_failure=True)
_NAMES_BY_ACCOUNT: Final = (
    ":application-inference-profile/", ":provisioned-model/", ":custom-model", ":imported-model/",
    ":prompt-router/", ":default-prompt-router/", ":prompt/", ":endpoint/",
)  # fmt: skip


@lru_cache(maxsize=1024)
def traits(model: str) -> Traits:
    """What the model of this id takes; a Claude without a number counts as the newest."""
    if "claude" in model:
        found = _CLAUDE.search(model)
        if found is not None:
            return _claude((int(found[1]), int(found[2] or 0)), model)
        old = "claude-v" in model or "claude-instant" in model
        return _claude(_OLDEST_CLAUDE if old else _NEWEST_CLAUDE, model)
    for marker, row in _ROWS:
        if marker in model:
            return row
    return _NAMED_BY_ACCOUNT if any(mark in model for mark in _NAMES_BY_ACCOUNT) else _OTHERS
