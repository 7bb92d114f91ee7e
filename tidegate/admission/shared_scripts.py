"""The scripts that Redis runs for us: each is one step there, whatever else is going on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha1
from importlib.resources import files

from tidegate.admission.engine import Spent
from tidegate.admission.redis_words import bulk


class Script:
    """A script, and how it is called."""

    __slots__ = ("by_name", "by_text", "text")

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()
        self.by_name = bulk(b"EVALSHA") + bulk(digest)
        self.by_text = bulk(b"EVAL") + bulk(self.text)

    def call(self, keys: Sequence[bytes], arguments: Iterable[bytes]) -> bytes:
        """The command that runs it."""
        said = [*map(bulk, keys), *map(bulk, arguments)]
        return self.written(len(keys), len(said), said)

    def written(self, keys: int, parts: int, said: Iterable[bytes]) -> bytes:
        """The command that runs it on parts that are written already: `keys` keys come first."""
        return b"".join((b"*%d\r\n" % (parts + 3), self.by_name, bulk(b"%d" % keys), *said))

    def again(self, called: bytes) -> bytes:
        """The same command for a Redis that has forgotten the script."""
        return called.replace(self.by_name, self.by_text, 1)


def settled_words(request_id: str, spent: Sequence[Spent]) -> list[bytes]:
    """What `SETTLE` is told of what was spent."""
    said = [
        request_id.encode(),
        b"%d" % sum(part.tokens for part in spent),
        b"%d" % sum(part.nanousd for part in spent),
    ]
    for part in spent:
        said += (part.provider.encode(), b"%d" % part.tokens, b"%d" % part.nanousd)
    return said


def _read(name: str) -> Script:
    return Script(files("tidegate.admission").joinpath("lua", f"{name}.lua").read_text("utf-8"))


ADMIT, SETTLE, CHARGE = _read("admit"), _read("settle"), _read("charge")
SEED, REHOLD, OVERDUE = _read("seed"), _read("rehold"), _read("overdue")
FORGO = _read("forgo")
ALL = (ADMIT, SETTLE, CHARGE, SEED, REHOLD, OVERDUE)
