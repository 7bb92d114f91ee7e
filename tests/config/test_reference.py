from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tidegate import errors
from tidegate.config.schema import json_schema
from tidegate.control.metrics import documented

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/reference.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_pages_name_every_key_and_every_error(tmp_path: Path) -> None:
    assert run("--pages", str(tmp_path)).returncode == 0
    settings = (tmp_path / "configuration.md").read_text()
    for section in json_schema()["$defs"].values():
        assert all(f"| `{key}` |" in settings for key in section["properties"])
    catalogue = (tmp_path / "errors.md").read_text()
    classes = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {each.code for each in classes if issubclass(each, errors.TidegateError)}
    assert all(f"## `{code}`" in catalogue for code in codes)


def test_the_page_of_metrics_names_everything_that_may_be_measured(tmp_path: Path) -> None:
    run("--pages", str(tmp_path))
    page = (tmp_path / "metrics.md").read_text()
    for meaning in (each for found in documented().values() for each in found):
        labels = ", ".join(f"`{label}`" for label in meaning.labels)
        assert f"| `{meaning.name}` | {meaning.kind} | {labels} | {meaning.unit} | " in page


def test_a_page_that_is_not_what_would_be_written_is_stale(tmp_path: Path) -> None:
    assert run("--check", "--pages", str(tmp_path)).returncode == 1
    assert list(tmp_path.iterdir()) == []
    run("--pages", str(tmp_path))
    assert run("--check", "--pages", str(tmp_path)).returncode == 0
    (tmp_path / "errors.md").write_text("edited")
    done = run("--check", "--pages", str(tmp_path))
    assert done.returncode == 1
    assert "errors.md is stale" in done.stdout
