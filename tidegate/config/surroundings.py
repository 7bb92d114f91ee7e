"""What a configuration is read against: the directory of its file, the environment, vaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from tidegate.config.vaults import Vaults


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Given to pydantic as the validation context; without one, this process's own."""

    directory: Path = field(default_factory=Path.cwd)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    vaults: Vaults = field(init=False, repr=False, compare=False)
    """Where secrets are kept outside this machine, as `environ` says."""

    def __post_init__(self) -> None:
        """Have vaults of its own, for what one reading has fetched is old at the next."""
        object.__setattr__(self, "vaults", Vaults(self.environ))

    def locate(self, text: str) -> Path:
        """`text` as a path, relative ones from the directory of the configuration."""
        return self.directory / Path(text).expanduser()


def surroundings(info: ValidationInfo) -> Surroundings:
    """The surroundings that `load` handed to pydantic."""
    context: Any = info.context
    return context if isinstance(context, Surroundings) else Surroundings()


def refusal(
    message: str, *, allowed: tuple[str, ...] = (), nearest: str | None = None
) -> PydanticCustomError:
    """What a validator raises; `explain` takes the three values out again."""
    return PydanticCustomError(
        "tidegate", "{message}", {"message": message, "allowed": allowed, "nearest": nearest}
    )


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise refusal("must be a path", allowed=("a path, relative to this file or absolute",))
    try:
        return surroundings(info).locate(value)
    except RuntimeError as error:
        raise refusal("starts with `~`, and there is no such home directory") from error


def _existing_file(value: object, info: ValidationInfo) -> Path:
    path = _path(value, info)
    try:
        path.open("rb").close()
    except OSError as error:
        raise refusal(f"cannot be read: {error.strerror} ({path})") from error
    except ValueError as error:
        raise refusal("is not a path") from error
    return path


AnyPath = Annotated[
    Path, BeforeValidator(_path), WithJsonSchema({"title": "Path", "type": "string"})
]
"""A path, made absolute; nothing need be there."""

ExistingFile = Annotated[
    Path, BeforeValidator(_existing_file), WithJsonSchema({"title": "Path", "type": "string"})
]
"""A path, made absolute, of a file that can be read."""
