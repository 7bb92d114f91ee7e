"""`tidegate log`: the latest requests and what became of them."""

from tidegate.cli.log.command import log

__all__ = ["log"]
