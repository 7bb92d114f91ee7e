"""Speaks with the console as a browser does, but says whatever a test wants."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlencode

from console_house import PATIENCE_S, House

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: str

    @property
    def csrf(self) -> str:
        """The word of the first form in the page."""
        found = _CSRF.search(self.body)
        assert found is not None, self.body
        return found[1]


@dataclass
class Client:
    """One browser, without scripts; keeps cookies, and follows nothing."""

    house: House
    cookies: dict[str, str] = field(default_factory=dict[str, str])
    paths: str = "/console"

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> Answered:
        sent = {name.replace("_", "-"): value for name, value in headers.items() if value}
        if form is not None:
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
            if "origin" not in headers:
                sent["origin"] = self.house.url
        sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None if form is None else urlencode(form)
        connection = http.client.HTTPConnection("127.0.0.1", self.house.port, timeout=PATIENCE_S)
        with closing(connection):
            connection.request(method, f"{self.paths}{path}", body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
        for each in answer.headers.get_all("set-cookie") or ():
            name, _, rest = each.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Answered(answer.status, told, text)

    def get(self, path: str, **headers: str) -> Answered:
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, form: dict[str, str], **headers: str) -> Answered:
        return self.ask("POST", path, form, **headers)

    def sign_in(self, token: str | None = None, onward: str = "") -> Answered:
        csrf = self.get("/sign-in").csrf
        form = {"csrf": csrf, "token": token or self.house.token, "next": onward}
        return self.post("/sign-in", form)
