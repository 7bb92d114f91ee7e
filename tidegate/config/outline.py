"""What a configuration's text says of aliases and limits, without its secrets being looked up.

For texts of earlier times: what they refer to may be gone, and matters to nobody who only reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, cast

from pydantic import ValidationError

from tidegate.config.model import Config
from tidegate.config.source import read
from tidegate.config.surroundings import Surroundings

_SECTIONS: Final = ("models", "teams", "organisations", "limits", "keys")
_NO_SECRET: Final = "not-looked-up"  # noqa: S105


def outline(text: str) -> Config | None:
    """The sections of `text` in which no secret stands, keys with a word in its place.

    None where they cannot be read: a later version may have other settings.
    """
    document = read(text, "").value
    if not isinstance(document, dict):
        return Config() if document is None else None
    said = cast("dict[str, object]", document)
    kept = {name: said[name] for name in _SECTIONS if name in said}
    if isinstance(kept.get("keys"), list):
        kept["keys"] = [
            {**cast("dict[str, object]", each), "secret": _NO_SECRET}
            for each in cast("list[object]", kept["keys"])
            if isinstance(each, dict)
        ]
    try:
        return Config.model_validate(kept, context=Surroundings(Path.cwd(), {}))
    except ValidationError:
        return None
