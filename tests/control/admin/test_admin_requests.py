"""Requests as such: repeated ones, wrong ones, too large ones, and many at once."""

import json
import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from admin_serving import Client, Served, settings

from tidegate.control.admin.app import Admin


def test_repeated_request_is_answered_the_same_without_the_secret(
    served: Served, owner: Client
) -> None:
    first = owner("POST", "/keys", {"name": "web"}, idempotency_key="k1")
    again = owner("POST", "/keys", b'{ "name":"web" }', idempotency_key="k1")
    assert first.body["secret"].startswith("tg-")
    assert again.status == first.status == 201
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.body == first.body | {"secret": None}
    assert len(served.access().keys) == 1
    assert len(owner.ok("GET", "/audit?action=key.create")["items"]) == 1


def test_other_request_under_the_same_key_is_refused(owner: Client) -> None:
    owner.ok("POST", "/teams", {"name": "a"}, idempotency_key="k1")
    refused = owner("POST", "/teams", {"name": "b"}, idempotency_key="k1")
    assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    assert owner("POST", "/users", {"name": "a"}, idempotency_key="k1").status == 422
    assert owner("DELETE", "/teams/a", idempotency_key="k1").status == 422


def test_idempotency_key_is_forgotten_after_a_day_and_belongs_to_its_token(
    served: Served, owner: Client
) -> None:
    owner.ok("POST", "/teams", {"name": "a"}, idempotency_key="k1")
    served.client("admin").ok("POST", "/teams", {"name": "b"}, idempotency_key="k1")
    served.clock.turn(24 * 3600)
    owner.ok("POST", "/teams", {"name": "c"}, idempotency_key="k1")


def test_refused_request_may_be_corrected_under_the_same_key(owner: Client) -> None:
    assert owner("POST", "/keys", {"name": "w", "team": "t"}, idempotency_key="k").status == 409
    owner.ok("POST", "/teams", {"name": "t"})
    owner.ok("POST", "/keys", {"name": "w", "team": "t"}, idempotency_key="k")


def test_many_at_once_make_one_chain_and_one_key(served: Served, owner: Client) -> None:
    def ask(number: int) -> int:
        if number % 2:
            return owner("POST", "/keys", {"name": "same"}, idempotency_key="k").status
        return owner("POST", "/teams", {"name": f"t{number}"}).status

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(24))) == {201}
    verdict = owner.ok("GET", "/audit/verify")
    assert (verdict["ok"], verdict["entries"]) == (True, 1 + 12 + 1)
    assert served.access().version == 13
    assert len(served.access().keys) == 1


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        (b"{", 400, "malformed", "not JSON"),
        (b"[" * 100_000, 400, "malformed", ""),
        (b"[]", 400, "malformed", "object"),
        (b'"text"', 400, "malformed", "object"),
        (b"{}", 422, "invalid", "`name`"),
        (b'{"name": 5}', 422, "invalid", "`name`"),
        (b'{"name": "a\\u0000b"}', 422, "invalid", "`name`"),
        (b'{"name": "\\ud800"}', 422, "invalid", "`name`"),
        (b'{"name": "web", "modls": []}', 422, "invalid", "did you mean `models`"),
        (b'{"name": "web", "models": "a"}', 422, "invalid", "`models`"),
        (b'{"name": "web", "expires_at": "tomorrow"}', 422, "invalid", "2026-01-31T12:00:00Z"),
        (b'{"name": "web", "expires_at": "2026-01-01T00:00:00"}', 422, "invalid", "offset"),
        (b'{"name": "web", "priority": "urgent"}', 422, "invalid", "interactive"),
    ],
)
def test_wrong_body_is_refused_with_what_is_wrong(
    sqlite_served: Served, body: bytes, status: int, code: str, says: str
) -> None:
    refused = sqlite_served.owner("POST", "/keys", body)
    assert (refused.status, refused.code) == (status, code)
    assert says in refused.body["error"]["message"]
    assert refused.body["error"]["remedy"]


