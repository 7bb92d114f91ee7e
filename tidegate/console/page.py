"""What a page is: a name in the navigation, and functions that answer what is asked under it.

Such a function runs in a thread, so it may read the store; it returns what is to be shown, or where
to go next. What it changes, it asks of the admin API, as whoever is signed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlencode

from starlette.routing import compile_path

from tidegate.console.lasting import Lasting
from tidegate.console.sessions import Flash, Session
from tidegate.console.spans import Span, span_of
from tidegate.control.admin.roles import Permission, may
from tidegate.control.admin.shapes import Json
from tidegate.control.admin.signin import Caller
from tidegate.control.back import Back

ROOT: Final = "/console"
Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to a page."""

    back: Back
    caller: Caller
    session: Session
    page: Page
    path: str
    query: Mapping[str, str]
    names: Mapping[str, str]
    """What stands in the path."""
    form: Mapping[str, str]
    ask: Callable[[str, str, Mapping[str, str], Json | None, str | None], Json]
    now_ns: int
    lasting: Lasting
    """What outlives the request, such as a cache: `asked.lasting.the(Speeds)`."""

    def may(self, permission: Permission) -> bool:
        """Whether the one who asks has `permission`."""
        return may(self.caller.role, permission)

    def api(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        once: str | None = None,
        **query: str | int | None,
    ) -> Json:
        """What the admin API answers, as in `api("GET", "/keys", limit=50)`. Raises: `Refusal`.

        Under the same word `once` a change is made once, however often its form comes.
        """
        said = {name: str(value) for name, value in query.items() if value is not None}
        return self.ask(method, path, said, body, once)

    def span(self, usual: str = "1h") -> Span:
        """The time that the URL names."""
        return span_of(self.query, self.now_ns, usual)

    def url(self, **changed: str | int | None) -> str:
        """This page with other parameters; None leaves one out. Paging begins anew."""
        kept = {name: self.query[name] for name in self.query if name not in ("after", "before")}
        for name, value in changed.items():
            kept.pop(name.rstrip("_"), None)
            if value is not None:
                kept[name.rstrip("_")] = str(value)
        return self.path + (f"?{urlencode(kept)}" if kept else "")

    def flash(self, text: str) -> None:
        """Have it said on the next page that something was done."""
        self.session.flashes.append(Flash("good", text))


@dataclass(frozen=True, slots=True)
class View:
    """What is shown: a template, and what it is told."""

    template: str
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])
    title: str | None = None
    """If it is not the page's."""
    status: int = 200
    live_s: int | None = None
    """How often the page is fetched again while somebody looks at it."""


@dataclass(frozen=True, slots=True)
class Went:
    """Where to go on, after something was done."""

    to: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is to be kept."""

    name: str
    kind: str
    body: bytes


Answer = Callable[[Asked], View | Went | Download]


@dataclass(frozen=True, slots=True)
class Way:
    """A function, and what it answers."""

    page: Page
    method: Method
    pattern: re.Pattern[str]
    needs: Permission
    answer: Answer


class Page:
    """An entry of the navigation, and everything below `/console/NAME`."""

    def __init__(self, name: str, title: str, *, needs: Permission) -> None:
        self.name = name
        self.title = title
        self.needs: Permission = needs
        self.ways: list[Way] = []

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{ROOT}/{self.name}"

    def get(
        self, below: str = "", *, needs: Permission | None = None
    ) -> Callable[[Answer], Answer]:
        """Let a function show what is at `/console/NAME` + `below`, such as `/{id}`."""
        return self._way("GET", below, needs or self.needs)

    def post(self, below: str, *, needs: Permission) -> Callable[[Answer], Answer]:
        """Let a function do what a form at that address asks for."""
        return self._way("POST", below, needs)

    def _way(self, method: Method, below: str, needs: Permission) -> Callable[[Answer], Answer]:
        pattern, _, _ = compile_path(self.path + below)

        def keep(answer: Answer) -> Answer:
            self.ways.append(Way(self, method, pattern, needs, answer))
            return answer

        return keep
