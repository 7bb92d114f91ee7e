"""From records to signals: counted once, by alias, model and prompt version, hour by hour."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.control.looking import StoreLook
from tidegate.control.measures.watch import Watch
from tidegate.control.observing import MOST_SAMPLED_BYTES, Sampler
from tidegate.control.quality import Drifting, QualityQuery, compared, drifts, quality
from tidegate.control.rows import read
from tidegate.store.names import MOST, OTHER
from tidegate.store.quality import Asked, QualityStore
from tidegate.store.records import RecordStore
from tidegate.store.retention import Retention, purge
from tidegate.store.rows import Batch, Place
from tidegate.telemetry.record import Attempt, Record, encode

SECOND_NS = 10**9
HOUR_NS = 3_600 * SECOND_NS
NOW_NS = 500_000 * HOUR_NS + 10 * SECOND_NS
"""Ten seconds into an hour."""


@pytest.fixture
def store(any_store: RecordStore) -> RecordStore:
    return any_store


class Filling:
    """Records on their way into a store."""

    def __init__(self, store: RecordStore) -> None:
        self.store = store
        self.count = 0
        self.batch = Batch()
        self.sampler = Sampler()

    def add(self, hours_ago: float = 0.0, **fields: Any) -> Record:
        self.count += 1
        said: dict[str, Any] = {
            "request_id": f"req_{self.count}",
            "started_ns": NOW_NS - round(hours_ago * HOUR_NS),
            "worker": "gw-0", "wire": "chat", "path": "/v1/chat/completions",
            "config_version": "c", "key": "web", "alias": "fast", "provider": "openai",
            "target": "openai/gpt", "model": "gpt-2026", "status": 200, "output_tokens": 100,
            "cost_nanousd": 5, "finish_reason": "stop", "duration_ms": 200.0,
        }  # fmt: skip
        record = Record(**{**said, **fields})
        read(encode(record), self.batch, sampler=self.sampler)
        return record

    def put(self) -> None:
        self.store.insert(self.batch, Place("here", "one.spool1", self.count))
        self.batch = Batch()


def body(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "gpt",
                       "choices": [choice]}).encode()  # fmt: skip


def test_signals_of_an_alias_as_they_were(store: RecordStore) -> None:
    filling = Filling(store)
    for form in ("good", "good", "repaired", "unchecked", None):
        filling.add(form=form)
    filling.add(finish_reason="length", output_tokens=1_600, ttft_ms=50.0)
    filling.add(finish_reason="refusal", output_tokens=0)
    failed = [Attempt("openai/gpt", "upstream_malformed", 0.0, 1.0)]
    nothing: dict[str, Any] = {
        "target": None,
        "model": None,
        "output_tokens": None,
        "attempts": failed,
    }
    filling.add(outcome="upstream_malformed", form="malformed", **nothing)
    filling.add(outcome="content_filter", **nothing)
    # What is no answer of a model:
    filling.add(outcome="upstream_failed", **nothing)
    filling.add(outcome="upstream_malformed", **nothing)
    filling.add(outcome="client_gone")
    filling.add(degraded="canned", target=None)
    filling.add(wire="embeddings")
    filling.add(outcome="model_not_found", alias="made-up", target=None)
    filling.put()
    told = quality(store.database, QualityQuery(NOW_NS))
    assert (told.until_s - told.since_s, told.part_s) == (24 * 3_600, 3_600)
    [line] = told.lines
    assert (line.alias, line.model, line.version) == ("fast", None, None)
    now = line.total
    assert (now.answers, now.checked, now.repaired, now.malformed, now.unchecked) == (9, 4, 1, 1, 1)
    assert now.format_compliance == pytest.approx(2 / 4)
    assert now.refusal_rate == pytest.approx(2 / 9)
    assert now.truncation_rate == pytest.approx(1 / 9)
    assert now.output_p50 == pytest.approx(100, rel=0.2)
    assert now.output_p90 == pytest.approx(1_600, rel=0.42)
    assert now.wait_p50_ms == pytest.approx(200, rel=0.2)
    assert now.cost_nanousd == 45
    assert (now.sampled, now.refusal_wording, now.language, now.divergence) == (0, None, None, None)
    assert (now.judged, now.feedback) == (0, None)
    assert len(line.series) == 24
    assert line.series[-1].answers == 9
    assert line.series[0].answers == 0
    assert line.series[0].refusal_rate is None


def test_models_and_prompt_versions_are_told_apart(store: RecordStore) -> None:
    filling = Filling(store)
    filling.add(tags={"prompt_version": "7"})
    filling.add(tags={"prompt_version": "7"}, target="azure/gpt")
    filling.add(tags={"prompt_version": "8", "other": "x"}, target="anthropic/claude")
    filling.add(alias="slow")
    filling.put()

    def lines(by: Any, **filters: Any) -> list[tuple[str | None, str | None, str | None, int]]:
        told = quality(store.database, QualityQuery(NOW_NS, by=by, **filters))
        return [(it.alias, it.model, it.version, it.total.answers) for it in told.lines]

    assert lines("alias") == [("fast", None, None, 3), ("slow", None, None, 1)]
    assert lines("model", alias="fast") == [("fast", "gpt", None, 2), ("fast", "claude", None, 1)]
    assert lines("version", alias="fast") == [("fast", None, "7", 2), ("fast", None, "8", 1)]
    assert lines("alias", version="8") == [("fast", None, None, 1)]
    assert lines("alias", model="gpt") == [("fast", None, None, 2), ("slow", None, None, 1)]


def test_record_that_is_loaded_twice_is_counted_once(store: RecordStore) -> None:
    filling = Filling(store)
    record = filling.add(response_body=body("Hello and welcome to the show."))
    filling.put()
    read(encode(record), filling.batch, sampler=Sampler())
    filling.put()
    [line] = quality(store.database, QualityQuery(NOW_NS)).lines
    assert (line.total.answers, line.total.sampled) == (1, 1)


def test_texts_of_kept_answers_are_sampled(store: RecordStore) -> None:
    filling = Filling(store)
    english = "The weather is fine and the sun is out for all of you."
    for seconds in range(0, 600, 2):
        refusing = seconds % 10 == 0
        text = "I'm sorry, but I can't help with that." if refusing else english
        filling.add(hours_ago=2 - seconds / 3_600, response_body=body(text))
    filling.add(hours_ago=1, response_body=body("x" * MOST_SAMPLED_BYTES))
    filling.add(hours_ago=1, response_body=b"neither JSON nor a stream")
    filling.add(hours_ago=1, alias="unkept")
    filling.put()
    line, unkept = quality(store.database, QualityQuery(NOW_NS, hours=4)).lines
    assert (line.total.answers, line.total.sampled) == (302, 120)
    assert line.total.refusal_wording == pytest.approx(0.5, abs=0.02)
    assert line.total.language == "en"
    assert line.total.language_share == pytest.approx(1.0)
    assert unkept.total.sampled == 0
    grams = QualityStore(store.database).bins(
        Asked(line.total.began_s, NOW_NS // SECOND_NS), "gram"
    )
    assert {(group[1], group[2]) for _, group, _ in grams} == {(None, None)}


def test_long_times_come_in_longer_parts(store: RecordStore) -> None:
    Filling(store).put()
    for hours, part_s in ((1, 3_600), (60, 3_600), (61, 7_200), (168, 10_800), (2_000, 172_800)):
        told = quality(store.database, QualityQuery(NOW_NS, hours=hours))
        assert told.part_s == part_s
        assert (told.until_s - told.since_s) >= hours * 3_600


def test_names_beyond_the_bound_are_counted_as_other(store: RecordStore) -> None:
    filling = Filling(store)
    for number in range(MOST["version"] + 10):
        filling.add(tags={"prompt_version": f"{number:04}"})
    filling.put()
    told = quality(store.database, QualityQuery(NOW_NS, by="version"))
    by_version = {line.version: line.total.answers for line in told.lines}
    assert by_version[OTHER] == 10
    found = QualityStore(store.database).counts(Asked(told.since_s, told.until_s))
    assert len(found) == MOST["version"] + 1


def test_what_has_drifted_is_found_in_alias_and_group(store: RecordStore) -> None:
    filling = Filling(store)
    for day in range(1, 8):
        for number in range(60):
            at = day * 24 + 1 + number / 10
            filling.add(hours_ago=at, form="good", output_tokens=100 + number)
            filling.add(hours_ago=at, alias="calm", form="good", target="azure/gpt")
    for number in range(100):
        at = 2 + number / 10
        broken = number % 4 == 0
        form = "repaired" if broken else "good"
        filling.add(
            hours_ago=at, form=form, output_tokens=(100 + number % 60) * (4 if broken else 1)
        )
        filling.add(hours_ago=at, alias="calm", form="good", target="azure/gpt")
        filling.add(hours_ago=at, alias="calm", form="good", target="openai/new")
    filling.put()
    told = compared(store.database, NOW_NS)
    assert told[0].drifted
    by_place = {(it.alias, it.whole, it.model, it.shift.signal): it for it in told}
    bad = by_place["fast", True, None, "format_compliance"]
    assert bad.drifted
    assert (bad.shift.now, bad.shift.then) == (0.75, 1.0)
    assert (bad.shift.answers, bad.shift.answers_before) == (100, 420)
    assert ("fast", False, "gpt", "format_compliance") not in by_place  # it is all of the alias
    assert not by_place["calm", True, None, "format_compliance"].drifted
    assert not by_place["calm", False, "gpt", "format_compliance"].drifted
    assert ("calm", False, "new", "format_compliance") not in by_place  # nothing to compare with
    assert {it.alias for it in drifts(store.database, NOW_NS)} == {"fast"}
    drifting = Drifting(store.database)
    found = drifting.look(NOW_NS)
    assert {it.shift.signal for it in found} == {"format_compliance", "output_length"}
    assert drifting.look(NOW_NS + SECOND_NS) is found
    assert drifting.look(NOW_NS + 301 * SECOND_NS) is not found
    facts = StoreLook(store, list, {}, dict).look(NOW_NS, whole=True)
    gauge = [line for line in Watch(facts).lines() if line.startswith("tidegate_quality_drift{")]
    assert sorted(line.rpartition(" ")[0] for line in gauge) == [
        'tidegate_quality_drift{alias="fast",signal="format_compliance"}',
        'tidegate_quality_drift{alias="fast",signal="output_length"}',
    ]


def test_sums_that_are_old_are_forgotten(store: RecordStore) -> None:
    filling = Filling(store)
    filling.add(hours_ago=200, response_body=body("Good morning to all of you."))
    filling.add(alias="new")
    filling.put()
    purge(store.database, Retention(hours_s=100 * 3_600), NOW_NS)
    told = quality(store.database, QualityQuery(NOW_NS, hours=300))
    assert [line.alias for line in told.lines] == ["new"]
