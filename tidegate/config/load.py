"""From a file to a `Config`, or to every mistake in it at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from tidegate.config.agreement import disagreements
from tidegate.config.explain import explain
from tidegate.config.mistakes import ConfigError, Finding, whole_file
from tidegate.config.model import Config
from tidegate.config.source import SIZE_LIMIT_BYTES, Source, read
from tidegate.config.surroundings import Surroundings

_VERSION_DIGITS = 12


def load(
    path: Path, environ: Mapping[str, str] = os.environ, *, copy: Path | None = None
) -> Config:
    """The configuration in the file `path`, secrets resolved against `environ`.

    Relative paths in it are taken from the file's own directory. With `copy`, the text is read from
    there, and all else is as if it had been read from `path`.

    Raises:
        ConfigError: with all mistakes, in the order of the file.
    """
    source = read(text_of(copy or path), str(path))
    if source.value is None and source.mistakes:
        raise ConfigError(source.mistakes)
    document = cast("object", {} if source.value is None else source.value)
    around = Surroundings(path.absolute().parent, environ)
    try:
        config = Config.model_validate(document, context=around)
    except ValidationError as error:
        findings = list(explain(error, Config, document))
        config = None
    else:
        findings = []
    findings += _agreed(document, findings)
    mistakes = [*source.mistakes, *(_placed(finding, source) for finding in findings)]
    if config is None or mistakes:
        raise ConfigError(sorted(set(mistakes), key=lambda each: (each.line, each.column)))
    config.remember(path.absolute(), _version(document))
    return config


def adopt(path: Path, copy: Path) -> Config:
    """Load the file `path` and, if it is good, keep just what was loaded as `copy`, atomically.

    Raises: `ConfigError`; `copy` is what it was then.
    """
    candidate = copy.with_name(f"{copy.name}.new")
    text = text_of(path)
    candidate.touch(mode=0o600)
    candidate.write_text(text)
    config = load(path, copy=candidate)
    candidate.replace(copy)
    return config


def version_of(text: str) -> str:
    """The version of the configuration that `text` is, as `Config.version` has it."""
    value = read(text, "").value
    return _version({} if value is None else value)


def text_of(path: Path) -> str:
    """What the file `path` says. Raises: `ConfigError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(SIZE_LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise whole_file(path, "is not there; `tidegate init` writes one to start from") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise whole_file(path, f"cannot be read: {reason}") from error
    if len(content) > SIZE_LIMIT_BYTES:
        raise whole_file(path, f"is longer than {SIZE_LIMIT_BYTES >> 20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        # Not chained: the error would carry the file's bytes along.
        raise whole_file(path, f"is not UTF-8 text, first in line {line}") from None


def _agreed(document: object, found: list[Finding]) -> Iterator[Finding]:
    """Disagreements, without those that only follow from a misspelt section at the top."""
    if not isinstance(document, dict):
        return
    misspelt = {finding.nearest for finding in found if len(finding.path) == 1 and finding.at_key}
    for finding in disagreements(cast("dict[str, object]", document)):
        if finding.needs not in misspelt:
            yield finding


def _placed(finding: Finding, source: Source) -> Any:
    return source.mistake(
        finding.path,
        finding.message,
        allowed=finding.allowed,
        nearest=finding.nearest,
        at_key=finding.at_key,
    )


def _version(document: object) -> str:
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]
