"""Limits, budgets, spending, prices and the trail on the command line."""

import csv
import io
import re

import pytest
from cli.conftest import Shell
from store.storing import put, row

from tidegate.limits import Budget, Limits, Rate, Rule

NOW_NS = 1_790_000_000 * 10**9
HOSTILE = "\x1b[2J[bold]"


@pytest.fixture
def spent(shell: Shell) -> Shell:
    put(
        shell.served.store,
        row(1, started_ns=NOW_NS, cost_nanousd=3 * 10**9, team="product", user=HOSTILE),
        row(2, started_ns=NOW_NS, cost_nanousd=10**9, team="sales", user="=1+1"),
    )
    return shell


def test_limits_that_are_not_named_stay(shell: Shell) -> None:
    shell.ok("limits", "set", "team", "product", "--budget", "500.50/month", "--budget", "7/day",
             "--downgrade", "cheap", "--soft", "50")  # fmt: skip
    shell.ok("limits", "set", "team", "product", "--requests-per-minute", "600")
    budgets = (Budget(500_500_000_000, soft=0.5, downgrade="cheap"),
               Budget(7 * 10**9, "day", soft=0.5, downgrade="cheap"))  # fmt: skip
    limits = Limits(requests=(Rate(600, 60),), budgets=budgets)
    assert shell.served.access().rules == (Rule("team", limits, "product"),)
    shell.ok("limits", "set", "team", "product", "--budget", "none")
    assert shell.served.access().rules == (
        Rule("team", Limits(requests=(Rate(600, 60),)), "product"),
    )
    assert "600 requests per minute" in shell.ok("limits", "list")
    shell.ok("limits", "remove", "team", "product")
    assert shell.served.access().rules == ()


@pytest.mark.parametrize(
    "words", [(), ("--budget", "5"), ("--budget", "-5/day"), ("--concurrency", "many")]
)
def test_limits_that_make_no_sense_are_mistakes_of_the_line(
    shell: Shell, words: tuple[str, ...]
) -> None:
    assert shell.run("limits", "set", "team", "product", *words).exit_code == 2


def test_budgets_are_shown_with_a_bar(spent: Shell) -> None:
    spent.ok("limits", "set", "team", "product", "--budget", "4/month")
    shown = spent.ok("budgets")
    assert re.search(r"team +product +█{18} +75 % +\$3\.00 +\$1\.00 +\$4\.00 +month", shown)
    assert spent.told("budgets")["items"][0]["left"]["nanousd"] == 10**9


def test_spending_is_shown_with_bars_and_sums(spent: Shell) -> None:
    words = ("spend", "--since", "2026-09-01", "--until", "2026-10-01")
    lines = spent.ok(*words).splitlines()
    assert re.match(r"product +█{24} +\$3\.00 +75% +1 ", lines[1])
    assert re.match(r"sales +█{8} +\$1\.00 +25% +1 ", lines[2])
    assert re.match(r"all +\$4\.00 +2 ", lines[3])
    assert "product" not in spent.ok(*words, "--team", "sales")


def test_spending_for_programs_is_exact(spent: Shell) -> None:
    words = ("spend", "--by", "team", "--since", "2026-09-01", "--until", "2026-10-01")
    assert spent.told(*words)["total"]["cost"] == {"usd": "4.00", "nanousd": 4 * 10**9}
    rows = list(csv.DictReader(io.StringIO(spent.ok(*words, "--csv"))))
    assert [(each["team"], each["usd"], each["requests"]) for each in rows] == [
        ("product", "3.00", "1"), ("sales", "1.00", "1"),
    ]  # fmt: skip


def test_names_that_callers_chose_steer_neither_terminal_nor_spreadsheet(spent: Shell) -> None:
    words = ("spend", "--by", "user", "--since", "2026-09-01", "--until", "2026-10-01")
    shown = spent.ok(*words)
    assert shown.replace("\n", "").isprintable()
    assert r"\x1b[2J[bold]" in shown
    rows = list(csv.DictReader(io.StringIO(spent.ok(*words, "--csv"))))
    assert rows[1]["user"] == "'=1+1"


def test_prices_are_set_listed_and_deleted(shell: Shell) -> None:
    shell.ok("prices", "set", "openai", "gpt-5*", "--input", "0.15", "--output", "$0.60/M",
             "--from", "2026-12-01")  # fmt: skip
    (entry,) = shell.served.access().prices
    assert (entry.input_nanousd, entry.output_nanousd) == (150_000_000, 600_000_000)
    assert re.search(r"openai +gpt-5\* .*\$0\.15 +\$0\.60", shell.ok("prices", "list"))
    shell.ok("prices", "delete", "openai", "gpt-5*", "2026-12-01T00:00:00Z")
    assert shell.told("prices", "list") == []


def test_trail_tells_changes_and_verifies(shell: Shell) -> None:
    shell.ok("teams", "create", "product")
    shell.ok("teams", "change", "product", "--weight", "5")
    assert "weight: 1 → 5" in shell.ok("audit")
    assert "weight" not in shell.ok("audit", "--action", "token.create")
    assert re.fullmatch(r"[0-9a-f]{64}\n", shell.ok("audit", "--verify"))
    with shell.served.store.database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_stays")
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE seq = 2")
    broken = shell.run("audit", "--verify")
    assert broken.exit_code == 1
    assert "broken at entry 2" in broken.stderr
