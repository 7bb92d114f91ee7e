"""`tidegate log`: what a person and what a program sees of the records."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tidegate.cli import main
from tidegate.cli.log.plain import printable, show_cost, show_ms
from tidegate.control.rows import row_of
from tidegate.store import rows
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Attempt, Record, encode

HOSTILE = "[bold]x[/bold] \x1b[2J\x9b31m\x07\u202e\x7f\r\x00"
SECOND_NS = 1_000_000_000


def a_record(number: int, **fields: Any) -> Record:
    usual: dict[str, Any] = {
        "request_id": f"req_{number:018x}",
        "started_ns": time.time_ns() - (100 - number) * SECOND_NS,
        "worker": "gw-0", "wire": "chat", "path": "/v1/chat/completions",
        "config_version": "c0ffee", "key": "web", "team": "search", "alias": "fast",
        "provider": "local", "target": "local/smol", "model": "smol-1", "reason": "only target",
        "status": 200, "attempts": [Attempt("local/smol", "ok", 0.4, 300.0, 200)],
        "input_tokens": 1200, "output_tokens": 34, "cost_nanousd": 123_456,
        "ttft_ms": 182.0, "duration_ms": 1234.0, "parameters": {"temperature": 0.5},
    }  # fmt: skip
    return Record(**{**usual, **fields})


class Place:
    """A directory with a configuration and a store."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "tidegate.yaml"
        self.config.write_text("store: sqlite:///tidegate.db\n")
        self.store = RecordStore(f"sqlite:///{directory}/tidegate.db")

    def put(self, *records: Record) -> None:
        self.store.create()
        batch = rows.Batch([row_of(each, encode(each)) for each in records])
        self.store.insert(batch, rows.Place("here", "one.spool1", 1))
        self.store.close()

    def log(self, *arguments: str, columns: int | None = None) -> Result:
        env = {"COLUMNS": str(columns) if columns else None}
        return CliRunner().invoke(main, ["log", "--config", str(self.config), *arguments], env=env)

    def ids(self, *arguments: str) -> list[int]:
        result = self.log("--json", *arguments)
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        return [int(json.loads(line)["request_id"].removeprefix("req_"), 16) for line in lines]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_row_tells_what_a_person_wants_to_know_first(place: Place) -> None:
    place.put(a_record(1))
    row = place.log().stdout.splitlines()[1]
    cells = re.split(r"\s{2,}", row.strip())
    assert cells[1:] == [
        "req_000000000000000001", "web", "fast → local/smol", "200 ok", "1,200 → 34",
        "$0.000123", "182 ms", "1.23 s",
    ]  # fmt: skip


@pytest.mark.parametrize("columns", [80, 100, 149, 150, 200])
def test_rows_fit_the_terminal(place: Place, columns: int) -> None:
    place.put(a_record(1, alias="a" * 99, key="k" * 99, outcome="o" * 99, target="t/" + "t" * 99))
    lines = place.log(columns=columns).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    text = "\n".join(lines)
    for shown in ("req_000000000000000001", "aaaa", "oooo", "1,200 → 34", "182 ms", "1.23 s"):
        assert shown in text


def test_what_is_not_a_terminal_gets_everything(place: Place) -> None:
    place.put(a_record(1, alias="a" * 300))
    assert "a" * 300 in place.log().stdout


def test_older_days_are_dated(place: Place) -> None:
    place.put(a_record(1, started_ns=86_400 * 365 * SECOND_NS))
    assert re.search(r"^197[01]-\d\d-\d\d \d\d:\d\d:\d\d ", place.log().stdout, re.MULTILINE)


def test_latest_come_last(place: Place) -> None:
    place.put(*(a_record(number) for number in (3, 1, 4, 2)))
    assert place.ids() == [1, 2, 3, 4]
    assert place.ids("-n", "2") == [3, 4]
    assert place.ids("-n", "0") == []


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--alias", "slow"], [2]),
        (["--key", "web"], [1, 2, 4]),
        (["--target", "local"], [1, 2, 3]),
        (["--target", "other/m"], [4]),
        (["--outcome", "client_gone"], [3]),
        (["--errors"], [2, 3]),
        (["--since", "98s"], [3, 4]),
        (["--since", "1h"], [1, 2, 3, 4]),
        (["--errors", "--key", "app"], [3]),
    ],
)
def test_filters(place: Place, arguments: list[str], numbers: list[int]) -> None:
    place.put(
        a_record(1),
        a_record(2, alias="slow", outcome="upstream_failed", status=502),
        a_record(3, key="app", outcome="client_gone", started_ns=time.time_ns()),
        a_record(4, provider="other", target="other/m", started_ns=time.time_ns()),
    )
    assert place.ids(*arguments) == numbers


