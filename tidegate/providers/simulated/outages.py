"""Faults switched on while it runs: `PUT /_faults`, `GET /_faults`, `DELETE /_faults`.

    {"all": "status=503; retry-after=2"}     for whatever is asked
    {"sim-1": "hang"}                        for the model of this name, faults left out

They count as long as nobody removes them, and win over what a request asks for itself.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.providers.simulated.faults import NO_FAULTS, Faults, parse_faults
from tidegate.providers.simulated.refusal import Refusal

ALL: Final = "all"
_MOST: Final = 1000
_DECODE: Final = msgspec.json.Decoder(dict[str, str])


class Outages:
    """The faults that hold now."""

    def __init__(self) -> None:
        self._written: dict[str, str] = {}
        self._faults: dict[str, Faults] = {}

    def __bool__(self) -> bool:
        return bool(self._faults)

    def replace(self, body: bytes) -> None:
        """Let those in `body` hold instead. Refusal (400) when it is not understood."""
        try:
            written = _DECODE.decode(body)
            if len(written) > _MOST:
                raise Refusal(400, f"No more than {_MOST} models at a time.")
            faults = {name: parse_faults("", text)[1] for name, text in written.items()}
        except (msgspec.DecodeError, ValueError) as wrong:
            raise Refusal(400, f"Not faults by model: {wrong}") from wrong
        self._written, self._faults = written, faults

    def clear(self) -> None:
        """Let none hold."""
        self._written, self._faults = {}, {}

    def for_model(self, model: str) -> Faults:
        """Those that hold for a model."""
        everywhere = self._faults.get(ALL, NO_FAULTS)
        return self._faults.get(model, NO_FAULTS).over(everywhere)

    def as_json(self) -> bytes:
        """As they were written."""
        return msgspec.json.encode(self._written)
