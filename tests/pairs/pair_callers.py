"""Callers of the gateway, each with its vendor's own SDK: what they ask, and what they understood.

A question is said in each format as that format's users say it, and an answer is told in words of
this file, so that tests can compare what came back whichever way it went.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

Json = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """What is asked: the last thing that the user says, and what is around it."""

    text: str = "Hello"
    system: str | None = None
    before: tuple[tuple[str, str], ...] = ()
    """What the user and the model said earlier, in turn."""
    picture: str | None = None
    """A PNG as base64."""
    tools: tuple[Json, ...] = ()
    """Each with `name`, `description` and `schema`."""
    must_call: bool = False
    schema: Json | None = None
    stop: str | None = None
    length: int | None = None
    thinks: bool = False


@dataclass(frozen=True)
class Called:
    """A call of a tool."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Told:
    """Tokens as the caller was told them; the parts are None where nothing was said of them."""

    input: int
    output: int
    cached: int | None = None
    written: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True)
class Said:
    """An answer as the SDK parsed it."""

    text: str
    finish: str
    """`stop`, `length`, `tool_calls` or `content_filter`."""
    told: Told | None
    model: str
    thinking: str = ""
    calls: tuple[Called, ...] = ()
    pieces: int = 1
    """How many events brought text, thinking or arguments."""
    raw: Any = field(default=None, repr=False)
    """What the SDK returned, to be handed back in the next turn."""


class Caller(Protocol):
    """A user of one format."""

    name: str
    turns: bool
    """Whether the format knows turns, tools, images and schemas at all."""

    def body(self, question: Question) -> Json:
        """The question as arguments of the SDK's method."""
        ...

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        """The next request: what was said, what its calls gave, and `text` by the user."""
        ...

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        """The answer; raises what the SDK raises."""
        ...


class Chat:
    """OpenAI's chat completions."""

    name = "chat"
    turns = True

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    def body(self, question: Question) -> Json:
        messages: list[Json] = []
        if question.system is not None:
            messages.append({"role": "system", "content": question.system})
        for asked, answered in question.before:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        content: Any = question.text
        if question.picture is not None:
            url = f"data:image/png;base64,{question.picture}"
            image = {"type": "image_url", "image_url": {"url": url}}
            content = [{"type": "text", "text": question.text}, image]
        messages.append({"role": "user", "content": content})
        body: Json = {"messages": messages}
        if question.tools:
            body["tools"] = [
                {"type": "function", "function": _function(tool)} for tool in question.tools
            ]
        if question.must_call:
            body["tool_choice"] = "required"
        if question.schema is not None:
            form = {"name": "answer", "schema": question.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if question.stop is not None:
            body["stop"] = question.stop
        if question.length is not None:
            body["max_completion_tokens"] = question.length
        if question.thinks:
            body["reasoning_effort"] = "low"
        return body

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        message = said.raw.choices[0].message.model_dump(exclude_none=True)
        message.pop("parsed", None)
        for call in message.get("tool_calls", ()):
            call["function"].pop("parsed_arguments", None)
            call.pop("index", None)
        messages = [*body["messages"], message]
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": result}
            for call, result in zip(said.calls, results, strict=True)
        ]
        if text is not None:
            messages.append({"role": "user", "content": text})
        return body | {"messages": messages}

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        create: Any = self._client.chat.completions.create
        if not stream:
            return self._said(await create(model=model, **body), 1)
        state, pieces = ChatCompletionStreamState(), 0
        options = {"include_usage": True}
        async for chunk in await create(model=model, **body, stream=True, stream_options=options):
            state.handle_chunk(chunk)
            pieces += any(_brings(choice.delta) for choice in chunk.choices)
        return self._said(state.current_completion_snapshot, pieces)

    def _said(self, answer: Any, pieces: int) -> Said:
        assert answer.object == "chat.completion"
        (choice,) = answer.choices
        message = choice.message
        assert message.role == "assistant"
        return Said(
            text=message.content or "",
            finish=choice.finish_reason,
            told=_told(answer.usage),
            model=answer.model,
            thinking=getattr(message, "reasoning_content", None) or "",
            calls=tuple(
                Called(call.id, call.function.name, json.loads(call.function.arguments))
                for call in message.tool_calls or ()
            ),
            pieces=pieces,
            raw=answer,
        )


def _function(tool: Json) -> Json:
    told = {"name": tool["name"], "description": tool["description"]}
    return told | {"parameters": tool["schema"]}


