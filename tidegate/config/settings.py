"""The ground all sections of the configuration stand on: frozen, strict, no unknown keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 takes a free one."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
"""What something is called."""


class Settings(BaseModel):
    """A section of the configuration."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=False,
        hide_input_in_errors=True,
    )


@dataclass(frozen=True, slots=True)
class OrWritten:
    """Annotates a section that may also be written in a short form, which editors then accept."""

    schema: dict[str, Any]

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(core), self.schema]}


class OneOrMore:
    """Annotates a list that may be written as its one entry."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_listed, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        written = handler(core)
        return {"anyOf": [written["items"], written]}


def _listed(value: object) -> object:
    return [cast("object", value)] if isinstance(value, dict) else value


def setting(default: object, description: str) -> Any:
    """A field with a default, written as it would stand in the file (`"30s"`, `"32MiB"`)."""
    return Field(default, validate_default=True, description=description)


def required(description: str) -> Any:
    """A field that must be given."""
    return Field(..., description=description)


_Section = TypeVar("_Section", bound=Settings)


def over(ground: _Section, own: _Section) -> _Section:
    """`ground` with whatever `own` was given in the file."""
    return ground.model_copy(
        update={name: getattr(own, name) for name in sorted(own.model_fields_set)}
    )
