"""A request while it is written: its body, what its model takes, and what could not be said."""

from __future__ import annotations

from typing import Any

from tidegate.formats.converse.models import Traits

Json = dict[str, Any]


class Draft:
    """What the writers of a request's parts share."""

    __slots__ = ("able", "body", "dropped")

    def __init__(self, able: Traits) -> None:
        self.able = able
        self.body: Json = {}
        self.dropped: list[str] = []

    def drop(self, name: str) -> None:
        """Tell that something could not be said, by the name of the caller's field."""
        self.dropped.append(name)

    def may(self, able: bool, name: str) -> bool:
        """Whether something can be said; if not, it is told as dropped."""
        if not able:
            self.dropped.append(name)
        return able

    @property
    def inference(self) -> Json:
        """The parameters that all models share."""
        return self.body.setdefault("inferenceConfig", {})

    @property
    def additional(self) -> Json:
        """The fields that only one vendor's models know."""
        return self.body.setdefault("additionalModelRequestFields", {})
