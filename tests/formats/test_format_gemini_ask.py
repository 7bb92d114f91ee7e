"""Requests in Google's words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from gemini_samples import ASKS, GOLDEN, PIXEL, TIME, WEATHER, ask, assistant, said, user

from tidegate.errors import BadRequest
from tidegate.formats import gemini
from tidegate.formats.gemini.models import model, thinking
from tidegate.formats.words import (
    File,
    Image,
    JsonOutput,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)


def body(*turns: Turn, **rest: Any) -> dict[str, Any]:
    return said(ask(*turns, **rest))["body"]


def dropped(*turns: Turn, **rest: Any) -> list[str]:
    return said(ask(*turns, **rest))["dropped"]


@pytest.mark.parametrize("name", ASKS)
def test_a_request_is_written_as_its_golden_file_says(name: str) -> None:
    golden = msgspec.json.decode((GOLDEN / f"{name}.json").read_bytes())
    assert said(ASKS[name]) == golden


def test_every_golden_file_has_its_request() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(ASKS)


def test_a_result_takes_the_name_of_its_call() -> None:
    turns = (
        user("?"),
        assistant(ToolUse("call_9", "time", "{}")),
        user(ToolResult("call_9", (Text("noon"),), name="other")),
    )
    response = body(*turns)["contents"][2]["parts"][0]["functionResponse"]
    assert response == {"id": "call_9", "name": "time", "response": {"output": "noon"}}


def test_a_result_without_its_call_keeps_the_name_it_has() -> None:
    turns = (user("?"), user(ToolResult("call_9", (Text("noon"),), name="time")))
    assert body(*turns)["contents"][1]["parts"][0]["functionResponse"]["name"] == "time"


def test_a_result_of_nothing_is_a_bad_request() -> None:
    with pytest.raises(BadRequest) as caught:
        body(user(ToolResult("call_9", (Text("noon"),))))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("arguments", ["[1]", "{", '{"a": 01}', "null", "\ud800"])
def test_arguments_that_are_no_object_are_a_bad_request(arguments: str) -> None:
    with pytest.raises(BadRequest):
        body(assistant(ToolUse("call_9", "time", arguments)))


def test_arguments_keep_their_numbers() -> None:
    arguments = '{"n": 12345678901234567890123, "f": 1.10}'
    written = msgspec.json.encode(ask_body(assistant(ToolUse("call_9", "time", arguments))))
    assert arguments.encode() in written


def ask_body(*turns: Turn) -> dict[str, Any]:
    return gemini.write_ask(ask(*turns))[0]


def test_results_stand_alone_and_come_first() -> None:
    turns = (
        user("?"),
        assistant(ToolUse("call_1", "time", "{}")),
        user("Well?", ToolResult("call_1", (Text("noon"),))),
    )
    contents = body(*turns)["contents"]
    assert [list(part) for content in contents for part in content["parts"]] == [
        ["text"],
        ["functionCall"],
        ["functionResponse"],
        ["text"],
    ]
    assert [content["role"] for content in contents] == ["user", "model", "user", "user"]


def test_empty_texts_are_not_said() -> None:
    assert body(user("", "Hello"), assistant("")) == body(user("Hello"))


def test_neighbouring_turns_of_one_role_are_one_content() -> None:
    assert len(body(user("a"), user("b"), assistant("c"), assistant("d"))["contents"]) == 2


class TestSignatures:
    CALLS = assistant(ToolUse("call_1", "time", "{}"), ToolUse("call_2", "time", "{}"))
    RESULTS = user(ToolResult("call_1", (Text("1"),)), ToolResult("call_2", (Text("2"),)))

    def signatures(self, *turns: Turn, model: str) -> list[str | None]:
        return [
            part.get("thoughtSignature")
            for content in body(*turns, model=model)["contents"]
            for part in content["parts"]
            if "functionCall" in part
        ]

    def test_the_first_call_of_each_step_under_way_is_signed(self) -> None:
        turns = (user("?"), self.CALLS, self.RESULTS, self.CALLS, self.RESULTS)
        skip = "skip_thought_signature_validator"
        assert self.signatures(*turns, model="gemini-3.5-flash") == [skip, None, skip, None]
        assert self.signatures(*turns, model="gemini-flash-latest") == [skip, None, skip, None]

    def test_models_that_do_not_ask_for_it_are_told_nothing(self) -> None:
        turns = (user("?"), self.CALLS, self.RESULTS)
        assert self.signatures(*turns, model="gemini-2.5-pro") == [None, None]

    def test_steps_before_the_user_spoke_again_are_left_alone(self) -> None:
        turns = (user("?"), self.CALLS, self.RESULTS, assistant("It is noon."), user("Sure?"))
        assert self.signatures(*turns, model="gemini-3.5-flash") == [None, None]

    def test_the_models_own_signature_stays(self) -> None:
        own = assistant(ToolUse("call_1", "time", "{}", signature="b3du"))
        turns = (user("?"), own, user(ToolResult("call_1", (Text("1"),))))
        assert self.signatures(*turns, model="gemini-3.5-flash") == ["b3du"]

    def test_a_thought_of_another_provider_loses_its_signature(self) -> None:
        parts = body(assistant(Thinking("Hm.", signature="EqQB")))["contents"][0]["parts"]
        assert parts == [{"text": "Hm.", "thought": True}]

    def test_a_signature_alone_gets_a_part_of_its_own(self) -> None:
        thought = Thinking(signature="gemini:b3du")
        parts = body(assistant(ToolUse("c", "time", "{}"), thought))["contents"][0]["parts"]
        assert parts[1] == {"text": "", "thoughtSignature": "b3du"}


class TestMedia:
    def part(self, part: Any) -> dict[str, Any] | None:
        contents = body(user("?", part))["contents"][0]["parts"]
        return contents[1] if len(contents) > 1 else None

    @pytest.mark.parametrize(
        ("part", "kind"),
        [
            (Image(data=PIXEL), "image/png"),
            (Image(data="/9j/4AAQ"), "image/jpeg"),
            (Image(data="????", media_type="image/heic"), "image/heic"),
            (File(data="????", name="notes.CSV"), "text/csv"),
        ],
    )
    def test_bytes_are_told_with_their_type(self, part: Any, kind: str) -> None:
        said = self.part(part)
        assert said is not None
        assert said["inlineData"]["mimeType"] == kind

    @pytest.mark.parametrize(
        "part",
        [
            Image(data="????"),
            Image(),
            Image(url="ftp://example.com/a.png"),
            Image(url="file:///etc/passwd"),
            File(url="https://example.com/download?id=1"),
            File(file_id="file-abc"),
        ],
    )
    def test_what_cannot_be_fetched_or_named_is_told_as_dropped(self, part: Any) -> None:
        assert self.part(part) is None
        name = "messages[image]" if isinstance(part, Image) else "messages[file]"
        assert dropped(user("?", part)) == [name]

    def test_googles_own_files_need_no_type(self) -> None:
        url = "https://generativelanguage.googleapis.com/v1beta/files/abc"
        assert self.part(File(url=url)) == {"fileData": {"fileUri": url}}
        assert self.part(File(file_id="files/abc")) == {"fileData": {"fileUri": url}}


class TestTools:
    def calling(self, **rest: Any) -> Any:
        said = body(tools=(WEATHER,), **rest)
        return said.get("toolConfig", {}).get("functionCallingConfig")

    def test_choices_of_tools_are_modes(self) -> None:
        assert self.calling() is None
        assert self.calling(tool_choice=ToolChoice("auto")) == {"mode": "AUTO"}
        assert self.calling(tool_choice=ToolChoice("none")) == {"mode": "NONE"}
        assert self.calling(tool_choice=ToolChoice("any")) == {"mode": "ANY"}

    def test_strict_tools_are_validated_where_a_model_can(self) -> None:
        strict = msgspec.structs.replace(WEATHER, strict=True)
        said = body(tools=(strict,))
        assert said["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}
        assert "toolConfig" not in body(tools=(strict, TIME))
        assert "tools[].strict" in dropped(tools=(strict, TIME))
        assert "tools[].strict" in dropped(tools=(strict,), model="gemini-2.0-flash")
        assert "tools[].strict" not in dropped(tools=(strict,), tool_choice=ToolChoice("any"))

    def test_a_choice_without_tools_is_not_said(self) -> None:
        assert "toolConfig" not in body(tool_choice=ToolChoice("any"))

    def test_a_function_without_parameters_has_no_schema(self) -> None:
        schemas: list[Any] = [None, {}, {"type": "object"}, {"type": "object", "properties": {}}]
        for schema in schemas:
            declared = body(tools=(Tool("time", schema=schema),))["tools"]
            assert declared == [{"functionDeclarations": [{"name": "time"}]}]

    def test_json_goes_with_tools_where_a_model_can(self) -> None:
        json = {"tools": (TIME,), "output": JsonOutput()}
        assert "response_format" in dropped(**json)
        for newer in ("gemini-3.5-flash", "endpoints/123"):
            config = body(model=newer, **json)["generationConfig"]
            assert config == {"responseMimeType": "application/json"}


def budget(name: str, **reasoning: Any) -> Any:
    return thinking(Reasoning(**reasoning), model(name))


def test_older_models_think_by_budget() -> None:
    flash, pro = "gemini-2.5-flash", "models/gemini-2.5-pro"
    assert budget(flash, effort="none") == {"thinkingBudget": 0}
    assert budget(pro, effort="none") == {"thinkingBudget": 128}
    assert [budget(flash, effort=each) for each in ("minimal", "low", "medium", "high")] == [
        {"thinkingBudget": tokens} for tokens in (1024, 1024, 8192, 24576)
    ]
    for name, most in ((flash, 24576), (pro, 32768)):
        shown = {"thinkingBudget": most, "includeThoughts": True}
        assert budget(name, budget_tokens=10**9) == shown
    assert budget(flash, budget_tokens=10**9, show=False) == {"thinkingBudget": 24576}
    assert budget(flash, budget_tokens=0) == {"thinkingBudget": 0}
    assert budget(flash, adaptive=True, show=True) == {
        "thinkingBudget": -1,
        "includeThoughts": True,
    }


def test_newer_models_think_by_level() -> None:
    flash, pro, first = "gemini-3.5-flash", "gemini-3.1-pro", "gemini-3-pro-preview"
    levels = ("none", "minimal", "low", "medium", "high", "xhigh")
    assert [budget(flash, effort=each)["thinkingLevel"] for each in levels] == [
        "MINIMAL", "MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH",
    ]  # fmt: skip
    assert [budget(pro, effort=each)["thinkingLevel"] for each in levels] == [
        "LOW", "LOW", "LOW", "MEDIUM", "HIGH", "HIGH",
    ]  # fmt: skip
    assert budget(first, effort="medium") == {"thinkingLevel": "HIGH"}
    assert [
        budget(flash, budget_tokens=each)["thinkingLevel"] for each in (0, 1024, 2000, 32000)
    ] == ["MINIMAL", "LOW", "MEDIUM", "HIGH"]
    assert budget(flash, adaptive=True, summary="auto") == {"includeThoughts": True}


def test_models_that_do_not_think_are_not_asked_to() -> None:
    assert budget("gemini-2.0-flash", effort="low") is None
    assert budget("gemma-3-27b-it", effort="low") is None
    gemma = "gemma-3-27b-it"
    assert dropped(model=gemma, reasoning=Reasoning(effort="low")) == ["reasoning_effort"]
    assert dropped(model=gemma, reasoning=Reasoning(effort="none")) == []
