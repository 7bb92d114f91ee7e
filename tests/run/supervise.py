"""Run a supervisor whose children are `child.py`: supervise.py CONFIG CHILD WORDS."""

import json
import sys
from pathlib import Path

from tidegate.supervisor import Commands, run
from tidegate.supervisor.child import Backoff
from tidegate.supervisor.serve import Patience

path, child, words = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])


def command(name: str) -> tuple[str, ...]:
    return (sys.executable, child, name, *words.get(name, ()))


commands = Commands(
    gateway=command("gateway"),
    control=command("control"),
    local=command("local"),
    simulated=command("simulated"),
)
backoff = Backoff(first_s=0.01, most_s=0.05)
sys.exit(run(path, commands=commands, backoff=backoff, patience=Patience(gateway_s=0.2)))
