"""`python -m tidegate.control --config PATH`: the control process on its own."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tidegate.config.exports import sinks_of
from tidegate.config.load import load
from tidegate.config.mistakes import ConfigError
from tidegate.config.model import Config
from tidegate.console.app import console
from tidegate.control.loading import Settings
from tidegate.control.main import listen, run
from tidegate.control.reckoning import Terms
from tidegate.house.written import Written
from tidegate.logs import configure
from tidegate.parent import CANNOT_START, end_with_parent
from tidegate.store.retention import Retention

WORKERS_VARIABLE = "TIDEGATE_WORKERS"
"""How many gateways there are; the supervisor says it."""


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
    url, spool = config.store.reveal(), config.spool.directory
    file = Written(arguments.config, arguments.copy, config)
    terms, alerts = _terms(config), config.alerts.value(config.control.url)
    shared = config.shared.url.reveal() if config.shared is not None else None
    sinks = sinks_of(config.traces, config.exports, config.providers)
    gateways = int(os.environ[WORKERS_VARIABLE]) if WORKERS_VARIABLE in os.environ else None
    settings = Settings(
        url, spool, file.configured, terms, alerts=alerts, sinks=sinks, shared=shared, file=file,
        host=address.host, address=address.url, explained=file.explained, gateways=gateways,
    )  # fmt: skip
    run(settings, listener, console)
    return 0


def _terms(config: Config) -> Terms:
    kept = config.retention
    records_s, rollups_s = _seconds(kept.records), _seconds(kept.rollups)
    least = Retention()
    retention = Retention(
        records_s=records_s,
        bodies_s=_shorter(_seconds(kept.bodies), records_s),
        minutes_s=_shorter(least.minutes_s, rollups_s),
        hours_s=_shorter(least.hours_s, rollups_s),
        days_s=rollups_s,
        holds_s=records_s,
        untold_s=_seconds(kept.untold),
    )
    sinks = sinks_of(config.traces, config.exports, config.providers)
    return Terms(config.ledger.lost, retention, _seconds(kept.audit), tuple(sinks))


def _seconds(wait_s: float | None) -> int | None:
    return None if wait_s is None else round(wait_s)


def _shorter(one_s: int | None, other_s: int | None) -> int | None:
    return min((each for each in (one_s, other_s) if each is not None), default=None)


if __name__ == "__main__":
    raise SystemExit(main())
