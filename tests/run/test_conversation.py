"""A conversation that goes on by an id, through real processes: gateways, control, the store."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import openai
import pytest
from openai.types.responses import Response
from test_serve import Served

CONFIG = """
server: {port: 0, workers: 2, drain: 5s}
control: {port: 0}
responses: {store: true, retention: 1h}
providers:
  sim: {kind: simulated, length: 5}
models:
  one: {targets: [{provider: sim, model: sim-1+echo}]}
"""
Start = Callable[[], Served]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Start]:
    begun: list[Served] = []

    def start() -> Served:
        path = tmp_path / "tidegate.yaml"
        path.write_text(CONFIG)
        begun.append(Served(path))
        return begun[-1]

    yield start
    for each in begun:
        each.client.close()
        each.process.kill()
        each.process.wait()
        each.rest()
        assert each.process.stdout is not None
        each.process.stdout.close()


def patient(served: Served) -> openai.OpenAI:
    """A client that tries again while provider and control are still starting, as in life."""
    return served.client.with_options(max_retries=8)


def said(response: Response) -> str:
    """What the provider was asked, as its echo tells it."""
    return json.dumps(response.model_dump())


def test_a_conversation_goes_on_whichever_process_is_asked(served: Start) -> None:
    client = patient(served())
    response = client.responses.create(model="one", input="My name is Ada.")
    for turn in range(6):  # two processes share the socket: some of these meet the other one
        response = client.responses.create(
            model="one", input=f"Turn {turn}", previous_response_id=response.id
        )
        assert "Ada" in said(response)
    assert client.responses.retrieve(response.id).output_text == response.output_text


def test_a_conversation_survives_a_restart(served: Start) -> None:
    first = served()
    response = patient(first).responses.create(model="one", input="My name is Ada.")
    assert first.end() == 0
    again = patient(served()).responses.create(
        model="one", input="Who am I?", previous_response_id=response.id
    )
    assert "Ada" in said(again)


def test_what_was_deleted_cannot_be_gone_on_with(served: Start) -> None:
    client = patient(served())
    response = client.responses.create(model="one", input="My name is Ada.")
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_an_id_that_nobody_knows_is_a_clear_error(served: Start) -> None:
    with pytest.raises(openai.APIStatusError, match="resp_unknown"):
        patient(served()).responses.create(
            model="one", input="Hello", previous_response_id="resp_unknown"
        )
