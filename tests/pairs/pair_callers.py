"""Callers of the gateway, each with its vendor's own SDK: how they ask."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.pairs.pair_openai import Chat, Completions, Responses
from tests.pairs.pair_words import Called, Caller, Json, Question, Said, Told


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
