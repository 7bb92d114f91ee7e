"""What a process owes the supervisor that started it: to end with it, and to say when not to retry.

The supervisor names itself in `TIDEGATE_PARENT`. Without that name a process runs on its own, as
a gateway in a container of its own does, and nothing here has an effect.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import MutableMapping

PARENT_VARIABLE = "TIDEGATE_PARENT"

CANNOT_START = 3
"""Exit code: something is missing that starting again will not bring; the supervisor gives up."""

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.5


def child_environment(environment: MutableMapping[str, str]) -> dict[str, str]:
    """A copy of `environment` in which this process is named as the parent."""
    return {**environment, PARENT_VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """See that this process gets SIGTERM when the process that started it is gone.

    To be called once, early, from the main thread. On Linux the kernel keeps watch, elsewhere a
    daemon thread does. Ends the process at once if the parent is gone already.
    """
    named = os.environ.pop(PARENT_VARIABLE, None)  # not meant for our own children
    if named is None:
        return
    parent = int(named)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
            _watch(parent)
    else:
        _watch(parent)
    if os.getppid() != parent:  # it went before the watch began
        sys.exit(f"The supervisor (pid {parent}) is gone; ending with it.")


def _watch(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_S)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
