"""Write the reference pages that are made from the code: settings, errors, metrics, exports.

python scripts/reference.py            writes the pages
python scripts/reference.py --check    exits with 1 if a page on disk is not what it would write
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tidegate import errors
from tidegate.config.schema import json_schema
from tidegate.control.measures.records import COMBINATIONS, VALUES
from tidegate.control.measures.text import Meaning
from tidegate.control.metrics import documented
from tidegate.control.sinks.columns import documented as documented_columns
from tidegate.telemetry.attributes import TABLE

PAGES = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by scripts/reference.py from the code; edit that. -->\n"
Schema = dict[str, Any]

_CONFIGURATION_INTRODUCTION = """\
# Configuration

All settings of `tidegate.yaml`. Unknown keys, wrong types and numbers without units are refused;
`tidegate check` tells every mistake at once, with its line. `tidegate schema` prints the same as a
JSON schema for editors.

| form | is written as |
| --- | --- |
| duration | `200ms`, `2s`, `1m30s`, `1h`, `1d` |
| size | `512B`, `16KiB`, `32MiB`, `1GiB`; `KB`, `MB` and `GB` count in thousands |
| price | `$0.15/M` for a million tokens, `$0.002/K` for a thousand |
| path | relative to the configuration's own directory, or absolute, or from `~` |
| share | `10%`, `0.5%` |
| span | two durations, the shorter first: `200ms..5s` |
| secret | `${env:NAME}` or `${file:/path}`, also inside other text: `Bearer ${env:TOKEN}`; or \
`${vault:path#field}`, `${aws:name#field}`, `${gcp:projects/P/secrets/S}` |

YAML is read as version 1.2 has it: only `true` and `false` are booleans. Anchors and aliases work,
merge keys (`<<`) do not.
"""

_EXPORTS_INTRODUCTION = """\
# Columns of exports

What [ClickHouse and Parquet](../how-to/export-records.md) have of a request: a column for each
field of [the record](record.md), which says what it means, and two more.

- `place` is the order in which the store took the records. Should there be two rows of one request,
  the one with the greater `place` counts.
- `started` is when the request began, in UTC: whole seconds in ClickHouse, microseconds in Parquet.
  `started_ns` has it exactly. Files and partitions go by it.

Numbers that are not known are NULL, zero is a number that was reported. Texts that are not known
are empty in ClickHouse and NULL in Parquet. Money is whole nano-dollars: `cost_nanousd / 1e9` is
dollars. What is a map or a list of more than texts, such as `tags`, `parameters` and `attempts`, is
JSON. A number that 64 bits cannot hold is shown as the greatest that they can. Prompts and answers
(`request_body`, `response_body`) are there with `bodies: true` alone.

| column | ClickHouse | Parquet |
| --- | --- | --- |"""

_METRICS_INTRODUCTION = """\
# Metrics

`GET /metrics` of the control process, at port 8081 unless `control.port` is another, in Prometheus'
text format: one page for all gateway processes of the machine. No request is slowed down by it.
What is told of requests is counted from their [records](record.md) as these are loaded, a fraction
of a second after the request's end; what is told of processes is read from their status boards,
which are written once a second.

## What to know before you trust a number

- Each record is counted once, when the store has taken it, whatever dies in between. Counters begin
  at zero when the control process does, as Prometheus expects; the store has the whole history.
- Records that waited, because the control process was not there or the store was not, are counted
  when they are loaded: then a rate jumps. `tidegate_loader_lag_seconds` says when to expect that.
- Labels are bounded. Of each one the first {values} values are shown, of each counter
  {combinations} combinations and of each histogram {shapes}; later ones are `other` and counted in
  `tidegate_label_overflows_total` and `tidegate_series_overflows_total`. An alias that a caller
  made up is `other` from the start and takes nobody's place. No label has users, keys or
  conversations: `tidegate spend` and `tidegate log` tell of these.
- `gen_ai_*` are those of the OpenTelemetry conventions for generative AI (version 1.36, with
  `gen_ai.provider.name`), in Prometheus' spelling and with their boundaries.
  `gen_ai_provider_name` is the provider's name in the configuration, `gen_ai_request_model` the
  model that was asked of it, `gen_ai_response_model` the one that it named; `error_type` is empty
  for requests that went well, an [error code](errors.md) otherwise.
- A process that has just been started, or has ended, has no samples under its `worker`.

## Of requests, from their records

| metric | kind | labels | unit | meaning |
| --- | --- | --- | --- | --- |
{records}

## Of processes, from their boards

| metric | kind | labels | unit | meaning |
| --- | --- | --- | --- | --- |
{boards}

## Of the loading of records

