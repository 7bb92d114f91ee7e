from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from reading import EVERYTHING, VENDORS, mistakes_in

from tidegate.config.schema import json_schema
from tidegate.config.template import template

VALIDATOR = Draft202012Validator(json_schema())


@pytest.mark.parametrize(
    "text", [EVERYTHING, VENDORS, template(local=True), template(local=False), "{}"]
)
def test_the_schema_accepts_what_loads(text: str) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "{serve: {}}",
        "{server: {port: '1'}}",
        "{server: {read_timeout: 30}}",
        "{server: {read_timeout: 30sec}}",
        "{server: {body_limit: 32}}",
        "{providers: {p: {kind: opnai}}}",
        "{providers: {p: {kind: local, base_url: x}}}",
        "{providers: {p: {kind: vertex}}}",
        "{providers: {p: {kind: groq, api_key: x, balance: fair}}}",
        "{providers: {p: {kind: openai, base_url: []}}}",
        "{models: {a: {targets: []}}}",
        "{models: {a: {targets: [{provider: p, model: m, price: {input: 1, output: 1}}]}}}",
        "{log: {level: loud}}",
    ],
)
def test_the_schema_refuses_what_does_not_load(tmp_path: Path, text: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(text))
    assert mistakes_in(tmp_path, text)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


def _fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, section in [("", schema), *schema["$defs"].items()]:
        for key, field in section["properties"].items():
            yield f"{name}.{key}", field


def test_every_key_is_described() -> None:
    schema = json_schema()
    for key, field in _fields(schema):
        said = field.get("description") or schema["$defs"][field["$ref"][8:]]["description"]
        assert said.endswith("."), key


def test_every_default_is_what_the_schema_itself_accepts() -> None:
    schema = json_schema()
    for key, field in _fields(schema):
        if "default" in field:
            validator = Draft202012Validator({**field, "$defs": schema["$defs"]})
            assert validator.is_valid(field["default"]), key
