"""What a reader of the documents can type is right, and what they must find in them is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from config.imitating import imitation
from keeping import environment, keep
from pages import PAGES, ROOT, Block, blocks, commands, name
from tables import cannot_be_told, compatible, finishes

from tidegate.cli import main
from tidegate.config.provider import KINDS
from tidegate.gateway.app import WIRES
from tidegate.telemetry.record import Attempt, Record

HOW_TO, REFERENCE = ROOT / "docs" / "how-to", ROOT / "docs" / "reference"
SECRET = re.compile(r"\$\{env:(\w+)\}")
SECRET_FILE = re.compile(r"\$\{file:([^}]+)\}")
HEADER = re.compile(rb'"(x-tidegate-[a-z-]+)"')
COMMANDS = main.list_commands(click.Context(main))


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


@pytest.fixture(scope="module")
def keeping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The variables that lead to secret managers which have everything."""

    with imitation(keep) as server:
        yield environment(server.url, tmp_path_factory.mktemp("google"))


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_configuration_shown_is_a_good_one(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeping: dict[str, str]
) -> None:
    text = block.text
    for variable, value in keeping.items():
        monkeypatch.setenv(variable, value)
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
    checked = CliRunner().invoke(main, ["check", "--config", str(file)])
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("block", blocks("sh"))
def test_every_command_shown_is_understood(block: Block) -> None:
    for line in commands(block.text):
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
    page = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    section = page.partition(f"\n## {word}\n")[2].partition("\n## ")[0]
    found, _ = command([word])
    options = [each for each in found.params if isinstance(each, click.Option) and not each.hidden]
    missing = [each.opts[-1] for each in options if not any(o in section for o in each.opts)]
    assert section
    assert missing == []


def test_the_page_of_the_record_names_every_field() -> None:
    page = (REFERENCE / "record.md").read_text(encoding="utf-8")
    fields = Record.__struct_fields__ + Attempt.__struct_fields__
    assert [field for field in fields if f"`{field}`" not in page] == []


def test_the_page_of_headers_names_every_header_of_ours() -> None:
    page = (REFERENCE / "headers.md").read_text(encoding="utf-8")
    code = b"".join(path.read_bytes() for path in (ROOT / "tidegate" / "gateway").glob("*.py"))
    found = {header.decode() for header in HEADER.findall(code)}
    assert found
    assert [header for header in sorted(found) if f"`{header}" not in page] == []


def test_the_page_of_paths_names_every_endpoint() -> None:
    page = (REFERENCE / "http-api.md").read_text(encoding="utf-8")
    assert [path for path in WIRES if f"`POST {path}`" not in page] == []


def test_the_page_of_providers_shows_every_kind() -> None:
    page = (HOW_TO / "use-any-provider.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []


TABLES = {
    "compatible": ("how-to/use-any-provider.md", compatible()),
    "chat": ("how-to/use-any-provider.md", cannot_be_told("chat")),
    "messages": ("how-to/use-any-provider.md", cannot_be_told("messages")),
    "finishes": ("explanation/translation.md", finishes()),
}


@pytest.mark.parametrize("which", TABLES)
def test_a_table_says_what_the_code_does(which: str) -> None:
    page, table = TABLES[which]
    assert table in (ROOT / "docs" / page).read_text(encoding="utf-8"), f"It is:\n\n{table}\n"
