"""What is said in a request of Converse, part by part and model by model."""

from __future__ import annotations

import msgspec
import pytest
from bedrock_model import MODEL
from converse_samples import (
    CLAUDE_3,
    CLAUDE_46,
    CLAUDE_47,
    GPT_OSS,
    LLAMA,
    MARK,
    NOVA,
    NOVA_2,
    PNG,
    PROFILE,
    TOOL_ROUND,
    WEATHER,
    Json,
    ask,
    assistant,
    system,
    user,
    written,
)
from msgspec.structs import replace

from tidegate.errors import BadRequest
from tidegate.formats import converse
from tidegate.formats.words import (
    Audio,
    File,
    Foreign,
    Image,
    JsonOutput,
    Part,
    Reasoning,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Turn,
)

# Messages


def test_turns_of_one_role_become_one_message_and_the_user_comes_first() -> None:
    body, _ = written(
        assistant("Welcome!"), user("A"), user("B"), assistant(Text("")), user("C"), system("S")
    )
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "."}]},
        {"role": "assistant", "content": [{"text": "Welcome!"}]},
        {"role": "user", "content": [{"text": "A"}, {"text": "B"}, {"text": "C"}]},
    ]
    assert body["system"] == [{"text": "S"}]


def test_instructions_alone_are_answered() -> None:
    assert written(system("S"))[0]["messages"] == [{"role": "user", "content": [{"text": "."}]}]


@pytest.mark.parametrize("turns", [(system(" "),), (user(" \n"),), (user(),)])
def test_nothing_to_answer_is_a_bad_request(turns: tuple[Turn, ...]) -> None:
    with pytest.raises(BadRequest) as caught:
        converse.write_ask(ask(*turns))
    assert caught.value.param == "messages"


def test_a_document_has_a_text_beside_it_and_a_name_of_its_own() -> None:
    file = File(data=PNG, media_type="application/pdf", name="../../a/Report (v2)~final.PDF")
    body, _ = written(user(file, file, File(data=PNG, media_type="application/pdf")))
    content = body["messages"][0]["content"]
    assert [block["document"]["name"] for block in content[:3]] == [
        "Report (v2) final", "Report (v2) final 2", "Document",
    ]  # fmt: skip
    assert "text" in content[3]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Image(url="https://example.org/a.png"), "content[image_url]"),
        (Image(data=PNG, media_type="image/tiff"), "content[image/tiff]"),
        (File(file_id="file_1"), "content[file]"),
        (File(data=PNG, media_type="video/mp4"), "content[video/mp4]"),
        (Audio(PNG, "speex"), "content[input_audio]"),
        (Foreign("chat", {"type": "odd"}), "content[odd]"),
    ],
)
def test_parts_that_cannot_be_said_are_told(part: Part, name: str) -> None:
    body, dropped = written(user("Hi", part))
    assert dropped == [name]
    assert body["messages"][0]["content"] == [{"text": "Hi"}]


def test_reasoning_without_a_signature_of_this_vendor_is_left_out() -> None:
    parts = (Thinking("Hm"), Thinking("Hm", "gemini:c2ln"), Thinking(redacted="openai:x"))
    body, dropped = written(user("Hi"), assistant(*parts, "Yes"), user("Go on"))
    assert body["messages"][1]["content"] == [{"text": "Yes"}]
    assert dropped == ["messages[thinking]"]


def test_at_most_four_cache_points_are_set_tools_and_instructions_first() -> None:
    marked = Text("x", MARK)
    body, dropped = written(
        system(marked, marked), user(marked, marked), tools=(replace(WEATHER, cache=MARK),)
    )
    assert body["toolConfig"]["tools"][1] == {"cachePoint": {"type": "default"}}
    assert len(body["system"]) == 4
    assert [*map(list, body["messages"][0]["content"])] == [["text"], ["cachePoint"], ["text"]]
    assert dropped == ["cache_control"]


# Tools


def test_a_conversation_with_calls_names_their_tools_even_when_there_are_none_any_more() -> None:
    body, dropped = written(*TOOL_ROUND)
    (tool,) = body["toolConfig"]["tools"]
    assert tool["toolSpec"]["name"] == "weather"
    assert "do not call" in tool["toolSpec"]["description"]
    assert dropped == []
    body, _ = written(user(ToolResult("call_1", (Text("7"),))))
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "tool"


