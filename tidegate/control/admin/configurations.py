"""The configurations that were in force: list, look, compare, put an earlier one back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from tidegate.control.admin.desk import Desk, changing, looking
from tidegate.control.admin.shapes import Shape, Time
from tidegate.control.configurations import Configurations

router = APIRouter()

_VERSION = r"^[0-9a-f]{4,64}$"
_Version = Annotated[str, Path(pattern=_VERSION, description="Its version, or how that begins.")]


class ConfigurationShown(Shape):
    """A configuration that is in force, or was."""

    version: str
    in_force: bool
    first_at: Time
    since: Time
    """When it came into force the last time."""
    last_at: Time
    """When it was last known to be in force."""
    how: Literal["start", "file", "rollback"]
    """What brought it the last time."""
    by: str | None
    """Who rolled back to it."""
    size_bytes: int
    hidden: list[str]
    """Settings whose secrets stood in the file, and are not kept."""
    restorable: bool
    """Whether one can roll back to it."""


class ConfigurationsShown(Shape):
    """All that are kept: the hundred that were in force last."""

    file: str | None
    in_force: str | None
    refused: str | None
    """Why the file cannot be written, if it cannot."""
    items: list[ConfigurationShown]


class ConfigurationTold(ConfigurationShown):
    """One with its text."""

    text: str | None


class Compared(BaseModel):
    """What it is to be compared with."""

    model_config = ConfigDict(extra="forbid")

    to: Annotated[str, Field(pattern=_VERSION)] | None = Field(
        None, description="Another version; what is in force if not given."
    )


class Difference(Shape):
    """What changed between two."""

    old: str
    new: str
    diff: str
    """Unified text; empty where nothing did."""


class RolledBack(Shape):
    """What the file says now; the gateways take it over within seconds."""

    version: str
    before: str | None
    file: str | None


@router.get("/configurations")
def list_configurations(
    desk: Annotated[Desk, looking("configurations:read")],
) -> ConfigurationsShown:
    """Every configuration that is kept, what was in force last first."""
    return ConfigurationsShown.model_validate(_all(desk).all())


@router.get("/configurations/{version}")
def get_configuration(
    version: _Version, desk: Annotated[Desk, looking("configurations:read")]
) -> ConfigurationTold:
    """One configuration with its text, in which no secret stands."""
    return ConfigurationTold.model_validate(_all(desk).one(version))


@router.get("/configurations/{version}/diff")
def compare_configurations(
    version: _Version,
    wanted: Annotated[Compared, Query()],
    desk: Annotated[Desk, looking("configurations:read")],
) -> Difference:
    """What changed from this one to another."""
    return Difference.model_validate(_all(desk).difference(version, wanted.to))


@router.post("/configurations/{version}/rollback")
def roll_back_configuration(
    version: _Version, desk: Annotated[Desk, changing("configurations:write")]
) -> RolledBack:
    """Write an earlier configuration to the file; it is checked first, as `tidegate check` does."""
    work = _all(desk).roll_back(version, desk.caller.name)
    return RolledBack.model_validate(desk.change(work))


def _all(desk: Desk) -> Configurations:
    return Configurations(desk.database, desk.settings.file)
