"""What it costs to be seen: `python -m bench observed`.

Two gateway processes in the same rounds: one that keeps figures, one that keeps prompts and answers
of every request, masked. Metrics and traces are made of records by the control process, which does
not run here, so a request pays nothing for them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bench.contenders import Tidegate
from bench.goals import OBSERVED
from bench.stage import Options, fixed_mock, stage
from bench.throughput import HEADLINE_CONNECTIONS, closed_loop


class Observed(Tidegate):
    """Tidegate with masked bodies."""

    def configuration(self, port: int, upstream: int) -> str:
        """The file's content."""
        whole: dict[str, Any] = json.loads(super().configuration(port, upstream))
        whole["records"] = {"bodies": "redacted"}
        return json.dumps(whole, indent=2)


def observed(options: Options) -> list[dict[str, Any]]:
    """Rows of the closed loop."""
    seen = Observed(OBSERVED)
    seen.prepare()
    taking_part = [each for each in options.contenders if type(each) is Tidegate]
    with (
        fixed_mock(options) as mock,
        stage(replace(options, contenders=[*taking_part, seen]), mock) as everybody,
    ):
        return closed_loop(options, everybody, (HEADLINE_CONNECTIONS,))
