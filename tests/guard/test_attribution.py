"""Whom a request is counted for: what key, headers and body say of it, and which of them wins."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.errors import BadRequest, Forbidden, TidegateError
from tidegate.guard.attribution import (
    NAME_CHARACTERS,
    TAG_CHARACTERS,
    TAGS,
    VALUE_CHARACTERS,
    attribute,
)
from tidegate.guard.keys import nameable
from tidegate.types import Attribution, Principal

ANYBODY = Principal(key="web")
NAMES = ("user", "feature", "conversation")


def headers(**named: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"host", b"localhost"),
        *((f"x-tidegate-{name}".encode(), value.encode()) for name, value in named.items()),
        (b"content-length", b"2"),
    ]


def key(**rest: Any) -> Principal:
    return Principal(key="web", **rest)


def asked(
    who: Principal = ANYBODY, wire: str = "chat", body: dict[str, Any] | None = None, **named: str
) -> Attribution:
    return attribute(who, headers(**named), wire, body or {})


def refused(kind: type[TidegateError], *pairs: tuple[str, bytes], who: Principal = ANYBODY) -> str:
    sent = [(f"x-tidegate-{name}".encode(), value) for name, value in pairs]
    with pytest.raises(kind) as caught:
        attribute(who, sent, "chat", {})
    assert caught.value.param is not None
    return caught.value.param


def test_a_request_that_names_nothing_is_counted_for_its_key_alone() -> None:
    assert asked() == Attribution()


def test_headers_name_whom_and_what_it_is_for() -> None:
    said = asked(user="ann", feature="search", conversation="c-1", tags="a=b, run = 7 ,")
    assert said == Attribution("ann", "search", "c-1", {"a": "b", "run": "7"})


def test_the_callers_place_in_a_trace_is_no_name_and_needs_no_leave() -> None:
    trace = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = [(b"traceparent", trace)]
    nobody = Principal(key="web", may_name=frozenset(), user="ann")
    assert attribute(nobody, sent, "chat", {}) == Attribution(user="ann", trace=trace.decode())
    assert attribute(ANYBODY, [*headers(user="ann"), *sent], "chat", {}).trace == trace.decode()
    for bad in ([(b"traceparent", b"00-bad")], [*sent, *sent], [(b"traceparent", b""), *sent]):
        assert attribute(ANYBODY, bad, "chat", {}) == Attribution()


def test_names_may_be_of_any_script() -> None:
    assert asked(user="Jürgen 李").user == "Jürgen 李"


def test_the_body_of_openais_formats_names_a_user() -> None:
    assert asked(body={"user": "ann"}).user == "ann"
    assert asked(body={"safety_identifier": "h-1"}).user == "h-1"
    assert asked(body={"user": "ann", "safety_identifier": "h-1"}).user == "ann"
    metadata = {"user": "bob", "feature": "search", "conversation": "c-1", "run": "7"}
    said = asked(body={"user": "ann", "metadata": metadata})
    assert said == Attribution("bob", "search", "c-1", {"run": "7"})


@pytest.mark.parametrize("wire", ["messages", "count_tokens"])
def test_the_body_of_anthropics_format_names_a_user_and_nothing_else(wire: str) -> None:
    body = {"metadata": {"user_id": "ann", "feature": "search", "user": "bob"}, "user": "eve"}
    assert asked(wire=wire, body=body) == Attribution(user="ann")


def test_a_conversation_of_responses_is_one_by_its_id() -> None:
    assert asked(wire="responses", body={"conversation": "conv_1"}).conversation == "conv_1"
    assert asked(wire="responses", body={"conversation": {"id": "conv_1"}}).conversation == "conv_1"


def test_a_header_wins_over_the_body() -> None:
    metadata = {"user": "b", "feature": "b", "conversation": "b", "tag": "b", "more": "b"}
    body = {"user": "b", "metadata": metadata}
    said = asked(body=body, user="h", feature="h", conversation="h", tags="tag=h")
    assert said == Attribution("h", "h", "h", {"tag": "h", "more": "b"})


@given(
    fixed=st.none() | st.just("own"),
    may_name=st.none() | st.lists(st.sampled_from(["user", "tags"]), unique=True),
    header=st.none() | st.just("head"),
    body=st.none() | st.just("body"),
)
def test_the_user_is_the_headers_then_the_bodys_then_the_keys_as_far_as_the_key_allows(
    fixed: str | None, may_name: list[str] | None, header: str | None, body: str | None
) -> None:
    may = "user" in nameable(may_name, fixed)
    assert may == (fixed is None if may_name is None else "user" in may_name)
    who = key(user=fixed, may_name=nameable(may_name, fixed))
    sent = [] if header is None else [(b"x-tidegate-user", header.encode())]
    fields = {} if body is None else {"user": body}
    if header is not None and not may:
        with pytest.raises(Forbidden):
            attribute(who, sent, "chat", fields)
    else:
        told = header or body if may else None
        assert attribute(who, sent, "chat", fields).user == (told or fixed)


def test_a_key_with_a_user_is_not_refused_for_naming_that_one() -> None:
    assert asked(key(user="ann", may_name=frozenset()), user="ann").user == "ann"


@pytest.mark.parametrize("name", ["user", "feature", "conversation", "tags"])
def test_a_header_that_the_key_may_not_send_is_refused(name: str) -> None:
    others = frozenset({"user", "feature", "conversation", "tags"} - {name})
    param = refused(Forbidden, (name, b"a=b"), who=key(may_name=others))
    assert param == f"x-tidegate-{name}"


def test_what_the_key_may_not_name_is_passed_over_in_the_body() -> None:
    metadata = {"user": "b", "feature": "b", "conversation": "b", "tag": "b"}
    body = {"user": "b", "conversation": "b", "metadata": metadata}
    assert asked(key(may_name=frozenset()), body=body) == Attribution()
    assert asked(key(may_name=frozenset()), "messages", {"metadata": {"user_id": "b"}}).user is None


def test_only_features_that_the_key_is_for_may_be_named() -> None:
    who = key(features=("search", "chat-*"))
    assert asked(who, feature="search").feature == "search"
    assert asked(who, feature="chat-en").feature == "chat-en"
    assert refused(Forbidden, ("feature", b"mail"), who=who) == "x-tidegate-feature"
    with pytest.raises(Forbidden, match="`mail`"):
        asked(who, body={"metadata": {"feature": "mail"}})
    assert refused(Forbidden, ("feature", b"mail"), who=key(features=())) == "x-tidegate-feature"


def test_of_several_features_one_must_be_named_so_that_none_of_their_limits_is_got_round() -> None:
    with pytest.raises(Forbidden, match="`search`, `chat`"):
        asked(key(features=("search", "chat")))
    with pytest.raises(Forbidden):
        asked(key(features=("chat-*",)))


def test_a_single_feature_of_a_key_need_not_be_named() -> None:
    assert asked(key(features=("search",))).feature == "search"
    assert asked(key(features=("search",), may_name=frozenset())).feature == "search"


def test_a_key_for_any_feature_or_none_is_served_without_one() -> None:
    for features in (("*",), ("search", "*"), ()):
        assert asked(key(features=features)).feature is None
    assert asked(key(features=("a", "b"), may_name=frozenset())).feature is None


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_in_headers_are_refused_with_the_headers_name(name: str) -> None:
    longest = b"n" * NAME_CHARACTERS
    for value in (
        longest + b"n",
        b"a\x00b",
        b"a\tb",
        b"a\x7fb",
        b"\x1b[31m",
        b"\xff\xfe",
        b"\xc3",
        "a\u202eb".encode(),
        "a\u2028b".encode(),
        "a\xa0b".encode(),
    ):
        assert refused(BadRequest, (name, value)) == f"x-tidegate-{name}"
    assert refused(BadRequest, (name, b"a"), (name, b"a")) == f"x-tidegate-{name}"
    said = attribute(ANYBODY, [(f"x-tidegate-{name}".encode(), longest)], "chat", {})
    assert getattr(said, name) == longest.decode()


@pytest.mark.parametrize("name", [*NAMES, "tags"])
def test_an_empty_header_names_nothing(name: str) -> None:
    for value in (b"", b" \t "):
        sent = [(f"x-tidegate-{name}".encode(), value)]
        assert attribute(key(may_name=frozenset()), sent, "chat", {}) == Attribution()


MOST = ",".join(f"t{i}=v" for i in range(TAGS))


@pytest.mark.parametrize(
    "value",
    [
        "word",
        "=value",
        "a=b,word",
        "a=1,a=2",
        "a=\x00",
        "a\x1f=b",
        "n" * (TAG_CHARACTERS + 1) + "=v",
        "n=" + "v" * (VALUE_CHARACTERS + 1),
        MOST + ",more=v",
        "a=b," * 1000,
        "=," * 1000,
    ],
)
def test_hostile_tags_are_refused(value: str) -> None:
    assert refused(BadRequest, ("tags", value.encode())) == "x-tidegate-tags"


def test_tags_up_to_their_bounds_are_kept() -> None:
    assert len(asked(tags=MOST).tags) == TAGS
    name, value = "n" * TAG_CHARACTERS, "v" * VALUE_CHARACTERS
    assert asked(tags=f"{name}={value}").tags == {name: value}
    assert asked(tags="a==b=,c=").tags == {"a": "=b=", "c": ""}
    assert asked(tags="," * 5000).tags == {}


def test_a_header_of_tags_may_come_in_parts() -> None:
    sent = [(b"x-tidegate-tags", b"a=1"), (b"x-tidegate-tags", b"b=2")]
    assert attribute(ANYBODY, sent, "chat", {}).tags == {"a": "1", "b": "2"}


def test_what_of_the_body_cannot_be_counted_is_passed_over_as_the_provider_may_know_it() -> None:
    long = "v" * 512
    metadata: dict[str, Any] = {
        "user": long, "feature": 7, "conversation": None, "long": long, "n" * 65: "v", "": "v",
        "deep": {}, "line": "a\nb", "good": "yes",
    }  # fmt: skip
    body = {"user": ["ann"], "conversation": {"id": 3}, "metadata": metadata}
    assert asked(body=body) == Attribution(tags={"good": "yes"})
    assert asked(wire="messages", body={"metadata": {"user_id": long}}) == Attribution()
    odds: list[Any] = ["text", 3, [], None, {}]
    for odd in odds:
        assert asked(body={"metadata": odd}) == Attribution()
        assert asked(wire="messages", body={"metadata": odd}) == Attribution()


def test_the_bodys_tags_fill_up_what_the_headers_leave() -> None:
    metadata = {f"m{i}": "v" for i in range(TAGS)}
    tags = asked(body={"metadata": metadata}, tags="a=1,b=2").tags
    assert len(tags) == TAGS
    assert list(tags)[:3] == ["a", "b", "m0"]


def outcome(
    who: Principal, sent: list[tuple[bytes, bytes]], wire: str, body: dict[str, Any]
) -> Attribution | TidegateError:
    try:
        return attribute(who, sent, wire, body)
    except TidegateError as error:
        return error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=250),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=70), inner),
    max_leaves=20,
)
OURS = st.sampled_from(["user", "feature", "conversation", "tags", "other"])


@given(
    sent=st.lists(st.tuples(OURS, st.binary(max_size=250) | st.text(max_size=250)), max_size=6),
    wire=st.sampled_from(["chat", "responses", "messages", "embeddings"]),
    body=st.dictionaries(
        st.sampled_from(["user", "safety_identifier", "metadata", "conversation"]), JSON
    ),
    features=st.none() | st.lists(st.text("ab*", min_size=1), max_size=2).map(tuple),
    may_name=st.frozensets(st.sampled_from(["user", "feature", "conversation", "tags"])),
)
def test_whatever_is_sent_what_is_counted_is_bounded_printable_and_allowed(
    sent: list[tuple[str, bytes | str]],
    wire: str,
    body: dict[str, Any],
    features: tuple[str, ...] | None,
    may_name: frozenset[str],
) -> None:
    pairs = [
        (f"x-tidegate-{name}".encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in sent
    ]
    who = key(user="own", features=features, may_name=may_name)
    said = outcome(who, pairs, wire, body)
    if isinstance(said, TidegateError):
        assert isinstance(said, BadRequest | Forbidden)
        assert said.param is not None
        assert said.message.isprintable()
        return
    for name in (said.user, said.feature, said.conversation):
        if name is not None:
            assert name.isprintable()
            assert 0 < len(name) <= NAME_CHARACTERS
    assert said.user is not None
    assert len(said.tags) <= TAGS
    for tag, value in said.tags.items():
        assert (tag + value).isprintable()
        assert 0 < len(tag) <= TAG_CHARACTERS
        assert len(value) <= VALUE_CHARACTERS
    if "user" not in may_name:
        assert said.user == "own"
    if "conversation" not in may_name:
        assert said.conversation is None
    if "tags" not in may_name:
        assert said.tags == {}
    if features == ():
        assert said.feature is None
