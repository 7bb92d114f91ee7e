"""Google's generateContent, as Gemini models speak it at AI Studio and at Vertex AI.

`write_ask` needs the model's name at Google in `ask.model`: models differ in what may be said.
Nobody calls the gateway in this format, so there is nothing to pass unchanged.

What does not fit: addresses of images and files whose type neither the caller nor their ending
tells, or that Google cannot fetch (only `https`, `http`, `gs` and its own files), are dropped by
name. Images in a streamed answer are refused, since no caller's stream can hold one; in a whole
answer they are `Image` parts. Citations and grounding are not carried over. A request that ends
with words put into the model's mouth passes, but newer models refuse it.

Source: ai.google.dev/api/generate-content
"""

from __future__ import annotations

from tidegate.formats.gemini.ask import write_ask
from tidegate.formats.gemini.refusal import refusal
from tidegate.formats.gemini.reply import read_reply
from tidegate.formats.gemini.stream import Reader

__all__ = ["Reader", "read_reply", "reader", "refusal", "write_ask"]


def reader() -> Reader:
    """Reads one streamed answer of one candidate; for more of them, make a `Reader`."""
    return Reader()
