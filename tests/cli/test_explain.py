"""`tidegate explain`: why a request went as it did, for a person and for a program."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tidegate.cli import main
from tidegate.config.load import version_of
from tidegate.control.rows import read, row_of
from tidegate.store import rows
from tidegate.store.configurations import ConfigurationStore
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Attempt, Record, encode

CONFIG = """
store: sqlite:///tidegate.db
keys: [{name: web, secret: "${env:TIDEGATE_TEST_GONE}", team: search}]
teams: {search: {budget: {usd: 5, period: day}, limits: {requests_per_minute: 60}}}
providers:
  openai: {kind: openai, api_key: "${env:TIDEGATE_TEST_GONE}"}
  eu: {kind: openai, api_key: "${env:TIDEGATE_TEST_GONE}"}
models:
  fast:
    targets:
      - {provider: openai, model: gpt-5-mini, weight: 3, price: {input: $1/M, output: $2/M}}
      - {provider: eu, model: gpt-5-mini, weight: 1}
      - {provider: eu, model: gpt-5, weight: 0}
    fallback: [cheap]
    on_context_overflow: [cheap]
  cheap: {targets: [{provider: eu, model: gpt-4o-mini}]}
"""
VERSION = version_of(CONFIG)
HOSTILE = "[bold]x[/bold] \x1b[2J\u202e\r"


def a_record(number: int, **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "request_id": f"req_{number:018x}", "started_ns": time.time_ns(), "worker": "gw-0",
        "wire": "chat", "path": "/v1/chat/completions", "config_version": VERSION, "key": "web",
        "team": "search", "alias": "fast", "provider": "openai", "target": "openai/gpt-5-mini",
        "model": "gpt-5-mini", "reason": "drawn by weight, 3 of 4", "status": 200,
        "attempts": [Attempt("openai/gpt-5-mini", "ok", 2.0, 300.0)],
        "input_tokens": 1000, "output_tokens": 34, "cost_nanousd": 1_068_000,
        "price": "configured", "held_nanousd": 5_000_000, "gateway_ms": 1.5, "ttft_ms": 302.0,
        "duration_ms": 900.0, "request_bytes": 1234,
    }  # fmt: skip
    return Record(**{**usual, **fields})


class Place:
    def __init__(self, directory: Path) -> None:
        self.config = directory / "tidegate.yaml"
        self.config.write_text(CONFIG)
        self.store = RecordStore(f"sqlite:///{directory}/tidegate.db")
        self.store.create()
        kept = ConfigurationStore(self.store.database)
        kept.take(VERSION, CONFIG, (), time.time_ns(), before=None)

    def put(self, *records: Record) -> None:
        batch = rows.Batch([row_of(each, encode(each)) for each in records])
        self.store.insert(batch, rows.Place("here", "one.spool1", 1))

    def run(self, *words: str, **env: str | None) -> Result:
        arguments = ["explain", *words, "--config", str(self.config)]
        return CliRunner().invoke(main, arguments, env=env)

    def told(self, *words: str, **env: str | None) -> Any:
        result = self.run(*words, "--json", **env)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_targets_that_were_not_asked_are_told_from_the_configuration(place: Place) -> None:
    place.put(a_record(1))
    told = place.told("--last")
    assert told["summary"] == "Answered by openai/gpt-5-mini: drawn by weight, 3 of 4."
    assert [(each["name"], each["role"], each["why"]) for each in told["targets"]] == [
        ("openai/gpt-5-mini", "answered", "attempt 1 had content after 300 ms"),
        ("eu/gpt-5-mini", "not asked", "the draw fell on openai/gpt-5-mini, which answered"),
        ("eu/gpt-5", "not asked", "its weight is 0: only in the place of others"),
        ("eu/gpt-4o-mini", "not asked", "not needed: openai/gpt-5-mini answered"),
    ]
    assert told["configuration"]["current"] is True


def test_price_is_told_class_by_class(place: Place) -> None:
    place.put(a_record(1))
    price = place.told("--last", TIDEGATE_TEST_GONE="is-here-now")["price"]
    assert (price["source"], price["since"]) == ("the configuration", None)
    assert [(each["kind"], each["nanousd"], each["tokens"]) for each in price["rates"]] == [
        ("input", 10**9, 1000), ("output", 2 * 10**9, 34),
    ]  # fmt: skip
    told = place.told("--last", TIDEGATE_TEST_GONE=None)
    assert (told["price"]["rates"], "price" in told["notes"][-1]) == ([], True)


def test_limits_that_cover_it_are_told_and_the_one_that_refused_it(place: Place) -> None:
    place.put(
        a_record(
            1, outcome="rate_limited", status=429, limit="team search requests_per_minute",
            attempts=[], target=None, provider=None, reason=None, gateway_ms=None, ttft_ms=None,
            cost_nanousd=None, price=None, held_nanousd=None,
        )
    )  # fmt: skip
    told = place.told("--last")
    assert told["summary"] == "Refused by a limit: team search requests_per_minute."
    assert [(each["kind"], each["said"], each["refused"]) for each in told["limits"]] == [
        ("team", "60 requests a minute", True), ("team", "$5.00 a day (UTC)", False),
    ]  # fmt: skip
    assert {each["why"] for each in told["targets"]} == {
        "the request was refused before: rate_limited"
    }
    assert "refused it" in place.run("--last").stdout


def test_the_way_is_drawn_from_station_to_station(place: Place) -> None:
    place.put(
        a_record(
            1, queue_ms=40.0, body_ms=5.0, admit_ms=10.0, gateway_ms=16.0, stream=True, chunks=9,
            attempts=[
                Attempt(
                    "openai/gpt-5-mini", "upstream_error", 56.0, 100.0, 503, "it is down",
                    queue_ms=40.0, then="again: after 44 ms",
                ),
                Attempt("openai/gpt-5-mini", "ok", 200.0, 102.0),
            ],
        )
    )  # fmt: skip
    told = place.told("--last")
    assert [(each["name"], each["at_ms"], each["took_ms"]) for each in told["timeline"]] == [
        ("in", 0.0, 5.0), ("identified", 5.0, 0.0), ("planned", 5.0, 0.0),
        ("admitted", 6.0, 10.0), ("queue", 16.0, 40.0), ("attempt 1", 56.0, 100.0),
        ("pause", 156.0, 44.0), ("attempt 2", 200.0, 102.0), ("answer begun", 302.0, 598.0),
        ("ended", 900.0, 0.0), ("settled", 900.0, 0.0),
    ]  # fmt: skip
    shown = place.run("--last").stdout
    assert re.search(r"attempt 1\s+56 ms\s+100 ms\s+█+\s+openai/gpt-5-mini: upstream_error", shown)
    assert "again: after 44 ms" in shown


def test_what_failed_passed_and_was_never_reached(place: Place) -> None:
    place.put(
        a_record(
            1, outcome="upstream_error", status=502, target=None, provider=None, reason=None,
            price=None, cost_nanousd=None, ttft_ms=None,
            left_out={"eu/gpt-5-mini": "nobody knows its price, and a budget pays"},
            attempts=[
                Attempt("eu/gpt-5", "skipped_breaker_open", 2.0, 0.0),
                Attempt(
                    "openai/gpt-5-mini", "upstream_error", 3.0, 80.0, 400, "no",
                    then="end: the same target would fail again",
                ),
            ],
        )
    )  # fmt: skip
    targets = {
        each["name"]: (each["role"], each["why"]) for each in place.told("--last")["targets"]
    }
    assert targets == {
        "eu/gpt-5": ("passed over", "it rested after failures: its breaker was open"),
        "openai/gpt-5-mini": (
            "failed",
            "attempt 2: upstream_error, status 400 (no); end: the same target would fail again",
        ),
        "eu/gpt-5-mini": ("left out", "nobody knows its price, and a budget pays"),
        "eu/gpt-4o-mini": (
            "not asked",
            "never reached, after openai/gpt-5-mini: end: the same target would fail again",
        ),
    }


def test_changes_of_the_request_are_told(place: Place) -> None:
    place.put(
        a_record(
            1, downgraded="smart", adapted=["trimmed"], dropped=["logprobs"], degraded="canned",
            usage_estimated=True,
        )
    )  # fmt: skip
    changes = place.told("--last")["changes"]
    assert len(changes) == 5
    assert changes[0].startswith("smart was asked for")
    assert "logprobs" in changes[2]


def test_configuration_that_is_not_in_force_any_more_is_told(place: Place) -> None:
    place.put(a_record(1))
    later = CONFIG + "log: {level: debug}\n"
    ConfigurationStore(place.store.database).take(
        "feedc0ffee12", later, (), time.time_ns() + 10**9, before=VERSION
    )
    assert place.told("--last")["configuration"]["current"] is False
    assert f"{VERSION}, in force until" in place.run("--last").stdout


def test_configuration_that_is_not_kept_is_said_so(place: Place) -> None:
    place.put(a_record(1, config_version="0000000000ff"))
    told = place.told("--last")
    assert [each["role"] for each in told["targets"]] == ["answered"]
    assert "0000000000ff is not kept" in told["notes"][0]


def test_request_is_found_by_how_its_id_begins(place: Place) -> None:
    place.put(a_record(0x1230), a_record(0x1231), a_record(0x4560))
    assert place.told(f"req_{0x4560:018x}"[:-1])["request_id"] == f"req_{0x4560:018x}"
    assert place.told(f"{0x1231:018x}")["request_id"] == f"req_{0x1231:018x}"
    result = place.run(f"req_{0x1230:018x}"[:-1])
    assert (result.exit_code, "Several requests" in result.stderr) == (1, True)
    result = place.run("req_none")
    assert (result.exit_code, "There is no record of 'req_none'" in result.stderr) == (1, True)


def test_request_that_still_runs_is_explained_as_such(place: Place) -> None:
    held = a_record(7, outcome="held", status=0, attempts=[], expires_ms=60_000.0)
    batch = rows.Batch([])
    read(encode(held), batch)
    place.store.insert(batch, rows.Place("here", "one.spool1", 1))
    told = place.told(f"req_{7:018x}")
    assert told["state"] == "running"
    assert told["summary"].startswith("Still running")
    assert {each["why"] for each in told["targets"]} == {"not yet, as far as is known"}
    assert place.run(f"req_{7:018x}").exit_code == 0


def test_nothing_to_explain_and_too_much_of_it_are_mistakes(place: Place) -> None:
    assert place.run().exit_code == 2
    assert place.run("req_1", "--last").exit_code == 2
    result = place.run("--last")
    assert (result.exit_code, "no records yet" in result.stderr) == (1, True)


def test_stored_text_cannot_steer_the_terminal_of_who_asks_why(place: Place) -> None:
    hostile = dict.fromkeys(("key", "alias", "target", "outcome", "error", "reason"), HOSTILE)
    place.put(
        a_record(
            1, **hostile, price=HOSTILE, limit=HOSTILE, left_out={HOSTILE: HOSTILE},
            attempts=[Attempt(HOSTILE, HOSTILE, 0.0, 1.0, None, HOSTILE, then=HOSTILE)],
        )
    )  # fmt: skip
    shown = place.run("--last").stdout
    assert shown.replace("\n", "").isprintable()
