"""Providers that `tidegate serve` starts itself: the embedded model and the simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from tidegate.config.settings import Port, Settings, required, setting
from tidegate.config.surroundings import ExistingFile, refusal

LOCAL_MODELS = ("smollm2-135m",)
"""Models whose weights come as a package."""

_DELAYS = (
    "200ms",
    "normal:200ms,50ms",
    "uniform:100ms..300ms",
    "lognormal:200ms,0.5",
    "exp:25ms",
)
_LENGTHS = ("64", "normal:64,16", "uniform:16..256", "lognormal:64,0.5", "exp:64")


class LocalProvider(Settings):
    """The embedded model: no key, no network."""

    kind: Literal["local"] = required("The embedded model: no key, no network.")
    model: str = setting(
        "smollm2-135m", "Name of a model that comes as a package; not used if `weights` is given."
    )
    weights: ExistingFile | None = setting(None, "GGUF file with the weights of another model.")
    port: Port | None = setting(None, "Loopback port of its server; a free one if not given.")
    threads: Annotated[int, Field(ge=1, le=1024)] | None = setting(
        None, "Processor threads to compute with; as many as there are cores if not given."
    )
    context: Annotated[int, Field(ge=64, le=10_000_000)] = setting(
        4096, "Tokens of context for each request."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] = setting(
        2, "Requests answered at the same time; others wait."
    )

    @field_validator("model")
    @classmethod
    def _is_packaged(cls, value: str) -> str:
        if value not in LOCAL_MODELS:
            raise refusal(
                "is not a model that comes as a package; name its GGUF file in `weights`",
                allowed=LOCAL_MODELS,
                nearest=LOCAL_MODELS[0],
            )
        return value


def _handed_on(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Handed = Annotated[
    str,
    BeforeValidator(_handed_on),
    Field(min_length=1),
    WithJsonSchema({"title": "Distribution", "type": ["string", "integer"]}),
]
"""Text that the simulator itself understands."""


class SimulatedProvider(Settings):
    """Answers made up by rule, with faults on demand, for tests, drills and load."""

    kind: Literal["simulated"] = required("Made-up answers, with faults on demand, for tests.")
    port: Port | None = setting(None, "Loopback port of its server; a free one if not given.")
    seed: int = setting(0, "The same seed gives the same answers.")
    ttft: Handed | None = setting(
        None, "Time to the first token: `200ms`, or a distribution such as `normal:200ms,50ms`."
    )
    gap: Handed | None = setting(None, "Time between two tokens: `25ms`, or a distribution.")
    length: Handed | None = setting(
        None, "Tokens in an answer: `64`, or a distribution such as `uniform:16..256`."
    )

    @field_validator("ttft", "gap", "length")
    @classmethod
    def _is_a_distribution(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        # Only whoever configures a simulator pays for loading it.
        from tidegate.providers.simulated.distribution import (  # noqa: PLC0415
            delays,
            lengths,
        )

        forms = _LENGTHS if info.field_name == "length" else _DELAYS
        try:
            (lengths if info.field_name == "length" else delays)(value)
        except ValueError as error:
            bare = value.isascii() and value.isdecimal() and info.field_name != "length"
            likely = f"{value}ms" if bare else None
            message = "has no unit" if bare else "is not a distribution"
            raise refusal(message, allowed=forms, nearest=likely) from error
        return value
