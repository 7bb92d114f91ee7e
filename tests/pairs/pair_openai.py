"""Callers with OpenAI's SDK: chat completions, legacy completions, Responses."""

from __future__ import annotations

import json
from typing import Any

from openai import AsyncOpenAI
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.pairs.pair_words import Called, Json, Question, Said, Told


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
