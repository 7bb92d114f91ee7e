"""What is said of what was found, and when: as examples, and whatever comes in whatever order."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.alerts.machine import (
    MOST_OF_RULE,
    MOST_RECENT,
    Alert,
    Finding,
    Found,
    Memory,
    Silence,
    Terms,
    Turn,
    step,
)
from tidegate.alerts.notices import MOST_ALERTS, notices, text
from tidegate.alerts.rules import Rule

S = 10**9
QUICK = Rule("quick", "page", "", "Do it.", "count", 1.0)
SLOW = Rule("slow", "ticket", "", "Do it.", "count", 1.0, for_s=10.0)
RULES = (QUICK, SLOW)
TERMS = Terms(repeat_s=100.0, clear_s=20.0)


def finding(alias: str = "fast", once: str | None = None) -> Finding:
    return Finding({"alias": alias}, 2.0, 1.0, f"{alias} is bad.", once=once)


class Play:
    """A machine, and a clock that a test sets."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules or RULES
        self.memory = Memory()
        self.silences: tuple[Silence, ...] = ()
        self.acknowledged: frozenset[str] = frozenset()

    def at(self, second: int, found: Found) -> list[str]:
        """What is said then."""
        turn = Turn(second * S, TERMS, self.silences, self.acknowledged)
        self.memory, said = step(self.rules, found, self.memory, turn)
        # As it comes back from the disk.
        self.memory = msgspec.json.decode(msgspec.json.encode(self.memory), type=Memory)
        return [
            f"{each.rule} {each.status}" + " silenced" * each.silenced + " again" * each.repeated
            for each in said
        ]


BAD: Found = {"quick": [finding()], "slow": []}
SLOWLY: Found = {"quick": [], "slow": [finding()]}
GOOD: Found = {"quick": [], "slow": []}


def test_a_rule_without_patience_fires_at_once_and_only_once() -> None:
    play = Play()
    assert play.at(0, BAD) == ["quick firing"]
    assert play.at(1, BAD) == []


def test_what_does_not_last_is_not_told() -> None:
    play = Play()
    assert play.at(0, SLOWLY) == []
    assert play.at(9, SLOWLY) == []
    assert play.at(9, GOOD) == []
    assert play.at(10, SLOWLY) == []
    assert play.at(20, SLOWLY) == ["slow firing"]


def test_it_is_over_when_it_has_not_come_back_for_a_while() -> None:
    play = Play()
    play.at(0, BAD)
    assert play.at(1, GOOD) == []
    assert play.at(20, GOOD) == []
    assert play.at(21, GOOD) == ["quick resolved"]
    assert play.at(99, GOOD) == []


def test_what_flaps_is_told_once() -> None:
    play = Play()
    play.at(0, BAD)
    assert [play.at(second, GOOD if second % 2 else BAD) for second in range(1, 60)] == [[]] * 59


def test_what_still_fires_is_told_again_after_a_while() -> None:
    play = Play()
    play.at(0, BAD)
    assert play.at(99, BAD) == []
    assert play.at(100, BAD) == ["quick firing again"]
    assert play.at(101, BAD) == []


def test_what_somebody_looks_at_is_told_again_only_when_it_is_over() -> None:
    play = Play()
    play.at(0, BAD)
    (active,) = play.memory.active.values()
    play.acknowledged = frozenset({active.id})
    assert play.at(500, BAD) == []
    play.at(510, GOOD)
    assert play.at(530, GOOD) == ["quick resolved"]
    assert play.at(540, BAD) == ["quick firing"]
    assert play.at(640, BAD) == ["quick firing again"]


def test_link_leads_to_the_console_if_it_is_known_where_that_is() -> None:
    turn = Turn(1_000 * S, Terms(console="https://tidegate.example"))
    _, (said,) = step(RULES, BAD, Memory(), turn)
    assert said.link == "https://tidegate.example/console/requests?from=100&to=1300&alias=fast"
    _, (said,) = step(RULES, BAD, Memory(), Turn(1_000 * S))
    assert said.link == ""


def test_what_cannot_be_looked_at_stays_as_it_is() -> None:
    play = Play()
    play.at(0, BAD)
    assert play.at(1_000, {"quick": None}) == []
    assert play.at(1_001, GOOD) == []
    assert play.at(1_021, GOOD) == ["quick resolved"]


def test_each_thing_found_is_an_alert_of_its_own() -> None:
    play = Play()
    play.at(0, BAD)
    assert play.at(1, {"quick": [finding(), finding("slow-model")]}) == ["quick firing"]


def test_silence_holds_back_what_fires_until_it_ends() -> None:
    play = Play()
    play.silences = (Silence(50 * S, rule="quick"),)
    assert play.at(0, BAD) == ["quick firing silenced"]
    assert play.at(49, BAD) == []
    assert play.at(50, BAD) == ["quick firing"]


