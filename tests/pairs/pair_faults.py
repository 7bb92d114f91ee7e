"""The faults that a provider, a network and a caller can have, and how each is brought about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault: how it is brought about, and what it is called."""

    name: str
    simulated: str = ""
    """What the simulated provider is asked for, behind the model's name."""
    meaning: str = ""
    asks: str = ""
    """What the request asks for besides words: a call of a `tool`, a `schema`."""
    patience_ms: int | None = None
    """How long the caller waits at most."""
    leaves: bool = False
    """Whether the caller leaves, at the first content or, where none comes, when it has asked."""
    nowhere: bool = False
    """Whether nobody listens at the provider's address."""

    @property
    def waits(self) -> bool:
        """Whether it takes as long as a limit does."""
        return "60s" in self.simulated or "+hang" in self.simulated


FAULTS = (
    Fault("Connection refused", meaning="Nobody listens at the address.", nowhere=True),
    Fault("Connection reset", "+reset", "The connection is reset instead of an answer."),
    Fault("Silence before the head", "+hang", "Connected, and then nothing."),
    Fault(
        "Silence before the first token",
        "+early-headers+ttft:60s",
        "The head comes at once, and then nothing.",
    ),
    Fault(
        "Silence after the first token",
        "+hang-after-first",
        "Half an answer, or the first token, and then nothing.",
    ),
    Fault("401", "+status:401", "The provider does not accept the operator's key."),
    Fault(
        "429 with a wait that is too long",
        "+retry-after:30",
        "`retry-after` names more than the request's time.",
    ),
    Fault(
        "429 with a short wait",
        "+retry-after-ms:5",
        "`retry-after-ms` names a wait that is kept, and the second try fails like the first.",
    ),
    Fault("500", "+status:500", "The provider failed."),
    Fault("Overloaded", "+overloaded", "529 from Anthropic, 503 from the others."),
    Fault("The first try fails", "+fail-first:1", "503, and a good answer to the second try."),
    Fault("Cut before content", "+cut:0", "The connection is closed within the answer."),
    Fault(
        "Cut after content",
        "+cut:3",
        "The connection is closed after three tokens, or in the middle of a whole answer.",
    ),
    Fault(
        "Ends without its end",
        "+truncate:3",
        "The stream ends properly, but the answer in it does not: no finish reason, no end mark.",
    ),
    Fault("Error event before content", "+error-event:0", "200, and then an error."),
    Fault(
        "Error event after content",
        "+error-event:3+gap:20ms",
        "200, three tokens, and then the provider's error event.",
    ),
    Fault("Malformed JSON", "+malformed-json+gap:20ms", "Half a body, or a broken second event."),
    Fault(
        "No choices",
        "+empty-choices",
        "A good answer with nothing in it; Anthropic's models may end a turn like that.",
    ),
    Fault("Wrong content type", "+wrong-content-type", "A good answer that says it is HTML."),
    Fault("No usage", "+missing-usage", "A good answer that does not tell its tokens."),
    Fault(
        "Tool arguments that are no JSON",
        "+badargs",
        "The model called a tool, and broke off its arguments.",
        asks="tool",
    ),
    Fault(
        "JSON that does not fit its schema",
        "+badschema",
        "The model was held to a schema, and said something else.",
        asks="schema",
    ),
    Fault("Context overflow", "+context-overflow", "400: the conversation is too long."),
    Fault("Content policy", "+content-policy", "400: the provider does not like the prompt."),
    Fault("Content filter", "+content-filter", "Half an answer, stopped by the provider's filter."),
    Fault(
        "The caller leaves before content",
        "+ttft:60s",
        "It closes the connection while it waits.",
        leaves=True,
    ),
    Fault(
        "The caller leaves after content",
        "+gap:60s",
        "It closes the connection after the first token; of a whole answer it has none yet.",
        leaves=True,
    ),
    Fault(
        "Deadline before content",
        "+ttft:60s",
        "`x-tidegate-timeout-ms` is over before anything came.",
        patience_ms=500,
    ),
    Fault(
        "Deadline after content",
        "+gap:60s",
        "It is over after the first token.",
        patience_ms=500,
    ),
)
