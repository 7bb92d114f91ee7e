"""What a reader of the documents can type is right, and what they must find in them is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from _pytest.mark import ParameterSet

from tidegate.cli import main
from tidegate.config.load import load
from tidegate.telemetry.record import Attempt, Record

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECRET = re.compile(r"\$\{env:(\w+)\}")
SECRET_FILE = re.compile(r"\$\{file:([^}]+)\}")
COMMANDS = ("demo", "init", "check", "serve", "log", "schema", "simulate")


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[ParameterSet]:
    found: list[ParameterSet] = []
    for page in PAGES:
        prose = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(prose):
            if block[1] == language:
                line = prose.count("\n", 0, block.start()) + 1
                found.append(pytest.param(block[2], id=f"{name(page)}:{line}"))
    return found


def complete(text: str) -> str:
    """`text` with whatever a fragment of a configuration leaves out."""
    if "providers:" not in text:
        text += "\nproviders: {local: {kind: local}}\n"
    if "models:" not in text and "openai:" not in text:
        text += "\nmodels: {assistant: {targets: [{provider: local, model: smollm2-135m}]}}\n"
    return text


def command(words: list[str]) -> tuple[click.Command, list[str]]:
    context = click.Context(main)
    found = main.get_command(context, words[0])
    assert found is not None, words
    return found, words[1:]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_every_configuration_shown_is_a_good_one(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in SECRET.findall(text):
        monkeypatch.setenv(variable, f"value-of-{variable}")
    for path in SECRET_FILE.findall(text):
        mounted = tmp_path / Path(path).name
        mounted.write_text("value")
        text = text.replace(path, str(mounted))
    authority = tmp_path / "ca.pem"
    authority.write_text("")
    file = tmp_path / "tidegate.yaml"
    file.write_text(complete(text).replace("/etc/ssl/our-ca.pem", str(authority)))
    load(file)


@pytest.mark.parametrize("text", blocks("sh"))
def test_every_command_shown_is_understood(text: str) -> None:
    for line in text.splitlines():
        if line.removeprefix(".venv/bin/").startswith("tidegate "):
            found, arguments = command(shlex.split(line, comments=True)[1:])
            found.make_context(found.name, arguments)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_named_exists(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("word", COMMANDS)
def test_the_page_of_commands_names_every_option(word: str) -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {word}\n")[2].partition("\n## ")[0]
    found, _ = command([word])
    options = [each for each in found.params if isinstance(each, click.Option) and not each.hidden]
    missing = [each.opts[-1] for each in options if not any(o in section for o in each.opts)]
    assert section
    assert missing == []


def test_the_page_of_the_record_names_every_field() -> None:
    page = (ROOT / "docs" / "reference" / "record.md").read_text(encoding="utf-8")
    fields = Record.__struct_fields__ + Attempt.__struct_fields__
    assert [field for field in fields if f"`{field}`" not in page] == []