def test_json_has_every_field_and_only_ascii(place: Place) -> None:
    place.put(
        a_record(1, alias=HOSTILE, request_body="é{\x1b}".encode(), response_body=b"\xff\x00")
    )
    (line,) = place.log("--json").stdout.splitlines()
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert fields.keys() == {"time", *Record.__struct_fields__}
    assert fields["alias"] == HOSTILE
    assert fields["attempts"][0]["duration_ms"] == 300.0
    assert fields["cached_input_tokens"] is None
    assert fields["request_body"] == "é{\x1b}"
    assert fields["response_body"] == {"base64": "/wA="}


def test_stored_text_cannot_steer_the_terminal(place: Place) -> None:
    hostile = dict.fromkeys(("key", "alias", "target", "outcome", "error", "reason"), HOSTILE)
    body = HOSTILE.encode() + b"\n\tline two"
    place.put(
        a_record(
            1, **hostile, request_body=body, response_body=json.dumps({HOSTILE: 1}).encode(),
            attempts=[Attempt(HOSTILE, HOSTILE, 0.0, 1.0, None, HOSTILE)],
            parameters={HOSTILE: HOSTILE},
        )
    )  # fmt: skip
    for arguments in ([], ["req_000000000000000001"]):
        shown = place.log(*arguments).stdout
        assert shown.replace("\n", "").isprintable()
        assert r"[bold]x[/bold] \x1b[2J\x9b31m" in shown


def test_one_request_is_shown_in_full(place: Place) -> None:
    place.put(
        a_record(
            7, error="too slow", outcome="upstream_timeout", status=504, finish_reason="length",
            cached_input_tokens=5, cost_nanousd=123_456_789,
            attempts=[
                Attempt("remote/m", "upstream_failed", 0.3, 120.0, 503, "HTTP 503"),
                Attempt("local/smol", "ok", 121.0, 900.0, 200),
            ],
            request_body=b'{"messages":[{"role":"user"}]}', response_body=b"data: [DONE]\n\n",
        )
    )  # fmt: skip
    shown = place.log("req_000000000000000007").stdout
    for line in (
        r"outcome\s+upstream_timeout", r"status\s+504", r"error\s+too slow", r"key\s+web",
        r"input tokens\s+1,200", r"cached input tokens\s+5", r"cost\s+\$0.123456789",
        r"time to first token\s+182 ms", r'parameters\s+\{"temperature": 0.5\}',
        r"1\s+remote/m\s+upstream_failed\s+503\s+0.30 ms\s+120 ms\s+HTTP 503",
        r"2\s+local/smol\s+ok\s+200", r"not known\s.*reasoning tokens",
        r'^      "role": "user"$', r"^data: \[DONE\]$",
    ):  # fmt: skip
        assert re.search(line, shown, re.MULTILINE), (line, shown)


def test_every_field_of_a_record_has_a_place_on_its_page(place: Place) -> None:
    place.put(
        Record(
            "r",
            1,
            "w",
            "chat",
            "/",
            "c",
            tags={"a": "b"},
            adapted=["trimmed"],
            dropped=["x"],
            left_out={"a/b": "no price"},
            findings={"email": 1},
            cut=["request"],
        )
    )
    shown = place.log("r").stdout
    apart = {"request_id", "attempts", "tokens_per_s", "expires_ms", "held_input_nanousd"}
    for name in set(Record.__struct_fields__) - apart:
        if name.endswith("_body"):
            continue
        label = {"ttft_ms": "time to first token"}.get(name) or re.sub(
            "_(ms|ns|nanousd)$", "", name
        ).replace("_", " ")
        assert label in shown


def test_long_body_is_cut_and_odd_ones_are_shown_as_they_are(place: Place) -> None:
    place.put(
        a_record(1, request_body=b"x" * 100_000, response_body=b"\xff"),
        a_record(2, request_body=b"[" * 100_000, response_body=b"{"),
    )
    shown = place.log("req_000000000000000001").stdout
    assert "83,616 more characters" in shown
    assert "not text" in shown
    assert place.log("req_000000000000000002").exit_code == 0


