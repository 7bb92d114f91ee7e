"""A user is taken out of everything, by the command and by the admin API."""

from __future__ import annotations

import json
import shlex

import pytest
from cli.conftest import Shell
from pages import ROOT, commands, on
from sqlalchemy import select
from store.storing import put, row

from tidegate.store.erasure import digest_of
from tidegate.store.records import Filter
from tidegate.store.tables.admin import audit
from tidegate.telemetry.record import Record, decode, encode

BEFORE_NS = 1_780_000_000 * 10**9
NAME = "ann@example.com"


@pytest.fixture
def known(shell: Shell) -> Shell:
    for number in range(1, 4):
        record = Record(
            request_id=f"req_{number}", started_ns=BEFORE_NS, worker="gw-0", wire="chat", path="/",
            config_version="c", user=NAME, request_body=b"{}",
        )  # fmt: skip
        columns = {"user": NAME, "team": "red", "cost_nanousd": 10, "payload": encode(record)}
        put(shell.served.store, row(number, started_ns=BEFORE_NS, **columns), offset=number)
    return shell


def trail(shell: Shell) -> list[tuple[str, str]]:
    with shell.served.store.database.reading() as connection:
        return [(each.action, each.object) for each in connection.execute(select(audit))][1:]


def users_kept(shell: Shell) -> set[str | None]:
    return {decode(each.payload).user for each in shell.served.store.recent(9, Filter())}


def test_dry_run_tells_and_erases_nothing(known: Shell) -> None:
    told = known.told("erase", "--user", NAME, "--dry-run")
    assert told["counts"] == {"records": 3, "charges": 1, "rollups": 1}
    assert not told["done"]
    assert users_kept(known) == {NAME}
    assert trail(known) == []


def test_yes_erases_and_the_trail_names_a_digest_only(known: Shell) -> None:
    told = known.told("erase", "--user", NAME, "--yes")
    assert told["done"]
    assert told["counts"] == {"records": 3, "charges": 1, "rollups": 1}
    assert users_kept(known) == {"erased"}
    assert trail(known) == [("user.erase", f"user:{digest_of(NAME)[:16]}")]
    assert NAME not in json.dumps(told)
    assert known.served.store.held.charged("team", None, 0) == {"red": 30}
    assert known.told("erase", "--user", NAME, "--yes")["counts"] == {}


def test_nobody_is_erased_without_a_yes(known: Shell) -> None:
    result = known.run("erase", "--user", NAME)
    assert result.exit_code == 2
    assert "--yes" in result.output
    assert users_kept(known) == {NAME}


def test_keys_of_the_user_stay_and_are_named(known: Shell) -> None:
    known.ok("users", "create", NAME)
    known.ok("keys", "create", "laptop", "--user", NAME)
    result = known.run("erase", "--user", NAME, "--yes")
    assert result.exit_code == 0
    assert "laptop" in result.stderr
    assert "sinks" in result.stderr
    assert NAME in known.ok("users", "list")


def test_commands_on_the_page_do_what_it_says(known: Shell) -> None:
    ran = 0
    for block in on(ROOT / "docs" / "how-to" / "erase-a-user.md"):
        for line in commands(block.text) if block.language == "sh" else ():
            result = known.run(*shlex.split(line)[1:])
            assert result.exit_code == 0, (line, result.output)
            ran += 1
    assert ran > 2
    assert users_kept(known) == {"erased"}
