"""OpenAI's Responses format, as callers use it and as providers speak it."""

from tidegate.formats.responses.ask import read_ask
from tidegate.formats.responses.failure import error_body, error_event, refusal
from tidegate.formats.responses.reader import reader
from tidegate.formats.responses.reply import read_reply, write_reply
from tidegate.formats.responses.request import write_ask
from tidegate.formats.responses.watch import learn, watch
from tidegate.formats.responses.writer import writer

__all__ = [
    "error_body",
    "error_event",
    "learn",
    "read_ask",
    "read_reply",
    "reader",
    "refusal",
    "watch",
    "write_ask",
    "write_reply",
    "writer",
]
