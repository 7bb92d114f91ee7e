"""How long each page of the console takes over a store: the way a browser asks, without a browser.

A control process of its own is started over the store, so what is timed is all of a page: the
session, the sums, the records and the template, over HTTP on loopback.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.dataset import TEAMS, configuration
from bench.install import own_python, python_environment
from bench.process import Server, cores, free_port

WANTED_MS = 300.0
ROUNDS = 7
_START_S = 60.0
_PATIENCE_S = 600.0
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')

PAGES: dict[str, Sequence[str]] = {
    "now": ("/now",),
    "alerts": ("/alerts",),
    "requests": (
        "/requests",
        "/requests?range=30d",
        "/requests?outcome=errors",
        "/requests?outcome=upstream_timeout&range=30d",
        "/requests?alias=vision&range=30d",
        "/requests?alias=vision&outcome=errors&range=30d",
        "/requests?team=team-07",
        "/requests?team=team-07&range=30d",
        "/requests?organisation=org-3&outcome=errors&range=30d",
        "/requests?user=user-0042&range=30d",
        "/requests?feature=feature-33&range=30d",
        "/requests?feature=none&range=30d",
        "/requests?model=gemini-2.5-pro",
        "/requests?model=gemini-2.5-pro&range=30d",
        "/requests?cost=5&range=30d",
        "/requests?seconds=600&range=30d",
        "/requests?id=req_000000",
    ),
    "request": ("/requests/{id}",),
    "cost": (
        *(f"/cost?range={length}" for length in ("1h", "24h", "7d", "30d")),
        *(
            f"/cost?range=30d&by={by}"
            for by in ("user", "key", "feature", "alias", "model", "provider", "organisation")
        ),
        "/cost?range=24h&by=user",
        "/cost?range=30d&by=key&team=team-07",
        "/cost?range=30d&by=user&team=team-07",
        "/cost?range=30d&by=team&alias=assistant",
        "/cost?range=30d&by=user&alias=assistant",
        "/cost?range=30d&by=feature&organisation=org-3",
        "/cost?range=30d&by=model&feature=feature-07",
        "/cost?range=30d&by=alias&user=user-0042",
        "/cost?range=30d&by=model&team=team-07&alias=assistant",
    ),
    "keys": ("/keys", "/keys/key/team-07-app", "/keys/limits"),
    "quality": (
        *(f"/quality?range={length}" for length in ("24h", "7d", "30d")),
        "/quality?range=30d&by=model",
        "/quality?range=30d&alias=assistant",
    ),
    "configuration": ("/configuration",),
}
"""Pages, each in the ways that people look at it."""


@contextmanager
def console(url: str, place: Path) -> Generator[Callable[[str], float]]:
    """A console over the store at `url`; what it gives fetches a page, and says the milliseconds.

    `place` is an empty directory. Raises: `DidNotStart`, `RuntimeError` for a page with an error.
    """
    place.mkdir(parents=True)
    port = free_port()
    path = place / "tidegate.yaml"
    path.write_text(json.dumps(_settings(url, port, place)))
    argv = [own_python(), "-m", "tidegate.control", "--config", str(path)]
    server = Server(argv, core=cores()[0], directory=place, env=python_environment())
    try:
        server.wait_port(port, _START_S)
        cookies = _signed_in(port, place / "spool" / "admin.token")

        def fetch(page: str) -> float:
            began_s = time.perf_counter()
            status, _, text = _ask(port, "GET", page, cookies)
            if status != http.client.OK:
                raise RuntimeError(f"{page}: {status}\n{text[:500]}\n{server.tail()}")
            return 1e3 * (time.perf_counter() - began_s)

        yield fetch
    finally:
        server.stop()


def timed(fetch: Callable[[str], float], request_id: str) -> list[dict[str, Any]]:
    """Each page, asked for in turns, so that no page finds its own rows still at hand."""
    paths = [(page, each.format(id=request_id)) for page, ways in PAGES.items() for each in ways]
    first = {path: fetch(path) for _, path in paths}
    later: dict[str, list[float]] = {path: [] for _, path in paths}
    for _ in range(ROUNDS):
        for _, path in paths:
            later[path].append(fetch(path))
    return [
        {
            "page": page,
            "path": path,
            "first_ms": first[path],
            "median_ms": statistics.median(later[path]),
            "worst_ms": max(first[path], *later[path]),
        }
        for page, path in paths
    ]


def _settings(url: str, port: int, place: Path) -> dict[str, Any]:
    keys = [
        {"name": f"team-{team:02d}-{use}", "secret": f"made-up-{team}-{use}",
         "team": f"team-{team:02d}", "limits": {"tokens_per_day": 10**9}}
        for team in range(TEAMS) for use in ("app", "jobs")
    ]  # fmt: skip
    settings = configuration(url)
    for team in settings["teams"].values():
        team |= {"budget": {"usd": 500, "period": "month"}, "limits": {"requests_per_hour": 10**6}}
    each = {"usd": 5000, "period": "week"}
    settings["limits"] = [{"scope": "feature", "budget": each}]
    return settings | {
        "keys": keys,
        "control": {"host": "127.0.0.1", "port": port},
        "spool": {"directory": str(place / "spool")},
    }


def _signed_in(port: int, token: Path) -> dict[str, str]:
    until_s = time.perf_counter() + _START_S
    while not token.exists() and time.perf_counter() < until_s:
        time.sleep(0.01)
    cookies: dict[str, str] = {}
    _, _, text = _ask(port, "GET", "/sign-in", cookies)
    found = _CSRF.search(text)
    form = {"csrf": found[1] if found else "", "token": token.read_text().strip(), "next": ""}
    _ask(port, "POST", "/sign-in", cookies, form)
    return cookies


def _ask(
    port: int, method: str, path: str, cookies: dict[str, str], form: dict[str, str] | None = None
) -> tuple[int, http.client.HTTPMessage, str]:
    said = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    if form is not None:
        said["content-type"] = "application/x-www-form-urlencoded"
        said["origin"] = f"http://127.0.0.1:{port}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    with closing(connection):
        connection.request(
            method, f"/console{path}", None if form is None else urlencode(form), said
        )
        answer = connection.getresponse()
        text = answer.read().decode()
    for each in answer.headers.get_all("set-cookie") or ():
        name, _, rest = each.partition("=")
        cookies[name] = rest.partition(";")[0]
    return answer.status, answer.headers, text