def test_no_tool_may_be_called_means_none_is_described() -> None:
    body, dropped = written(tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert "toolConfig" not in body
    assert dropped == []
    body, dropped = written(*TOOL_ROUND, tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert body["toolConfig"]["tools"][0]["toolSpec"]["description"] == WEATHER.description
    assert dropped == ["tool_choice"]


def test_a_tool_without_schema_gets_one_that_is_an_object() -> None:
    body, _ = written(tools=(Tool("now"),))
    schema = body["toolConfig"]["tools"][0]["toolSpec"]["inputSchema"]["json"]
    assert schema == {"type": "object", "properties": {}}


def test_ids_of_other_vendors_stay_the_same_on_both_sides() -> None:
    odd = "call|" + "ü" * 100
    body, _ = written(
        user("Hi"), assistant(ToolUse(odd, "f", "{}")), user(ToolResult(odd, (Text("7"),)))
    )
    used = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
    assert used == body["messages"][2]["content"][0]["toolResult"]["toolUseId"]


@pytest.mark.parametrize(
    ("arguments", "value"),
    [("", {}), ('{"a":1}', {"a": 1}), ("[1]", {"arguments": [1]}), ('{"a"', {"arguments": '{"a"'})],
)
def test_arguments_are_an_object_whatever_the_model_wrote(arguments: str, value: Json) -> None:
    body, _ = written(user("Hi"), assistant(ToolUse("1", "f", arguments)), user("Go on"))
    assert body["messages"][1]["content"][0]["toolUse"]["input"] == value


@pytest.mark.parametrize(
    ("model", "choice", "dropped"),
    [
        (MODEL, None, []),
        (MODEL, ToolChoice("any"), ["parallel_tool_calls"]),
        (CLAUDE_3, None, ["parallel_tool_calls"]),
        (LLAMA, None, ["parallel_tool_calls"]),
    ],
)
def test_one_call_at_a_time_where_that_can_be_said(
    model: str, choice: ToolChoice | None, dropped: list[str]
) -> None:
    body, told = written(model=model, tools=(WEATHER,), tool_choice=choice, parallel_tools=False)
    assert told == dropped
    assert ("additionalModelRequestFields" in body) is not bool(dropped)


# Reasoning and sampling

CLAUDE_5 = "anthropic.claude-opus-5-v1"


def thinking(budget_tokens: int) -> Json:
    return {"thinking": {"type": "enabled", "budget_tokens": budget_tokens}}


@pytest.mark.parametrize(
    ("model", "reasoning", "fields"),
    [
        (MODEL, Reasoning(effort="low"), thinking(2_048)),
        (MODEL, Reasoning(budget_tokens=5_000), thinking(5_000)),
        (MODEL, Reasoning(adaptive=True), thinking(8_192)),
        (MODEL, Reasoning(effort="none"), None),
        (MODEL, Reasoning(budget_tokens=0), None),
        (MODEL, Reasoning(show=True), None),
        (CLAUDE_46, Reasoning(effort="xhigh"), {"thinking": {"type": "adaptive"}}),
        (CLAUDE_47, Reasoning(budget_tokens=-1), {"thinking": {"type": "adaptive"}}),
        (CLAUDE_5, Reasoning(effort="none"), {"thinking": {"type": "disabled"}}),
        (GPT_OSS, Reasoning(effort="minimal"), {"reasoning_effort": "low"}),
        (GPT_OSS, Reasoning(effort="none"), {"reasoning_effort": "low"}),
        (
            NOVA_2,
            Reasoning(effort="high"),
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
        ),
        (NOVA, Reasoning(effort="high"), None),
        (LLAMA, Reasoning(effort="none"), None),
    ],
)
def test_reasoning_is_asked_for_in_the_models_own_words(
    model: str, reasoning: Reasoning, fields: Json | None
) -> None:
    body, _ = written(model=model, reasoning=reasoning)
    assert body.get("additionalModelRequestFields") == fields


@pytest.mark.parametrize(
    ("model", "effort", "said"),
    [(CLAUDE_46, "xhigh", "high"), (CLAUDE_47, "xhigh", "xhigh"), (CLAUDE_47, "minimal", "low")],
)
def test_an_effort_is_the_nearest_that_the_model_knows(model: str, effort: str, said: str) -> None:
    body, _ = written(model=model, reasoning=Reasoning(effort=effort))
    assert body["outputConfig"] == {"effort": said}


@pytest.mark.parametrize(
    ("turns", "fields"),
    [
        ((user("Hi"),), {"max_tokens": 1_200}),
        ((user("Hi"),), {"tools": (WEATHER,), "tool_choice": ToolChoice("any")}),
        (TOOL_ROUND, {"tools": (WEATHER,)}),
    ],
)
def test_no_thinking_where_it_would_be_refused(turns: tuple[Turn, ...], fields: Json) -> None:
    body, dropped = written(*turns, reasoning=Reasoning(effort="high"), **fields)
    assert "thinking" not in body.get("additionalModelRequestFields", {})
    assert dropped == ["reasoning_effort"]


def test_a_round_of_calls_that_began_with_thinking_goes_on_with_it() -> None:
    question, calls, results = TOOL_ROUND
    thought = replace(calls, parts=(Thinking("Hm", "c2ln"), *calls.parts))
    body, dropped = written(
        question, thought, results, tools=(WEATHER,), reasoning=Reasoning(effort="low")
    )
    assert "thinking" in body["additionalModelRequestFields"]
    assert dropped == []


@pytest.mark.parametrize(
    ("model", "config", "dropped"),
    [
        (CLAUDE_3, {"temperature": 0.5, "topP": 0.9}, []),
        (MODEL, {"temperature": 0.5}, ["top_p"]),
        (CLAUDE_47, None, ["temperature", "top_p", "top_k"]),
        (LLAMA, {"temperature": 0.5, "topP": 0.9}, ["top_k"]),
    ],
)
def test_sampling_that_a_model_refuses_is_left_out(
    model: str, config: Json | None, dropped: list[str]
) -> None:
    body, told = written(model=model, temperature=0.5, top_p=0.9, top_k=3)
    assert body.get("inferenceConfig") == config
    assert told == dropped


def test_a_temperature_beyond_the_scale_is_the_highest_there_is() -> None:
    body, dropped = written(temperature=1.7)
    assert body["inferenceConfig"]["temperature"] == 1
    assert dropped == ["temperature"]


@pytest.mark.parametrize(
    ("model", "path"),
    [
        (CLAUDE_3, {"top_k": 3}),
        (NOVA, {"inferenceConfig": {"topK": 3}}),
        ("cohere.command-r-v1:0", {"k": 3}),
    ],
)
def test_top_k_stands_where_the_model_looks_for_it(model: str, path: Json) -> None:
    body, _ = written(model=model, top_k=3)
    assert body["additionalModelRequestFields"] == path


# Output, and the rest


def test_a_schema_is_closed_and_keeps_what_is_not_understood_in_words() -> None:
    schema: Json = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "How many"},
            "all": {"type": "array", "items": {"oneOf": [{"type": "object"}]}, "minItems": 2},
        },
        "$defs": {"x": {"properties": {}}},
    }
    body, _ = written(output=JsonOutput(schema, "report", description="A report"))
    told = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (told["name"], told["description"]) == ("report", "A report")
    closed = {"additionalProperties": False}
    assert msgspec.json.decode(told["schema"]) == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": 'How many\n\n{"minimum":1}'},
            "all": {
                "type": "array",
                "items": {"anyOf": [{"type": "object", **closed}]},
                "description": '{"minItems":2}',
            },
        },
        "$defs": {"x": {"properties": {}, **closed}},
        **closed,
    }


