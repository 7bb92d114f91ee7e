"""`tidegate teams`: make, list, change and delete teams."""

from __future__ import annotations

from tidegate.cli.admin.people import people

teams = people("team", "organisation", weighted=True)
