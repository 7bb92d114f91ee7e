"""However many names are made up, what is counted stays bounded, and nothing is left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exposition import read
from hypothesis import given, settings
from hypothesis import strategies as st
from spools import NOW_NS

from tidegate.control.measures import Measures
from tidegate.control.measures import catalogue as of
from tidegate.control.measures.bounds import OTHER, Names
from tidegate.control.measures.series import Counter, Histogram
from tidegate.control.measures.text import Meaning
from tidegate.control.metrics import Pass, metrics
from tidegate.telemetry.record import Attempt, Record

MOST = 3
NAMES = st.sampled_from("abcdefgh") | st.text(max_size=5)
COUNTS = st.none() | st.integers(min_value=0, max_value=10**12)
TIMES = st.none() | st.floats(min_value=0, max_value=1e7)


def attempts() -> st.SearchStrategy[list[Attempt]]:
    return st.lists(
        st.builds(
            Attempt,
            target=NAMES,
            outcome=st.just("ok"),
            started_ms=st.just(0.0),
            duration_ms=st.just(1.0),
            hedge=st.booleans(),
        ),
        max_size=3,
    )


def records() -> st.SearchStrategy[Record]:
    return st.builds(
        Record,
        request_id=st.just("r"),
        started_ns=st.just(NOW_NS),
        worker=st.just("gw-0"),
        wire=st.sampled_from(["chat", "completions", "embeddings", "none"]),
        path=st.just("/"),
        config_version=st.just("1"),
        stream=st.booleans(),
        alias=st.none() | NAMES,
        team=st.none() | NAMES,
        provider=st.none() | NAMES,
        target=st.none() | NAMES,
        model=st.none() | NAMES,
        outcome=st.sampled_from(["ok", "model_not_found", "rate_limit_exceeded"]) | NAMES,
        status=st.sampled_from([200, 404, 429, 502]),
        limit=st.none() | NAMES,
        attempts=attempts(),
        adapted=st.lists(NAMES, max_size=2),
        degraded=st.none() | NAMES,
        downgraded=st.none() | NAMES,
        finish_reason=st.sampled_from([None, "stop", "length"]),
        input_tokens=COUNTS,
        output_tokens=COUNTS,
        reasoning_tokens=COUNTS,
        cost_nanousd=COUNTS,
        duration_ms=st.floats(min_value=0, max_value=1e7),
        gateway_ms=TIMES,
        ttft_ms=TIMES,
        tokens_per_s=TIMES,
        max_gap_ms=TIMES,
    )


def total(counter: Counter) -> int:
    return sum(counter._sums.values())  # pyright: ignore[reportPrivateUsage]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(batches=st.lists(st.lists(records(), max_size=12), max_size=4))
def test_page_is_bounded_and_nothing_is_left_out(batches: list[list[Record]]) -> None:
    measures = Measures(values=MOST, combinations=10)
    for batch in batches:
        measures.take(batch)
    everything = [record for batch in batches for record in batch]
    found = read(metrics([], Pass(0, failing=False), measures))
    assert sum(v for k, v in found.items() if k.startswith("tidegate_requests_total")) == len(
        everything
    )
    assert total(measures.counter(of.COST)) == sum(each.cost_nanousd or 0 for each in everything)
    asked = [each for each in everything if _asked(each)]
    counted = sum(
        value
        for name, value in found.items()
        if name.startswith("gen_ai_client_operation_duration_seconds_count")
    )
    assert counted == len(asked)
    for label in ("alias", "team", "provider", "target"):
        shown = {name for key in found for name in _values(key, label)}
        assert len(shown - {"", OTHER}) <= MOST
    assert len(found) < 17 * 11 + 8 * 3 * 20 + 60


def _asked(record: Record) -> bool:
    if record.target is not None:
        return record.target != ""
    return bool(record.attempts and record.attempts[-1].target)


def _values(key: str, label: str) -> Sequence[str]:
    return re.findall(rf'[{{,]{label}="((?:[^"\\]|\\.)*)"', key)


@given(values=st.lists(st.none() | NAMES))
def test_first_names_are_shown_and_stay_shown(values: list[str | None]) -> None:
    names, shown = Names(MOST), list[str]()
    for value in values:
        if names.admits(value):
            if value and value != OTHER and value not in shown:
                shown.append(value)
        else:
            assert value not in shown
    assert (
        shown == list(dict.fromkeys(value for value in values if value and value != OTHER))[:MOST]
    )
    assert all(names.admits(value) for value in shown)


def test_name_that_a_caller_made_up_takes_no_place() -> None:
    def asked(alias: str, outcome: str = "ok", target: str | None = "p/m") -> Record:
        return Record(
            request_id=alias, started_ns=NOW_NS, worker="w", wire="chat", path="/",
            config_version="1", alias=alias, outcome=outcome, target=target,
            status=404 if target is None else 200,
        )  # fmt: skip

    measures = Measures(values=3)
    measures.take(asked(f"made-up-{number}", "model_not_found", None) for number in range(50))
    measures.take([asked("fast"), asked("smart"), asked("third"), asked("fourth")])
    measures.take([asked("fast", "invalid_request", None)])
    requests = measures.counter(of.REQUESTS)
    assert requests.value("other", "", "model_not_found", "false") == 50
    assert requests.value("fast", "", "ok", "false") == 1
    assert requests.value("smart", "", "ok", "false") == 1
    assert requests.value("other", "", "ok", "false") == 1
    assert requests.value("fast", "", "invalid_request", "false") == 1
    assert measures.counter(of.OVERFLOWS).value("alias") == 51


@given(
    values=st.lists(st.floats(min_value=0, max_value=200) | st.sampled_from([1.0, 5.0, 5e-324])),
    cut=st.integers(min_value=0, max_value=50),
)
def test_histogram_counts_what_is_below_each_bound(values: list[float], cut: int) -> None:
    bounds = (1.0, 5.0, 25.0)
    histogram = Histogram(Meaning("h", "histogram", (), "", "h"), bounds, 5)
    for part in (values[:cut], values[cut:]):
        histogram.add((), list(part))
        histogram.fold()
    found = read(
        "".join([*histogram.lines(), "# HELP x_total x\n# TYPE x_total counter\n"]).encode()
    )
    if values:
        for bound in bounds:
            assert found[f'h_bucket{{le="{bound}"}}'] == sum(value <= bound for value in values)
        assert found["h_count"] == len(values)
    assert histogram.counts()[0] == len(values)


@given(labels=st.lists(st.tuples(NAMES, NAMES)), most=st.integers(min_value=1, max_value=5))
def test_combinations_beyond_the_bound_are_added_up_as_other(
    labels: list[tuple[str, str]], most: int
) -> None:
    counter = Counter(Meaning("c_total", "counter", ("a", "b"), "", "c"), most)
    for each in labels:
        counter.add(each, 2)
    assert len(counter) <= most + 1
    assert total(counter) == 2 * len(labels)
    assert (counter.overflows > 0) == (len(set(labels) - {(OTHER, OTHER)}) > most)
