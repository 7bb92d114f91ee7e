"""The faults that can be asked for, as one table, and how they are asked for.

    model name    sim-1+status:503+retry-after:2
    header        x-simulate: status=503; retry-after=2

Either separator works in both places. What the header says wins over the model name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate.providers.simulated.distribution import (
    Distribution,
    count,
    delays,
    duration_s,
    lengths,
)

Argument = float | str | Distribution | None


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: what it is called, what it takes, what it does."""

    name: str
    argument: str = ""  # as the documentation shows it; empty: takes none
    default: str | None = None  # None with an argument: one must be given
    parse: Callable[[str], Argument] = count
    effect: str = ""

    @property
    def usage(self) -> str:
        """How it is written in a header: `status=NNN`, `drip[=DURATION]`."""
        if not self.argument:
            return self.name
        given = f"={self.argument}"
        return self.name + (given if self.default is None else f"[{given}]")


def _status(text: str) -> float:
    number = count(text)
    if not 100 <= number <= 999:  # noqa: PLR2004 - three digits are what HTTP allows
        raise ValueError(f"{text!r} is not an HTTP status (100 to 999)")
    return number


def _media_type(text: str) -> str:
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"{text!r} is not a media type")
    return text


_TOKENS = "3"
FAULTS: Final = (
    Fault("status", "NNN", parse=_status,
          effect="this status with the vendor's error body; 1xx come before a good answer"),
    Fault("retry-after", "SECONDS",
          effect="`retry-after` in seconds; status 429 unless another is given"),
    Fault("retry-after-date", "SECONDS",
          effect="`retry-after` as a date so many seconds from now; status 429 likewise"),
    Fault("retry-after-ms", "MS",
          effect="`retry-after-ms`; status 429 likewise"),
    Fault("overloaded",
          effect="the vendor has too much to do: 529 from Anthropic, 503 from the others; with "
                 "`error-event` the same in the middle of a stream"),
    Fault("context-overflow",
          effect="400, the prompt is longer than the context window, as the vendor says that"),
    Fault("content-policy",
          effect="the prompt offends the vendor's policy: 400, or Gemini's answer with a block "
                 "reason"),
    Fault("fail-first", "N",
          effect="the first N requests for this model name fail (503, or `status`), later ones "
                 "succeed"),
    Fault("flap", "N", "1",
          effect="N requests fail (503, or `status`), N succeed, and so on"),
    Fault("hang",
          effect="never answer"),
    Fault("reset",
          effect="reset the connection (RST) instead of answering"),
    Fault("not-http",
          effect="answer with bytes that are not HTTP, then close"),
    Fault("slow-headers", "DURATION", "50ms", duration_s,
          effect="send the headers one byte at a time, this far apart"),
    Fault("early-headers",
          effect="send the headers at once, the body after the time to first token"),
    Fault("hang-after-first",
          effect="stop after the first token (half of the body when not streaming)"),
    Fault("drip", "DURATION", "1ms", duration_s,
          effect="send the body one byte at a time, this far apart"),
    Fault("truncate", "N", _TOKENS,
          effect="end cleanly after N tokens (half of the body when not streaming): no finish "
                 "reason, no `[DONE]` or what else is the end"),
    Fault("cut", "N", _TOKENS,
          effect="close the connection inside a chunk after N tokens (half of the body)"),
    Fault("reset-after", "N", _TOKENS,
          effect="reset the connection (RST) after N tokens (half of the body)"),
    Fault("error-event", "N", _TOKENS,
          effect="the vendor's error event after N tokens, then the end; 200 with an error body "
                 "when not streaming"),
    Fault("malformed-json",
          effect="a broken event after the first token; half a body when not streaming"),
    Fault("corrupt",
          effect="one bit of the second event is changed: Bedrock's checksum is wrong, elsewhere "
                 "the JSON is; half a body when not streaming"),
    Fault("wrong-content-type", "TYPE", "text/html", _media_type,
          effect="the right body under a wrong `content-type`"),
    Fault("odd-framing",
          effect="legal but odd SSE: CRLF, comments, several data lines, no space after the "
                 "colon, events (and Bedrock's frames) split and joined across segments; blank "
                 "lines before the body when not streaming"),
    Fault("empty-choices",
          effect="the list of what was said (`choices`, `content`, `output`, `candidates`, "
                 "`data`) is empty"),
    Fault("badargs",
          effect="the arguments of tool calls are not JSON, as far as the format can say that"),
    Fault("badschema",
          effect="JSON answers and tool arguments do not fit the schema that was asked for"),
    Fault("content-filter",
          effect="half an answer with the finish reason of the vendor's content filter"),
    Fault("length",
          effect="the finish reason of an answer that was cut at its token limit"),
    Fault("missing-usage",
          effect="no usage, even when asked for"),
    Fault("cached", "N",
          effect="N prompt tokens are reported as read from a cache"),
    Fault("cache-write", "N",
          effect="N prompt tokens are reported as written to a cache"),
    Fault("reasoning", "N",
          effect="N reasoning tokens are billed and taken from the token limit"),
    Fault("thinking", "N", "8",
          effect="N words of reasoning are shown before the answer, billed as reasoning tokens"),
    Fault("quota", "N",
          effect="the headers in which the vendor tells its limits say that N requests and 1,000 "
                 "tokens for each are left"),
    Fault("echo",
          effect="the answer is the body of the request, as received"),
    Fault("ttft", "DELAY", parse=delays,
          effect="time to first token of this request, a distribution"),
    Fault("gap", "DELAY", parse=delays,
          effect="time between its tokens, a distribution"),
    Fault("tokens", "LENGTH", parse=lengths,
          effect="number of its tokens, a distribution"),
)  # fmt: skip
_BY_NAME: Final[Mapping[str, Fault]] = {fault.name: fault for fault in FAULTS}


