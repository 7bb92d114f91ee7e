"""A stream's deltas put together to the whole answer that they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.formats.words import (
    Began,
    Delta,
    Finish,
    Finished,
    Part,
    Refusal,
    RefusalDelta,
    Reply,
    Said,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolBegan,
    ToolDelta,
    ToolUse,
    Used,
)
from tidegate.types import Usage


@dataclass(slots=True)
class _Choice:
    texts: list[str] = field(default_factory=list[str])
    thoughts: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])
    tools: dict[int, tuple[ToolBegan, list[str]]] = field(
        default_factory=dict[int, tuple[ToolBegan, list[str]]]
    )
    finish: Finish = "other"
    stop_sequence: str | None = None

    def take(self, delta: Delta) -> None:
        """Add what `delta` says."""
        match delta:
            case TextDelta():
                self.texts.append(delta.text)
            case ThinkingDelta():
                self.thoughts.append(delta.text)
            case RefusalDelta():
                self.refusals.append(delta.text)
            case ToolBegan():
                self.tools[delta.index] = (delta, [])
            case ToolDelta():
                if delta.index in self.tools:
                    self.tools[delta.index][1].append(delta.arguments)
            case Finished():
                self.finish, self.stop_sequence = delta.finish, delta.stop_sequence
            case _:
                pass

    def said(self) -> Said:
        parts: list[Part] = []
        if self.thoughts:
            parts.append(Thinking("".join(self.thoughts)))
        if self.texts:
            parts.append(Text("".join(self.texts)))
        if self.refusals:
            parts.append(Refusal("".join(self.refusals)))
        parts += [ToolUse(tool.id, tool.name, "".join(said)) for tool, said in self.tools.values()]
        return Said(tuple(parts), self.finish, self.stop_sequence)


def gathered(deltas: Iterable[Delta]) -> Reply:
    """The answer that `deltas` say; the order of parts of different kinds is not kept."""
    choices: dict[int, _Choice] = {}
    began = Began(None, None)
    usage: Usage | None = None
    for delta in deltas:
        if isinstance(delta, Began):
            began, usage = delta, delta.usage or usage
        elif isinstance(delta, Used):
            usage = delta.usage
        else:
            choices.setdefault(delta.choice, _Choice()).take(delta)
    return Reply(
        id=began.id,
        model=began.model,
        choices=tuple(choices[index].said() for index in sorted(choices)),
        usage=usage,
        created=began.created,
    )
