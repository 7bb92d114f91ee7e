"""Labels that cannot grow without end, whatever callers and providers make up.

Of each label the first values that come are shown, the rest are `other`; and of each measure the
first combinations of them. What was shown as `other` is counted, so that nobody takes it for one.
"""

from __future__ import annotations

from typing import Final

OTHER: Final = "other"
NOTHING: Final = ""
"""What Prometheus takes for a label that is not there."""


class Names:
    """The values of one label: the `most` that came first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __len__(self) -> int:
        return len(self._known)

    def admits(self, value: str | None, *, vouched: bool = True) -> bool:
        """Whether `value` is shown. One that nobody vouches for takes no place that is free."""
        if not value or value == OTHER or value in self._known:
            return True
        if not vouched or len(self._known) >= self._most:
            return False
        self._known.add(value)
        return True
