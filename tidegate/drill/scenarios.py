"""The outages, as data: what goes wrong, and what must hold all the same.

Limits say what a gateway with something to fall back on can keep. A configuration that has nothing
to fall back on will miss them: that is what a drill is there to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final


class Action(Enum):
    """Who does what to whom."""

    FAULT = auto()  # the victim's servers answer with `fault`
    FLAP = auto()  # the same, on and off
    STOP_SERVERS = auto()  # the victim's servers are killed, and started again at the end
    SLOW_REDIS = auto()  # while the victim answers with `fault`: openings are to be told
    STOP_REDIS = auto()  # the same
    KILL_CONTROL = auto()  # as often as it comes up again
    KILL_GATEWAY = auto()  # one worker, once


class Need(Enum):
    """What a scenario cannot do without."""

    REPLICAS = "a provider with several servers in `base_url`"
    REDIS = "breakers shared through Redis (`shared`), and a redis-server on the path"
    OWN_PROCESSES = "a gateway of the drill's own, for its processes have to be killed"


@dataclass(frozen=True, slots=True)
class Limits:
    """What must hold; see `checks` for how each is measured."""

    kept: float = 1.0
    """Least share of the requests that began in the outage and were answered well."""
    recovery_s: float = 2.0
    """Most seconds after the end of the outage in which a request is still not answered well."""
    calls: float = 1.1
    """Most calls of providers for each request."""
    first_token: float = 1.0
    """Most timeouts of a first token that the slowest hundredth of first tokens takes longer in the
    outage than before it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One outage."""

    name: str
    what: str
    action: Action
    limits: Limits
    fault: str = ""
    """For the simulated provider; `{slow}` is longer than any alias waits for a first token."""
    share: float = 1.0
    """Share of the victim's servers that it strikes."""
    needs: tuple[Need, ...] = ()
    breaks: bool = False
    """Whether answers break after they have begun to reach their callers: then they cannot be taken
    back, and end with an error until the breaker opens."""
    cuts: bool = False
    """Whether callers may lose their connection: nobody is left to tell them why."""


SCENARIOS: Final = (
    Scenario(
        "provider-down",
        "all servers of a provider are gone",
        Action.STOP_SERVERS,
        Limits(),
    ),
    Scenario(
        "provider-slow",
        "a provider takes longer for its first token than anybody waits",
        Action.FAULT,
        Limits(calls=2.0),  # until the breaker opens, each request waits for one and asks another
        fault="ttft={slow}",
    ),
    Scenario(
        "rate-limited",
        "a provider answers 429 and wants two seconds",
        Action.FAULT,
        Limits(first_token=2.0),  # a wait that is asked for may be waited for
        fault="retry-after=2",
    ),
    Scenario(
        "cutting-streams",
        "a provider ends its answers in the middle",
        Action.FAULT,
        Limits(kept=0.9),
        fault="cut=3",
        breaks=True,
    ),
    Scenario(
        "malformed",
        "a provider's answers are broken JSON",
        Action.FAULT,
        Limits(kept=0.9),
        fault="malformed-json",
        breaks=True,
    ),
    Scenario(
        "half-replicas-gone",
        "half of a provider's servers are gone",
        Action.STOP_SERVERS,
        Limits(calls=1.2),
        share=0.5,
        needs=(Need.REPLICAS,),
    ),
    Scenario(
        "flapping",
        "a provider fails and recovers, again and again",
        Action.FLAP,
        Limits(calls=1.5),
        fault="status=503",
    ),
    Scenario(
        "redis-slow",
        "Redis takes a second for everything while a provider fails",
        Action.SLOW_REDIS,
        Limits(),
        fault="status=503",
        needs=(Need.REDIS, Need.OWN_PROCESSES),
    ),
    Scenario(
        "redis-dead",
        "Redis is gone while a provider fails",
        Action.STOP_REDIS,
        Limits(),
        fault="status=503",
        needs=(Need.REDIS, Need.OWN_PROCESSES),
    ),
    Scenario(
        "control-dead",
        "the control process is killed as often as it starts",
        Action.KILL_CONTROL,
        Limits(),
        needs=(Need.OWN_PROCESSES,),
    ),
    Scenario(
        "gateway-killed",
        "a gateway process is killed under load",
        Action.KILL_GATEWAY,
        Limits(),
        needs=(Need.OWN_PROCESSES,),
        cuts=True,
    ),
)
NAMES: Final = tuple(scenario.name for scenario in SCENARIOS)


def named(names: tuple[str, ...]) -> tuple[Scenario, ...]:
    """The scenarios of these names, in the table's order; all of them for none."""
    return tuple(each for each in SCENARIOS if not names or each.name in names)
