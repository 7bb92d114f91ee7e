"""Ask the control process for what is kept, over loopback, in the name of this gateway.

A request waits a few seconds for it at most, and one that needs nothing kept never does.
"""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from tidegate.conversations.kept import Kept, decode
from tidegate.errors import Unavailable
from tidegate.net.control import FOUND, MISSING, ControlLine

PATH = "/internal/responses/"

_decode_rows = msgspec.msgpack.Decoder(list[bytes]).decode


class ControlArchive:
    """The store, through the control process."""

    def __init__(self, control: ControlLine) -> None:
        self._control = control

    async def past(self, id_: str, owner: str, most: int) -> list[Kept]:
        """See `keeper.Archive.past`."""
        status, body = await self._ask("GET", f"{_path(id_, owner)}&most={most}")
        if status == MISSING:
            return []
        try:
            return [decode(row) for row in _decode_rows(body)]
        except msgspec.DecodeError as error:
            raise _unavailable() from error

    async def forget(self, id_: str, owner: str) -> bool:
        """See `keeper.Archive.forget`."""
        status, _ = await self._ask("DELETE", _path(id_, owner))
        return status == FOUND

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        """The answer, good or "not there". Raises: `Unavailable`."""
        try:
            return await self._control.ask(method, path)
        except Unavailable as error:
            raise _unavailable() from error


def _path(id_: str, owner: str) -> str:
    return f"{PATH}{quote(id_, safe='')}?owner={quote(owner, safe='')}"


def _unavailable() -> Unavailable:
    return Unavailable("Kept answers cannot be read now.", retry_after_s=1)
