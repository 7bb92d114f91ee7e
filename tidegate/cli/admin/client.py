"""Ask the admin API: one request at a time, every refusal as words for a person."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

import click
from rich.console import Console

from tidegate.cli.admin.place import Place
from tidegate.cli.log.plain import printable

PATH = "/admin/v1"
_WAIT_S = 120.0
_PATIENCE_S = 1.0
_OK = 200
_REFUSED = 300
_PAGE = 500

Json = dict[str, Any]
Query = Mapping[str, Any]
"""What is None is left out."""


class Refused(click.ClickException):
    """The admin API said no."""

    def __init__(self, status: int, error: Json) -> None:
        message = printable(str(error.get("message", f"It answered {status}.")))
        remedy = printable(str(error.get("remedy", "")))
        super().__init__(f"{message}\n{remedy}" if remedy else message)
        self.status = status
        self.code = str(error.get("code", ""))


@dataclass(frozen=True, slots=True)
class Api:
    """The admin API at one place."""

    place: Place

    def get(self, path: str, query: Query | None = None) -> Any:
        """What is there. Raises: `click.ClickException`, as everything here."""
        return self._ask("GET", path, query)

    def change(
        self, method: str, path: str, body: Json | None = None, query: Query | None = None
    ) -> Any:
        """Make a change, once, even if the connection breaks in the middle."""
        return self._ask(method, path, query, body, key=str(uuid4()))

    def every(self, path: str, query: Query | None = None, most: int | None = None) -> list[Json]:
        """The items of all pages, at most so many."""
        return list(self._pages(path, dict(query or {}), most))

    def _pages(self, path: str, query: dict[str, Any], most: int | None) -> Iterator[Json]:
        left = most
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self.get(path, {**query, "limit": size})
            yield from page["items"]
            if page["next"] is None:
                return
            query["after"] = page["next"]
            left = None if left is None else left - size

    def _ask(
        self, method: str, path: str, query: Query | None, body: Json | None = None,
        key: str | None = None,
    ) -> Any:  # fmt: skip
        console = Console(stderr=True)
        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(self._twice, method, _full(path, query), body, key)
            if console.is_terminal and not _done(asking):
                with console.status("Waiting for the control process …"):
                    return asking.result()
            return asking.result()

    def _twice(self, method: str, path: str, body: Json | None, key: str | None) -> Any:
        try:
            return self._once(method, path, body, key)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            return self._last(method, path, body, key)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _last(self, method: str, path: str, body: Json | None, key: str | None) -> Any:
        try:
            return self._once(method, path, body, key)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _once(self, method: str, path: str, body: Json | None, key: str | None) -> Any:
        headers = {"authorization": f"Bearer {self.place.token}", "accept": "application/json"}
        if key is not None:
            headers["idempotency-key"] = key
        sent = None
        if body is not None:
            sent = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        with closing(_connect(self.place.url)) as connection:
            connection.request(method, urlsplit(self.place.url).path + PATH + path, sent, headers)
            answer = connection.getresponse()
            text = answer.read()
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if _OK <= answer.status < _REFUSED and told is not None:
            return told
        error = told.get("error") if isinstance(told, dict) else None  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(error, dict):
            raise click.ClickException(
                f"{self.place.url} answered {answer.status}, but not as a control process does."
            )
        raise Refused(answer.status, error)  # pyright: ignore[reportUnknownArgumentType]

    def _unreachable(self, error: Exception) -> click.ClickException:
        why = printable(str(error)) or type(error).__name__
        message = f"The control process does not answer at {self.place.url}: {why}."
        if self.place.local:
            message += "\nStart it with `tidegate serve`, or say where it is: --url."
        return click.ClickException(message)


def name_in_path(name: str) -> str:
    """`name` as one step of a path."""
    return quote(name, safe="")


def _full(path: str, query: Query | None) -> str:
    said = {name: value for name, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(said)}" if said else path


def _done(asking: Future[Any]) -> bool:
    try:
        asking.exception(timeout=_PATIENCE_S)
    except TimeoutError:
        return False
    return True


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port, parts = None, parts._replace(scheme="")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.ClickException(f"{url} is no address such as http://127.0.0.1:8081.")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(parts.hostname, port, timeout=_WAIT_S)
    return http.client.HTTPConnection(parts.hostname, port, timeout=_WAIT_S)
