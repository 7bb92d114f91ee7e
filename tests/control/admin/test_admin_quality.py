"""Quality, drift and feedback as the admin API tells them."""

from __future__ import annotations

import pytest
from admin_serving import Client, Served
from store.storing import answered, judged, put

from tidegate.store.rows import Batch, Place


@pytest.fixture
def filled(served: Served) -> Client:
    before = [answered(number, 24 + number) for number in range(1, 141)]
    lately = [answered(number, 1, "malformed" if number % 2 else "good") for number in
              range(200, 260)]  # fmt: skip
    put(served.store, *before, *lately)
    feedback = [
        judged(200, "down", 0.5, text="Not JSON.", labels='{"screen":"search"}', rating=1),
        judged(201, "up", 0.25),
        judged(1, "up", 20),
    ]
    served.store.insert(Batch(feedback=feedback), Place("here", "two.spool1", 1))
    return served.owner


def test_signals_are_told_with_latency_and_cost_on_the_same_axis(filled: Client) -> None:
    told = filled.ok("GET", "/quality")
    assert (told["since"], told["until"], told["part_s"]) == (
        "2026-09-20T15:00:00Z", "2026-09-21T15:00:00Z", 3_600,
    )  # fmt: skip
    [line] = told["items"]
    assert (line["alias"], line["model"], line["version"]) == ("fast", None, None)
    total = line["total"]
    assert (total["answers"], total["format_compliance"], total["malformed"]) == (60, 0.5, 30)
    assert (total["judged"], total["feedback"]) == (2, 0.5)
    assert total["cost"] == {"usd": "0.0000003", "nanousd": 300}
    assert total["wait_p50_ms"] == pytest.approx(215, rel=0.2)
    assert [each["at"][:13] for each in line["series"][-2:]] == ["2026-09-21T13", "2026-09-21T14"]
    assert [each["answers"] for each in line["series"][-3:]] == [0, 60, 0]
    models = filled.ok("GET", "/quality?by=version&hours=200&alias=fast")
    assert [(it["version"], it["total"]["answers"]) for it in models["items"]] == [
        ("7", 200), (None, 0),
    ]  # fmt: skip
    assert filled.ok("GET", "/quality?alias=none")["items"] == []


def test_drift_is_told_with_its_size_and_chance(filled: Client) -> None:
    told = filled.ok("GET", "/quality/drift")
    [form] = [each for each in told["items"] if each["signal"] == "format_compliance"]
    assert form["drifted"] is True
    assert (form["alias"], form["whole"], form["now"], form["then"]) == ("fast", True, 0.5, 1.0)
    assert form["effect"] > 1
    assert form["chance"] < 0.001
    assert filled.ok("GET", "/quality/drift?alias=none")["items"] == []


def test_feedback_is_listed_newest_first_page_by_page(filled: Client) -> None:
    first = filled.ok("GET", "/feedback?limit=2")
    assert [each["request_id"] for each in first["items"]] == ["req_201", "req_200"]
    rest = filled.ok("GET", f"/feedback?limit=2&before={first['next']}")
    assert [each["request_id"] for each in rest["items"]] == ["req_1"]
    assert rest["next"] is None
    [bad] = filled.ok("GET", "/feedback?verdict=down&alias=fast")["items"]
    assert (bad["text"], bad["labels"], bad["rating"]) == ("Not JSON.", {"screen": "search"}, 1)
    assert (bad["at"], bad["asked_at"]) == ("2026-09-21T13:43:20Z", "2026-09-21T13:13:20Z")


def test_feedback_has_a_trend(filled: Client) -> None:
    days = filled.ok("GET", "/feedback/trend")["items"]
    assert [(each["name"], each["up"], each["down"], each["score"]) for each in days] == [
        ("2026-09-20", 1, 0, 1.0), ("2026-09-21", 1, 1, 0.5),
    ]  # fmt: skip
    [alias] = filled.ok("GET", "/feedback/trend?by=alias&since=2026-09-21T00:00:00Z")["items"]
    assert (alias["name"], alias["up"], alias["down"]) == ("fast", 1, 1)


@pytest.mark.parametrize(
    "path",
    ["/quality?hours=0", "/quality?by=planet", "/quality?until=x", "/quality/drift?hours=1000",
     "/feedback?verdict=bad", "/feedback?before=x", "/feedback?before=99999999999999999999.a",
     "/feedback/trend?by=user", "/feedback?limit=0"],
)  # fmt: skip
def test_wrong_questions_are_refused(owner: Client, path: str) -> None:
    assert owner("GET", path).status == 422


def test_largest_place_is_a_place(owner: Client) -> None:
    assert owner.ok("GET", "/feedback?before=9999999999999999999.a")["items"] == []
