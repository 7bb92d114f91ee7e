"""Bedrock's Converse, as its vendor speaks it: every model behind it in one format.

The API has no ids of answers and does not repeat the model's name. Source:
docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from tidegate.formats.converse.ask import write_ask
from tidegate.formats.converse.failures import refusal
from tidegate.formats.converse.reply import read_reply
from tidegate.formats.converse.stream import reader

__all__ = ["read_reply", "reader", "refusal", "write_ask"]
