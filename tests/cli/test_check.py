from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tidegate import __version__
from tidegate.cli import main
from tidegate.config.schema import json_schema

GOOD = """\
providers: {sim: {kind: simulated}, up: {kind: openai, base_url: "https://h/v1"}}
models:
  a:
    targets:
      - {provider: sim, model: sim-1, weight: 3}
      - {provider: up, model: big, price: {input: $0.15/M, output: $0.60/M}}
"""
BAD = "server:\n  prot: 1\nlog: {level: loud}\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.fixture(name="here")
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_good_configuration_is_summed_up(here: Path) -> None:
    (here / "tidegate.yaml").write_text(GOOD)
    result = run("check")
    assert result.exit_code == 0
    assert "tidegate.yaml is good" in result.stdout
    assert "sim/sim-1 75%" in result.stdout
    assert "up/big 25%" in result.stdout
    assert "$0.15 / $0.60 per M" in result.stdout
    assert "\x1b" not in result.stdout


def test_target_that_a_budget_covers_and_that_has_no_price_is_told(here: Path) -> None:
    extra = """
  b: {targets: [{provider: up, model: nobody-knows}]}
limits:
  - {scope: alias, name: a, budget: {usd: 1}}
"""
    (here / "tidegate.yaml").write_text(GOOD + extra.lstrip("\n"))
    assert "nobody knows" not in run("check").stdout
    (here / "tidegate.yaml").write_text(
        (GOOD + extra.lstrip("\n")).replace("alias, name: a", "user")
    )
    told = run("check")
    assert told.exit_code == 0
    assert "b: nobody knows what up/nobody-knows costs" in told.stdout
    assert "the budget of user covers" in told.stdout
    assert told.stdout.count("nobody knows") == 1


def test_all_mistakes_are_printed_one_a_line_and_the_code_is_2(here: Path) -> None:
    (here / "bad.yaml").write_text(BAD)
    result = run("check", "--config", "bad.yaml")
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert first.startswith("bad.yaml:2:3: server.prot: unknown key `prot`; did you mean `port`?")
    assert second.startswith("bad.yaml:3:14: log.level:")


def test_mistakes_are_json_for_programs(here: Path) -> None:
    (here / "tidegate.yaml").write_text(BAD)
    result = run("check", "--json")
    assert result.exit_code == 2
    told = json.loads(result.stdout)
    assert told["ok"] is False
    first = told["mistakes"][0]
    assert (first["line"], first["column"], first["nearest"]) == (2, 3, "port")


def test_a_good_configuration_is_json_for_programs(here: Path) -> None:
    (here / "tidegate.yaml").write_text(GOOD)
    told = json.loads(run("check", "--json").stdout)
    assert told["ok"] is True
    assert len(told["version"]) == 12


@pytest.mark.usefixtures("here")
def test_a_missing_file_ends_with_2_and_the_remedy() -> None:
    result = run("check")
    assert result.exit_code == 2
    assert "tidegate init" in result.stderr
    assert "Traceback" not in result.output


def test_a_terminal_gets_the_mistakes_laid_out(here: Path) -> None:
    (here / "tidegate.yaml").write_text(BAD)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "tidegate", "check"]
    root = str(Path(__file__).parents[2])
    environ = {**os.environ, "TERM": "xterm", "PYTHONPATH": root, "COLUMNS": "80"}
    environ.pop("NO_COLOR", None)
    child = subprocess.Popen(command, stderr=theirs, env=environ)
    os.close(theirs)
    told = b""
    with contextlib.suppress(OSError):  # which is how Linux says that a terminal was closed
        while chunk := os.read(ours, 4096):
            told += chunk
    os.close(ours)
    assert child.wait(60) == 2
    assert b"\x1b[" in told
    assert b"did you mean" in told
    assert b"2 mistakes in tidegate.yaml" in told


@pytest.mark.usefixtures("here")
def test_init_writes_a_configuration_that_check_accepts() -> None:
    assert run("init").exit_code == 0
    assert run("check").exit_code == 0


def test_init_never_writes_over_a_file_unless_forced(here: Path) -> None:
    (here / "mine.yaml").write_text("# mine")
    result = run("init", "mine.yaml")
    assert result.exit_code == 1
    assert "--force" in result.stderr
    assert (here / "mine.yaml").read_text() == "# mine"
    assert run("init", "mine.yaml", "--force").exit_code == 0
    assert run("check", "--config", "mine.yaml").exit_code == 0


def test_init_never_writes_through_a_dangling_link(here: Path) -> None:
    (here / "tidegate.yaml").symlink_to(here / "elsewhere")
    assert run("init").exit_code == 1
    assert not (here / "elsewhere").exists()


def test_init_into_a_directory_uses_the_usual_name(here: Path) -> None:
    (here / "etc").mkdir()
    assert run("init", "etc").exit_code == 0
    assert (here / "etc" / "tidegate.yaml").is_file()


@pytest.mark.usefixtures("here")
def test_init_where_nothing_can_be_written_says_so() -> None:
    result = run("init", "none/tidegate.yaml")
    assert result.exit_code == 1
    assert "There is no directory none; make it first." in result.stderr


def test_schema_prints_the_schema() -> None:
    assert json.loads(run("schema").stdout) == json_schema()


def test_the_version_is_printed() -> None:
    assert run("--version").stdout == f"tidegate {__version__}\n"


def test_help_lists_the_commands_without_loading_them() -> None:
    script = (
        "import sys\n"
        "from tidegate.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        "heavy = ('pydantic', 'rich', 'sqlalchemy', 'uvicorn', 'yaml', 'msgspec')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    *text, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    listed = [line.split()[0] for line in text[text.index("Commands:") + 1 :] if line.strip()]
    assert listed[:5] == ["demo", "init", "check", "serve", "log"]
    assert listed[5:8] == ["explain", "targets", "console"]
    assert {"budgets", "spend", "schema", "simulate", "drill"} <= set(listed)


def test_an_unknown_command_is_a_usage_error() -> None:
    assert run("chekc").exit_code == 2


def test_conversations_that_are_kept_whole_are_said(here: Path) -> None:
    text = "responses: {store: true}\nrecords: {bodies: redacted}\n"
    (here / "tidegate.yaml").write_text(GOOD + text)
    assert "a: `responses.store` keeps what is asked" in run("check").stdout
    (here / "tidegate.yaml").write_text(GOOD + text.replace("redacted", "none"))
    assert "responses.store" not in run("check").stdout


def test_the_shell_completes_commands() -> None:
    environ = {
        "_TIDEGATE_COMPLETE": "bash_complete",
        "COMP_WORDS": "tidegate ch",
        "COMP_CWORD": "1",
    }
    result = CliRunner().invoke(main, [], env=environ, prog_name="tidegate")
    assert "plain,check" in result.output


def test_mistyped_command_is_told_the_nearest() -> None:
    result = run("chek")
    assert result.exit_code == 2
    assert "No such command 'chek'. Did you mean 'check'?" in result.stderr
    assert "Did you mean" not in run("xyz").stderr


def test_configuration_without_its_option_is_told_the_option() -> None:
    result = run("check", "other.yaml")
    assert result.exit_code == 2
    assert "(other.yaml). A configuration is named by --config PATH." in result.stderr