class Faults:
    """The faults of one request with their arguments."""

    __slots__ = ("_given",)

    def __init__(self, given: Mapping[str, Argument]) -> None:
        self._given = given

    def __bool__(self) -> bool:
        return bool(self._given)

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def over(self, other: Faults) -> Faults:
        """These and `other`; where both have one, this one's argument counts."""
        if not other:
            return self
        return Faults({**other._given, **self._given}) if self else other

    def number(self, name: str) -> int | None:
        """The whole-number argument, or None when the fault is not asked for."""
        value = self._given.get(name)
        return int(value) if isinstance(value, float) else None

    def seconds(self, name: str) -> float | None:
        """The duration argument, or None when the fault is not asked for."""
        value = self._given.get(name)
        return value if isinstance(value, float) else None

    def text(self, name: str) -> str | None:
        """The text argument, or None when the fault is not asked for."""
        value = self._given.get(name)
        return value if isinstance(value, str) else None

    def distribution(self, name: str) -> Distribution | None:
        """The distribution argument, or None when the fault is not asked for."""
        value = self._given.get(name)
        return value if isinstance(value, Distribution) else None


NO_FAULTS: Final = Faults({})


def parse_faults(model: str, header: str) -> tuple[str, Faults]:
    """The bare model name and the faults of the name and of the header.

    ValueError when one is unknown, lacks its argument or has one it does not take.
    """
    if "+" not in model and not header:
        return model, NO_FAULTS
    bare, *suffixes = model.split("+")
    given: dict[str, Argument] = {}
    for directive in (*suffixes, *header.split(";")):
        if directive.strip():
            name, argument = _parse_one(directive.strip())
            given[name] = argument
    return bare, Faults(given)


def _parse_one(directive: str) -> tuple[str, Argument]:
    cut = min((at for at in map(directive.find, ":=") if at >= 0), default=len(directive))
    name, written = directive[:cut].strip().lower(), directive[cut + 1 :].strip()
    fault = _BY_NAME.get(name)
    if fault is None:
        raise ValueError(f"unknown fault {name!r}; there are: {', '.join(_BY_NAME)}")
    if not fault.argument:
        if written:
            raise ValueError(f"fault {name!r} takes no argument")
        return name, None
    text = written or fault.default
    if text is None:
        raise ValueError(f"fault {name!r} needs an argument: {fault.usage}")
    try:
        return name, fault.parse(text)
    except ValueError as wrong:
        raise ValueError(f"fault {name!r}: {wrong}") from wrong
