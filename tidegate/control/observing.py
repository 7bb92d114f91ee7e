"""What a record tells of its answer's quality, read once while it is loaded.

Of answers whose bodies are kept, the text of a few is looked at: of each alias the first in every
five seconds, so that reading costs the same whatever the traffic.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from tidegate.control.brief import Brief
from tidegate.control.finishes import FILTERED, REFUSED, TRUNCATED
from tidegate.quality.bins import bin_of
from tidegate.quality.texts import grams, language, refuses
from tidegate.store.rows import Observed, Sample
from tidegate.telemetry.content import said
from tidegate.telemetry.record import Record

VERSION_TAG: Final = "prompt_version"
SAMPLE_NS: Final = 5 * 10**9
MOST_SAMPLED_BYTES: Final = 64 << 10
"""Answers that are longer are not looked at."""

_MOST_ALIASES: Final = 500
_WRITES: Final = frozenset({"chat", "completions", "responses", "messages"})
_MALFORMED: Final = "upstream_malformed"


class Sampler:
    """Chooses whose texts are looked at."""

    def __init__(self) -> None:
        self._next_ns: OrderedDict[str, int] = OrderedDict()

    def takes(self, alias: str, started_ns: int) -> bool:
        """Whether to look at an answer; then not at the next ones of the same five seconds."""
        due_ns = self._next_ns.get(alias, 0)
        if started_ns < due_ns:
            return False
        self._next_ns[alias] = started_ns - started_ns % SAMPLE_NS + SAMPLE_NS
        self._next_ns.move_to_end(alias)
        if len(self._next_ns) > _MOST_ALIASES:
            self._next_ns.popitem(last=False)
        return True


def observed(record: Brief | Record, sampler: Sampler | None = None) -> Observed | None:
    """What `record` tells; None where no model answered, or not with text."""
    if record.wire not in _WRITES or record.degraded is not None or record.alias is None:
        return None
    outcome, form = record.outcome, record.form
    if outcome == "ok":
        if record.target is None:
            return None
        finish, target = record.finish_reason, record.target
    elif (outcome == _MALFORMED and form == "malformed") or outcome == FILTERED:
        # Those that failed by their answer; nothing of it was passed on.
        finish = outcome if outcome == FILTERED else None
        target = record.attempts[-1].target if record.attempts else ""
    else:
        return None
    went_well = outcome == "ok"
    wait_ms = record.duration_ms if record.ttft_ms is None else record.ttft_ms
    tokens = record.output_tokens if went_well else None
    return Observed(
        model=target.partition("/")[2] or None,
        version=record.tags.get(VERSION_TAG) if record.tags else None,
        form="unchecked" if went_well and form == "malformed" else form,
        truncated=finish in TRUNCATED,
        refused=finish in REFUSED,
        length_bin=None if tokens is None else bin_of(tokens),
        wait_bin=bin_of(wait_ms) if went_well else None,
        sample=_sample(record, sampler) if went_well and sampler is not None else None,
    )


def _sample(record: Brief | Record, sampler: Sampler) -> Sample | None:
    body = record.response_body
    if not body or len(body) > MOST_SAMPLED_BYTES:
        return None
    if not sampler.takes(record.alias or "", record.started_ns):
        return None
    text = said(record.wire, bytes(body))
    return Sample(refuses(text), language(text), grams(text)) if text.strip() else None
