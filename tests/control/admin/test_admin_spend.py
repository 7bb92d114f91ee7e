"""What was spent, and how budgets stand, as the admin API tells it."""

import pytest
from admin_serving import CONFIGURED, Client, Served
from store.storing import put, row

NOW_NS = 1_790_000_000 * 10**9  # 2026-09-21T14:13:20Z, a Monday
HOUR_NS = 3_600 * 10**9


@pytest.fixture
def spent(served: Served) -> Client:
    def request(number: int, hours_ago: int, nanousd: int, team: str, user: str) -> object:
        return row(
            number, started_ns=NOW_NS - hours_ago * HOUR_NS, cost_nanousd=nanousd, team=team,
            user=user, tokens=(10, 0, 0, 5, 0, 0, 0),
        )  # fmt: skip

    put(
        served.store,
        request(1, 1, 3 * 10**9, "product", "ann"),  # pyright: ignore[reportArgumentType]
        request(2, 2, 5, "product", "bob"),  # pyright: ignore[reportArgumentType]
        request(3, 30, 10**9, "sales", "cid"),  # pyright: ignore[reportArgumentType]
    )
    return served.owner


def test_spending_is_told_in_exact_money_dearest_first(spent: Client) -> None:
    told = spent.ok("GET", "/spend?by=team")
    assert [(each["name"], each["cost"], each["requests"]) for each in told["items"]] == [
        ("product", {"usd": "3.000000005", "nanousd": 3_000_000_005}, 2),
        ("sales", {"usd": "1.00", "nanousd": 10**9}, 1),
    ]
    assert told["total"]["cost"]["nanousd"] == 4_000_000_005
    assert told["total"]["input_tokens"] == 30


def test_spending_is_narrowed_by_time_and_filters(spent: Client) -> None:
    day = spent.ok("GET", "/spend?by=user&since=2026-09-21T00:00:00Z&team=product")
    assert [each["name"] for each in day["items"]] == ["ann", "bob"]
    days = spent.ok("GET", "/spend?by=day")
    assert [each["name"] for each in days["items"]] == ["2026-09-20", "2026-09-21"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("by=planet", 422),
        ("tem=product", 422),
        ("since=2026-09-21T00:00:00Z&until=2026-09-20T00:00:00Z", 422),
        ("top=0", 422),
    ],
)
def test_wrong_question_is_refused(owner: Client, query: str, status: int) -> None:
    assert owner("GET", f"/spend?{query}").status == status


def test_budget_tells_what_is_spent_and_left_in_its_period(spent: Client) -> None:
    spent.ok(
        "PUT",
        "/limits/team/product",
        {
            "budgets": [
                {"amount": {"usd": "3.5"}, "period": "day"},
                {"amount": {"nanousd": 3}, "period": "total"},
            ]
        },
    )
    full, day = spent.ok("GET", "/budgets")["items"]
    assert (full["state"], full["left"]["nanousd"], full["ends_at"]) == ("spent", 0, None)
    assert (day["state"], day["spent"]["nanousd"], day["left"]["nanousd"]) == (
        "soft", 3_000_000_005, 499_999_995,
    )  # fmt: skip
    assert (day["begins_at"], day["ends_at"]) == ("2026-09-21T00:00:00Z", "2026-09-22T00:00:00Z")
    assert (day["spent_percent"], day["source"]) == (85, "admin")


def test_budget_for_each_shows_whoever_spent_and_has_none_of_their_own(spent: Client) -> None:
    each = {"budgets": [{"amount": {"usd": "10"}, "period": "week"}]}
    spent.ok("PUT", "/limits/user/*", each)
    spent.ok("PUT", "/limits/user/ann", {"budgets": [{"amount": {"usd": "100"}}]})
    told = spent.ok("GET", "/budgets?kind=user")
    assert [(each["name"], each["amount"]["usd"]) for each in told["items"]] == [
        ("ann", "100.00"), ("bob", "10.00"),
    ]  # fmt: skip
    assert spent.ok("GET", "/budgets?kind=user&name=bob")["items"][0]["spent"]["nanousd"] == 5
    assert spent.ok("GET", "/budgets?limit=1")["more"]


def test_aliases_tell_where_they_lead_and_whether_prices_are_known(owner: Client) -> None:
    told = owner.ok("GET", "/aliases")["items"]
    assert [(each["name"], each["priced"]) for each in told] == [
        ("assistant", True), ("cheap", False),
    ]  # fmt: skip
    assert told[0]["targets"][0]["name"] == CONFIGURED.aliases["assistant"][0].name


def test_price_that_was_set_makes_an_alias_priced(served: Served, owner: Client) -> None:
    amounts = {"input": {"usd": "1"}, "output": {"usd": "2"}}
    later = {"provider": "local", "model": "smol", "starts_at": "2026-12-01T00:00:00Z"}
    owner.ok("POST", "/prices", {**later, **amounts})
    assert [each["priced"] for each in owner.ok("GET", "/aliases")["items"]] == [True, False]
    served.clock.turn(90 * 86_400)
    assert [each["priced"] for each in owner.ok("GET", "/aliases")["items"]] == [True, True]


def test_targets_are_those_of_the_boards(owner: Client) -> None:
    assert owner.ok("GET", "/targets") == {"gateways": [], "targets": [], "parts": [], "lanes": []}
