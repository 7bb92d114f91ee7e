"""Who is recognised by what: rotation, expiry, blocks, owners, and what strangers learn."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ringing import NOW_NS, SECOND_NS, SetClock, bearer, digest, entry

from tidegate.errors import KeyBlocked, KeyExpired, TidegateError, Unauthenticated
from tidegate.guard.access import Access, KeyEntry
from tidegate.guard.keys import ANYTHING, KeyRing, nameable
from tidegate.types import Principal


def ring_of(*entries: KeyEntry, clock: SetClock | None = None) -> KeyRing:
    return KeyRing({}, anonymous=False, access=Access(keys=entries), clock=clock or SetClock())


def refused(ring: KeyRing, headers: list[tuple[bytes, bytes]]) -> TidegateError:
    with pytest.raises(TidegateError) as caught:
        ring.identify(headers)
    return caught.value


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer tg-1")],
        [(b"authorization", b"bearer   tg-1  ")],
        [(b"authorization", b"Bearer  tg-1")],
        [(b"authorization", b"BEARER tg-1")],
        [(b"x-api-key", b"tg-1")],
        [(b"api-key", b"tg-1")],
        [(b"x-api-key", b"other"), (b"authorization", b"Bearer tg-1")],
        [(b"authorization", b"Bearer tg-1"), (b"x-api-key", b"other")],
    ],
)
def test_a_key_is_found_in_every_header_that_sdks_send_it_in(
    headers: list[tuple[bytes, bytes]],
) -> None:
    assert ring_of(entry("web", "tg-1")).identify(headers).key == "web"


UNKNOWN: list[list[tuple[bytes, bytes]]] = [
    [],
    [(b"host", b"localhost")],
    bearer("tg-2"),
    bearer(""),
    [(b"authorization", b"Bearer")],
    [(b"authorization", b"Bearertg-1")],
    [(b"authorization", b"Basic tg-1")],
    [(b"authorization", b"tg-1")],
    [(b"authorization", b"Basic x"), (b"x-api-key", b"tg-1")],
    [(b"x-api-key", b"Bearer tg-1")],
    [(b"x-api-key", b"\xff\x00")],
]


def test_an_unknown_key_and_no_key_are_answered_alike() -> None:
    ring = ring_of(entry("web", "tg-1"))
    answers = {
        (type(error), error.message, error.status, error.param)
        for error in (refused(ring, headers) for headers in UNKNOWN)
    }
    assert len(answers) == 1
    assert answers.pop()[0] is Unauthenticated


@given(st.binary(max_size=100))
def test_whatever_is_sent_instead_of_a_key_is_told_nothing(value: bytes) -> None:
    ring = ring_of(entry("web", "tg-1"))
    for name in (b"authorization", b"x-api-key", b"api-key"):
        assert type(refused(ring, [(name, value)])) is Unauthenticated


def test_the_digest_of_a_key_is_no_key() -> None:
    assert type(refused(ring_of(entry("web", "tg-1")), bearer(digest("tg-1").sha256))) is (
        Unauthenticated
    )


def test_a_key_is_good_until_the_very_instant_it_expires() -> None:
    clock = SetClock()
    ring = ring_of(entry("web", "tg-1", expires_ns=NOW_NS + 5), clock=clock)
    clock.ns = NOW_NS + 4
    assert ring.identify(bearer("tg-1")).key == "web"
    clock.ns = NOW_NS + 5
    error = refused(ring, bearer("tg-1"))
    assert type(error) is KeyExpired
    assert "web" in error.message


def test_the_time_may_be_told_instead_of_read() -> None:
    ring = ring_of(entry("web", "tg-1", expires_ns=NOW_NS + 5))
    assert ring.identify(bearer("tg-1"), NOW_NS + 4).key == "web"
    with pytest.raises(KeyExpired):
        ring.identify(bearer("tg-1"), NOW_NS + 5)


def test_both_secrets_are_good_while_one_replaces_the_other() -> None:
    clock = SetClock()
    old = digest("tg-old", NOW_NS + SECOND_NS)
    ring = ring_of(entry("web", old, "tg-new"), clock=clock)
    assert ring.identify(bearer("tg-old")) == ring.identify(bearer("tg-new"))
    clock.ns = NOW_NS + SECOND_NS
    error = refused(ring, bearer("tg-old"))
    assert type(error) is KeyExpired
    assert "replaced" in error.message
    assert ring.identify(bearer("tg-new")).key == "web"


def test_an_old_secret_does_not_outlive_its_key() -> None:
    old = digest("tg-old", NOW_NS + 9)
    clock = SetClock(NOW_NS + 3)
    ring = ring_of(entry("web", old, "tg-new", expires_ns=NOW_NS + 3), clock=clock)
    for secret in ("tg-old", "tg-new"):
        assert refused(ring, bearer(secret)).message == "The key `web` has expired."


@given(
    ends=st.none() | st.integers(0, 6),
    until=st.none() | st.integers(0, 6),
    now=st.integers(0, 6),
    blocked=st.booleans(),
)
def test_a_secret_is_good_before_both_its_own_end_and_its_keys(
    ends: int | None, until: int | None, now: int, blocked: bool
) -> None:
    old = digest("tg-1", None if until is None else NOW_NS + until)
    expires_ns = None if ends is None else NOW_NS + ends
    key = entry("web", old, expires_ns=expires_ns, blocked=blocked)
    ring = ring_of(key, clock=SetClock(NOW_NS + now))
    good = (ends is None or now < ends) and (until is None or now < until)
    if good and not blocked:
        assert ring.identify(bearer("tg-1")).key == "web"
    else:
        assert type(refused(ring, bearer("tg-1"))) is (KeyBlocked if blocked else KeyExpired)


def test_a_blocked_key_is_told_so_and_let_in_again() -> None:
    ring = ring_of(entry("web", "tg-1", blocked=True))
    error = refused(ring, bearer("tg-1"))
    assert (type(error), error.status) == (KeyBlocked, 403)
    ring.take(Access(keys=(entry("web", "tg-1"),)))
    assert ring.identify(bearer("tg-1")).key == "web"


def test_a_revoked_key_is_unknown_from_the_next_document_on() -> None:
    ring = ring_of(entry("web", "tg-1"), entry("app", "tg-2"))
    assert ring.identify(bearer("tg-1")).key == "web"
    ring.take(Access(keys=(entry("app", "tg-2"),)))
    assert type(refused(ring, bearer("tg-1"))) is Unauthenticated
    assert ring.identify(bearer("tg-2")).key == "app"


OWNERS = Access(
    teams={"ann": "product"},
    organisations={"product": "acme", "other": "beta"},
    weights={"product": 3},
)


def owned(**rest: str) -> Principal:
    access = Access(
        keys=(entry("web", "tg-1", **rest),),
        teams=OWNERS.teams,
        organisations=OWNERS.organisations,
        weights=OWNERS.weights,
    )
    return KeyRing({}, anonymous=False, access=access).identify(bearer("tg-1"))


@pytest.mark.parametrize(
    ("said", "owners"),
    [
        ({}, (None, None, None, 1)),
        ({"user": "ann"}, ("ann", "product", "acme", 3)),
        ({"user": "bob"}, ("bob", None, None, 1)),
        ({"team": "product"}, (None, "product", "acme", 3)),
        ({"user": "ann", "team": "other"}, ("ann", "other", "beta", 1)),
        ({"user": "ann", "organisation": "beta"}, ("ann", "product", "beta", 3)),
        ({"organisation": "acme"}, (None, None, "acme", 1)),
        ({"team": "unheard"}, (None, "unheard", None, 1)),
    ],
)
def test_owners_that_a_key_leaves_out_are_those_of_its_user_and_team(
    said: dict[str, str], owners: tuple[str | None, str | None, str | None, int]
) -> None:
    who = owned(**said)
    assert (who.user, who.team, who.organisation, who.weight) == owners


def test_a_key_says_all_that_its_entry_says() -> None:
    key = entry(
        "web", "tg-1", environment="prod", models=("fast",), features=("search",),
        may_name=("tags",), priority="batch",
    )  # fmt: skip
    assert ring_of(key).identify(bearer("tg-1")) == Principal(
        key="web",
        environment="prod",
        models=("fast",),
        features=("search",),
        may_name=frozenset({"tags"}),
        priority="batch",
    )


def test_a_fixed_user_may_be_overruled_only_if_the_key_says_so() -> None:
    assert nameable(None, None) == ANYTHING
    assert nameable(None, "ann") == ANYTHING - {"user"}
    assert nameable(("user",), "ann") == {"user"}
    assert nameable((), None) == frozenset()


def test_keys_of_configuration_and_document_are_known_side_by_side() -> None:
    ring = KeyRing(
        {"tg-c": Principal(key="web", team="product")},
        anonymous=False,
        access=Access(keys=(entry("app", "tg-d"),), organisations={"product": "acme"}),
    )
    assert ring.identify(bearer("tg-c")) == Principal("web", "product", organisation="acme")
    assert ring.identify(bearer("tg-d")).key == "app"
    ring.take(Access())
    assert ring.identify(bearer("tg-c")) == Principal("web", "product")


def test_a_key_of_the_configuration_ends_when_it_says() -> None:
    ring = KeyRing(
        {"tg-1": Principal(key="web"), "tg-2": Principal(key="app")},
        anonymous=False,
        expires_ns={"web": NOW_NS},
        clock=SetClock(),
    )
    assert type(refused(ring, bearer("tg-1"))) is KeyExpired
    assert ring.identify(bearer("tg-2")).key == "app"


def test_where_names_collide_the_configurations_key_is_meant_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        ring = KeyRing(
            {"tg-c": Principal(key="web")},
            anonymous=False,
            access=Access(keys=(entry("web", "tg-d"), entry("app", "tg-e"))),
        )
    assert len(caplog.records) == 1
    assert ring.identify(bearer("tg-c")).key == "web"
    assert ring.identify(bearer("tg-e")).key == "app"
    assert type(refused(ring, bearer("tg-d"))) is Unauthenticated


def test_where_secrets_collide_the_configurations_key_is_meant() -> None:
    ring = KeyRing(
        {"tg-1": Principal(key="web")},
        anonymous=False,
        access=Access(keys=(entry("app", "tg-1", blocked=True),)),
    )
    assert ring.identify(bearer("tg-1")).key == "web"


def test_callers_without_a_key_are_let_in_where_the_operator_says_so() -> None:
    ring = KeyRing(
        {},
        anonymous=True,
        access=Access(keys=(entry("web", "tg-1"), entry("b", "tg-2", blocked=True))),
    )
    assert ring.identify([]) == Principal(key=None)
    assert ring.identify(bearer("tg-9")) == Principal(key=None)
    assert ring.identify(bearer("tg-1")).key == "web"
    assert type(refused(ring, bearer("tg-2"))) is KeyBlocked
    ring.take(Access())
    assert ring.identify(bearer("tg-1")) == Principal(key=None)


def test_nobody_goes_on_without_a_key_when_the_last_one_was_deleted() -> None:
    ring = KeyRing(
        {}, anonymous=True, while_keyless=True, access=Access(keys=(entry("web", "tg-1"),))
    )
    ring.take(Access(version=2, guarded=True))
    for headers in (bearer("tg-1"), []):
        with pytest.raises(Unauthenticated):
            ring.identify(headers)


def test_where_strangers_are_let_in_for_want_of_keys_the_first_key_shuts_them_out() -> None:
    ring = KeyRing({}, anonymous=True, while_keyless=True)
    assert ring.identify([]) == Principal(key=None)
    ring.take(Access(keys=(entry("web", "tg-1"),)))
    assert type(refused(ring, [])) is Unauthenticated
    assert type(refused(ring, bearer("tg-2"))) is Unauthenticated
    assert ring.identify(bearer("tg-1")).key == "web"
    ring = KeyRing({"tg-1": Principal(key="web")}, anonymous=True, while_keyless=True)
    assert type(refused(ring, [])) is Unauthenticated