def _brings(delta: Any) -> bool:
    return bool(delta.content or delta.tool_calls or getattr(delta, "reasoning_content", None))


def _told(usage: Any) -> Told | None:
    if usage is None:
        return None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    prompt, completion = usage.prompt_tokens_details, usage.completion_tokens_details
    return Told(
        usage.prompt_tokens,
        usage.completion_tokens,
        cached=prompt and prompt.cached_tokens,
        written=getattr(prompt, "cache_write_tokens", None),
        reasoning=completion and completion.reasoning_tokens,
    )


class Completions:
    """OpenAI's legacy completions: a prompt and nothing else."""

    name = "completions"
    turns = False

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    def body(self, question: Question) -> Json:
        body: Json = {"prompt": question.text}
        if question.stop is not None:
            body["stop"] = question.stop
        if question.length is not None:
            body["max_tokens"] = question.length
        return body

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        raise NotImplementedError(body, said, results, text)

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        create: Any = self._client.completions.create
        if not stream:
            answer = await create(model=model, **body)
            (choice,) = answer.choices
            return self._said(answer, choice.text, choice.finish_reason, 1)
        texts: list[str] = []
        finish, last = "", None
        options = {"include_usage": True}
        async for chunk in await create(model=model, **body, stream=True, stream_options=options):
            assert chunk.object == "text_completion"
            last = chunk
            for choice in chunk.choices:
                assert not finish
                texts.append(choice.text)
                finish = choice.finish_reason or ""
        return self._said(last, "".join(texts), finish, sum(map(bool, texts)))

    def _said(self, answer: Any, text: str, finish: str, pieces: int) -> Said:
        told = _told(answer.usage)
        return Said(text, finish, told, answer.model, pieces=pieces, raw=answer)


