"""Where the control process is asked by gateways, and the word that lets one in.

What it hands out are callers' prompts and balances, and its port may be open to others. So at each
start it makes a new word and leaves it, with its address, in a file beside the spool, which only
the processes of this gateway can read; by that file they also find it after a restart, and where
its port was left to chance.
"""

from __future__ import annotations

from hmac import compare_digest
from pathlib import Path
from secrets import token_urlsafe

import msgspec

from tidegate.files import write_private

FILE = "control.door"
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what to dial instead


class Door(msgspec.Struct, frozen=True):
    """The control process's address, and the word to say there."""

    url: str
    word: str

    def opens(self, said: bytes) -> bool:
        """Whether `said` is the word, as a bearer token."""
        return compare_digest(said, b"Bearer " + self.word.encode())


def hang(directory: Path, host: str, port: int) -> Door:
    """Make the door of a control process that listens at `host`. Raises: `OSError`."""
    door = Door(url_of(host, port), token_urlsafe(32))
    write_private(directory / FILE, msgspec.json.encode(door))
    return door


def url_of(host: str, port: int) -> str:
    """Where to ask what listens at `host` on this machine."""
    host = _ANYWHERE.get(host, host)
    place = f"[{host}]" if ":" in host else host
    return f"http://{place}:{port}"


def find(directory: Path) -> Door | None:
    """The door that hangs there; None when there is none."""
    try:
        return msgspec.json.decode((directory / FILE).read_bytes(), type=Door)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
