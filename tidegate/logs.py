"""Structured logs: one JSON object a line on standard error, secrets taken out at this door.

`extra={"fields": {...}}` adds fields to a line. Nothing here is called for a request that went
well: its record says it all.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, cast

import msgspec

from tidegate.redact import redact


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON: time, level, logger, message, fields, trace."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, no newline inside, secrets masked."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields: object = getattr(record, "fields", None)
        if isinstance(fields, dict):
            line.update(cast("dict[str, Any]", fields))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return redact(msgspec.json.encode(line, enc_hook=str).decode())


def configure(level: str = "info") -> None:
    """Send every logger of this process to standard error as JSON lines from `level` upwards."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
