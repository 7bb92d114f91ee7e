"""What the console refuses, whatever a browser would have done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from console_client import Client
from console_house import CONFIG, House, house

from tidegate.console.entrance import place
from tidegate.console.sessions import ABSOLUTE_S, IDLE_S, MOST_SESSIONS, Sessions
from tidegate.console.wire import POLICY
from tidegate.money import NANO


@pytest.fixture(scope="module")
def quiet_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("quiet")) as at:
        yield at


@pytest.fixture
def client(quiet_house: House) -> Client:
    return Client(quiet_house)


@pytest.fixture
def inside(client: Client) -> Client:
    assert client.sign_in().status == 303
    return client


def silence(client: Client, **headers: str) -> int:
    form = {"csrf": client.get("/alerts").csrf, "for": "1h", "everything": "on"}
    return client.post("/alerts/silences", form, **headers).status


@pytest.mark.parametrize("path", ["/now", "/sign-in", "/nothing", "/static/x/console.css"])
def test_every_answer_carries_the_policy(inside: Client, path: str) -> None:
    headers = inside.get(path).headers
    assert headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


def test_no_page_has_scripts_or_styles_inside(inside: Client) -> None:
    for path in ("/now", "/alerts", "/alerts/runbooks/errors", "/sign-in"):
        body = inside.get(path).body
        assert "<style" not in body
        assert " style=" not in body
        assert " onclick=" not in body
        assert body.count("<script") == body.count("<script src=") + body.count(
            '<script type="module" src='
        )


def test_styles_are_kept_for_good_under_a_name_of_their_own(client: Client) -> None:
    body = client.get("/sign-in").body
    path = body.partition('rel="stylesheet" href="/console')[2].partition('"')[0]
    answered = client.get(path)
    assert answered.status == 200
    assert answered.headers["cache-control"].endswith("immutable")
    assert client.get(path.replace("console.css", "../app.py")).status == 404


def test_cookie_is_for_this_site_and_no_script(client: Client) -> None:
    cookie = client.sign_in().headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/console" in cookie


def test_cookie_is_secure_where_the_console_is_reached_by_https(tmp_path: Path) -> None:
    config = CONFIG.replace("{port: 0}", "{port: 0, url: 'https://tidegate.example'}")
    with house(tmp_path, config=config) as at:
        client = Client(at)
        there = {"host": "tidegate.example", "origin": "https://tidegate.example"}
        answered = client.get("/sign-in", host="tidegate.example")
        form = {"csrf": answered.csrf, "token": at.token}
        answered = client.post("/sign-in", form, **there)
        assert answered.status == 303
        assert "; Secure" in answered.headers["set-cookie"]


def test_form_without_the_word_of_the_session_is_refused(inside: Client) -> None:
    assert silence(inside) == 303
    assert inside.post("/alerts/silences", {"for": "1h"}).status == 403
    assert inside.post("/alerts/silences", {"for": "1h", "csrf": "guess"}).status == 403
    assert inside.post("/sign-out", {}).status == 403
    assert inside.get("/sign-out").status == 403
    assert inside.get("/now").status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ""])
def test_form_from_elsewhere_is_refused(inside: Client, origin: str) -> None:
    assert silence(inside, origin=origin) == 403


def test_signing_in_from_elsewhere_is_refused(client: Client) -> None:
    csrf, token = client.get("/sign-in").csrf, client.house.token
    form = {"csrf": csrf, "token": token}
    assert client.post("/sign-in", form, origin="https://evil.example").status == 403
    assert client.post("/sign-in", {"csrf": "other", "token": token}).status == 403


def test_name_that_somebody_else_lets_lead_here_is_refused(inside: Client) -> None:
    assert inside.get("/now", host="evil.example").status == 421
    assert inside.get("/now", host="localhost:1").status == 200
    assert inside.get("/now", host="[::1]:1").status == 200


def test_link_from_another_site_goes_round_by_ourselves(client: Client) -> None:
    answered = client.get("/now?range=1h", sec_fetch_site="cross-site")
    assert answered.status == 200
    assert 'content="0; url=/console/now?range=1h"' in answered.body


def test_fragment_for_nobody_is_told_so(client: Client) -> None:
    assert client.get("/now", tidegate_fragment="1").status == 401


def test_what_was_sent_after_the_session_ended_was_not_done(client: Client) -> None:
    answered = client.post("/alerts/silences", {"for": "1h"})
    assert answered.status == 303
    assert "undone=1" in answered.headers["location"]
    assert "was not done" in client.get(answered.headers["location"][8:]).body


def test_viewer_is_refused_by_the_server_too(quiet_house: House) -> None:
    client = Client(quiet_house)
    client.sign_in(quiet_house.token_of("viewer"))
    assert silence(client) == 403


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    with house(tmp_path) as at:
        client = Client(at)
        statuses = [client.sign_in(f"tga-{number}").status for number in range(12)]
        assert statuses == [401] * 10 + [429] * 2


def test_other_methods_are_refused(inside: Client) -> None:
    assert inside.ask("PUT", "/now").status == 405
    assert inside.ask("HEAD", "/now").status == 200


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/", "//evil.example", "/console//evil.example", "/console/\\evil",
        "/admin/v1/keys", "/console/sign-out", "/console/\r\nset-cookie: a=b", "", "/console/é",
    ],
)  # fmt: skip
def test_nobody_is_led_away_by_signing_in(to: str) -> None:
    assert place(to) == "/console/"


class Hands:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def now_ns(self) -> int:
        return round(self.now_s * NANO)

    def monotonic(self) -> float:
        return self.now_s


def test_session_ends_without_use_and_what_pages_fetch_is_no_use() -> None:
    clock = Hands()
    sessions = Sessions(clock)
    word = sessions.begin("digest")
    clock.now_s = IDLE_S - 1
    assert sessions.find(word, used=False)
    assert sessions.find(word, used=True)
    clock.now_s = 2 * IDLE_S - 2
    assert sessions.find(word, used=False)
    clock.now_s = 2 * IDLE_S - 1
    assert sessions.find(word, used=True) is None
    assert len(sessions) == 0


def test_session_ends_in_any_case() -> None:
    clock = Hands()
    sessions = Sessions(clock)
    word = sessions.begin("digest")
    while clock.now_s < ABSOLUTE_S:
        assert sessions.find(word, used=True)
        clock.now_s += IDLE_S / 2
    assert sessions.find(word, used=True) is None


def test_session_outlives_a_restart_and_no_more_time_than_it_has(tmp_path: Path) -> None:
    clock, file = Hands(), tmp_path / "sessions"
    sessions = Sessions(clock, file)
    word, left = sessions.begin("digest"), sessions.begin("other")
    found = sessions.find(word, used=True)
    assert found is not None
    sessions.end(left)
    assert file.stat().st_mode & 0o077 == 0
    assert not any(each in file.read_text() for each in (word, left, found.csrf))
    clock.now_s += IDLE_S - 1
    again = Sessions(clock, file)
    taken = again.find(word, used=False)
    assert taken is not None
    assert (taken.token, taken.csrf) == ("digest", found.csrf)
    assert again.find(left, used=True) is None
    clock.now_s += 1
    assert again.find(word, used=True) is None
    assert len(Sessions(clock, file)) == 0


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff", '[["a","b",9,9]]'])
def test_what_is_no_list_of_sessions_lets_nobody_in(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sessions"
    file.write_bytes(text.encode("latin-1"))
    clock = Hands()
    clock.now_s = -1.0  # so that what it holds is from the future
    sessions = Sessions(clock, file)
    assert len(sessions) == 0
    word = sessions.begin("digest")
    assert Sessions(clock, file).find(word, used=True)


def test_where_sessions_cannot_be_kept_people_are_let_in(tmp_path: Path) -> None:
    sessions = Sessions(Hands(), tmp_path / "none" / "sessions")
    assert sessions.find(sessions.begin("digest"), used=True)


def test_nobody_is_signed_out_by_a_control_process_that_was_killed(tmp_path: Path) -> None:
    with house(tmp_path) as first:
        client = Client(first)
        client.sign_in()
        csrf = client.get("/keys/new").csrf
    with house(tmp_path) as second:
        client.house = second
        assert client.get("/keys/new").csrf == csrf
        word = client.cookies["tidegate_console"]
        assert client.post("/sign-out", {"csrf": csrf}).status == 303
    with house(tmp_path) as third:
        client.house = third
        client.cookies["tidegate_console"] = word
        assert client.get("/now").status == 303


def test_sessions_are_bounded_and_the_one_used_longest_ago_goes() -> None:
    sessions = Sessions(Hands())
    first, second = sessions.begin("a"), sessions.begin("b")
    sessions.find(first, used=True)
    for _ in range(MOST_SESSIONS - 1):
        sessions.begin("c")
    assert len(sessions) == MOST_SESSIONS
    assert sessions.find(first, used=True)
    assert sessions.find(second, used=True) is None
