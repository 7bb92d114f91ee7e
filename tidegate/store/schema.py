"""The register of the store's tables: whoever defines one enters it here, and all are made at once.

A table that a database does not have yet is made when the control process starts; one that it has
is left as it is.
"""

from __future__ import annotations

from sqlalchemy import MetaData

SCHEMA = MetaData()
