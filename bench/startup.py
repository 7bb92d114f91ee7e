"""From starting the process to its first answer, and what it holds in memory when nobody asks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.contenders import Contender, contenders
from bench.goals import SUBJECT, WHOLE
from bench.process import DidNotStart
from bench.stage import Options, fixed_mock, started
from bench.stats import summary

REST_S = 1.0


def startup(options: Options) -> list[dict[str, Any]]:
    """One row for each gateway: seconds to the first completion, resident memory at rest."""
    rows: list[dict[str, Any]] = []
    rounds = 1 if options.quick else options.rounds
    with fixed_mock(options) as mock:
        for contender in _with_whole(options.contenders):
            answers_s: list[float] = []
            idle_mib: list[float] = []
            processes = 0
            for number in range(rounds):
                options.say(f"start {number + 1}, {contender.name}")
                try:
                    with started(contender, mock, options) as target:
                        answers_s.append(target.answered_s)
                        time.sleep(REST_S)
                        idle_mib.append(target.server.rss_bytes() / 2**20)
                        processes = len(target.server.pids())
                except DidNotStart as silent:
                    options.warn(f"{contender.name} is left out: {silent}")
                    break
            if answers_s:
                rows.append(
                    {
                        "name": contender.name,
                        "first_answer_s": summary(answers_s)._asdict(),
                        "idle_mib": summary(idle_mib)._asdict(),
                        "processes": processes,
                    }
                )
    return rows


def _with_whole(named: Sequence[Contender]) -> list[Contender]:
    """Where Tidegate takes part, so does all of it: that is what a user starts."""
    names = [contender.name for contender in named]
    if SUBJECT not in names or WHOLE in names:
        return list(named)
    return [*named, contenders()[WHOLE]]
