"""How the accounts and replicas of a house fare, for the status board."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.policy.board import PartState
from tidegate.providers.http import HttpProvider

_ROUND = 1
"""Decimals of the seconds shown: finer ones would change the board with every request."""


def parts(providers: Mapping[str, HttpProvider], now_s: float) -> tuple[PartState, ...]:
    """Every account and replica, but for those that are alone and well."""
    return tuple(
        part for name, provider in providers.items() for part in _parts(name, provider, now_s)
    )


def _parts(name: str, provider: HttpProvider, now_s: float) -> list[PartState]:
    found: list[PartState] = []
    accounts = provider.accounts.snapshot(now_s)
    if len(accounts) > 1 or any(each.state != "usable" for each in accounts):
        found += [
            PartState(
                provider=name,
                kind="account",
                name=each.name,
                state=each.state,
                until_s=_until(now_s, each.rests_s),
                times_out=each.times_retired + each.times_limited,
                left=each.left,
            )
            for each in accounts
        ]
    replicas = provider.replicas.snapshot(now_s)
    if len(replicas) > 1:
        found += [
            PartState(
                provider=name,
                kind="replica",
                name=each.url,
                state=each.state,
                until_s=_until(now_s, each.returns_s),
                outstanding=each.outstanding,
                failures=each.failures,
                times_out=each.times_ejected,
                latency_s=round(each.latency_s, _ROUND + 2),
            )
            for each in replicas
        ]
    return found


def _until(now_s: float, wait_s: float) -> float | None:
    return round(now_s + wait_s, _ROUND) if wait_s > 0 else None
