"""A process that was started by another one ends with it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tidegate.parent import PARENT_VARIABLE, child_environment

CHILD = """
import os, signal, sys, threading
from tidegate import parent
if len(sys.argv) > 1: sys.platform = sys.argv[1]
parent.end_with_parent()
print("named" if parent.PARENT_VARIABLE in os.environ else "up", flush=True)
signal.sigwait({signal.SIGUSR1})
"""
PARENT = """
import subprocess, sys, os
from tidegate.parent import child_environment
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]], env=child_environment(os.environ)).wait()
"""


def spawn(*command: str, **more: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, **more}
    return subprocess.Popen(
        [sys.executable, "-c", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def family(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    process = spawn(PARENT, CHILD, *request.param)
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.read()
    process.stdout.close()


# The second one takes the way of systems without a death signal.
@pytest.mark.parametrize("family", [(), ("elsewhere",)], indirect=True, ids=["linux", "elsewhere"])
def test_a_child_ends_when_its_parent_is_killed(family: "subprocess.Popen[str]") -> None:
    assert family.stdout is not None
    assert family.stdout.readline() == "up\n"
    family.kill()
    assert family.stdout.read() == ""  # the pipe closes when the last one who holds it has ended


def test_a_child_that_outlived_its_parent_before_the_call_ends_at_once() -> None:
    with spawn(CHILD, **{PARENT_VARIABLE: "1"}) as process:
        assert process.wait() == 1
        assert process.stdout is not None
        assert "gone" in process.stdout.read()


def test_a_process_that_nobody_supervises_goes_on() -> None:
    with spawn(CHILD) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert process.poll() is None
        process.kill()


def test_grandchildren_are_not_told_of_the_grandparent() -> None:
    named = child_environment({"HOME": "/", PARENT_VARIABLE: "1"})
    assert named == {"HOME": "/", PARENT_VARIABLE: str(os.getpid())}
