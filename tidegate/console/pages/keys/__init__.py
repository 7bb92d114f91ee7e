"""Who may ask, and how much: keys, limits and budgets."""

from tidegate.console.pages.keys import limiting, listing, making, one, teams
from tidegate.console.pages.keys.entry import page

__all__ = ["limiting", "listing", "making", "one", "page", "teams"]