def test_unknown_request_is_said_so(place: Place) -> None:
    place.put(a_record(1))
    result = place.log("req_none")
    assert result.exit_code == 1
    assert "no record of 'req_none'" in result.stderr


def test_missing_store_names_the_remedy(place: Place) -> None:
    result = place.log()
    assert result.exit_code == 2
    assert "tidegate serve" in result.stderr
    assert not list(place.config.parent.glob("*.db*"))


def test_file_that_is_no_database_is_said_so(place: Place) -> None:
    (place.config.parent / "tidegate.db").write_text("not a database" * 100)
    result = place.log()
    assert result.exit_code == 1
    assert "cannot be read" in result.stderr
    assert "Traceback" not in result.output


def test_nothing_to_show_says_why(place: Place) -> None:
    place.put()
    assert "no records yet" in place.log().stderr
    assert "leave out a filter" in place.log("--errors").stderr
    assert place.log("--json").output == ""


def test_secret_that_this_shell_lacks_does_not_matter(place: Place) -> None:
    place.put(a_record(1))
    with place.config.open("a") as file:
        file.write('providers: {p: {kind: openai, api_key: "${env:TIDEGATE_TEST_UNSET}"}}\n')
    assert place.ids() == [1]


@pytest.mark.parametrize("config", ["store: redis://x\n", "store: [\n", ""])
def test_configuration_that_does_not_say_the_store_is_a_mistake(place: Place, config: str) -> None:
    if config:
        place.config.write_text(config)
    else:
        place.config.unlink()
    result = place.log()
    assert result.exit_code == 2
    assert "tidegate.yaml" in result.stderr


@pytest.mark.parametrize("ago", ["5", "yesterday", "-1h", ""])
def test_since_needs_a_duration(place: Place, ago: str) -> None:
    place.put(a_record(1))
    result = place.log(f"--since={ago}")
    assert result.exit_code == 2
    assert "15m" in result.stderr


def test_one_request_cannot_be_followed(place: Place) -> None:
    assert place.log("req_x", "--follow").exit_code == 2


@pytest.mark.parametrize("as_json", [True, False])
def test_follow_prints_new_records_until_interrupted(place: Place, *, as_json: bool) -> None:
    place.put(a_record(1, key="app"), a_record(2))
    command = [sys.executable, "-m", "tidegate", "log", "--follow", "--key", "web"]
    command += ["--config", str(place.config), *(["--json"] if as_json else [])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        line = reader(process)
        assert "req_000000000000000002" in line()
        place.put(a_record(3), a_record(4, key="app"))
        assert "req_000000000000000003" in line()
        place.put(a_record(5, started_ns=1))
        assert "req_000000000000000005" in line()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.strip() == ""
    assert err == ""


def reader(process: subprocess.Popen[str]) -> Callable[[], str]:
    """Reads the next line that tells a request."""
    stdout = process.stdout
    assert stdout is not None

    def line() -> str:
        return next(text for text in stdout if "req_" in text)

    return line


@pytest.mark.parametrize(
    ("duration_ms", "shown"),
    [
        (None, "-"), (0.0, "0.00 ms"), (9.994, "9.99 ms"), (10.0, "10 ms"), (999.4, "999 ms"),
        (1000.0, "1.00 s"), (59_990.0, "59.99 s"), (60_000.0, "1m 00s"), (125_000.0, "2m 05s"),
    ],
)  # fmt: skip
def test_durations(duration_ms: float | None, shown: str) -> None:
    assert show_ms(duration_ms) == shown


@pytest.mark.parametrize(
    ("nanousd", "shown"),
    [
        (None, "-"), (0, "$0.00"), (1, "$0.000000001"), (123_456, "$0.000123"),
        (1_234_567_890, "$1.23"), (9_999_999, "$0.01"), (12_345_678_901_234, "$12,345.68"),
    ],
)  # fmt: skip
def test_costs(nanousd: int | None, shown: str) -> None:
    assert show_cost(nanousd) == shown


def test_harmless_text_is_left_alone() -> None:
    for text in ("", "plain", "Grüße, 世界 👋", "no\u00a0break"):
        assert printable(text) == text
    assert printable("a\nb\tc\r", lines=True) == "a\nb\tc\\r"
    assert printable("a\nb") == "a\\nb"
