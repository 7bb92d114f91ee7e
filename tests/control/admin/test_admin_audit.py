"""The audit trail: complete, chained, and no row of it can change unseen."""

from dataclasses import replace

import pytest
from admin_serving import Client, Served, settings
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tidegate.control.admin.app import Admin
from tidegate.control.admin.chain import GENESIS


def allow_everything(served: Served) -> None:
    """Take the triggers away, as somebody with the database's password could."""
    with served.store.database.writing() as connection:
        postgres = served.store.database.postgres
        for name in ("audit_stays", "audit_remains"):
            connection.execute(text(f"DROP TRIGGER {name}{' ON audit' if postgres else ''}"))


def execute(served: Served, statement: str) -> None:
    with served.store.database.writing() as connection:
        connection.execute(text(statement))


@pytest.fixture
def changed(owner: Client) -> Client:
    for name in ("a", "b", "c", "d"):
        owner.ok("POST", "/teams", {"name": name})
    return owner


def test_every_change_is_told_with_before_and_after(owner: Client) -> None:
    owner.ok("POST", "/teams", {"name": "product"})
    owner.ok("PATCH", "/teams/product", {"weight": 5})
    owner.ok("DELETE", "/teams/product")
    deleted, changed, created, first = owner.ok("GET", "/audit")["items"]
    assert (first["action"], first["actor"], first["previous"]) == (
        "token.create", "control", GENESIS,
    )  # fmt: skip
    assert (created["actor"], created["role"], created["object"]) == (
        "first", "owner", "team:product",
    )  # fmt: skip
    assert (created["before"], created["after"]["weight"]) == (None, 1)
    assert (changed["before"]["weight"], changed["after"]["weight"]) == (1, 5)
    assert (deleted["before"]["weight"], deleted["after"]) == (5, None)
    assert [each["seq"] for each in (first, created, changed, deleted)] == [1, 2, 3, 4]


def test_what_changes_nothing_and_what_is_refused_is_no_entry(
    served: Served, changed: Client
) -> None:
    version = served.access().version
    changed.ok("PATCH", "/teams/a", {"weight": 1})
    assert changed("POST", "/teams", {"name": "a"}).status == 409
    assert len(changed.ok("GET", "/audit")["items"]) == 5
    assert served.access().version == version


def test_whole_chain_holds(changed: Client) -> None:
    verdict = changed.ok("GET", "/audit/verify")
    head = changed.ok("GET", "/audit?limit=1")["items"][0]["hash"]
    assert verdict == {"ok": True, "entries": 5, "head": head, "broken": None, "reason": None}


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET actor = 'nobody' WHERE seq = 2", "DELETE FROM audit WHERE seq = 5"],
)
def test_table_refuses_to_be_changed(served: Served, changed: Client, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"):
        execute(served, statement)
    assert changed.ok("GET", "/audit/verify")["ok"]


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", 2),
        ("UPDATE audit SET after = NULL WHERE seq = 3", 3),
        ("UPDATE audit SET at_ns = at_ns + 1 WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 3", 4),
        ("DELETE FROM audit WHERE seq = 5", 5),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit", 1),
    ],
)
def test_first_broken_link_is_found(
    served: Served, changed: Client, statement: str, broken: int
) -> None:
    allow_everything(served)
    execute(served, statement)
    verdict = changed.ok("GET", "/audit/verify")
    assert (verdict["ok"], verdict["broken"]) == (False, broken)
    assert verdict["reason"]
    changed.ok("POST", "/teams", {"name": "later"})
    assert not changed.ok("GET", "/audit/verify")["ok"]


def test_oldest_part_can_be_cut_off_and_the_rest_still_holds(
    served: Served, changed: Client
) -> None:
    hashes = {each["seq"]: each["hash"] for each in changed.ok("GET", "/audit")["items"]}
    served.clock.turn(3600)
    changed.ok("POST", "/teams", {"name": "later"})
    until = "2026-09-21T14:30:00Z"
    assert changed.ok("POST", "/audit/cut", {"before": until}) == {"seq": 5, "hash": hashes[5]}
    items = changed.ok("GET", "/audit")["items"]
    assert [(each["seq"], each["action"]) for each in items] == [
        (7, "audit.cut"), (6, "team.create"),
    ]  # fmt: skip
    assert changed.ok("GET", "/audit/verify")["ok"]
    assert changed("POST", "/audit/cut", {"before": until}).status == 409


def test_entries_are_found_page_by_page_and_by_what_was_changed(changed: Client) -> None:
    first = changed.ok("GET", "/audit?limit=2")
    assert [each["seq"] for each in first["items"]] == [5, 4]
    rest = changed.ok("GET", f"/audit?before={first['next']}")
    assert [each["seq"] for each in rest["items"]] == [3, 2, 1]
    assert rest["next"] is None
    assert [each["seq"] for each in changed.ok("GET", "/audit?object=team:b")["items"]] == [3]
    assert len(changed.ok("GET", "/audit?action=team.create&actor=first")["items"]) == 4


def test_retention_cuts_off_what_is_older_and_says_so(served: Served, changed: Client) -> None:
    kept = replace(settings(served.directory), audit_s=1_800)
    admin = Admin(served.store.database, kept, served.clock)
    admin.look()
    assert changed.ok("GET", "/audit/verify")["entries"] == 5
    served.clock.turn(3_600)
    admin.look()
    items = changed.ok("GET", "/audit")["items"]
    assert [(each["seq"], each["action"], each["actor"]) for each in items] == [
        (6, "audit.cut", "control"), (5, "team.create", "first"),
    ]  # fmt: skip
    assert changed.ok("GET", "/audit/verify")["ok"]
