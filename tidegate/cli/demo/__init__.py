"""`tidegate demo`: start everything, ask one question, show its record, stay up."""

from tidegate.cli.demo.command import demo

__all__ = ["demo"]