def test_unknown_parameter_is_refused_with_a_suggestion(sqlite_served: Served) -> None:
    refused = sqlite_served.owner("GET", "/keys?limt=5")
    assert refused.status == 422
    assert "did you mean `limit`" in refused.body["error"]["message"]
    assert sqlite_served.owner("GET", "/keys/web?x=1").status == 422


def test_unknown_path_and_method_are_told(sqlite_served: Served) -> None:
    assert sqlite_served.owner("GET", "/kyes").code == "not_found"
    wrong = sqlite_served.owner("PUT", "/keys/web", {})
    assert (wrong.status, wrong.code) == (405, "method_not_allowed")
    assert "PATCH" in wrong.headers["allow"]


@pytest.mark.parametrize("length", ["1048577", "1000000000000", "-1", "many"])
def test_body_over_the_limit_is_not_read(sqlite_served: Served, length: str) -> None:
    lines = ["POST /admin/v1/keys HTTP/1.1", "host: x", f"content-length: {length}"]
    lines += [f"authorization: Bearer {sqlite_served.owner.token}", "", ""]
    with socket.create_connection(("127.0.0.1", sqlite_served.port), timeout=60) as raw:
        raw.sendall("\r\n".join(lines).encode())
        answer = raw.recv(64)
    assert answer.startswith(b"HTTP/1.1 413" if length.isdigit() else b"HTTP/1.1 400")


def test_chunks_are_bounded_too(sqlite_served: Served) -> None:
    with socket.create_connection(("127.0.0.1", sqlite_served.port), timeout=60) as raw:
        lines = ["POST /admin/v1/keys HTTP/1.1", "host: x", "transfer-encoding: chunked"]
        lines += [f"authorization: Bearer {sqlite_served.owner.token}", "", ""]
        raw.sendall("\r\n".join(lines).encode())
        raw.sendall(b"80000\r\n" + b"x" * 0x80000 + b"\r\n")
        raw.sendall(b"80001\r\n" + b"x" * 0x80001 + b"\r\n")
        assert raw.recv(64).startswith(b"HTTP/1.1 413")


def test_store_that_fails_is_told_without_its_words(sqlite_served: Served) -> None:
    with sqlite_served.store.database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE virtual_keys")
    refused = sqlite_served.owner("GET", "/keys")
    assert (refused.status, refused.code) == (503, "store_unavailable")
    assert "virtual_keys" not in json.dumps(refused.body)
    assert "retry-after" in refused.headers


def test_change_that_gateways_cannot_be_told_is_told_later(sqlite_served: Served) -> None:
    file = sqlite_served.directory / "access.json"
    file.unlink()
    file.mkdir()
    refused = sqlite_served.owner("POST", "/keys", {"name": "web"}, idempotency_key="k")
    assert (refused.status, refused.code) == (503, "not_published")
    file.rmdir()
    again = sqlite_served.owner.ok("POST", "/keys", {"name": "web"}, idempotency_key="k")
    assert again["secret"] is None
    assert [key.name for key in sqlite_served.access().keys] == ["web"]


def test_file_that_somebody_deleted_is_written_again(sqlite_served: Served) -> None:
    file = sqlite_served.directory / "access.json"
    sqlite_served.owner.ok("POST", "/keys", {"name": "web"})
    file.unlink()
    sqlite_served.owner.ok("POST", "/keys/web/unblock")  # which changes nothing
    assert [key.name for key in sqlite_served.access().keys] == ["web"]


def test_gateways_file_is_for_its_owner_only(sqlite_served: Served) -> None:
    sqlite_served.owner.ok("POST", "/keys", {"name": "web"})
    file = sqlite_served.directory / "access.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in sqlite_served.directory.iterdir()) == [
        "access.json", "admin.token",
    ]  # fmt: skip


def test_change_made_at_another_machine_is_taken_over(served: Served, owner: Client) -> None:
    there = served.directory.parent / "there"
    second = Admin(served.store.database, settings(there), served.clock)
    second.look()
    owner.ok("POST", "/keys", {"name": "web"})
    second.look()
    assert (there / "access.json").read_bytes() == (served.directory / "access.json").read_bytes()
