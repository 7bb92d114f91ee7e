"""Anthropic's Messages format, on both sides: vendors speak it and callers use it.

Like every format it fills `Spoken` and `Heard` with functions:

- `asked`, `asking`: requests, read from callers and written to vendors; `models` knows what each
  Claude takes, `thinking` how much to think, `schema` what structured output understands
- `passing`: what must change in a request that passes on in this format
- `replies`: whole answers; `streams` reads and watches streamed ones, `streaming` writes them
- `parts`: blocks of content, which requests and answers share; `shapes`: what all this looks like
- `failures`: errors, in both directions; `counting`: the same format's counting of tokens

Source: platform.claude.com/docs/en/api/messages.
"""

from tidegate.formats.messages.asked import read_ask
from tidegate.formats.messages.asking import write_ask
from tidegate.formats.messages.failures import error_body, error_event, refusal
from tidegate.formats.messages.passing import portable
from tidegate.formats.messages.replies import learn, read_reply, write_reply
from tidegate.formats.messages.streaming import END, writer
from tidegate.formats.messages.streams import reader, watch

__all__ = [
    "END",
    "error_body",
    "error_event",
    "learn",
    "portable",
    "read_ask",
    "read_reply",
    "reader",
    "refusal",
    "watch",
    "write_ask",
    "write_reply",
    "writer",
]
