"""`tidegate config`: versions, what changed, and the way back, on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.conftest import Shell
from control.admin.admin_serving import serving

from tidegate.config.load import load, version_of
from tidegate.control.configurations import Keeping
from tidegate.house.written import Written

ONE = "providers: {sim: {kind: simulated}}\nmodels: {one: {targets: [{provider: sim, model: m}]}}\n"
TWO = ONE.replace("one", "two")
V1, V2 = version_of(ONE), version_of(TWO)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "live.yaml"
    path.write_text(ONE)
    return path


@pytest.fixture
def two(tmp_path: Path, file: Path) -> Iterator[Shell]:
    """A place where two configurations were in force."""
    watched = Written(file, None, load(file))
    with serving(f"sqlite:///{tmp_path}/tidegate.db", tmp_path / "spool", watched) as served:
        keeping = Keeping(served.store.database, watched, served.clock)
        keeping.look()
        file.write_text(TWO)
        served.clock.turn(60)
        keeping.look()
        yield Shell(served, tmp_path)


def test_versions_are_listed(two: Shell) -> None:
    lines = two.ok("config", "versions").splitlines()
    assert lines[1].split()[:3] == [V2, "in", "force"]
    assert lines[2].split()[0] == V1
    assert [each["version"] for each in two.told("config", "versions")["items"]] == [V2, V1]


def test_text_is_printed_as_it_was(two: Shell) -> None:
    assert two.ok("config", "show", V1[:5]) == ONE
    assert two.told("config", "show", V1)["text"] == ONE


def test_what_changed_is_printed(two: Shell) -> None:
    lines = two.ok("config", "diff", V1).splitlines()
    assert [line[:13] for line in lines if line.startswith(("-m", "+m"))] == [
        "-models: {one", "+models: {two",
    ]  # fmt: skip
    assert "Nothing differs" in two.run("config", "diff", V1, V1).stderr


def test_rolling_back_asks_first(two: Shell, file: Path) -> None:
    refused = two.run("config", "rollback", V1, typed="n\n")
    assert (refused.exit_code, file.read_text()) == (1, TWO)
    assert "2 lines change" in refused.stderr
    done = two.run("config", "rollback", V1, typed="y\n")
    assert (done.exit_code, file.read_text()) == (0, ONE)
    assert f"says {V1} again, after {V2}" in done.stderr


def test_rolling_back_without_being_asked(two: Shell, file: Path) -> None:
    assert two.told("config", "rollback", V1)["version"] == V1
    assert file.read_text() == ONE
    file.write_text(TWO)
    two.ok("config", "rollback", V1, "--yes")
    assert file.read_text() == ONE


def test_unknown_version_names_the_list(two: Shell) -> None:
    result = two.run("config", "rollback", "ffffffff", "--yes")
    assert result.exit_code == 1
    assert "tidegate config versions" in result.stderr
