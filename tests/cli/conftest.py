"""Commands against a real admin API, found as an operator's shell finds it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from control.admin.admin_serving import Served, serving

from tidegate.cli import main


class Shell:
    """Runs commands in a directory whose configuration leads to an admin API."""

    def __init__(self, served: Served, directory: Path) -> None:
        self.served = served
        self.config = directory / "tidegate.yaml"
        self.config.write_text(
            f"control: {{port: {served.port}}}\nspool: {{directory: {served.directory}}}\n"
        )

    def run(self, *words: str, typed: str | None = None) -> Result:
        env = {"TIDEGATE_ADMIN_TOKEN": None, "TIDEGATE_ADMIN_URL": None}
        arguments = [*words, "--config", str(self.config)]
        return CliRunner().invoke(main, arguments, input=typed, env=env)

    def ok(self, *words: str) -> str:
        """What a command prints that goes well."""
        result = self.run(*words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def told(self, *words: str) -> Any:
        """The same as JSON."""
        return json.loads(self.ok(*words, "--json"))


@pytest.fixture
def shell(sqlite_store_url: str, tmp_path: Path) -> Iterator[Shell]:
    with serving(sqlite_store_url, tmp_path / "spool") as served:
        yield Shell(served, tmp_path)
