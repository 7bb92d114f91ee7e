"""Styles, scripts and pictures: read once, named by their content, and kept by browsers."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

_DIRECTORY: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Files:
    """What may be had without signing in."""

    def __init__(self, root: str) -> None:
        self._files = {
            path.name: (_TYPES[path.suffix], path.read_bytes())
            for path in sorted(_DIRECTORY.iterdir())
            if path.suffix in _TYPES
        }
        digest = sha256()
        for name, (_, content) in self._files.items():
            digest.update(f"{name} {len(content)} ".encode() + content)
        # One name for all of them: modules import each other by where they stand.
        self.prefix = f"{root}/static/{digest.hexdigest()[:16]}/"

    def url(self, name: str) -> str:
        """Where the file is. Raises: `KeyError`."""
        self._files[name]
        return self.prefix + name

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Type and content of what is at `path`."""
        if not path.startswith(self.prefix):
            return None
        return self._files.get(path.removeprefix(self.prefix))
