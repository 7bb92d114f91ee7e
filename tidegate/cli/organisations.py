"""`tidegate organisations`: make, list and delete organisations."""

from __future__ import annotations

from tidegate.cli.admin.people import people

organisations = people("organisation")
