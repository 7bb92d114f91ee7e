"""Alerts through the admin API: what fires, what was told, and silences."""

from __future__ import annotations

from typing import Any

import pytest
from admin_serving import Client, Served
from store.storing import put, row

from tidegate.alerts.settings import AlertSettings
from tidegate.control.alerting import Alerting, Around
from tidegate.limits import Budget, Limits, Rule

SOON = "2026-09-21T16:00:00Z"
BUDGET = Rule("team", Limits(budgets=(Budget(100),)), "product")


def look(served: Served) -> None:
    """What a control process does every few seconds."""
    around = Around(
        served.store, served.directory, served.directory / "state", lambda: [BUDGET], lambda: None
    )
    Alerting(around, AlertSettings(), served.clock).look()


def failures(served: Served) -> None:
    rows = [row(number, started_ns=served.clock.ns, ended="failed") for number in range(9)]
    put(served.store, *rows)


def test_what_fires_and_what_was_told_is_shown(served: Served, owner: Client) -> None:
    assert owner.ok("GET", "/alerts") == {"firing": [], "recent": [], "silences": []}
    failures(served)
    look(served)
    (pending,) = owner.ok("GET", "/alerts")["firing"]
    assert (pending["rule"], pending["state"]) == ("errors", "pending")
    served.clock.turn(6)
    look(served)
    told = owner.ok("GET", "/alerts")
    assert [each["state"] for each in told["firing"]] == ["firing"]
    assert [(each["rule"], each["silenced"]) for each in told["recent"]] == [("errors", False)]


def test_alert_that_fires_is_acknowledged(served: Served, owner: Client) -> None:
    failures(served)
    look(served)
    (pending,) = owner.ok("GET", "/alerts")["firing"]
    path = f"/alerts/{pending['id']}/acknowledgement"
    assert owner("POST", path, {}).code == "not_found"
    served.clock.turn(6)
    look(served)
    made = owner.ok("POST", path, {"note": "a deploy"})
    assert made["acknowledged"]["by"] == "first"
    assert owner.ok("GET", "/alerts")["firing"] == [made]
    assert owner.ok("GET", "/audit")["items"][0]["action"] == "alert.acknowledge"
    assert served.client("viewer")("POST", path, {}).code == "not_allowed"


def test_silence_is_heeded_until_it_is_ended(served: Served, owner: Client) -> None:
    made = owner.ok("POST", "/silences", {"until": SOON, "rule": "budget", "why": "a launch"})
    put(served.store, row(1, started_ns=served.clock.ns, team="product", cost_nanousd=60))
    look(served)
    told = owner.ok("GET", "/alerts")
    assert [each["silenced"] for each in told["recent"]] == [True]
    assert told["silences"] == [made]
    assert made["by"] == "first"
    owner.ok("DELETE", f"/silences/{made['id']}")
    assert owner.ok("GET", "/alerts")["silences"] == []
    assert owner("DELETE", f"/silences/{made['id']}").status == 404
    actions = [each["action"] for each in owner.ok("GET", "/audit")["items"]]
    assert actions[:2] == ["silence.end", "silence.create"]


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"until": SOON, "rule": "none"}, 409, "rule"),
        ({"until": "2020-01-01T00:00:00Z", "everything": True}, 409, "until"),
        ({"until": SOON}, 409, "everything"),
        ({"until": SOON, "rule": "errors", "everything": True}, 409, "everything"),
        ({"rule": "errors"}, 422, "until"),
    ],
)
def test_silence_that_makes_no_sense_is_refused(
    owner: Client, body: Any, status: int, param: str
) -> None:
    refused = owner("POST", "/silences", body)
    assert (refused.status, refused.body["error"]["param"]) == (status, param)


def test_everything_is_silent_when_that_is_said(owner: Client) -> None:
    made = owner.ok("POST", "/silences", {"until": SOON, "everything": True})
    assert (made["rule"], made["labels"]) == (None, {})
    owner.ok("DELETE", f"/silences/{made['id']}")


def test_those_who_only_look_silence_nothing(served: Served) -> None:
    viewer = served.client("viewer")
    assert viewer("POST", "/silences", {"until": SOON}).status == 403
    assert viewer("GET", "/alerts").status == 200
