"""Who may do what, and who is let in at all."""

import json
import stat

import pytest
from admin_serving import Client, Served, serving, settings

from tidegate.control.admin.app import Admin
from tidegate.control.admin.roles import PERMISSIONS, ROLES, may
from tidegate.store.records import RecordStore

OPERATIONS = {
    "keys:read": ("GET", "/keys"),
    "keys:write": ("DELETE", "/keys/none"),
    "people:read": ("GET", "/users"),
    "people:write": ("DELETE", "/teams/none"),
    "people:erase": ("POST", "/erasures"),
    "limits:read": ("GET", "/limits"),
    "limits:write": ("DELETE", "/limits/team/none"),
    "prices:read": ("GET", "/prices"),
    "prices:write": ("DELETE", "/prices?provider=p&model=m&starts_at=2026-01-01T00:00:00Z"),
    "spend:read": ("GET", "/spend"),
    "state:read": ("GET", "/aliases"),
    "feedback:read": ("GET", "/feedback"),
    "alerts:write": ("DELETE", "/silences/0123456789ab"),
    "audit:read": ("GET", "/audit"),
    "audit:write": ("POST", "/audit/cut"),
    "configurations:read": ("GET", "/configurations"),
    "configurations:write": ("POST", "/configurations/0123456789ab/rollback"),
    "tokens:read": ("GET", "/tokens"),
    "tokens:write": ("DELETE", "/tokens/none"),
}
IN_THE_CONSOLE = {"requests:read", "content:read"}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_the_table_says(sqlite_served: Served, role: str) -> None:
    client = sqlite_served.client(role)
    assert OPERATIONS.keys() | IN_THE_CONSOLE == PERMISSIONS.keys()
    for permission, (method, path) in OPERATIONS.items():
        body = {"before": "2020-01-01T00:00:00Z"} if path == "/audit/cut" else None
        answered = client(method, path, body)
        allowed = may(role, permission)  # pyright: ignore[reportArgumentType]
        assert (answered.status != 403) is allowed, (permission, answered)


def test_nobody_but_owners_makes_tokens() -> None:
    assert PERMISSIONS["tokens:write"] == {"owner"}


def test_without_a_good_token_nothing_is_told(served: Served) -> None:
    for token in (None, "", "tga-wrong", "ä"):
        refused = Client(served.port, None)(
            "GET", "/keys", **({} if token is None else {"authorization": f"Bearer {token}"})
        )
        assert (refused.status, refused.code) == (401, "not_signed_in")
        assert refused.headers["www-authenticate"] == "Bearer"
    assert Client(served.port, None)("POST", "/keys", b"not json").status == 401
    assert Client(served.port, None)("GET", "/nowhere").status == 401


def test_expired_token_is_not_good(served: Served, owner: Client) -> None:
    made = owner.ok(
        "POST",
        "/tokens",
        {"name": "short", "role": "viewer", "expires_at": "2026-12-01T00:00:00Z"},
    )
    viewer = Client(served.port, made["token"])
    viewer.ok("GET", "/whoami")
    served.clock.ns = 1_796_083_200 * 10**9  # 2026-12-01
    assert viewer("GET", "/whoami").status == 401


def test_deleted_token_is_not_good(served: Served, owner: Client) -> None:
    viewer = served.client("viewer")
    assert viewer.ok("GET", "/whoami") == {"name": "a-viewer", "role": "viewer"}
    owner.ok("DELETE", "/tokens/a-viewer")
    assert viewer("GET", "/whoami").status == 401


def test_last_lasting_owner_cannot_be_deleted(owner: Client) -> None:
    owner.ok(
        "POST",
        "/tokens",
        {"name": "brief", "role": "owner", "expires_at": "2027-01-01T00:00:00Z"},
    )
    assert owner("DELETE", "/tokens/first").status == 409
    owner.ok("POST", "/tokens", {"name": "second", "role": "owner"})
    owner.ok("DELETE", "/tokens/first")


def test_guessing_is_slowed_down_and_locks_nobody_out(served: Served, owner: Client) -> None:
    owner.ok("GET", "/whoami")
    guessing = Client(served.port, "tga-guess")
    assert [guessing("GET", "/whoami").status for _ in range(12)] == [401] * 10 + [429] * 2
    assert int(guessing("GET", "/whoami").headers["retry-after"]) in range(1, 61)
    owner.ok("GET", "/whoami")
    unknown = owner.ok("POST", "/tokens", {"name": "new", "role": "viewer"})["token"]
    assert Client(served.port, unknown)("GET", "/whoami").status == 429
    served.clock.turn(61)
    Client(served.port, unknown).ok("GET", "/whoami")


def test_first_token_is_made_once_and_for_its_owner_only(served: Served) -> None:
    file = served.directory / "admin.token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert served.owner.ok("GET", "/whoami") == {"name": "first", "role": "owner"}
    file.unlink()
    Admin(served.store.database, settings(served.directory), served.clock).look()
    assert not file.exists()


def test_no_token_is_left_without_its_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("beside")
    store = RecordStore(f"sqlite:///{directory}/tidegate.db")
    store.create()
    (directory / "admin.token").mkdir()  # where a file cannot be put
    admin = Admin(store.database, settings(directory))
    with pytest.raises(OSError, match=r"admin\.token"):
        admin.look()
    (directory / "admin.token").rmdir()
    store.close()
    with serving(f"sqlite:///{directory}/tidegate.db", directory) as served:
        served.owner.ok("GET", "/whoami")
    assert not list(directory.glob("admin.token.*"))


def test_secrets_of_tokens_are_not_in_the_trail(owner: Client) -> None:
    token = owner.ok("POST", "/tokens", {"name": "v", "role": "viewer"})["token"]
    secret = owner.ok("POST", "/keys", {"name": "web"})["secret"]
    told = json.dumps(owner.ok("GET", "/audit"))
    assert token not in told
    assert secret not in told
    assert "tga-" not in told
