"""Gives each peer an environment of its own under `.bench/`, at a pinned version."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".bench"
INSTALL_TIMEOUT_S = 900


class Unavailable(Exception):
    """This peer cannot take part on this machine; the message says why."""


def home() -> Path:
    """The directory for everything a run leaves; it tells git to look away."""
    HOME.mkdir(exist_ok=True)
    (HOME / ".gitignore").write_text("*\n")
    return HOME


def python_package(requirement: str, command: str) -> Path:
    """The path of `command` from `requirement` (`name==version`), installed if need be.

    Raises Unavailable with the end of pip's words.
    """
    environment = home() / requirement.replace("==", "-")
    stamp = environment / ".installed"
    if not stamp.exists():
        shutil.rmtree(environment, ignore_errors=True)
        venv.create(environment, with_pip=True)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet", requirement]
        _run([str(part) for part in pip], requirement)
        stamp.touch()
    return environment / "bin" / command


def node_package(package: str, version: str, script: str, *, overrides: Mapping[str, str]) -> Path:
    """The path of `script` inside npm's `package`, installed if need be; raises Unavailable.

    `overrides` are versions that dependencies have to have, whoever asks for them.
    """
    tool("node")
    environment = home() / f"{package.replace('/', '-').lstrip('@')}-{version}"
    stamp = environment / ".installed"
    if not stamp.exists():
        shutil.rmtree(environment, ignore_errors=True)
        environment.mkdir(parents=True)
        manifest = {"dependencies": {package: version}, "overrides": dict(overrides)}
        (environment / "package.json").write_text(json.dumps(manifest))
        flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
        _run([tool("npm"), "install", "--prefix", str(environment), *flags], package)
        stamp.touch()
    return environment / "node_modules" / package / script


def tool(name: str) -> str:
    """The path of a program of the system; raises Unavailable when there is none."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Unavailable(f"no `{name}` on this machine (on Debian: apt-get install {name})")
    return found


def output(argv: Sequence[str]) -> str:
    """The first line a program prints about itself, or `unknown`."""
    try:
        done = subprocess.run(list(argv), capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0].strip() if lines else "unknown"


def python_environment() -> Mapping[str, str]:
    """Lets a child in any directory import this checkout."""
    return {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": ""}


def own_python() -> str:
    """The interpreter of the checkout's environment."""
    return sys.executable


def _run(argv: list[str], what: str) -> None:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as slow:
        raise Unavailable(f"installing {what} took over {INSTALL_TIMEOUT_S} s") from slow
    if done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-3:]
        raise Unavailable(f"{what} could not be installed: {' / '.join(last)}")
