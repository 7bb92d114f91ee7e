"""What is kept of a team that the admin API made, in the processes as they are started."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from control.admin.admin_serving import Client
from spending import PATIENCE_S, Serving

from tidegate.store.records import Filter, RecordStore
from tidegate.telemetry.record import Record, decode

MAIL, STORY = "ann.smith@example.com", "a story of whales"
ASKED: Any = [{"role": "user", "content": f"Tell {MAIL} {STORY}."}]
CONFIG = """
keys: [{name: other, secret: sk-for-somebody-else}]  # or an unknown key would be let in as nobody
providers: {sim: {kind: simulated}}
models:
  full: {targets: [{provider: sim, model: sim-1+echo}], records: {bodies: full}}
server: {port: 0}
control: {port: 0}
log: {level: info}
store: sqlite:///tidegate.db
"""


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    path = tmp_path / "tidegate.yaml"
    path.write_text(CONFIG)
    begun = Serving(path)
    yield begun
    begun.close()


def ask(address: str, secret: str) -> None:
    """Ask once the gateway has heard of the key, and so of all that was said before it."""
    until_s = time.monotonic() + PATIENCE_S
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{address}/v1", api_key=secret, http_client=http) as client:
        while True:
            try:
                client.chat.completions.create(model="full", messages=ASKED)
            except openai.AuthenticationError:
                assert time.monotonic() < until_s
            else:
                return


def of_team(store: RecordStore, team: str) -> list[Record]:
    found = (decode(each.payload) for each in store.after(0, 1000, Filter()))
    return [each for each in found if each.team == team]


def test_bodies_of_a_team_that_was_made_are_masked_or_absent(
    tmp_path: Path, serving: Serving
) -> None:
    port = serving.until(message="started", logger="tidegate.control")["port"]
    token = Path(serving.until(message="the first admin token was made")["file"])
    owner = Client(port, token.read_text().strip())

    def ask_as(team: str) -> None:
        made = owner.ok("POST", "/keys", {"name": f"key-{len(asked)}", "team": team})
        asked.append(team)
        ask(serving.address, made["secret"])

    asked: list[str] = []
    owner.ok("POST", "/teams", {"name": "law", "records": {"bodies": "none"}})
    ask_as("law")
    owner.ok("POST", "/teams", {"name": "med", "records": {"bodies": "redacted"}})
    ask_as("med")
    owner.ok("PATCH", "/teams/med", {"records": {"bodies": "metadata"}})
    ask_as("med")
    assert serving.end() == 0

    store = RecordStore(f"sqlite:///{tmp_path}/tidegate.db")
    (law,) = of_team(store, "law")
    masked, bare = of_team(store, "med")
    store.close()
    assert law.bodies is law.request_body is law.response_body is law.parameters is None
    assert bare.bodies is bare.request_body is bare.response_body is None
    assert masked.request_body is not None
    assert masked.response_body is not None
    for body in (masked.request_body, masked.response_body):
        assert f"Tell [EMAIL] {STORY}." in body.decode()
    everything = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
    assert MAIL.encode() not in everything
    assert STORY.encode() in everything
