"""One process that starts the others, keeps them running, reloads and stops them in order."""

from tidegate.supervisor.commands import Commands
from tidegate.supervisor.serve import run

__all__ = ["Commands", "run"]
