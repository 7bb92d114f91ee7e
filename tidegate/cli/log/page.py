"""One record in full: every field that is known, the attempts, and the bodies where kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.log.plain import (
    NOTHING,
    local_time,
    printable,
    show_count,
    show_ms,
)
from tidegate.cli.log.table import style
from tidegate.money import show_usd
from tidegate.telemetry.record import Attempt, Record

_BODY_CHARACTERS = 16_384
_LABEL = 22
_SHOWN_APART = {"request_id", "attempts", "request_body", "response_body"} | {
    "expires_ms", "held_input_nanousd"  # which matter only while it runs
}  # fmt: skip
_SECTIONS = (
    ("outcome", "status", "error", "error_code", "finish_reason"),
    ("started_ns", "key", "user", "team", "organisation", "environment", "feature",
     "conversation", "tags", "path", "wire", "stream", "alias", "downgraded", "parameters"),
    ("target", "provider", "model", "reason", "left_out"),
    ("input_tokens", "cached_input_tokens", "cache_write_tokens", "audio_input_tokens",
     "output_tokens", "reasoning_tokens", "audio_output_tokens", "cost_nanousd", "price",
     "held_nanousd", "limit"),
    ("ttft_ms", "duration_ms", "gateway_ms", "body_ms", "admit_ms", "queue_ms",
     "tokens_per_s", "max_gap_ms", "chunks"),
)  # fmt: skip
"""Fields that belong together; those of a record that are not named here follow at the end."""

_UNITS: dict[str, Callable[[Any], str]] = {
    "_ns": lambda unix_ns: local_time(unix_ns).isoformat(sep=" ", timespec="milliseconds"),
    "_ms": show_ms,
    "_nanousd": show_usd,
    "_per_s": "{:,.1f}".format,
    "_tokens": show_count,
    "_bytes": show_count,
}


def print_record(console: Console, record: Record) -> None:
    """Print all that is known of one request."""
    console.print(Text(printable(record.request_id), "bold"))
    named = {name for section in _SECTIONS for name in section}
    rest = [name for name in record.__struct_fields__ if name not in named | _SHOWN_APART]
    unknown: list[str] = []
    for section in (*_SECTIONS, rest):
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=_LABEL)
        grid.add_column(overflow="fold")
        for name in section:
            value = getattr(record, name, None)
            if value is None:
                unknown.append(_label(name))
            elif value not in ([], {}):
                look = style(record) if name in {"outcome", "error"} else ""
                grid.add_row(f"  {_label(name)}", Text(_shown(name, value), look))
        if grid.row_count:
            console.print()
            console.print(grid)
    if unknown:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True, min_width=_LABEL)
        grid.add_row("  not known", ", ".join(unknown), style="dim")
        console.print()
        console.print(grid)
    if record.attempts:
        console.print()
        console.print(_attempts(record.attempts))
    for title, body in _bodies(record):
        console.print()
        console.print(Text(title, "bold"))
        console.print(Text(body.rstrip("\n")), soft_wrap=True)


def _label(name: str) -> str:
    for unit in ("_ms", "_ns", "_nanousd", "_per_s"):
        name = name.removesuffix(unit)
    return {"ttft": "time to first token", "tokens": "tokens per second"}.get(
        name, name.replace("_", " ")
    )


def _shown(name: str, value: Any) -> str:
    for unit, show in _UNITS.items():
        if name.endswith(unit):
            return show(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return printable(json.dumps(value, ensure_ascii=False, default=str))
    return printable(str(value))


def _attempts(attempts: list[Attempt]) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("  attempt", no_wrap=True)
    table.add_column("target", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for heading in ("status", "began at", "took"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for number, attempt in enumerate(attempts, start=1):
        table.add_row(
            f"  {number}",
            Text(printable(attempt.target)),
            Text(printable(attempt.outcome), "green" if attempt.outcome == "ok" else "red"),
            NOTHING if attempt.status is None else str(attempt.status),
            show_ms(attempt.started_ms),
            show_ms(attempt.duration_ms),
            Text(printable(attempt.detail or "")),
        )
    return table


def _bodies(record: Record) -> Iterator[tuple[str, str]]:
    for title, body in (("Request", record.request_body), ("Answer", record.response_body)):
        if body is not None:
            yield f"{title} ({len(body):,} bytes)", _laid_out(body)


def _laid_out(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "not text; `--json` has it in base64"
    with suppress(ValueError, RecursionError):  # an event stream, or something odd: as it is
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    if len(text) > _BODY_CHARACTERS:
        cut = f"\n… {len(text) - _BODY_CHARACTERS:,} more characters; `--json` has all"
        text = text[:_BODY_CHARACTERS] + cut
    return printable(text, lines=True)


def json_line(record: Record) -> str:
    """One line of ASCII: every field by its name, and `time`; bodies as text or as base64."""
    fields: dict[str, Any] = {"time": local_time(record.started_ns).isoformat()}
    fields |= msgspec.structs.asdict(record)
    fields["attempts"] = [msgspec.structs.asdict(attempt) for attempt in record.attempts]
    for name in ("request_body", "response_body"):
        fields[name] = _text_or_base64(fields[name])
    # Through msgspec for bytes and what is no number, through json for nothing but ASCII.
    line = json.dumps(msgspec.json.decode(msgspec.json.encode(fields, enc_hook=str)))
    return line.replace("\x7f", "\\u007f")


def _text_or_base64(body: bytes | None) -> str | dict[str, bytes] | None:
    if body is None:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": body}  # which is how msgspec writes bytes
