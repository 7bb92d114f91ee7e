"""What is found of this machine: resting targets, refused accounts, Redis, the spool."""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.alerts.facts import Facts
from tidegate.alerts.machine import Finding
from tidegate.alerts.rules import Rule


def breakers(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Targets that rest."""
    if facts.breakers is None:
        return None
    return (
        Finding(
            {"target": each.target},
            each.workers,
            rule.threshold,
            f"{each.target} rests: its breaker is open in {each.workers} gateway"
            f" process{'es' * (each.workers > 1)}"
            + (f" ({each.reason})." * bool(each.reason) or "."),
        )
        for each in facts.breakers
        if each.workers >= rule.threshold
    )


def retired(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Accounts that their providers refuse."""
    if facts.retired is None:
        return None
    return (
        Finding(
            {"provider": provider, "account": account},
            1.0,
            rule.threshold,
            f"{provider} does not accept the account {account}; it is out of use until a reload.",
        )
        for provider, account in facts.retired
    )


def redis(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Gateways without the Redis that they share."""
    if facts.redis is None:
        return None
    return (
        Finding(
            {"worker": worker},
            1.0,
            rule.threshold,
            f"The gateway {worker} cannot reach Redis" + (f": {reason}." if reason else "."),
        )
        for worker, reason in facts.redis
    )


def loading(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Whether records reach the store."""
    if facts.loading is None:
        return None
    if not facts.loading or facts.store:  # the store is told of by itself
        return ()
    why = facts.loading.partition("\n")[0][:200]
    summary = f"Records stay in the spool and are not lost, but nobody sees them: {why}"
    return (Finding({}, 1.0, rule.threshold, summary),)


def waiting(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """How much waits to be loaded."""
    waiting = facts.waiting_bytes
    if waiting is None:
        return None
    if waiting <= rule.threshold:
        return ()
    summary = f"{waiting / (1 << 20):,.0f} MiB of records wait in the spool to be loaded."
    return (Finding({}, waiting, rule.threshold, summary),)


def store(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Whether the store answers."""
    if facts.store is None:
        return None
    if not facts.store:
        return ()
    why = facts.store.partition("\n")[0][:200]
    summary = f"The store does not answer; records wait in the spool meanwhile: {why}"
    return (Finding({}, 1.0, rule.threshold, summary),)


def pending(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Records that are only in the memory of a gateway."""
    if facts.loads is None:
        return None
    return (
        Finding(
            {"worker": each.worker},
            each.pending_bytes,
            rule.threshold,
            f"The gateway {each.worker} holds {each.pending_bytes:,} bytes of records in memory,"
            " because the disk of the spool does not take them.",
        )
        for each in facts.loads
        if each.pending_bytes > rule.threshold
    )


def disks(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Disks that are nearly full; one with a quarter of the threshold is a page."""
    if facts.disks is None:
        return None
    free = {each.of: each.free_bytes / max(1, each.size_bytes) for each in facts.disks}
    return (
        Finding(
            {"disk": each.of},
            -free[each.of],  # the one with the least is the worst
            -rule.threshold,
            f"The disk of the {each.of} is nearly full: {each.free_bytes / (1 << 30):,.1f} GiB,"
            f" {free[each.of]:.1%} of it, are free.",
            severity="page" if free[each.of] < rule.threshold / 4 else None,
        )
        for each in facts.disks
        if free[each.of] < rule.threshold
    )


def sinks(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Sinks that do not take records."""
    if facts.sinks is None:
        return None
    return (
        Finding(
            {"sink": each.name},
            1.0,
            rule.threshold,
            f"The sink {each.name} is not told of {each.behind:,} records: {each.why[:200]}.",
        )
        for each in facts.sinks
    )


def queues(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Targets that many requests wait for."""
    if facts.queues is None:
        return None
    return (
        Finding(
            {"target": target},
            waiting,
            rule.threshold,
            f"{waiting} requests wait for their turn at {target}.",
        )
        for target, waiting in facts.queues.items()
        if waiting > rule.threshold
    )


def lag(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Gateway processes that come late to whatever is ready."""
    if facts.loads is None:
        return None
    return (
        Finding(
            {"worker": each.worker},
            each.lag_s,
            rule.threshold,
            f"The gateway {each.worker} is {1_000 * each.lag_s:.0f} ms late with everything.",
        )
        for each in facts.loads
        if each.lag_s > rule.threshold
    )


def shedding(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Gateway processes that refuse requests because they have too much to do."""
    if facts.loads is None:
        return None
    return (
        Finding(
            {"worker": each.worker},
            -each.let_in,
            -rule.threshold,
            f"The gateway {each.worker} has too much to do and lets in {each.let_in:.0%} of new"
            " requests; the others are refused and leave no record.",
        )
        for each in facts.loads
        if each.let_in < rule.threshold
    )


def restarts(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Gateway processes that keep dying."""
    if facts.restarts is None:
        return None
    return (
        Finding(
            {"worker": worker},
            times,
            rule.threshold,
            f"The gateway {worker} was replaced {times} times in the last 10 minutes.",
        )
        for worker, times in facts.restarts.items()
        if times >= rule.threshold
    )


def gateways(rule: Rule, facts: Facts) -> Iterable[Finding] | None:
    """Gateway processes that are not there."""
    if facts.gateways is None:
        return None
    missing = facts.gateways.wanted - facts.gateways.alive
    if missing < rule.threshold:
        return ()
    summary = f"{facts.gateways.alive} of {facts.gateways.wanted} gateway processes live."
    return (Finding({}, missing, rule.threshold, summary),)
