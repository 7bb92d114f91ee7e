"""What pages remember from one request to the next: one of each kind, made when it is asked for."""

from __future__ import annotations

from threading import Lock
from typing import Any, TypeVar

_T = TypeVar("_T")


class Lasting:
    """As many things as there are kinds; used by many threads at once, as they must bear to be."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[type[Any], Any] = {}

    def the(self, kind: type[_T]) -> _T:
        """The one of that kind."""
        with self._lock:
            if kind not in self._kept:
                self._kept[kind] = kind()
            return self._kept[kind]
