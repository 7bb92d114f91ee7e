"""What a simulated provider is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.providers.simulated.distribution import delays, lengths


@dataclass(frozen=True, slots=True)
class Settings:
    """How it answers when nothing else is asked for.

    `ttft` (time to first token) and `gap` (between tokens) are distributions of time, `length`
    is one of tokens; see `distribution`. A wrong one is a ValueError that names the field.
    With `models` empty every model name is accepted; with `key` None every caller is. `name` is
    part of the ids of its answers, so that those of several simulated providers differ.
    """

    seed: int = 0
    ttft: str = "0ms"
    gap: str = "0ms"
    length: str = "16"
    key: str | None = None
    models: tuple[str, ...] = ()
    name: str = ""

    def __post_init__(self) -> None:
        for field, parse in (("ttft", delays), ("gap", delays), ("length", lengths)):
            try:
                parse(getattr(self, field))
            except ValueError as wrong:
                raise ValueError(f"{field}: {wrong}") from wrong
