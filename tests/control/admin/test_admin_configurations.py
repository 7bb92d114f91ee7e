"""Configurations through the admin API: list, look, compare, roll back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from admin_serving import Client, Served, serving

from tidegate.config.load import load, version_of
from tidegate.control.configurations import SEEN_NS, Keeping
from tidegate.house.written import Written

ONE = "providers: {sim: {kind: simulated}}\nmodels: {one: {targets: [{provider: sim, model: m}]}}\n"
TWO = ONE.replace("one", "two")
V1, V2 = version_of(ONE), version_of(TWO)


class Place:
    """An admin API beside a configuration's file, and what looks at it twice a second."""

    def __init__(self, served: Served, path: Path, file: Written) -> None:
        self.served = served
        self.path = path
        self.keeping = Keeping(served.store.database, file, served.clock)
        self.keeping.look()

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.look()

    def look(self) -> None:
        self.served.clock.turn(1)
        self.keeping.look()


@pytest.fixture
def place(any_made_url: str, tmp_path: Path) -> Iterator[Place]:
    path = tmp_path / "tidegate.yaml"
    path.write_text(ONE)
    file = Written(path, None, load(path))
    with serving(any_made_url, tmp_path / "beside", file) as served:
        yield Place(served, path, file)


def test_what_was_in_force_is_listed_with_its_text(place: Place) -> None:
    place.write(TWO)
    owner = place.served.owner
    listed = owner.ok("GET", "/configurations")
    assert (listed["file"], listed["in_force"], listed["refused"]) == (str(place.path), V2, None)
    assert [
        (each["version"], each["in_force"], each["how"], each["restorable"])
        for each in listed["items"]
    ] == [(V2, True, "file", True), (V1, False, "start", True)]
    assert owner.ok("GET", f"/configurations/{V1[:6]}")["text"] == ONE
    assert owner("GET", "/configurations/ffff0000ffff").status == 404
    assert owner("GET", "/configurations/..%2f").status in {404, 422}


def test_two_are_compared(place: Place) -> None:
    place.write(TWO)
    owner = place.served.owner
    found = owner.ok("GET", f"/configurations/{V1}/diff")
    assert (found["old"], found["new"]) == (V1, V2)
    lines = found["diff"].splitlines()
    assert lines[:2] == [f"--- {V1}", f"+++ {V2}"]
    assert [line[:14] for line in lines if line[0] in "+-"][2:] == [
        "-models: {one:",
        "+models: {two:",
    ]
    assert owner.ok("GET", f"/configurations/{V2}/diff?to={V2}")["diff"] == ""


def test_rolling_back_writes_the_file_and_is_audited(place: Place) -> None:
    place.write(TWO)
    owner = place.served.client("admin")
    done = owner.ok("POST", f"/configurations/{V1}/rollback")
    assert (done["version"], done["before"]) == (V1, V2)
    assert place.path.read_text() == ONE
    place.look()
    newest = owner.ok("GET", "/configurations")["items"][0]
    assert (newest["version"], newest["how"], newest["by"]) == (V1, "rollback", "a-admin")
    entry = owner.ok("GET", "/audit")["items"][0]
    assert (entry["action"], entry["actor"]) == ("configuration.rollback", "a-admin")
    assert (entry["before"], entry["after"]) == ({"version": V2}, {"version": V1})


def test_rolling_back_twice_under_one_key_happens_once(place: Place) -> None:
    place.write(TWO)
    owner = place.served.owner
    first = owner("POST", f"/configurations/{V1}/rollback", idempotency_key="k")
    place.write(TWO)
    again = owner("POST", f"/configurations/{V1}/rollback", idempotency_key="k")
    assert again.body == first.body
    assert place.path.read_text() == TWO


def test_what_is_in_force_is_not_put_back(place: Place) -> None:
    refused = place.served.owner("POST", f"/configurations/{V1}/rollback")
    assert (refused.status, refused.code) == (409, "conflict")


def test_one_that_is_not_good_any_more_is_refused_and_nothing_is_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEGATE_TEST_KEY", "some-key")
    old = ONE + "keys: [{name: web, secret: '${env:TIDEGATE_TEST_KEY}'}]\n"
    place.write(old)
    place.write(TWO)
    monkeypatch.delenv("TIDEGATE_TEST_KEY")
    refused = place.served.owner("POST", f"/configurations/{version_of(old)}/rollback")
    assert refused.status == 409
    assert "TIDEGATE_TEST_KEY" in refused.body["error"]["message"]
    assert place.path.read_text() == TWO
    actions = [each["action"] for each in place.served.owner.ok("GET", "/audit")["items"]]
    assert "configuration.rollback" not in actions


def test_secret_that_stands_in_the_file_is_neither_shown_nor_put_back(place: Place) -> None:
    place.write(ONE + "keys: [{name: web, secret: tg-very-secret-1}]\n")
    place.write(TWO)
    owner = place.served.owner
    one = owner.ok("GET", "/configurations")["items"][1]
    assert (one["hidden"], one["restorable"]) == (["keys[0].secret"], False)
    told = owner("GET", f"/configurations/{one['version']}").body["text"]
    assert "tg-very-secret-1" not in told
    assert (
        "tg-very-secret-1" not in owner.ok("GET", f"/configurations/{one['version']}/diff")["diff"]
    )
    refused = owner("POST", f"/configurations/{one['version']}/rollback")
    assert (refused.status, "keys[0].secret" in refused.body["error"]["message"]) == (409, True)


def test_one_whose_text_could_not_be_kept_says_so(place: Place) -> None:
    place.write(ONE + r'keys: [{name: web, secret: "very-s\x65cret"}]' + "\n")
    place.write(TWO)
    owner = place.served.owner
    one = owner.ok("GET", "/configurations")["items"][1]
    assert owner.ok("GET", f"/configurations/{one['version']}")["text"] is None
    for method, what in (("GET", "diff"), ("POST", "rollback")):
        refused = owner(method, f"/configurations/{one['version']}/{what}")
        assert (refused.status, "is not kept" in refused.body["error"]["message"]) == (409, True)


def test_what_is_still_in_force_is_noted_now_and_then(place: Place) -> None:
    owner = place.served.owner
    before = owner.ok("GET", "/configurations")["items"][0]["last_at"]
    place.look()
    assert owner.ok("GET", "/configurations")["items"][0]["last_at"] == before
    place.served.clock.turn(SEEN_NS / 1e9)
    place.keeping.look()
    assert owner.ok("GET", "/configurations")["items"][0]["last_at"] > before


def test_without_a_known_file_nothing_is_put_back(owner: Client) -> None:
    listed = owner.ok("GET", "/configurations")
    assert (listed["file"], listed["in_force"], listed["items"]) == (None, None, [])
    assert listed["refused"] is not None


def test_those_who_only_look_put_nothing_back(place: Place) -> None:
    place.write(TWO)
    viewer = place.served.client("viewer")
    assert viewer.ok("GET", f"/configurations/{V1}")["text"] == ONE
    assert viewer("POST", f"/configurations/{V1}/rollback").status == 403
    assert place.served.client("service")("GET", "/configurations").status == 403