def test_what_was_never_told_is_never_told_to_be_over() -> None:
    play = Play()
    play.silences = (Silence(50 * S, labels={"alias": "fast"}),)
    play.at(0, BAD)
    assert play.at(60, GOOD) == []
    assert play.at(90, GOOD) == []


@pytest.mark.parametrize(
    "silence", [Silence(9 * S, rule="slow"), Silence(9 * S, labels={"alias": "x"}), Silence(0)]
)
def test_silence_is_of_what_it_names(silence: Silence) -> None:
    play = Play()
    play.silences = (silence,)
    assert play.at(0, BAD) == ["quick firing"]


def test_what_is_told_once_is_not_told_again_ever() -> None:
    play = Play()
    once: Found = {"quick": [finding(once="team/50%")]}
    assert play.at(0, once) == ["quick firing"]
    assert play.at(1_000, once) == []
    assert play.at(1_001, GOOD) == []
    assert play.at(9_000, once) == []


def test_a_rule_that_is_switched_off_forgets_what_fires() -> None:
    play = Play()
    play.at(0, BAD)
    play.rules = (SLOW,)
    assert play.at(1, GOOD) == []
    assert play.memory.active == {}


def test_what_callers_named_steers_nothing() -> None:
    _, (alert,) = step(RULES, {"quick": [finding("a\r\nBcc: b\x1b[2J")]}, Memory(), Turn(0))
    (notice,) = notices([alert])
    assert all(line.isprintable() for line in text(notice).split("\n"))


def test_what_fires_together_is_one_message_the_gravest_first() -> None:
    both: Found = {"quick": [finding()], "slow": [finding("a"), finding("b")]}
    rules = (QUICK, Rule("slow", "info", "", "", "count", 1.0))
    _, said = step(rules, both, Memory(), Turn(0))
    (notice,) = notices(reversed(said))
    assert notice.severity == "page"
    assert [each.rule for each in notice.alerts] == ["quick", "slow", "slow"]
    assert notice.title == "[Page] quick and 2 more"


def test_a_message_is_bounded() -> None:
    many: Found = {"quick": [finding(str(n), once=str(n)) for n in range(MOST_ALERTS + 7)]}
    _, said = step(RULES, many, Memory(), Turn(0))
    (notice,) = notices(said)
    assert (len(notice.alerts), notice.more) == (MOST_ALERTS, 7)
    assert "And 7 more" in text(notice)


seconds = st.integers(1, 130)
names = st.sampled_from(["a", "b"])
looks = st.lists(
    st.tuples(
        seconds,
        st.none() | st.lists(names, unique=True),
        st.none() | st.lists(names, unique=True),
        st.booleans(),
    ),
    max_size=40,
)


class Listener:
    """Hears everything, and minds its order."""

    def __init__(self) -> None:
        self.fires: dict[str, Alert] = {}

    def hear(self, alert: Alert) -> None:
        if alert.status == "resolved":
            # Only what was told to fire is told to be over, once.
            assert self.fires.pop(alert.id).rule == alert.rule
            return
        patience_s = SLOW.for_s if alert.rule == "slow" else QUICK.for_s
        assert alert.at_ns - alert.since_ns >= patience_s * S
        if not alert.silenced:
            before = self.fires.get(alert.id)
            assert alert.repeated == (before is not None)
            assert before is None or alert.at_ns - before.at_ns >= TERMS.repeat_s * S
            self.fires[alert.id] = alert


@given(looks)
def test_whatever_happens_words_are_few_and_in_order(
    played: list[tuple[int, list[str] | None, list[str] | None, bool]],
) -> None:
    memory, now_s, listener = Memory(), 0, Listener()
    for pause_s, quick, slow, silent in played:
        now_s += pause_s
        looked = {"quick": quick, "slow": slow}
        found: Found = {
            rule: None if there is None else list(map(finding, there))
            for rule, there in looked.items()
        }
        silences = (Silence((now_s + 1) * S),) if silent else ()
        memory, said = step(RULES, found, memory, Turn(now_s * S, TERMS, silences))
        assert {each.silenced for each in said} <= {silent}
        for alert in said:
            listener.hear(alert)
        assert len(memory.recent) <= MOST_RECENT
        # What is pending was found just now, and what was found just now is not going.
        for each in memory.active.values():
            there = looked[each.rule]
            if there is not None:
                here = each.finding.labels["alias"] in there
                assert (each.gone_ns is None) == here
                assert here or each.fired_ns is not None


@given(st.integers(0, 3 * MOST_OF_RULE))
def test_no_rule_takes_all_the_room(count: int) -> None:
    found: Found = {"quick": [finding(str(number)) for number in range(count)]}
    memory, said = step(RULES, found, Memory(), Turn(0))
    assert len(memory.active) == len(said) == min(count, MOST_OF_RULE)
