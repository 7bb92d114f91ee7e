"""The rules, as data: what each looks at, from which value on it fires, and what to do then.

Each rule has a runbook of its name, `docs/runbooks/NAME.md`. A rule without `for_s` fires with the
first look that finds something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Severity = Literal["page", "ticket", "info"]
SEVERITIES: Final[tuple[Severity, ...]] = ("page", "ticket", "info")
"""The gravest first: somebody is woken, somebody looks today, somebody may want to know."""
Unit = Literal["seconds", "share", "times", "bytes", "days", "count"]


class Rule(Struct, frozen=True):
    """When something is worth a word."""

    name: str
    severity: Severity
    what: str
    """What it means that it fires, as the end of `Fires when`."""
    todo: str
    """The first thing to do."""
    unit: Unit
    threshold: float
    least: float = 0.0
    """How much there must be of what is looked at, before anything is said of it."""
    for_s: float = 0.0
    """How long it has to last."""
    steps: tuple[float, ...] = ()
    """Shares of a budget that are told of, each once."""


_FOR_S: Final = 5.0
"""Long enough to be seen twice, short enough to be told within 15 seconds of the cause."""

DEFAULTS: Final[Mapping[str, Rule]] = {
    rule.name: rule
    for rule in (
        Rule("budget", "ticket", "a budget is spent to one of the shares in `steps`",
             "Look who spends it: tidegate spend; raise it or let it refuse.",
             "share", 1.0, steps=(0.5, 0.8, 1.0)),
        Rule("errors", "page", "more than this share of an alias's requests fail",
             "Look at which target fails and why: tidegate targets; tidegate log --errors.",
             "share", 0.01, least=5, for_s=_FOR_S),
        Rule("latency-p99", "page", "the slowest hundredth waits longer than this for content",
             "Look which target is slow: tidegate targets.",
             "seconds", 30.0, least=20, for_s=_FOR_S),
        Rule("latency-p50", "ticket", "half of an alias's requests wait longer than this",
             "Look which target is slow: tidegate targets.",
             "seconds", 10.0, least=20, for_s=_FOR_S),
        Rule("latency-jump", "ticket", "the slowest hundredth waits this many times as long as "
             "in the hour before", "Look what changed: tidegate audit; tidegate targets.",
             "times", 3.0, least=50, for_s=60.0),
        Rule("throughput-drop", "ticket", "an alias has less than this share of its usual requests",
             "Ask the gateway something; if it answers, ask those who call it.",
             "share", 0.3, least=50, for_s=60.0),
        Rule("queue-wait", "ticket", "one in twenty requests waits longer than this for its turn",
             "Look whether the provider or we are slow: tidegate targets.",
             "seconds", 2.0, least=20, for_s=30.0),
        Rule("overloaded", "page", "more than this share of an alias's requests is refused by a "
             "full queue", "Look at who sends so much: tidegate spend --by key.",
             "share", 0.01, least=20, for_s=_FOR_S),
        Rule("limited", "ticket", "more than this share of an alias's requests meets a limit",
             "Look which limit it is: tidegate log --errors.",
             "share", 0.2, least=50, for_s=60.0),
        Rule("truncation", "ticket", "more than this share of answers ends for want of tokens",
             "Raise `max_tokens` of the alias, or ask for shorter answers.",
             "share", 0.1, least=50, for_s=60.0),
        Rule("refusals", "ticket", "this many times the usual share of answers is a refusal or "
             "filtered", "Look at what changed in prompts or model.",
             "times", 3.0, least=50, for_s=60.0),
        Rule("personal-data", "ticket", "requests hold this many times as much personal data as "
             "usual", "Look who sends it: tidegate log; bound what is kept: tidegate teams change.",
             "times", 3.0, least=50, for_s=60.0),
        Rule("leaked-credentials", "page", "requests hold this many times as many credentials as "
             "usual", "Look whose they are and have them replaced: tidegate log.",
             "times", 3.0, least=50, for_s=60.0),
        Rule("quality-drift", "ticket", "a signal of an alias's answers has moved by this many "
             "times what begins to matter, a day against the week before",
             "Look what has moved and where: tidegate quality --drift.", "times", 1.0),
        Rule("breaker-open", "page", "a target's breaker is open",
             "Look why: tidegate targets; others of its alias answer meanwhile, if it has any.",
             "count", 1.0, for_s=_FOR_S),
        Rule("account-retired", "ticket", "a provider does not accept an account's credentials",
             "Give it valid credentials and reload.", "count", 1.0),
        Rule("redis-lost", "page", "gateways cannot reach the Redis that they share",
             "Bring it back; what happens meanwhile is `shared.on_loss`.",
             "count", 1.0, for_s=_FOR_S),
        Rule("records-not-loaded", "page", "the spool cannot be loaded into the store",
             "Look whether the store answers and its disk has room; nothing is lost meanwhile.",
             "count", 1.0, for_s=10.0),
        Rule("records-waiting", "ticket", "more than this waits in the spool to be loaded",
             "Look whether the store is slow.", "bytes", float(128 << 20), for_s=60.0),
        Rule("store-lost", "page", "the store does not answer",
             "Bring the database back; requests go on, and their records wait in the spool.",
             "count", 1.0, for_s=10.0),
        Rule("spool-not-written", "page", "a gateway cannot write this much of its records to disk",
             "Look at the disk of the spool: soon requests are refused.",
             "bytes", 0.0, for_s=10.0),
        Rule("disk-filling", "ticket", "a disk that records are kept on has less than this free",
             "Make room, or shorten `retention`.", "share", 0.1, for_s=60.0),
        Rule("sink-stuck", "ticket", "a sink of records does not take them",
             "Look whether its receiver lives; nothing is lost while the store keeps records.",
             "count", 1.0, for_s=300.0),
        Rule("queue-depth", "ticket", "more requests than this wait for their turn at a target",
             "Look whether the provider is slow: tidegate targets; give the alias another target.",
             "count", 100.0, for_s=30.0),
        Rule("loop-lag", "ticket", "a gateway process is this late with everything it does",
             "Give it more processes: `server.workers`, or another machine.",
             "seconds", 0.1, for_s=30.0),
        Rule("shedding", "page", "a gateway process lets in less than this share of new requests",
             "Add processes or machines; what it refuses leaves no record.",
             "share", 1.0, for_s=10.0),
        Rule("process-restarting", "page", "a gateway process was replaced so often in 10 minutes",
             "Read its log from before it died.", "count", 3.0),
        Rule("gateways-missing", "page", "fewer gateway processes live than there should be",
             "Read the log of the supervisor: it says why they do not start.",
             "count", 1.0, for_s=20.0),
        Rule("slo-fast-burn", "page", "an error budget burns this many times as fast as it may, in "
             "1 h and in 5 min",
             "Look what fails or is slow: tidegate alerts slo; tidegate targets.",
             "times", 14.4, least=20),
        Rule("slo-burn", "page", "an error budget burns this many times as fast as it may, in 6 h "
             "and in 30 min", "Look what fails or is slow: tidegate alerts slo; tidegate targets.",
             "times", 6.0, least=50),
        Rule("slo-slow-burn", "ticket", "an error budget burns this many times as fast as it may, "
             "in 3 days and in 6 h", "Find the cause this week: tidegate alerts slo.",
             "times", 1.0, least=200),
        Rule("cache-drop", "ticket", "less than this part of the usual share of input comes from "
             "providers' caches", "Look what changed at the beginning of prompts.",
             "share", 0.5, least=50),
        Rule("price-missing", "ticket", "requests were served whose price is not known",
             "Set a price: tidegate prices set.", "count", 1.0),
        Rule("spend-rate", "page", "the last hour cost this many times as much as usual",
             "Look who it is: tidegate spend --since 1h --by user; block the key if need be.",
             "times", 10.0, least=1.0),
        Rule("user-cost", "ticket", "a user spent this many times the median in an hour",
             "Look at what they do: tidegate spend --since 1h --user NAME --by feature.",
             "times", 10.0, least=1.0),
        Rule("feature-cost", "ticket", "a call of a feature costs this many times what it cost "
             "the week before", "Look what changed: tidegate spend --feature NAME --by model.",
             "times", 2.0, least=100),
        Rule("model-retires", "ticket", "a model in use goes within this many days",
             "Choose a successor and test it.", "days", 90.0),
    )
}  # fmt: skip
"""Money in `least` is dollars; all else there is requests."""
