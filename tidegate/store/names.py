"""Which names are counted apart on a day: the first so many of each kind; later ones are `other`.

Users, features, and the names of models that callers make up, may be as many as there are requests;
what is summed by them must not. What was decided of a name on a day stays: a name that is counted
apart is never taken off, and once the places are taken no name is added.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, select

from tidegate.store.bulk import merge_many
from tidegate.store.tables.money import rollup_names

OTHER: Final = "other"
MOST: Final[Mapping[str, int]] = {
    "user": 1_000, "feature": 200, "alias": 200, "model": 200, "group": 10_000,
    "version": 200, "quality": 2_000,
}  # fmt: skip
"""`group` and `quality` bound the combinations that are counted for money and for quality."""
_REMEMBERED = 100


class Names:
    """What is known of the days that were counted last."""

    def __init__(self, most: Mapping[str, int] = MOST) -> None:
        self._most = most
        self._days: OrderedDict[tuple[int, str], set[str]] = OrderedDict()

    def apart(
        self, connection: Connection, day_s: int, kind: str, names: Iterable[str]
    ) -> set[str]:
        """Those of `names` that are counted apart on the day; new ones are, as long as they fit.

        Writes, so it belongs to a transaction that waits its turn. After one that was rolled back
        call `forget`.
        """
        wanted = set(names)
        known = self._days.get((day_s, kind), set[str]())
        if wanted <= known or len(known) >= self._most[kind]:
            return wanted & known
        query = select(rollup_names.c.name).where(
            rollup_names.c.day_s == day_s, rollup_names.c.kind == kind
        )
        known = set(connection.execute(query).scalars())
        new = sorted(wanted - known)[: max(0, self._most[kind] - len(known))]
        merge_many(connection, rollup_names, [(day_s, kind, name) for name in new])
        self._remember((day_s, kind), known.union(new))
        return wanted & known.union(new)

    def forget(self) -> None:
        """Read everything anew."""
        self._days.clear()

    def _remember(self, day: tuple[int, str], names: set[str]) -> None:
        self._days[day] = names
        self._days.move_to_end(day)
        while len(self._days) > _REMEMBERED:
            self._days.popitem(last=False)
