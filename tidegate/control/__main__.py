"""`python -m tidegate.control --config PATH`: the control process on its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.control.main import Settings, listen, run
from tidegate.logs import configure
from tidegate.parent import CANNOT_START, end_with_parent


def main() -> int:
    """Read the configuration and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="tidegate.control", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("tidegate.yaml"))
    parser.add_argument("--copy", type=Path, help="where to read the configuration instead")
    arguments = parser.parse_args()
    end_with_parent()
    try:
        config = load(arguments.config, copy=arguments.copy)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START
    configure(config.log.level)
    address = config.control
    try:
        listener = listen(address.host, address.port)
    except OSError as error:
        where = f"{address.host}:{address.port}"
        sys.stderr.write(f"The control process cannot listen on {where}: {error}\n")
        return 1
    run(Settings(config.store, config.spool.directory), listener)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
