"""Pydantic's errors in the words of the person who wrote the file.

Values are repeated only where they help and cannot be secrets.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tidegate.config.mistakes import Finding, YamlPath, nearest
from tidegate.config.provider import KINDS, Provider
from tidegate.config.settings import Settings
from tidegate.config.shape import section_at, sections_of, value_at
from tidegate.redact import redact

_SHOWN_AT_MOST = 40
_PRIVATE = re.compile(
    r"secret|key|token|password|credential|account|headers|proxy|url", re.IGNORECASE
)
_PROVIDER_KEYS = frozenset[str]().union(
    *(section.model_fields for section in sections_of(Provider))
)
_YES_NO = {"yes": "true", "on": "true", "1": "true", "no": "false", "off": "false", "0": "false"}


def explain(error: ValidationError, top: type[Settings], value: object) -> Iterator[Finding]:
    """One finding for each thing to correct, `value` being the whole document."""
    details = error.errors(include_url=False, include_input=False)
    misspelt: set[YamlPath] = set()
    missing: list[Finding] = []
    for detail in details:
        path = _written(_yaml_path(detail["loc"]), value)
        if detail["type"] == "extra_forbidden":
            finding = _unknown_key(path, top, value)
            if finding.nearest is not None:
                misspelt.add((*path[:-1], finding.nearest))
            yield finding
        elif detail["type"] == "missing":
            missing.append(_missing(path, top, value))
        elif detail["type"] == "too_short" and value_at(value, path):
            continue  # it has entries, all of them wrong, which is told of each
        elif detail["type"] == "union_tag_not_found":
            yield _no_kind(path, value)
        elif detail["type"] == "union_tag_invalid":
            yield _unknown_kind((*path, "kind"), value)
        else:
            yield _wrong(path, detail, value)
    for finding in missing:
        # Whoever misspelt a key is not told as well that the right one is missing.
        if (*finding.path, finding.message.split("`")[1]) not in misspelt:
            yield finding


def _yaml_path(location: tuple[str | int, ...]) -> YamlPath:
    """Pydantic's location without what is not in the file: a provider's tag, `[key]`."""
    path = [step for step in location if step != "[key]"]
    if len(path) > 2 and path[0] == "providers":  # noqa: PLR2004
        del path[2]
    return tuple(path)


def _written(path: YamlPath, value: object) -> YamlPath:
    """`path` as the document has it, where that has a short form.

    A text may stand instead of a section, and one entry instead of a list.
    """
    for length in range(1, len(path)):
        here = value_at(value, path[:length])
        if isinstance(here, dict) and isinstance(path[length], int):
            return _written((*path[:length], *path[length + 1 :]), value)
        if isinstance(here, str | int | float) or (
            isinstance(here, list) and not isinstance(path[length], int)
        ):
            return path[:length]
    return path


def _unknown_key(path: YamlPath, top: type[Settings], value: object) -> Finding:
    key = str(path[-1])
    section = section_at(top, path[:-1], value)
    allowed = tuple(section.model_fields) if section else ()
    return Finding(path, f"unknown key `{key}`", allowed, _meant(key, allowed, value, path), True)


def _meant(key: str, allowed: tuple[str, ...], value: object, path: YamlPath) -> str | None:
    """The allowed key that `key` was to be: one that is not there yet, if any is close."""
    present = value_at(value, path[:-1])
    taken: Mapping[str, object] = cast("Any", present) if isinstance(present, dict) else {}
    return nearest(key, (name for name in allowed if name not in taken)) or nearest(key, allowed)


def _missing(path: YamlPath, top: type[Settings], value: object) -> Finding:
    key = str(path[-1])
    section = section_at(top, path[:-1], value)
    field = section.model_fields.get(key) if section else None
    meaning = (field.description or "").rstrip(".") if field else ""
    return Finding(path[:-1], f"needs `{key}`: {meaning}", at_key=True)


def _no_kind(path: YamlPath, value: object) -> Finding:
    section = value_at(value, path)
    keys = list(cast("dict[str, object]", section)) if isinstance(section, dict) else []
    for key in keys:
        if nearest(key, ["kind"]) and key not in _PROVIDER_KEYS:
            return Finding((*path, key), f"unknown key `{key}`", ("kind",), "kind", True)
    return Finding(path, "needs `kind`: what speaks there", KINDS, at_key=True)


def _unknown_kind(path: YamlPath, value: object) -> Finding:
    kind = value_at(value, path)
    if not isinstance(kind, str):
        return Finding(path, f"must be text, not {_named(kind, path)}", KINDS)
    return Finding(path, f"unknown kind {_quoted(kind)}", KINDS, nearest(kind, KINDS))


def _wrong(path: YamlPath, detail: ErrorDetails, value: object) -> Finding:
    here = value_at(value, path)
    context = detail.get("ctx", {})
    if detail["type"] == "tidegate":
        return Finding(path, context["message"], context["allowed"], context["nearest"])
    if here is None:
        return Finding(path, "has no value; give it one, or remove the line")
    if "[key]" in detail["loc"]:
        return Finding(path, "has a name that is empty or too long", at_key=True)
    say = _SENTENCES.get(detail["type"])
    if say is None:
        return Finding(path, f"does not fit here: {_named(here, path)}")
    message, allowed, meant = say(here, context, path)
    return Finding(path, message, allowed, meant)


_Said = tuple[str, tuple[str, ...], str | None]
_Sentence = Callable[[object, Mapping[str, Any], YamlPath], _Said]


def _not_a_section(here: object, _context: Mapping[str, Any], path: YamlPath) -> _Said:
    return f"must be a section of `key: value` lines, not {_named(here, path)}", (), None


def _not_a_list(here: object, _context: Mapping[str, Any], path: YamlPath) -> _Said:
    meant = f"[{here}]" if isinstance(here, str) and not _is_private(path) else None
    return f"must be a list, not {_named(here, path)}", (), meant and redact(_cut(meant))


def _not_text(here: object, _context: Mapping[str, Any], path: YamlPath) -> _Said:
    simple = isinstance(here, int | float) and not _is_private(path)
    meant = f'"{str(here).lower() if isinstance(here, bool) else here}"' if simple else None
    return f"must be text, not {_named(here, path)}", (), meant


def _not_whole(here: object, _context: Mapping[str, Any], path: YamlPath) -> _Said:
    digits = isinstance(here, str) and re.fullmatch(r"\s*-?\d{1,12}\s*", here, re.ASCII)
    meant = str(here).strip() if digits else None
    return f"must be a whole number, not {_named(here, path)}", (), meant


def _not_bool(here: object, _context: Mapping[str, Any], path: YamlPath) -> _Said:
    word = str(here).casefold()
    meant = _YES_NO.get(word) or nearest(word, ("true", "false"))
    return f"must be true or false, not {_named(here, path)}", ("true", "false"), meant


def _not_one_of(here: object, context: Mapping[str, Any], path: YamlPath) -> _Said:
    allowed = tuple(re.findall(r"'([^']*)'", str(context.get("expected", ""))))
    meant = nearest(here, allowed) if isinstance(here, str) else None
    return f"cannot be {_named(here, path)}", allowed, meant


def _too_low(here: object, context: Mapping[str, Any], path: YamlPath) -> _Said:
    return f"must be at least {context['ge']}, not {_named(here, path)}", (), None


def _too_high(here: object, context: Mapping[str, Any], path: YamlPath) -> _Said:
    return f"must be at most {context['le']}, not {_named(here, path)}", (), None


def _too_few(_here: object, _context: Mapping[str, Any], _path: YamlPath) -> _Said:
    return "must have at least one entry", (), None


def _empty_text(_here: object, _context: Mapping[str, Any], _path: YamlPath) -> _Said:
    return "must not be empty", (), None


def _long_text(_here: object, context: Mapping[str, Any], _path: YamlPath) -> _Said:
    return f"must not be longer than {context['max_length']} characters", (), None


_SENTENCES: Mapping[str, _Sentence] = {
    "model_type": _not_a_section,
    "model_attributes_type": _not_a_section,
    "dict_type": _not_a_section,
    "mapping_type": _not_a_section,
    "tuple_type": _not_a_list,
    "list_type": _not_a_list,
    "string_type": _not_text,
    "int_type": _not_whole,
    "bool_type": _not_bool,
    "literal_error": _not_one_of,
    "greater_than_equal": _too_low,
    "less_than_equal": _too_high,
    "too_short": _too_few,
    "string_too_short": _empty_text,
    "string_too_long": _long_text,
}


def _named(here: object, path: YamlPath) -> str:
    """What stands there, in words; the value itself only if it cannot be a secret."""
    if isinstance(here, dict):
        return "a section"
    if isinstance(here, list):
        return "a list"
    if here is None:
        return "nothing"
    if isinstance(here, bool):
        return str(here).lower()
    if isinstance(here, int | float):
        return "a number" if _is_private(path) else f"the number {here}"
    return "text" if _is_private(path) else f"the text {_quoted(str(here))}"


def _is_private(path: YamlPath) -> bool:
    return any(isinstance(step, str) and _PRIVATE.search(step) for step in path[-2:])


def _quoted(text: str) -> str:
    return f"`{redact(_cut(text))}`"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_AT_MOST else text[:_SHOWN_AT_MOST] + "…"
