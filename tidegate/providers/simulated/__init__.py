"""A provider that is not one: every vendor's wire, with answers and faults on demand, by seed."""

from tidegate.providers.simulated.server import Server, start
from tidegate.providers.simulated.settings import Settings

__all__ = ["Server", "Settings", "start"]
