"""`tidegate serve` with exports, callers who ask it all along, and those who look how it goes."""

from __future__ import annotations

import json
import sqlite3
import threading
import urllib.request
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import openai
from click.testing import CliRunner
from control.exposition import read
from servers import free_port
from spending import Serving

from tidegate.cli import main

CONFIG = """
server: {{port: 0}}
control: {{port: {port}}}
log: {{level: info}}
store: sqlite:///tidegate.db
providers:
  sim: {{kind: openai, base_url: "{provider}", allow_private: true}}
models:
  one: {{targets: [{{provider: sim, model: sim-1}}]}}
"""
AT_ONCE = 4
Shown = dict[str, Any]
"""How it goes with one export, as `/healthz` or `tidegate exports --json` has it."""


def written(directory: Path, provider: str, extra: str) -> Path:
    """A configuration with `extra`, whose control process has a port of its own."""
    path = directory / "tidegate.yaml"
    path.write_text(CONFIG.format(port=free_port(), provider=provider) + extra)
    return path


class Asked:
    """What callers were answered, in whatever order."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.stopped = False
        self._changed = threading.Condition()

    def note(self, id_: str) -> None:
        with self._changed:
            self.ids.append(id_)
            self._changed.notify_all()

    def end(self) -> None:
        """Nobody asks on; whoever waits is not kept."""
        with self._changed:
            self.stopped = True
            self._changed.notify_all()

    def more(self, count: int) -> None:
        """Return when so many more are answered; the test's own time limit ends it."""
        with self._changed:
            wanted = len(self.ids) + count
            self._changed.wait_for(lambda: self.stopped or len(self.ids) >= wanted)
            assert not self.stopped, "a caller was not answered"


class Exporting(Serving):
    """All of it, started for the first time in its directory, asked by several callers at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.port: int = self.until(logger="tidegate.control", message="started")["port"]
        self.until(message="the first admin token was made")
        self.client = openai.OpenAI(
            base_url=f"{self.address}/v1",
            api_key="none",
            max_retries=0,
            http_client=openai.DefaultHttpxClient(trust_env=False),
        )

    def ask(self, _: object = None, **headers: str) -> str:
        """Ask, and return the request's id."""
        answer = self.client.chat.completions.with_raw_response.create(
            model="one", messages=[{"role": "user", "content": "Hello!"}], extra_headers=headers
        )
        return answer.headers["x-request-id"]

    def ask_often(self, count: int) -> list[str]:
        """So many requests; their ids."""
        with ThreadPoolExecutor(AT_ONCE) as callers:
            return list(callers.map(self.ask, range(count)))

    @contextmanager
    def asked_all_along(self) -> Generator[Asked]:
        """Callers who ask as long as the block lasts; that each was answered is seen at its end."""
        asked = Asked()

        def ask_on() -> None:
            try:
                while not asked.stopped:
                    asked.note(self.ask())
            finally:
                asked.end()

        with ThreadPoolExecutor(AT_ONCE) as callers:
            running = [callers.submit(ask_on) for _ in range(AT_ONCE)]
            try:
                yield asked
            finally:
                asked.end()
        for each in running:
            each.result()

    def exports(self) -> dict[str, Shown]:
        """How it goes with each, by its name."""
        words = ["exports", "--json", "--config", str(self.path)]
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return {each["name"]: each for each in json.loads(done.stdout)["items"]}

    def wait(self, export: str, holds: Callable[[Shown], object]) -> Shown:
        """Look until it is so; the test's own time limit ends it."""
        while not holds(found := json.loads(self._page("healthz"))["sinks"][f"exports.{export}"]):
            pass
        return found

    def shown(self) -> str:
        """What people see of exports."""
        done = CliRunner().invoke(main, ["exports", "--config", str(self.path)])
        assert done.exit_code == 0, done.output
        return done.stdout

    def metrics(self, export: str = "") -> dict[str, float]:
        """Of one export, or without labels: the name after `tidegate_export_` and the value."""
        samples = read(self._page("metrics"))
        label = f'{{export="exports.{export}"}}' if export else ""
        return {
            name.removeprefix("tidegate_export_").removesuffix(label): value
            for name, value in samples.items()
            if name.startswith("tidegate_export_") and name.endswith(label or "_total")
        }

    def _page(self, name: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=90) as answer:
            return answer.read()

    def back(self) -> None:
        """Return when a control process that was killed works again."""
        self.until(logger="tidegate.control", message="started")

    def rows(self, query: str) -> list[Any]:
        """The first column of what the store answers."""
        with closing(sqlite3.connect(self.path.parent / "tidegate.db", timeout=30)) as store:
            return [row[0] for row in store.execute(query)]

    def close(self) -> None:
        self.client.close()
        super().close()


def is_done(export: Shown) -> bool:
    """Whether it was told something, and nothing is left."""
    return export["sent"] and not (export["behind"] or export["lag_s"] or export["failing"])
