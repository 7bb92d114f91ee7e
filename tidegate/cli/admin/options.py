"""The options that all commands of the admin API have, and what may be written in some."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from pydantic_core import PydanticCustomError

from tidegate.cli.admin.client import Api
from tidegate.cli.admin.place import place
from tidegate.config.units import parse_duration, parse_share, parse_size

P = ParamSpec("P")


def connected(command: Callable[Concatenate[Api, P], None]) -> Callable[..., None]:
    """Give `command` the admin API that `--config`, or `--url` and `--token`, lead to."""

    @click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path),
        default="tidegate.yaml",
        show_default=True,
        help="The configuration, which says where the control process is.",
    )
    @click.option(
        "--url", envvar="TIDEGATE_ADMIN_URL", help="The control process of another machine."
    )
    @click.option(
        "--token",
        envvar="TIDEGATE_ADMIN_TOKEN",
        help="The admin token; this machine's own if not given.",
    )
    @wraps(command)
    def run(
        config: Path, url: str | None, token: str | None, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        command(Api(place(config, url, token)), *args, **kwargs)

    return run


as_json = click.option("--json", "as_json", is_flag=True, help="For programs: JSON.")


class Ago(click.ParamType[str]):
    """`30d` ago, or a day, or a time; becomes RFC 3339."""

    name = "time"

    def __init__(self, sign: int = -1) -> None:
        self._sign = sign

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The moment that `value` says."""
        try:
            span_s = parse_duration(value)
        except PydanticCustomError:
            return self._moment(value, param, ctx)
        return _shown(datetime.fromtimestamp(time.time() + self._sign * span_s, UTC))

    def _moment(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither a time nor a span; try 30d or 2026-01-31.", param, ctx)
        return _shown(moment.replace(tzinfo=moment.tzinfo or UTC))


class Span(click.ParamType[int]):
    """`24h`; becomes whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds that `value` says."""
        if isinstance(value, int):
            return value
        if value == "0":
            return 0
        try:
            return round(parse_duration(value))
        except PydanticCustomError as error:
            self.fail(f"{value!r} {error.message()}; try 1h, 24h or 7d.", param, ctx)


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Bound(click.ParamType[float]):
    """`10%`, or `64KiB`; becomes a number, and `none` stays what it is."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that `value` says."""
        if value == "none":
            return value
        try:
            return self._parse(value)
        except PydanticCustomError as error:
            self.fail(f"{value!r} {error.message()}.", param, ctx)


SHARE, SIZE = Bound("share", parse_share), Bound("size", parse_size)
