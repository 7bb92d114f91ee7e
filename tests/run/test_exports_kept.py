"""How long records wait for an export that is dead, and what is heard when they do no longer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from control.sinks.receiving import receiver
from exporting import Exporting, is_done, written
from servers import free_port

KEPT = """
retention: {{records: 1s, bodies: 1s, untold: {untold}}}
exports:
  hook: {{kind: webhook, endpoint: "http://127.0.0.1:{port}/", allow_private: true}}
  lake: {{kind: parquet, directory: lake, every: 1s}}
"""
COUNT = 10
Serve = Callable[..., Exporting]


@pytest.fixture
def serve(tmp_path: Path, provider: str) -> Iterator[Serve]:
    begun: list[Exporting] = []

    def start(port: int, untold: str) -> Exporting:
        extra = KEPT.format(port=port, untold=untold)
        begun.append(Exporting(written(tmp_path, provider, extra)))
        return begun[-1]

    yield start
    for each in begun:
        each.close()


def kept(gateway: Exporting) -> list[str]:
    return gateway.rows("SELECT request_id FROM records")


def swept(gateway: Exporting) -> list[str]:
    """Ask, and return when all that was too old then was deleted that may be; what was asked.

    Feedback goes with the records, in the same sweep, and waits for nobody.
    """
    asked = gateway.ask_often(COUNT)
    said = {"request_id": asked[0], "thumbs": "up"}
    gateway.client.post("/feedback", body=said, cast_to=object)
    asked.append(gateway.ask())  # is loaded after it
    while asked[-1] not in kept(gateway):
        pass
    while gateway.rows("SELECT count(*) FROM feedback") != [0]:
        pass
    return asked


def test_what_a_dead_export_has_not_had_outlives_the_retention(serve: Serve) -> None:
    port = free_port()
    gateway = serve(port, "1h")
    asked = swept(gateway)
    assert set(kept(gateway)) == set(asked)
    assert gateway.metrics()["untold_total"] == 0
    with receiver(port=port) as to:
        gateway.wait("hook", is_done)
        while kept(gateway):  # nobody waits for them any more
            pass
        assert b"".join(to.taken).count(b"request_id") == len(asked)
        assert gateway.metrics()["untold_total"] == 0
        more = gateway.ask_often(COUNT)  # whose ids come after those of the deleted
        gateway.wait("hook", lambda each: each["sent"] == len(asked) + COUNT)
        told = b"".join(to.taken).decode()
    assert all(id_ in told for id_ in more)


def test_what_is_deleted_untold_is_counted_and_an_error(serve: Serve) -> None:
    gateway = serve(free_port(), "1s")
    asked = gateway.ask_often(COUNT)
    while gateway.metrics()["untold_total"] < COUNT:
        pass
    assert kept(gateway) == []
    assert gateway.metrics()["untold_total"] == len(asked)
    assert gateway.end() == 0
    errors = [line["message"] for line in gateway.lines if line.get("level") == "error"]
    said = [each for each in errors if "never told of" in each]
    assert sum(int(each.split()[0]) for each in said) == COUNT
    assert "retention.untold" in said[0]
