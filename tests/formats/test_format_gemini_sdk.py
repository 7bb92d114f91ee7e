"""google-genai's own types judge every body that is sent, and read what is read here alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gemini_judge import judge
from gemini_samples import ASKS, answer, encoded, said
from google.genai import types

from tidegate.formats import gemini
from tidegate.formats.words import Text, ToolUse


@pytest.mark.parametrize("name", ASKS)
def test_every_request_is_one_of_googles(name: str) -> None:
    judge(said(ASKS[name])["body"])


ANSWERS: dict[str, dict[str, Any]] = {
    "text": answer({"text": "The "}, {"text": "moon."}),
    "thoughts": answer({"text": "Hm.", "thought": True}, {"text": "The moon."}),
    "calls": answer(
        {"functionCall": {"id": "x1", "name": "time", "args": {"zone": "UTC"}}},
        {"functionCall": {"id": "x2", "name": "time", "args": {}}},
    ),
    "cut": answer({"text": "The"}, finish="MAX_TOKENS"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_is_read_as_googles_sdk_reads_it(name: str) -> None:
    body = encoded(ANSWERS[name])
    theirs = types.GenerateContentResponse.model_validate_json(body)
    ours = gemini.read_reply(body)
    parts = ours.choices[0].parts
    texts = [part.text for part in parts if isinstance(part, Text)]
    assert (texts[0] if texts else None) == theirs.text
    calls = [(part.name, part.arguments) for part in parts if isinstance(part, ToolUse)]
    assert [(name, msgspec.json.decode(text)) for name, text in calls] == [
        (call.name, call.args) for call in theirs.function_calls or ()
    ]
    assert (ours.id, ours.model) == (theirs.response_id, theirs.model_version)
    used = theirs.usage_metadata
    assert used is not None
    assert ours.usage is not None
    assert ours.usage.input == used.prompt_token_count
    assert ours.usage.reasoning == used.thoughts_token_count
    assert ours.usage.input + ours.usage.output == used.total_token_count


def test_every_reason_that_google_knows_is_known_here() -> None:
    """A new one has to be given its meaning: see `answer.finish`."""
    meant = {"other": set[str](), "failed": set[str](), "known": set[str]()}
    for reason in types.FinishReason:
        try:
            finish = gemini.read_reply(encoded(answer({"text": "a"}, finish=reason.value)))
        except Exception:  # noqa: BLE001 - which one is told by test_format_gemini_reply
            meant["failed"].add(reason.value)
        else:
            other = finish.choices[0].finish == "other"
            meant["other" if other else "known"].add(reason.value)
    assert meant["other"] == {
        "FINISH_REASON_UNSPECIFIED",
        "LANGUAGE",
        "OTHER",
        "IMAGE_OTHER",
        "NO_IMAGE",
    }
    assert meant["failed"] == {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "PUP_LIMITED_DISABLED",
    }
