"""Which section of the model stands at a path of the document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from tidegate.config.mistakes import YamlPath
from tidegate.config.settings import Settings


def section_at(top: type[Settings], path: YamlPath, value: object) -> type[Settings] | None:
    """The section's class at `path` under `top`, or None where no section stands.

    `value` is the whole document: which kind a provider is, is read from it.
    """
    annotation: Any = top
    for step in path:
        section = chosen(annotation, value)
        if section is None and _stands_alone(annotation, value):
            section = chosen(_element(annotation), value)
        if section is not None:
            field = section.model_fields.get(str(step))
            if field is None:
                return None
            annotation = field.annotation
        else:
            annotation = _element(annotation)
        value = _inside(value, step)
    return chosen(_element(annotation) if _stands_alone(annotation, value) else annotation, value)


def _stands_alone(annotation: Any, value: object) -> bool:
    """Whether `value` is the one entry of a list, written instead of the list."""
    if get_origin(annotation) is Annotated:
        return _stands_alone(get_args(annotation)[0], value)
    return get_origin(annotation) is tuple and isinstance(value, dict)


def chosen(annotation: Any, value: object) -> type[Settings] | None:
    """The one section that `annotation` allows; of several, the one whose `kind` is the value's."""
    sections = list(sections_of(annotation))
    if len(sections) > 1:
        kind = _inside(value, "kind")
        sections = [section for section in sections if kind in kinds_of(section)]
    return sections[0] if sections else None


def sections_of(annotation: Any) -> Iterator[type[Settings]]:
    """The sections that a value so annotated may itself be; not those inside a list or mapping."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from sections_of(get_args(annotation)[0])
    elif origin in {Union, UnionType}:
        for option in get_args(annotation):
            yield from sections_of(option)
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        yield annotation


def kinds_of(section: type[Settings]) -> tuple[str, ...]:
    """What a section's `kind` may be, if it has one."""
    field = section.model_fields.get("kind")
    return get_args(field.annotation) if field else ()


def _element(annotation: Any) -> Any:
    """The annotation of what is inside a list or mapping, None if it is neither."""
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return _element(arguments[0])
    if origin in {Union, UnionType}:
        inner = (_element(option) for option in arguments if option is not NoneType)
        return next((found for found in inner if found is not None), None)
    if origin is tuple:
        return arguments[0]
    return arguments[1] if origin is Mapping else None


def value_at(value: object, path: YamlPath) -> object:
    """What stands at `path` in the document, None if nothing."""
    for step in path:
        value = _inside(value, step)
    return value


def _inside(value: object, step: str | int) -> object:
    if isinstance(value, dict):
        return cast("dict[object, object]", value).get(step)
    if isinstance(value, list) and isinstance(step, int):
        items = cast("list[object]", value)
        return items[step] if step < len(items) else None
    return None
