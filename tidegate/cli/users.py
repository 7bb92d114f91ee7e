"""`tidegate users`: make, list, change and delete users."""

from __future__ import annotations

from tidegate.cli.admin.people import people

users = people("user", "team")
