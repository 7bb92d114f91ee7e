"""Write the reference pages that are made from the code: settings and errors.

python scripts/reference.py            writes docs/reference/{configuration,errors}.md
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


def _yes(claim: bool) -> str:
    return "yes" if claim else "no"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them; what the program ends with."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="write nothing, only compare")
    options.add_argument("--pages", type=Path, default=PAGES, help="their directory")
    given = options.parse_args(arguments)
    stale = 0
    for name, text in (("configuration.md", configuration()), ("errors.md", catalogue())):
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
