"""The formats that callers use, by the name of their wire."""

from __future__ import annotations

from collections.abc import Mapping

from tidegate.formats import chat, completions, embeddings, messages, responses
from tidegate.formats.format import Heard
from tidegate.formats.messages import counting

HEARD: Mapping[str, Heard] = {
    "chat": chat,
    "count_tokens": counting,
    "completions": completions,
    "embeddings": embeddings,
    "messages": messages,
    "responses": responses,
}