class Responses:
    """OpenAI's Responses. Nothing is kept by the server: each request says all."""

    name = "responses"
    turns = True

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    def body(self, question: Question) -> Json:
        items: list[Json] = []
        for asked, answered in question.before:
            items.append({"role": "user", "content": asked})
            items.append({"role": "assistant", "content": answered})
        content: Any = question.text
        if question.picture is not None:
            url = f"data:image/png;base64,{question.picture}"
            image = {"type": "input_image", "image_url": url, "detail": "auto"}
            content = [{"type": "input_text", "text": question.text}, image]
        items.append({"role": "user", "content": content})
        body: Json = {"input": items, "store": False}
        if question.system is not None:
            body["instructions"] = question.system
        if question.tools:
            body["tools"] = [
                {"type": "function", "strict": False, **_function(tool)} for tool in question.tools
            ]
        if question.must_call:
            body["tool_choice"] = "required"
        if question.schema is not None:
            form = {"type": "json_schema", "name": "answer", "schema": question.schema}
            body["text"] = {"format": form | {"strict": True}}
        if question.length is not None:
            body["max_output_tokens"] = question.length
        if question.thinks:
            body["reasoning"] = {"effort": "low", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        return body

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        items = [item.model_dump(exclude_none=True) for item in said.raw.output]
        for item in items:
            item.pop("parsed_arguments", None)
            for part in item.get("content", ()):
                part.pop("parsed", None)
        items += [
            {"type": "function_call_output", "call_id": call.id, "output": result}
            for call, result in zip(said.calls, results, strict=True)
        ]
        if text is not None:
            items.append({"role": "user", "content": text})
        return body | {"input": [*body["input"], *items]}

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        responses: Any = self._client.responses
        if not stream:
            return self._said(await responses.create(model=model, **body), 1)
        pieces, numbers, last = 0, list[int](), None
        async with responses.stream(model=model, **body) as events:
            async for event in events:
                pieces += event.type.endswith(".delta")
                numbers.append(event.sequence_number)
                last = event
        assert numbers == list(range(len(numbers)))
        assert last is not None
        assert last.type in ("response.completed", "response.incomplete")
        return self._said(last.response, pieces)

    def _said(self, answer: Any, pieces: int) -> Said:
        thoughts: list[str] = []
        calls: list[Called] = []
        for item in answer.output:
            if item.type == "function_call":
                calls.append(Called(item.call_id, item.name, json.loads(item.arguments)))
            elif item.type == "reasoning":
                thoughts += [part.text for part in item.content or item.summary]
        usage = answer.usage
        assert usage is None or usage.total_tokens == usage.input_tokens + usage.output_tokens
        return Said(
            text=answer.output_text,
            finish=self._finish(answer, bool(calls)),
            told=usage
            and Told(
                usage.input_tokens,
                usage.output_tokens,
                cached=usage.input_tokens_details.cached_tokens,
                written=usage.input_tokens_details.cache_write_tokens,
                reasoning=usage.output_tokens_details.reasoning_tokens,
            ),
            model=answer.model,
            thinking="".join(thoughts),
            calls=tuple(calls),
            pieces=pieces,
            raw=answer,
        )

    @staticmethod
    def _finish(answer: Any, called: bool) -> str:
        if answer.status == "incomplete":
            reason = answer.incomplete_details.reason
            return "length" if reason == "max_output_tokens" else reason
        assert answer.status == "completed"
        return "tool_calls" if called else "stop"


class Messages:
    """Anthropic's Messages."""

    name = "messages"
    turns = True

    _FINISHES = {  # noqa: RUF012 - read only
        "end_turn": "stop",
        "stop_sequence": "stop",
        "max_tokens": "length",
        "tool_use": "tool_calls",
        "refusal": "content_filter",
    }

    def __init__(self, client: AsyncAnthropic) -> None:
        self._client = client

    def body(self, question: Question) -> Json:
        messages: list[Json] = []
        for asked, answered in question.before:
            messages.append({"role": "user", "content": asked})
            messages.append({"role": "assistant", "content": answered})
        content: Any = question.text
        if question.picture is not None:
            source = {"type": "base64", "media_type": "image/png", "data": question.picture}
            image = {"type": "image", "source": source}
            content = [{"type": "text", "text": question.text}, image]
        messages.append({"role": "user", "content": content})
        body: Json = {"messages": messages, "max_tokens": question.length or 4096}
        if question.system is not None:
            body["system"] = question.system
        if question.tools:
            body["tools"] = [
                {
                    "name": tool["name"],
                    "description": tool["description"],
                    "input_schema": tool["schema"],
                }
                for tool in question.tools
            ]
        if question.must_call:
            body["tool_choice"] = {"type": "any"}
        if question.schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": question.schema}}
        if question.stop is not None:
            body["stop_sequences"] = [question.stop]
        if question.thinks:
            body["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        return body

    def follow(self, body: Json, said: Said, results: list[str], text: str | None) -> Json:
        blocks = [block.model_dump(exclude_none=True) for block in said.raw.content]
        for block in blocks:
            block.pop("parsed_output", None)
        answer: list[Json] = [
            {"type": "tool_result", "tool_use_id": call.id, "content": result}
            for call, result in zip(said.calls, results, strict=True)
        ]
        if text is not None:
            answer.append({"type": "text", "text": text})
        said_and_given = [
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": answer},
        ]
        return body | {"messages": [*body["messages"], *said_and_given]}

    async def ask(self, model: str, body: Json, *, stream: bool) -> Said:
        messages: Any = self._client.messages
        if not stream:
            return self._said(await messages.create(model=model, **body), 1)
        pieces = 0
        async with messages.stream(model=model, **body) as events:
            async for event in events:
                pieces += event.type == "content_block_delta"
            return self._said(await events.get_final_message(), pieces)

    def _said(self, answer: Any, pieces: int) -> Said:
        assert (answer.type, answer.role) == ("message", "assistant")
        usage = answer.usage
        cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
        details = usage.output_tokens_details
        texts = [block.text for block in answer.content if block.type == "text"]
        return Said(
            text="".join(texts),
            finish=self._FINISHES[answer.stop_reason],
            told=Told(
                usage.input_tokens + (cached or 0) + (written or 0),
                usage.output_tokens,
                cached=cached,
                written=written,
                reasoning=details and details.thinking_tokens,
            ),
            model=answer.model,
            thinking="".join(
                block.thinking for block in answer.content if block.type == "thinking"
            ),
            calls=tuple(
                Called(block.id, block.name, block.input)
                for block in answer.content
                if block.type == "tool_use"
            ),
            pieces=pieces,
            raw=answer,
        )


class Callers:
    """One of each, with their connections; `async with` closes these."""

    def __init__(self, url: str) -> None:
        # Every error is to be seen: the SDKs try nothing again.
        self.openai = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self.anthropic = AsyncAnthropic(base_url=url, api_key="none", max_retries=0)
        self.by_name: dict[str, Caller] = {
            "chat": Chat(self.openai),
            "responses": Responses(self.openai),
            "completions": Completions(self.openai),
            "messages": Messages(self.anthropic),
        }

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.openai.close()
        await self.anthropic.close()
