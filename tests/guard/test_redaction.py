"""What is masked, what is left alone, and that no text makes it slow or breaks the JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.guard.redaction import (
    KINDS,
    Pace,
    TooHard,
    mask_text,
    masked_json,
    masked_value,
)
from tidegate.guard.redaction.glance import is_suspicious, suspicious
from tidegate.guard.redaction.steps import WINDOW, outright
from tidegate.guard.redaction.text import masked_bytes

MOST, MANY = 1 << 20, 1 << 16

SECRETS = {
    "email": ["john.doe@example.com", "a+b@mail.example.co.uk", "jörg@bücher.de",
              "x%40example.org"],
    "phone": [
        "+49 170 1234567", "+1 (415) 555-2671", "415-555-2671", "(415) 555-2671", "0170 1234567",
        "020 7946 0958", "01 42 68 53 00", "0049 30 901820", "+442079460958",
    ],
    "card": [
        "4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005",
        "3782 822463 10005", "6011111111111117", "4111\u00a01111\u00a01111\u00a01111",
        "30569309025904",
    ],
    "iban": [
        "GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000", "FR1420041010050500013M02606",
        "MT84MALT011000012345MTLCAST001S", "NO93 8601 1117 947", "de89370400440532013000",
    ],
    "ip": ["10.1.2.3", "203.0.113.195", "2001:db8::1", "fe80::1ff:fe23:4567:890a",
           "2001:0db8:85a3:0000:0000:8a2e:0370:7334", "::ffff:192.0.2.128"],
    "ssn": ["123-45-6789", "078 05 1120"],
    "api_key": [
        "sk-proj-abcdefghijklmnop1234", "sk-ant-api03-AbCdEf0123456789abcdef",
        "AKIAIOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnop", "xoxb-123456789012-abcdefghij",
        "AIzaSyA1234567890abcdefghijklmnopqrstuvw", "sk_live_abcdefghijklmnop",
        "hf_abcdefghijklmnopqrst",
        "rk_test_abcdefghijkl", "glpat-abcdefghijklmnopqrst", "GOCSPX-abcdefghijklmnop",
    ],
    "token": [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF123",
        "ya29.abcdefghijklmnop0123456789", "SG.abcdefghijklmnopqrstu1.abcdefghijklmnop0123456789",
    ],
    "private_key": [
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEabc\ndef=\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQdGBF\n=aBcD\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
}  # fmt: skip
PLANTED = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]
EMBEDDED = [
    ("postgres://ann:hunter2x@db.example/x", "hunter2x", "password"),
    ("https:\\/\\/ann:hunter2x@db.example", "hunter2x", "password"),
    ("Authorization: Bearer abcdef123456", "abcdef123456", "token"),
    ("curl -H 'authorization: Basic dXNlcjpwYXNz'", "dXNlcjpwYXNz", "token"),
    ("password: hunter22", "hunter22", "password"),
    ('{"api_key": "0123abcdef"}', "0123abcdef", "api_key"),
    ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI", "api_key"),
    ("my phone number is 4155552671.", "4155552671", "phone"),
    ("SSN: 123456789", "123456789", "ssn"),
    ("https://hooks.slack.com/services/T0000/B0000/abcdefghijklmnopqrstuvwx", "mnopqr", "api_key"),
]  # fmt: skip
CLEAN = [
    "", "Hello, world.", "It cost $3.50 on 2024-11-21 at 10:30:00.", "std::vector<int> a::b",
    "version 1.2.3 of task-oriented-programming-language-models", "01/02/2024 10:30",
    "550e8400-e29b-41d4-a716-446655440000", "3.14159265358979", "1234567890 and 12345678 items",
    "listens on 127.0.0.1:8080", "@decorator and x@localhost", "4111111111111112", "ISO 8601:2004",
    "GB00 NWBK 6016 1331 9268 19 is no account", "the bearer of this letter", "Größe: 12 Äpfel",
    "000-12-3456", "a key: value pair, a secret garden, tokens: 12",
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
]  # fmt: skip


def masked(text: str) -> tuple[str, dict[str, int]]:
    found: dict[str, int] = {}
    return mask_text(text, found), found


def stored(value: Any, most: int = MOST) -> str:
    body, cut = masked_json(value, most, {})
    assert not cut
    return body.decode()


@pytest.mark.parametrize(("kind", "secret"), PLANTED)
def test_secret_becomes_a_mark_of_its_kind(kind: str, secret: str) -> None:
    mark = f"[{kind.upper()}]"
    assert masked(secret) == (mark, {kind: 1})
    end = "" if kind == "private_key" else ", and on."
    assert masked(f"So: {secret}{end}") == (f"So: {mark}{end}", {kind: 1})


@pytest.mark.parametrize(("text", "secret", "kind"), EMBEDDED)
def test_secret_is_known_by_what_stands_around_it(text: str, secret: str, kind: str) -> None:
    shown, found = masked(text)
    assert secret not in shown
    assert kind in found


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_stays_as_it_is(text: str) -> None:
    assert masked(text) == (text, {})


def test_several_numbers_in_a_row_are_all_found() -> None:
    text = "7 4111 1111 1111 1111 415-555-2671 10.1.2.3 DE89370400440532013000"
    assert masked(text)[0] == "7 [CARD] [PHONE] [IP] [IBAN]"


def test_what_stands_before_a_number_is_not_said_twice() -> None:
    text = "Call 415-555-2671\n4111 1111 1111 1111\n0170 1234567"
    assert masked(text) == ("Call [PHONE]\n[CARD]\n[PHONE]", {"phone": 2, "card": 1})


def test_long_values_end_with_a_whole_character() -> None:
    for length in range(4090, 4100):
        assert "é" not in masked("password=" + "x" * (length % 3) + "é" * 2000 + " a")[0][:100]
    assert masked("a@b." + "é" * 24 + "\n")[0] == "[EMAIL]\n"


def test_every_kind_is_one_of_those_that_are_counted() -> None:
    found: dict[str, int] = {}
    for secret in [secret for _, secret in PLANTED] + [text for text, _, _ in EMBEDDED]:
        mask_text(secret, found)
    assert set(found) == set(KINDS)


AROUND = st.text(st.characters(exclude_categories=("L", "N", "Cs"), exclude_characters="@\\"))
ANYTHING = st.text(st.characters(exclude_categories=("Cs",)))
EDGES = st.sampled_from(
    [" ", "\n", "(", '"', "<", "\\n", "\\\\ ", "\t", "|", ">", ",", "'", '\\"', "\u2028", "{"]
)


@given(
    st.sampled_from([each for each in PLANTED if each[0] != "private_key"]),
    ANYTHING, EDGES, EDGES, ANYTHING,
)  # fmt: skip
def test_planted_secret_is_in_no_record(
    planted: tuple[str, str], before: str, edge: str, other: str, behind: str
) -> None:
    text = before + edge + planted[1] + other + behind
    arguments = json.dumps({"said": text})
    body = stored({"messages": [{"content": text}, {"arguments": arguments}], planted[1]: [text]})
    value = json.loads(body)
    assert planted[1] not in json.dumps(value, ensure_ascii=False)
    json.loads(value["messages"][1]["arguments"])


@given(st.sampled_from(PLANTED), st.integers(0, 3))
def test_escapes_within_json_hide_nothing(planted: tuple[str, str], depth: int) -> None:
    secret = planted[1]
    escaped = "".join(f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else char for char in secret)
    text = f'{{"a": "x\\n{escaped}"}}'
    for _ in range(depth):
        text = json.dumps({"inner": text})
    value: Any = json.loads(stored({"arguments": text, "prose": f"It said {escaped}."}))
    assert secret not in value["prose"]
    inner = json.loads(value["arguments"])
    for _ in range(depth):
        inner = json.loads(inner["inner"])
    assert secret not in inner["a"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text("abc xyz", max_size=30),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcd", max_size=20), inner),
)


@given(VALUES)
def test_clean_values_are_unchanged(value: Any) -> None:
    small = json.loads(re.sub(r"-?\d{12,}", "1", json.dumps(value)))
    assert json.loads(stored(small)) == small


def test_numbers_and_names_are_masked_too() -> None:
    value = {"card": 4111111111111111, "ann@example.com": {"password": "x"}, "n": [1, 2.5, True]}
    found: dict[str, int] = {}
    body, _ = masked_json(value, MOST, found)
    assert json.loads(body) == {
        "card": "[CARD]", "[EMAIL]": {"password": "[PASSWORD]"}, "n": [1, 2.5, True],
    }  # fmt: skip
    assert found == {"card": 1, "email": 1, "password": 1}


def test_key_right_behind_an_escape_is_found() -> None:
    key = "sk-proj-abcdefghijklmnop1234"
    for escape in ("\\n", "\\u2028", "\\u00e9"):
        value = {"arguments": f'{{"a": "{escape}{key}"}}', "prose": f"It said {escape}{key}"}
        assert key not in stored(value)


def test_fields_that_become_the_same_are_all_kept() -> None:
    value = {"ann@example.com": 1, "bob@example.com": 2}
    assert sorted(json.loads(stored(value)).values()) == [1, 2]


def test_twin_within_a_text_of_json_is_seen() -> None:
    text = '{"a": "ann@example.com", "a": "b"}'
    assert "ann@" not in stored({"arguments": text})


@given(
    st.recursive(
        st.text(max_size=200), lambda inner: st.lists(inner) | st.dictionaries(ANYTHING, inner)
    ),
    st.integers(40, 2000),
)
def test_what_is_cut_is_json_and_fits(value: Any, most: int) -> None:
    body, cut = masked_json({"messages": value}, most, {})
    assert len(body) <= most
    assert cut or "…[cut]" in json.dumps(value) or json.loads(body) is not None


def test_longest_strings_are_cut_first_and_marked() -> None:
    value = {"image": "data:image/png;base64," + "Ab/+" * 50_000, "text": "What is this?"}
    body, cut = masked_json(value, 10_000, {})
    told = json.loads(body)
    assert cut
    assert told["text"] == "What is this?"
    assert told["image"].endswith("…[cut]")


def test_secret_at_the_cut_is_not_left_half() -> None:
    for place in range(900, 1100):
        text = "x " * (place // 2) + " 4111 1111 1111 1111 " + "y " * 4000
        body, cut = masked_json({"text": text}, 1_400, {})
        assert cut
        assert b"4111" not in body


def _steps(work: Callable[[], object]) -> int:
    """How many lines of the masking run, which does not depend on how busy the machine is."""
    count = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal count
        if "redaction" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


HOSTILE = [
    "a", "1", "1 ", "4 ", "444 ", "4444", "0", "01", "+1", "+1 ", "(", ":", "::", ":a", "1.", "1.1",
    "@", "a@", "a@a.", "@a.", "eyJ", "-eyJ", "eyJa.", "sk-", "-sk-", "sk-a", "GB", "GB12", "GB1 ",
    "://", "://a:", "://a:a", ":a:", "-----BEGIN PRIVATE KEY-----", "bearer ", "bearer a",
    "password", "password:", "password: a", "\\u0040", "\\n", "{", '{"a":', "[", "%40", "a%40a.",
    "_", "-",
    "authorization: bearer ", "secret=", "api_key", "ssn ", "phone ", "call me at 1", "é",
    "1\u00a0",
]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_work_grows_with_the_length_only(piece: str) -> None:
    few, many = (piece * (size // len(piece)) for size in (4_000, 16_000))
    less, more = (_steps(partial(masked_json, {"t": text}, MOST, {})) for text in (few, many))
    assert more <= 6 * less + 2_000


@pytest.mark.parametrize("piece", HOSTILE)
def test_much_of_anything_is_masked(piece: str) -> None:
    # As much as is kept of a body unless somebody says more: squared, it would take hours.
    text = piece * (MANY // len(piece)) + " ann@example.com "
    body, _ = masked_json({"t": text}, MOST, {})
    assert b"ann@example.com" not in body
    json.loads(body)


MANY_OF = {
    "strings": ["abcdef"] * 10_000,
    "numbers": list(range(10_000, 30_000)),
    "names": {f"abcdef{number}": 1 for number in range(6_000)},
    "addresses": [f"a{number}@example.com" for number in range(2_000)],
    "json": json.dumps([10**13 + number for number in range(4_000)]),
    "deep": json.loads("[" * 500 + '"ann@example.com"' + "]" * 500),
}


@pytest.mark.parametrize("value", [*HOSTILE, *MANY_OF.values()], ids=lambda each: str(each)[:20])
def test_no_step_is_long_whatever_is_in_a_body(value: Any) -> None:
    if isinstance(value, str):
        value = value * (MANY // len(value))
    steps, most, count = masked_value({"t": value}, MOST, {}, Pace(MOST)), 0, 0

    def step() -> None:
        nonlocal count
        count += next(steps, steps) is None

    before = -1
    while before != count:
        before = count
        most = max(most, _steps(step))
    # A line takes some 50 ns; and of what is given to patterns, each step has its share.
    assert most < 12_000


@given(
    st.lists(
        st.sampled_from([*HOSTILE, *(each for _, each in PLANTED), " ", "\n", "x"]), max_size=6
    ),
    st.integers(4_000, 9_000),
)
def test_what_stands_where_a_search_goes_on_is_found(pieces: list[str], place: int) -> None:
    # A search sees so much at once: what stands across its end is found as anywhere else.
    before = "".join(pieces) or "x"
    text = (before * (place // len(before) + 1))[:place] + "\n"
    shown, _ = masked(f"{text}4111 1111 1111 1111\nann@example.com\n")
    assert shown.endswith("[CARD]\n[EMAIL]\n") or "PRIVATE KEY" in before


@given(
    st.lists(st.sampled_from([*HOSTILE, *(each for _, each in PLANTED), " ", "x"]), max_size=5),
    st.one_of(st.sampled_from([each for _, each in PLANTED]), st.text(max_size=40)),
    st.text(max_size=8),
)
def test_nothing_is_masked_that_the_first_look_does_not_suspect(
    before: list[str], secret: str, behind: str
) -> None:
    text = "".join((*before, secret, behind)).encode(errors="surrogatepass")
    found: dict[str, int] = {}
    searched = outright(masked_bytes(text, found, Pace()))
    assert searched == text or suspicious(text)


@pytest.mark.parametrize("said", [secret for _, secret in PLANTED if "-----" not in secret])
def test_the_first_look_sees_what_stands_where_its_windows_meet(said: str) -> None:
    secret = said.encode()
    for end in range(len(secret) + 1):
        text = b"x" * (WINDOW - end - 1) + b" " + secret + b" " + b"x" * WINDOW
        assert outright(is_suspicious(text, Pace()))


def test_what_takes_too_much_is_given_up() -> None:
    pairs = [{f"key{number}": f"{number}@example.com"} for number in range(40_000)]
    with pytest.raises(TooHard):
        masked_json(pairs, 1_000, {})
    with pytest.raises(TooHard):
        masked_json({"embedding": [0.125] * 100_000}, MANY, {})


def test_more_may_be_done_where_more_is_kept() -> None:
    text = "415-555-2671 " * (MOST // 26)
    found: dict[str, int] = {}
    masked_json({"t": text}, MOST, found)
    assert found == {"phone": MOST // 26}
