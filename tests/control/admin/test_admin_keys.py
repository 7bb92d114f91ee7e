"""Keys through the admin API: what is answered, and what the gateways are told."""

from hashlib import sha256

import pytest
from admin_serving import CONFIGURED, Client, Served

from tidegate.control.admin.publish import Publisher
from tidegate.guard.access import TeamRecords


def digest(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


def test_secret_is_shown_once_and_kept_as_its_digest(served: Served, owner: Client) -> None:
    made = owner.ok("POST", "/keys", {"name": "web"})
    secret = made["secret"]
    assert secret.startswith("tg-")
    assert len(secret) >= len("tg-") + 32
    assert "secret" not in owner.ok("GET", "/keys/web")
    (entry,) = served.access().keys
    assert [each.sha256 for each in entry.digests] == [digest(secret)]
    assert secret.encode() not in (served.directory / "access.json").read_bytes()


def test_gateways_know_a_change_when_it_is_answered(served: Served, owner: Client) -> None:
    before = served.access().version
    owner.ok("POST", "/keys", {"name": "web", "models": ["assistant"], "priority": "batch"})
    owner.ok("POST", "/keys/web/block")
    access = served.access()
    assert access.version == before + 2
    assert access.keys[0].blocked
    assert access.keys[0].models == ("assistant",)
    owner.ok("POST", "/keys/web/unblock")
    assert not served.access().keys[0].blocked
    owner.ok("DELETE", "/keys/web")
    assert served.access().keys == ()


def test_old_secret_stays_good_for_the_overlap(served: Served, owner: Client) -> None:
    old = owner.ok("POST", "/keys", {"name": "web"})["secret"]
    new = owner.ok("POST", "/keys/web/rotate", {"overlap_s": 3600})["secret"]
    fresh, ending = served.access().keys[0].digests
    assert (fresh.sha256, fresh.until_ns) == (digest(new), None)
    assert (ending.sha256, ending.until_ns) == (digest(old), served.clock.ns + 3600 * 10**9)
    last = owner.ok("POST", "/keys/web/rotate", {"overlap_s": 0})["secret"]
    assert [each.sha256 for each in served.access().keys[0].digests] == [digest(last)]


def test_owner_chain_is_resolved_for_the_gateways(served: Served, owner: Client) -> None:
    owner.ok("POST", "/organisations", {"name": "acme"})
    owner.ok("POST", "/teams", {"name": "product", "organisation": "acme", "weight": 3})
    owner.ok("POST", "/users", {"name": "ann@acme.example", "team": "product"})
    owner.ok("POST", "/keys", {"name": "web", "user": "ann@acme.example"})
    access = served.access()
    entry = access.keys[0]
    assert (entry.user, entry.team, entry.organisation) == ("ann@acme.example", "product", "acme")
    assert access.teams == {"ann@acme.example": "product"}
    assert access.organisations == {"product": "acme"}
    assert access.weights == {"product": 3}


def test_what_a_team_lets_be_kept_is_told_to_the_gateways(served: Served, owner: Client) -> None:
    made = owner.ok("POST", "/teams", {"name": "law", "records": {"bodies": "none", "share": 1}})
    assert made["records"] == {"bodies": "none", "share": 1.0, "max_body_bytes": None}
    assert served.access().records == {"law": TeamRecords("none", 1.0)}
    changed = owner.ok("PATCH", "/teams/law", {"records": {"max_body_bytes": 10, "share": None}})
    assert changed["records"] == {"bodies": "none", "share": None, "max_body_bytes": 10}
    owner.ok("PATCH", "/teams/law", {"weight": 2})
    assert owner.ok("GET", "/teams/law")["records"] == changed["records"]
    trail = owner.ok("GET", "/audit?action=team.change")["items"]
    assert [each["after"]["records"]["max_body_bytes"] for each in trail] == [10, 10]
    owner.ok("PATCH", "/teams/law", {"records": None})
    assert served.access().records == {}
    for wrong in ({"bodies": "some"}, {"share": 1.5}, {"max_body_bytes": 0}, {"body": "none"}):
        assert owner("PATCH", "/teams/law", {"records": wrong}).status == 422


def test_people_of_the_configuration_may_own_what_the_api_makes(
    served: Served, owner: Client
) -> None:
    owner.ok("POST", "/users", {"name": "ann", "team": "file-team"})
    owner.ok("POST", "/teams", {"name": "fresh", "organisation": "file-org"})
    owner.ok("POST", "/keys", {"name": "web", "user": "ann"})
    entry = served.access().keys[0]
    assert (entry.team, entry.organisation) == ("file-team", "file-org")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/keys", "from-file"), ("/teams", "file-team"), ("/organisations", "file-org")],
)
def test_names_of_the_configuration_are_taken(owner: Client, path: str, name: str) -> None:
    refused = owner("POST", path, {"name": name})
    assert (refused.status, refused.body["error"]["param"]) == (409, "name")