def test_a_schema_that_nests_too_deeply_is_a_bad_request() -> None:
    schema: Json = {}
    for _ in range(2_000):
        schema = {"items": schema}
    with pytest.raises(BadRequest):
        converse.write_ask(ask(output=JsonOutput(schema)))


@pytest.mark.parametrize("model", [LLAMA, NOVA, CLAUDE_3])
def test_json_that_cannot_be_promised_is_told(model: str) -> None:
    assert written(model=model, output=JsonOutput({"type": "object"}))[1] == ["response_format"]
    assert written(output=JsonOutput())[1] == ["response_format"]


def test_converses_own_fields_pass_and_others_are_told() -> None:
    guard = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    body, dropped = written(
        top_k=3,
        stop=("END",),
        n=2,
        logprobs=True,
        user="me",
        model=CLAUDE_3,
        extra={
            "guardrailConfig": guard,
            "additionalModelRequestFields": {"anthropic_beta": ["x"]},
            "additionalModelResponseFieldPaths": ["/id"],
            "store": True,
            "metadata": None,
        },
    )
    assert body["guardrailConfig"] == guard
    assert body["additionalModelRequestFields"] == {"top_k": 3, "anthropic_beta": ["x"]}
    assert body["additionalModelResponseFieldPaths"] == ["/stop_sequence", "/id"]
    assert dropped == ["user", "n", "logprobs", "store"]
    with pytest.raises(BadRequest) as caught:
        converse.write_ask(ask(extra={"guardrailConfig": "abc"}))
    assert caught.value.param == "guardrailConfig"


def test_a_model_that_the_account_named_gets_what_most_take() -> None:
    body, dropped = written(system(Text("S", MARK)), model=PROFILE, top_k=3)
    assert body["system"][1] == {"cachePoint": {"type": "default"}}
    assert dropped == ["top_k"]
