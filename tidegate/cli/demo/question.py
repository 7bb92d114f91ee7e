"""The demo's one question, asked with OpenAI's own SDK as any application would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from tidegate.cli.demo.configuration import ALIAS
from tidegate.store.records import RecordStore
from tidegate.telemetry.record import Record, decode

if TYPE_CHECKING:
    from openai import OpenAI

QUESTION = "In two sentences: what causes the tides of the sea?"

_ANSWER_TOKENS = 120
_POLL_S = 0.02
_RECORD_WITHIN_S = 10.0


class Answer:
    """The answer while it arrives. `request_id` names its record."""

    def __init__(self, base_url: str) -> None:
        import openai  # noqa: PLC0415 - takes half a second, in which the gateway starts

        self._client: OpenAI = openai.OpenAI(
            base_url=base_url,
            api_key="none",  # the SDK wants one, the demo does not
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),  # no proxy to this machine
        )
        self.failure = openai.OpenAIError
        self.request_id = ""

    def text(self) -> Iterator[str]:
        """Ask, and yield the pieces of the answer. Raises: `self.failure`."""
        with self._client:
            raw = self._client.chat.completions.with_raw_response.create(
                model=ALIAS,
                messages=[{"role": "user", "content": QUESTION}],
                max_tokens=_ANSWER_TOKENS,
                temperature=0,
                stream=True,
            )
            self.request_id = raw.headers.get("x-request-id", "")
            for chunk in raw.parse():
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content


def find_record(store_url: str, request_id: str) -> Record | None:
    """The record of the request, as soon as it is in the store; None when it does not get there."""
    store = RecordStore(store_url)
    deadline = time.monotonic() + _RECORD_WITHIN_S
    try:
        while time.monotonic() < deadline:
            if (payload := _look(store, request_id)) is not None:
                return decode(payload)
            time.sleep(_POLL_S)
    finally:
        store.close()
    return None


def _look(store: RecordStore, request_id: str) -> bytes | None:
    try:
        return store.get(request_id) if store.exists() else None
    except OperationalError:  # the table is just being made
        return None
