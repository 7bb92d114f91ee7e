"""Files that other processes read while we write them, and nobody else may read at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, data: bytes, *, synced: bool = False) -> None:
    """Put `data` in the place of `path`: whoever reads it finds the old or the new, and whole.

    Only our own user may read it. `synced` sees it on the disk before it takes the old one's place.
    Raises: `OSError`.
    """
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)
