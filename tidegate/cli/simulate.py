"""`tidegate simulate`: run the simulated provider alone."""

from tidegate.providers.simulated.command import simulate

__all__ = ["simulate"]
