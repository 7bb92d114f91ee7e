"""What is sent: alerts that began or ended with the same look, together in one message."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

from tidegate.alerts.machine import Alert, Status
from tidegate.alerts.rules import SEVERITIES, Severity

MOST_ALERTS: Final = 50
"""In one message; of more, their number is told."""
_NANO: Final = 10**9


class Notice(Struct, frozen=True):
    """One message."""

    id: str
    """The same however often it has to be sent: receivers know a repetition by it."""
    status: Status
    severity: Severity
    """The gravest."""
    at_ns: int
    alerts: tuple[Alert, ...]
    """The gravest first."""
    more: int = 0

    @property
    def title(self) -> str:
        """One line for a person."""
        first = self.alerts[0]
        others = len(self.alerts) + self.more - 1
        words = "Resolved" if self.status == "resolved" else self.severity.capitalize()
        return f"[{words}] {first.rule}" + (f" and {others} more" if others else "")


def notices(alerts: Iterable[Alert]) -> list[Notice]:
    """What fires and what is over, each as one message; what is silenced is in none."""
    heard = [each for each in alerts if not each.silenced]
    statuses: tuple[Status, ...] = ("firing", "resolved")
    made: list[Notice] = []
    for status in statuses:
        same = [each for each in heard if each.status == status]
        if not same:
            continue
        same.sort(key=lambda each: (SEVERITIES.index(each.severity), each.rule, each.id))
        digest = blake2b(digest_size=8)
        for each in same:
            # When it is told again it is another message.
            digest.update(f"{each.id}{status}{each.at_ns if each.repeated else ''}".encode())
        made.append(
            Notice(
                id=digest.hexdigest(),
                status=status,
                severity=same[0].severity,
                at_ns=same[0].at_ns,
                alerts=tuple(same[:MOST_ALERTS]),
                more=max(0, len(same) - MOST_ALERTS),
            )
        )
    return made


def shown(notice: Notice) -> dict[str, Any]:
    """A message for programs: the body of a webhook."""
    return {
        "id": notice.id,
        "status": notice.status,
        "severity": notice.severity,
        "title": notice.title,
        "at": show_time(notice.at_ns),
        "alerts": [show_alert(each) for each in notice.alerts],
        "more": notice.more,
    }


def show_alert(alert: Alert) -> dict[str, Any]:
    """One alert for programs."""
    return {
        "id": alert.id,
        "status": alert.status,
        "rule": alert.rule,
        "severity": alert.severity,
        "summary": alert.summary,
        "what_to_do": alert.todo,
        "runbook": alert.runbook,
        "console": alert.link or None,
        "labels": alert.labels,
        "value": alert.value,
        "threshold": alert.threshold,
        "since": show_time(alert.since_ns),
        "at": show_time(alert.at_ns),
        "repeated": alert.repeated,
        "silenced": alert.silenced,
    }


def text(notice: Notice) -> str:
    """A message for people, without any markup."""
    lines = [notice.title, ""]
    for each in notice.alerts:
        lines += [
            each.summary,
            f"  {each.severity} since {show_time(each.since_ns)}",
            f"  {each.todo}",
            f"  Runbook: {each.runbook}",
            *([f"  Console: {each.link}"] if each.link else []),
            "",
        ]
    if notice.more:
        lines.append(f"And {notice.more} more: tidegate alerts")
    return "\n".join(lines)


def show_time(unix_ns: int) -> str:
    """The moment as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(unix_ns // _NANO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
