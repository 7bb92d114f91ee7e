"""The made-up month: its size, its spread, and that the store takes it as its own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from click.testing import CliRunner

from bench import dataset
from tidegate.config.load import load
from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import encode

NOW_NS = 1_790_000_000 * 10**9


def test_the_month_is_as_wide_as_it_says() -> None:
    told = list(dataset.records(20_000, until_ns=NOW_NS))
    assert len({each.request_id for each in told}) == 20_000
    moments = [each.started_ns for each in told]
    assert moments == sorted(moments)
    assert NOW_NS - 30 * 86_400 * 10**9 <= moments[0] < moments[-1] <= NOW_NS
    assert {each.alias for each in told} == {each.alias for each in dataset.MODELS}
    assert len({each.team for each in told}) == dataset.TEAMS
    assert len({each.user for each in told}) > 0.9 * dataset.USERS
    assert {each.outcome for each in told} == {end[0] for end in dataset._ENDS}
    bodies = sum(each.request_body is not None for each in told)
    assert 0.04 < bodies / 20_000 < 0.06
    hours = Counter(each.started_ns // (3_600 * 10**9) for each in told)
    assert max(hours.values()) > 5 * min(hours.values())


def test_the_same_seed_makes_the_same_month() -> None:
    one, other = (dataset.records(500, until_ns=NOW_NS, seed=3) for _ in range(2))
    assert list(map(encode, one)) == list(map(encode, other))


def test_a_directory_is_filled_and_its_configuration_is_good(tmp_path: Path) -> None:
    done = CliRunner().invoke(dataset.main, [str(tmp_path), "--records", "700", "--days", "2"])
    assert done.exit_code == 0, done.output
    config = load(tmp_path / "tidegate.yaml")
    assert set(config.models) == {each.alias for each in dataset.MODELS}
    store = RecordStore(config.store.reveal())
    assert len(store.after(0, 1000, Filter())) == 700
    store.close()
    again = CliRunner().invoke(dataset.main, [str(tmp_path), "--records", "1"])
    assert again.exit_code == 1
    assert "has records already" in again.output
    assert json.loads((tmp_path / "tidegate.yaml").read_text())["retention"] == {"records": None}
