"""The word that stands where the name of somebody stood who was erased."""

from __future__ import annotations

from typing import Final

ERASED: Final = "erased"
