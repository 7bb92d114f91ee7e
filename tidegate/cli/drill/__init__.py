"""`tidegate drill`: play outages against a gateway under load, and say what held."""

from tidegate.cli.drill.command import drill

__all__ = ["drill"]