| metric | kind | labels | unit | meaning |
| --- | --- | --- | --- | --- |
{loading}

## Of what alerting has seen last

| metric | kind | labels | unit | meaning |
| --- | --- | --- | --- | --- |
{watch}

## Some questions

```promql
# Requests a second, by alias.
sum by (alias) (rate(tidegate_requests_total[5m]))

# The share of requests that fail.
sum(rate(tidegate_requests_ended_total{{class=~"failed|lost"}}[5m]))
  / sum(rate(tidegate_requests_ended_total[5m]))

# Time to first token: 99 % take at most this.
histogram_quantile(0.99,
  sum by (le) (rate(gen_ai_server_time_to_first_token_seconds_bucket[5m])))

# What the gateway adds before a provider is asked: 99 % wait at most this.
histogram_quantile(0.99, sum by (le) (rate(tidegate_gateway_overhead_seconds_bucket[5m])))

# Dollars an hour, by team.
sum by (team) (rate(tidegate_cost_usd_total[1h])) * 3600

# Targets that rest.
max by (target) (tidegate_breaker_state) == 2
```
"""

_ERRORS_INTRODUCTION = """\
# Errors

What a caller gets when a request fails, in OpenAI's form:

```json
{"error": {"message": "…", "type": "invalid_request_error", "param": "model",
           "code": "model_not_found"}}
```

`code` is stable: programs may depend on it. `tidegate log` shows it as the outcome of the request.
*Same target* says whether trying the same target again may help, *elsewhere* whether another
target may; the gateway acts on both by itself.
"""


_TRACES_INTRODUCTION = """\
# Traces

What a request's trace holds where it is [sent](../how-to/trace-requests.md). Names are those of
OpenTelemetry's conventions where these have one (HTTP, server, error, generative AI); facts of this
gateway are under `tidegate.`. What is not known is not there. Texts are cut after 1,024 characters.

| span | kind | from, until |
| --- | --- | --- |
| `WIRE ALIAS`, such as `chat fast` | server | the whole request; its parent is the caller's span if a `traceparent` came with it |
| `admit` | internal | from the request's start until a provider was first asked |
| `queue` | internal | a wait for a turn at a target |
| `OPERATION MODEL`, such as `chat gpt-5-mini` | client | each attempt: until its failure, or until the answer's end |

The request's span has the event `target passed over` for each target that was not asked, because it
rests, is full, or a limit keeps from it; the answering attempt's span has `commit`, and of a stream
`first_token`. A span's status is an error if it failed on our side or behind us; a caller's mistake,
a limit and a caller who left are none.

Ids are made from the request's id, so that a trace that is sent twice is the same trace: the span of
attempt *n* has the same id wherever it is computed.

## On the request's span

| attribute | meaning |
| --- | --- |
{request}
| `tidegate.tag.NAME` | each of its tags |

## On the span of each attempt

Tokens stand here only, on the attempt that used them: adding up is safe.