def test_name_that_is_taken_is_refused(owner: Client) -> None:
    for path in ("/keys", "/users", "/teams", "/organisations"):
        owner.ok("POST", path, {"name": "same"})
        assert owner("POST", path, {"name": "same"}).status == 409


def test_unknown_owner_is_refused_with_a_suggestion(owner: Client) -> None:
    owner.ok("POST", "/teams", {"name": "product"})
    refused = owner("POST", "/keys", {"name": "web", "team": "prodct"})
    assert refused.status == 409
    assert "`product`" in refused.body["error"]["message"]
    assert "tidegate teams create" in refused.body["error"]["remedy"]


def test_contradicting_owners_are_refused(owner: Client) -> None:
    owner.ok("POST", "/teams", {"name": "a"})
    owner.ok("POST", "/teams", {"name": "b"})
    owner.ok("POST", "/users", {"name": "ann", "team": "a"})
    assert owner("POST", "/keys", {"name": "web", "user": "ann", "team": "b"}).status == 409


def test_whoever_others_belong_to_cannot_be_deleted(owner: Client) -> None:
    owner.ok("POST", "/organisations", {"name": "acme"})
    owner.ok("POST", "/teams", {"name": "product", "organisation": "acme"})
    owner.ok("POST", "/users", {"name": "ann", "team": "product"})
    owner.ok("POST", "/keys", {"name": "web", "user": "ann"})
    for path in ("/organisations/acme", "/teams/product", "/users/ann"):
        assert owner("DELETE", path).status == 409
    for path in ("/keys/web", "/users/ann", "/teams/product", "/organisations/acme"):
        owner.ok("DELETE", path)


def test_what_is_not_named_in_a_change_stays(owner: Client) -> None:
    owner.ok("POST", "/keys", {"name": "web", "environment": "live", "models": ["a*"]})
    changed = owner.ok("PATCH", "/keys/web", {"models": None, "expires_at": "2030-01-31T12:00:00Z"})
    assert (changed["environment"], changed["models"]) == ("live", None)
    assert changed["expires_at"] == "2030-01-31T12:00:00Z"


def test_list_goes_on_where_the_page_before_ended(owner: Client) -> None:
    names = [f"key-{number:02}" for number in range(7)]
    for name in names:
        owner.ok("POST", "/keys", {"name": name})
    found: list[str] = []
    after = ""
    while True:
        page = owner.ok("GET", f"/keys?limit=3{after}")
        found += [each["name"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == names


def test_key_is_found_by_its_id_too(owner: Client) -> None:
    made = owner.ok("POST", "/keys", {"name": "web"})
    assert owner.ok("GET", f"/keys/{made['id']}")["name"] == "web"
    assert owner("GET", "/keys/other").status == 404


def test_gateways_are_told_that_there_were_keys(served: Served, owner: Client) -> None:
    assert not served.access().guarded
    owner.ok("POST", "/keys", {"name": "web"})
    owner.ok("DELETE", "/keys/web")
    assert served.access().guarded


def test_file_that_gateways_would_not_take_is_not_written(served: Served, owner: Client) -> None:
    owner.ok("POST", "/keys", {"name": "web"})
    file = served.directory / "other.json"
    small = Publisher(served.store.database, file, lambda: CONFIGURED, most_bytes=100)
    with pytest.raises(OSError, match="more than gateways take"):
        small.publish()
    assert not file.exists()


@pytest.mark.parametrize("damage", ["old", "cut", "gone"])
def test_file_for_the_gateways_is_put_right_again(
    served: Served, owner: Client, damage: str
) -> None:
    file = served.directory / "access.json"
    owner.ok("POST", "/keys", {"name": "web"})
    old = file.read_bytes()
    owner.ok("DELETE", "/keys/web")
    good = file.read_bytes()
    publisher = Publisher(served.store.database, file, lambda: CONFIGURED)
    publisher.publish()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(old if damage == "old" else good[:20])
    publisher.publish()
    assert file.read_bytes() == good
    before = file.stat().st_ino
    publisher.publish()
    assert file.stat().st_ino == before


def test_keys_are_found_by_a_part_of_name_user_or_team(owner: Client) -> None:
    owner.ok("POST", "/users", {"name": "ann@acme.example"})
    for key in ({"name": "web"}, {"name": "app", "team": "file-team"}, {"name": "50_x"}):
        owner.ok("POST", "/keys", key)
    owner.ok("POST", "/keys", {"name": "laptop", "user": "ann@acme.example"})

    def found(search: str) -> list[str]:
        return [each["name"] for each in owner.ok("GET", f"/keys?search={search}")["items"]]

    assert found("WEB") == ["web"]
    assert found("file") == ["app"]
    assert found("acme") == ["laptop"]
    assert found("_") == ["50_x"]
    assert found("%25") == []
