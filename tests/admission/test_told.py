"""What is owed arrives as it was sent, in small pieces."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.admission import told
from tidegate.limits import Balance, OpenHold, Owed


def test_what_is_owed_arrives_in_pieces() -> None:
    balances = [Balance("user", str(n), "day", "UTC", 0, n) for n in range(2 * told.AT_ONCE + 1)]
    holds = [OpenHold("r", 1.5, (balances[0],))]
    pieces = list(told.read(told.write(Owed(balances, holds))))
    assert [len(piece.balances) for piece in pieces] == [told.AT_ONCE, told.AT_ONCE, 1, 0]
    assert [each for piece in pieces for each in piece.balances] == balances
    assert [each for piece in pieces for each in piece.holds] == holds


def test_nothing_owed_is_no_piece() -> None:
    assert list(told.read(told.write(Owed([], [])))) == []


def test_what_nobody_wrote_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        told.read(b"{}")