| attribute | meaning |
| --- | --- |
{attempt}
| `gen_ai.input.messages`, `gen_ai.output.messages` | prompt and answer as the conventions have them, with `traces.content`, of requests whose records keep them; the newest 32 KiB of each, images and files only by their kind |
"""  # noqa: E501 - tables


def configuration() -> str:
    """The page of settings."""
    schema = json_schema()
    sections = "\n".join(_sections(schema, schema, "", {}))
    return f"{MADE}\n{_CONFIGURATION_INTRODUCTION}\n{sections}"


def _sections(top: Schema, section: Schema, path: str, told: dict[str, str]) -> Iterator[str]:
    """The section at `path` as a heading and a table, then those inside it.

    `told` has the path of every section that has its table already.
    """
    told[section["title"]] = path
    place, _, kind = path.partition(" ")
    yield f"## `{place}` {kind}".rstrip() + "\n" if path else "## The top of the file\n"
    if path:
        yield f"{section['description']}\n"
    yield "| key | form | default | meaning |\n| --- | --- | --- | --- |"
    inner: list[tuple[str, Schema]] = []
    required = section.get("required", [])
    for key, field in section["properties"].items():
        form, found = _form(top, field)
        if found and found[0][1]["title"] in told:
            form = f"{form}, as `{told[found[0][1]['title']]}`"
        default = _default(field, form, required=key in required)
        meaning = field.get("description") or found[0][1]["description"]
        yield f"| `{key}` | {form} | {default} | {_cell(meaning)} |"
        inner += [(f"{place}.{key}{suffix}".lstrip("."), each) for suffix, each in found]
    yield ""
    for where, each in inner:
        if each["title"] not in told:
            yield from _sections(top, each, where, told)


def _form(top: Schema, field: Schema) -> tuple[str, list[tuple[str, Schema]]]:
    """How a value is written, and the sections inside it with what their paths end in."""
    if "$ref" in field:
        section = top["$defs"][field["$ref"].rsplit("/", 1)[-1]]
        return "section", [("", section)]
    options = field.get("anyOf")
    if options:
        each = [_form(top, option) for option in options if option.get("type") != "null"]
        return " or ".join(form for form, _ in each), [one for _, found in each for one in found]
    if "oneOf" in field:
        found = [_form(top, option)[1][0][1] for option in field["oneOf"]]
        kinds = [_simple(section["properties"]["kind"]) for section in found]
        return "section", [
            (f" of kind {kind}", section) for kind, section in zip(kinds, found, strict=True)
        ]
    if field.get("type") == "array":
        form, found = _form(top, field["items"])
        form = f"list, each {form}" if " or " in form else f"list of {form}s"
        return form, [(f"[]{suffix}", section) for suffix, section in found]
    if field.get("type") == "object":
        form, found = _form(top, field["additionalProperties"])
        return f"{form}s by name", [(f".NAME{suffix}", section) for suffix, section in found]
    return _simple(field), []


def _simple(field: Schema) -> str:
    if "enum" in field or "const" in field:
        words = [f"`{value}`" for value in field.get("enum", [field.get("const")])]
        return ", ".join([*words[:-2], " or ".join(words[-2:])])
    title = field.get("title")
    if title:
        return title.lower()
    if field["type"] == "integer":
        least, most = field.get("minimum"), field.get("maximum")
        if least is None:
            return "whole number"
        return f"whole number, {least} to {most:,}" if most else f"whole number from {least}"
    return {"string": "text", "boolean": "`true` or `false`"}.get(field["type"], "text")


def _default(field: Schema, form: str, *, required: bool) -> str:
    if required:
        return "**required**"
    default = field.get("default")
    if default in (None, [], {}) or form.startswith("section"):
        return ""
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def catalogue() -> str:
    """The page of errors."""
    entries = "\n".join(_entry(each) for each in _tree(errors.TidegateError))
    return f"{MADE}\n{_ERRORS_INTRODUCTION}\n{entries}"


def _tree(error: type[errors.TidegateError]) -> Iterator[type[errors.TidegateError]]:
    for each in error.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from _tree(each)


def _entry(error: type[errors.TidegateError]) -> str:
    meaning = inspect.cleandoc(error.__doc__ or "")
    return (
        f"## `{error.code}`\n\n{meaning}\n\n"
        f"| status | type | same target | elsewhere |\n| --- | --- | --- | --- |\n"
        f"| {error.status} | `{error.type}` | {_yes(error.retryable)} | {_yes(error.elsewhere)} |"
        f"\n\n**What to do:** {error.remedy}\n"
    )


def measures() -> str:
    """The page of metrics."""
    return f"{MADE}\n" + _METRICS_INTRODUCTION.format(
        values=VALUES,
        combinations=f"{COMBINATIONS:,}",
        shapes=COMBINATIONS // 5,
        **{source: "\n".join(map(_measure, found)) for source, found in documented().items()},
    )


def _measure(meaning: Meaning) -> str:
    labels = ", ".join(f"`{label}`" for label in meaning.labels)
    said = _cell(meaning.said)
    return f"| `{meaning.name}` | {meaning.kind} | {labels} | {meaning.unit} | {said} |"


def traces() -> str:
    """The page of what spans say."""
    tables = {
        span: "\n".join(f"| `{row.name}` | {_cell(row.says)} |" for row in TABLE if row.on == span)
        for span in ("request", "attempt")
    }
    return f"{MADE}\n" + _TRACES_INTRODUCTION.format(**tables)


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def exports() -> str:
    """The page of the columns that exports have."""
    lines = [f"{MADE}\n{_EXPORTS_INTRODUCTION}"]
    lines += [f"| `{row[0]}` | `{row[1]}` | `{row[2]}` |" for row in documented_columns()]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; what the program ends with."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing, only compare")
    options.add_argument("--pages", type=Path, default=PAGES, help="their directory")
    given = options.parse_args(arguments)
    stale = 0
    pages = {
        "configuration.md": configuration(),
        "errors.md": catalogue(),
        "metrics.md": measures(),
        "traces.md": traces(),
        "exports.md": exports(),
    }
    for name, text in pages.items():
        page = given.pages / name
        if page.is_file() and page.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        if given.check:
            print(f"{page} is stale: run python scripts/reference.py")
        else:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            print(f"wrote {page}")
    return 1 if given.check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
