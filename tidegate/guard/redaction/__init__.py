"""Personal data and credentials out of what is stored: found in text, replaced by `[EMAIL]` etc.

Everything here is linear in the length of what it reads, whatever is in it, and is done in steps of
about a millisecond (`steps.py`). What is clean costs a few microseconds: one look (`glance.py`).
"""

from tidegate.guard.redaction.steps import Pace, Steps, TooHard
from tidegate.guard.redaction.text import (
    CREDENTIALS,
    KINDS,
    Findings,
    is_clean_json,
    mask_text,
    masked_text,
)
from tidegate.guard.redaction.tree import masked_json, masked_value

__all__ = [
    "CREDENTIALS", "KINDS", "Findings", "Pace", "Steps", "TooHard", "is_clean_json", "mask_text",
    "masked_json", "masked_text", "masked_value",
]  # fmt: skip
