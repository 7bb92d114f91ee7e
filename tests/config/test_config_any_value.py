from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import ENVIRON, EVERYTHING, VENDORS, read

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError, Mistake
from tidegate.config.source import read as read_source

_PATIENT = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

_WORDS = st.sampled_from(
    sorted(
        {word.strip(':-[],"{}') for word in EVERYTHING.split()}
        | {"", "*", "latest", "${env:X}", "${file:/}", "~", "~nobody/x", "\0", "9" * 5000, "1e999"}
    )
)
_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), _WORDS
)
_PLACES = [
    (text, path)
    for text in (EVERYTHING, VENDORS)
    for path in sorted(set(read_source(text, "-").places) - {()}, key=repr)
]
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_WORDS | st.text(), inner),
    max_leaves=30,
)


def _mistakes(file: Path) -> tuple[Mistake, ...] | None:
    try:
        load(file, ENVIRON)
    except ConfigError as error:
        return error.mistakes
    return None


def _loads_or_says_why(directory: Path, content: bytes) -> None:
    file = directory / "tidegate.yaml"
    file.write_bytes(content)
    mistakes = _mistakes(file)
    assert mistakes is None or mistakes
    assert "\n".join(map(str, mistakes or ())).encode() is not None


@given(value=_VALUES)
@_PATIENT
def test_any_value_loads_or_is_refused_with_mistakes(tmp_path: Path, value: Any) -> None:
    _loads_or_says_why(tmp_path, yaml.safe_dump(value, allow_unicode=True).encode())


@given(
    section=st.sampled_from(["server", "spool", "keys", "providers", "models", "records", "store"]),
    value=_VALUES,
)
@_PATIENT
def test_any_section_loads_or_is_refused_with_mistakes(
    tmp_path: Path, section: str, value: Any
) -> None:
    document = yaml.safe_load(EVERYTHING) | {section: value}
    _loads_or_says_why(tmp_path, yaml.safe_dump(document, allow_unicode=True).encode())


@given(data=st.data(), value=_VALUES)
@_PATIENT
def test_any_value_at_any_place_loads_or_is_refused_with_mistakes(
    tmp_path: Path, data: st.DataObject, value: Any
) -> None:
    text, path = data.draw(st.sampled_from(_PLACES))
    document = yaml.safe_load(text)
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    _loads_or_says_why(tmp_path, yaml.safe_dump(document, allow_unicode=True).encode())


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
@_PATIENT
def test_any_bytes_load_or_are_refused_with_mistakes(tmp_path: Path, content: bytes) -> None:
    _loads_or_says_why(tmp_path, content)


@given(data=st.data())
@_PATIENT
def test_a_cut_or_broken_file_loads_or_is_refused_with_mistakes(
    tmp_path: Path, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(EVERYTHING)))
    put = data.draw(st.text("{}[]:-#&*!|>'\"%@`\t\n x", max_size=3))
    _loads_or_says_why(tmp_path, (EVERYTHING[:at] + put + EVERYTHING[at + 1 :]).encode())


def test_everything_is_good(tmp_path: Path) -> None:
    assert read(tmp_path, EVERYTHING).models
    assert read(tmp_path, VENDORS).providers
