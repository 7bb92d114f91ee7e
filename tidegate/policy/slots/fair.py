"""A queue that takes turns: between owners by their weights, between an owner's users equally.

An owner is what callers cannot choose (a team, or a key without one), a user what they may name
themselves: a share belongs to the owner, and inventing users splits it rather than adding to it.

Deficit round robin, where every request is one turn long. An owner who comes anew is served before
those who have been waiting, for one round; then it has to be gone for a whole round before it is
new again. So who asks seldom hardly waits, and yet: while two owners both wait, the turns that each
gets, over its weight, differ by 2 at most, whatever they ask; so do those of two users of an owner.

Every operation is O(1), and of those who do not wait nothing is kept beyond a round.
Sources: Shreedhar and Varghese, "Efficient Fair Queuing Using Deficit Round Robin" (1995);
RFC 8290 (FQ-CoDel), sections 4.1 and 4.2, for new and old flows.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class _Owner(Generic[T]):
    """Those of one owner who wait; `turns` are what is left of its part of this round."""

    __slots__ = ("count", "name", "turns", "users", "weight")

    def __init__(self, name: str) -> None:
        self.name = name
        self.weight = 0
        self.turns = 0
        self.count = 0
        self.users: OrderedDict[str, deque[T]] = OrderedDict()


class FairQueue(Generic[T]):
    """Who waits, and whose turn is next. Its bounds are kept by whoever fills it."""

    __slots__ = ("_new", "_old", "count", "weights")

    def __init__(self) -> None:
        self.count = 0
        self.weights = 0
        """The weights of all owners who wait, together."""
        self._new: OrderedDict[str, _Owner[T]] = OrderedDict()
        self._old: OrderedDict[str, _Owner[T]] = OrderedDict()
        """Those who had a turn; some of them may have nobody waiting now."""

    def join(self, owner: str, user: str, weight: int, item: T) -> None:
        """`item` waits, behind its user's others; `weight` holds for its owner from now on."""
        each = self._old.get(owner) or self._new.get(owner)
        if each is None:
            each = self._new[owner] = _Owner[T](owner)
        weight = max(1, weight)
        self.weights += weight - (each.weight if each.count else 0)
        each.weight = weight
        each.users.setdefault(user, deque()).append(item)
        each.count += 1
        self.count += 1

    def next(self) -> T:
        """Whose turn it is; waits no more. Raises: `IndexError` when nobody waits."""
        owner = self._first()
        if owner.turns <= 0:
            owner.turns = owner.weight
        owner.turns -= 1
        user, items = next(iter(owner.users.items()))
        item = items.popleft()
        if items:
            owner.users.move_to_end(user)
        if owner.turns <= 0 or owner.count == 1:
            owner.turns = 0
            self._new.pop(owner.name, None)
            self._old[owner.name] = owner
            self._old.move_to_end(owner.name)
        self._left(owner, user, items)
        return item

    def leave(self, owner: str, user: str, item: T) -> bool:
        """Whether `item` waited; it does so no more."""
        each = self._old.get(owner) or self._new.get(owner)
        items = None if each is None else each.users.get(user)
        if each is None or items is None:
            return False
        try:
            items.remove(item)
        except ValueError:
            return False
        self._left(each, user, items)
        return True

    def waiting(self, owner: str, user: str) -> tuple[int, int, int]:
        """How many wait of this owner, how many of this user, and how many users the owner has."""
        each = self._old.get(owner) or self._new.get(owner)
        if each is None:
            return 0, 0, 0
        return each.count, len(each.users.get(user, ())), len(each.users)

    def youngest_of_most(self) -> T | None:
        """Who came last of the user with most, of the owner with most for its weight."""
        if not self.count:
            return None
        owners = (*self._new.values(), *self._old.values())
        owner = max(owners, key=lambda each: each.count / each.weight)
        return max(reversed(owner.users.values()), key=len)[-1]

    def _first(self) -> _Owner[T]:
        """The owner whose turn it is."""
        for owner in self._new.values():
            return owner
        while self._old:
            owner = next(iter(self._old.values()))
            if owner.count:
                return owner
            del self._old[owner.name]
        raise IndexError("nobody waits")

    def _left(self, owner: _Owner[T], user: str, items: deque[T]) -> None:
        self.count -= 1
        owner.count -= 1
        if not items:
            del owner.users[user]
        if not owner.count:
            self.weights -= owner.weight
            self._new.pop(owner.name, None)
        if not self.count:
            self._old.clear()
