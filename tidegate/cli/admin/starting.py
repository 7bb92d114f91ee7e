"""A gateway that is just starting: it listens at once, its control process some seconds later."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from rich.console import Console

from tidegate.net.door import url_of

_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.1
_CONNECT_S: Final = 1.0


def await_start(host: str, port: int, is_there: Callable[[], bool]) -> None:
    """Wait until `is_there`, as long as a gateway listens at the address, and at most a minute."""
    gateway = url_of(host, port)
    if is_there() or not port or not answers(gateway):
        return
    until_s = time.monotonic() + _PATIENCE_S
    with Console(stderr=True).status("The control process is starting …"):
        while not is_there() and time.monotonic() < until_s and answers(gateway):
            time.sleep(_LOOK_S)


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname, parts.port), _CONNECT_S):
            return True
    except OSError:
        return False
