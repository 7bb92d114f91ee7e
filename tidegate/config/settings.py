"""The ground all sections of the configuration stand on: frozen, strict, no unknown keys."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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


def setting(default: object, description: str) -> Any:
    """A field with a default, written as it would stand in the file (`"30s"`, `"32MiB"`)."""
    return Field(default, validate_default=True, description=description)


def required(description: str) -> Any:
    """A field that must be given."""
    return Field(..., description=description)
