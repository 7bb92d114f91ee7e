"""Limits and prices through the admin API."""

import pytest
from admin_serving import Client, Served

from tidegate.limits import Budget, Limits, Rate, Rule

RULE = {
    "limits": {"requests_per_minute": 600, "tokens_per_day": 10**9, "concurrency": 50},
    "budgets": [
        {"amount": {"usd": "500.50"}, "timezone": "Europe/Berlin", "downgrade": "cheap"},
        {"amount": {"nanousd": 7}, "period": "day", "soft_percent": 50},
    ],
}


def test_rule_reaches_the_gateways_as_it_was_set(served: Served, owner: Client) -> None:
    told = owner.ok("PUT", "/limits/team/product", RULE)
    budgets = (
        Budget(500_500_000_000, "month", "Europe/Berlin", 0.8, "cheap"),
        Budget(7, "day", "UTC", 0.5),
    )
    limits = Limits((Rate(600, 60),), (Rate(10**9, 86_400),), 50, budgets)
    assert served.access().rules == (Rule("team", limits, "product"),)
    assert told["budgets"][0]["amount"] == {"usd": "500.50", "nanousd": 500_500_000_000}
    assert told["budgets"][1]["amount"] == {"usd": "0.000000007", "nanousd": 7}
    assert told["limits"]["tokens_per_minute"] is None


def test_star_is_a_rule_for_each_of_a_kind(served: Served, owner: Client) -> None:
    owner.ok("PUT", "/limits/user/*", {"limits": {"concurrency": 2}})
    assert served.access().rules == (Rule("user", Limits(concurrency=2)),)
    assert owner.ok("GET", "/limits/user/*")["name"] == "*"


def test_rule_takes_the_place_of_the_one_before(served: Served, owner: Client) -> None:
    owner.ok("PUT", "/limits/feature/vendor/model-1", RULE)
    owner.ok("PUT", "/limits/feature/vendor/model-1", {"limits": {"steps": 3}})
    assert served.access().rules == (Rule("feature", Limits(steps=3), "vendor/model-1"),)
    owner.ok("DELETE", "/limits/feature/vendor/model-1")
    assert served.access().rules == ()
    assert owner("DELETE", "/limits/feature/vendor/model-1").status == 404


def test_limit_on_an_alias_that_is_not_there_is_refused(owner: Client) -> None:
    refused = owner("PUT", "/limits/alias/chep", {"limits": {"steps": 3}})
    assert (refused.status, refused.body["error"]["param"]) == (409, "name")
    assert "`cheap`" in refused.body["error"]["message"]
    owner.ok("PUT", "/limits/alias/*", {"limits": {"steps": 3}})


@pytest.mark.parametrize(
    ("budget", "status", "param"),
    [
        ({"amount": {"usd": "1"}, "timezone": "Mars/Base"}, 422, "budgets.0.timezone"),
        ({"amount": {"usd": "1"}, "downgrade": "chep"}, 409, "budgets.0.downgrade"),
        ({"amount": {"usd": "1", "nanousd": 1}}, 422, "budgets.0.amount"),
        ({"amount": {}}, 422, "budgets.0.amount"),
        ({"amount": {"usd": "-1"}}, 422, "budgets.0.amount.usd"),
        ({"amount": {"usd": 1.5}}, 422, "budgets.0.amount.usd"),
        ({"amount": {"nanousd": 1.5}}, 422, "budgets.0.amount.nanousd"),
        ({"amount": {"nanousd": 9_000_000 * 10**9 + 1}}, 422, "budgets.0.amount.nanousd"),
        ({"amount": {"usd": "1"}, "sooft": 1}, 422, "budgets.0.sooft"),
    ],
)
def test_wrong_budget_is_refused(
    owner: Client, budget: dict[str, object], status: int, param: str
) -> None:
    refused = owner("PUT", "/limits/team/product", {"budgets": [budget]})
    assert (refused.status, refused.body["error"]["param"]) == (status, param)


def test_two_budgets_of_one_period_are_refused(owner: Client) -> None:
    twice = [{"amount": {"usd": "1"}}, {"amount": {"usd": "2"}}]
    assert owner("PUT", "/limits/team/product", {"budgets": twice}).status == 409


def test_list_of_limits_goes_on_and_narrows(owner: Client) -> None:
    for place in ("team/b", "team/a", "user/*", "key/k", "feature/x/y"):
        owner.ok("PUT", f"/limits/{place}", {"limits": {"concurrency": 1}})
    found: list[str] = []
    page = owner.ok("GET", "/limits?limit=2")
    while True:
        found += [f"{each['kind']}/{each['name']}" for each in page["items"]]
        if page["next"] is None:
            break
        page = owner.ok("GET", f"/limits?limit=2&after={page['next']}")
    assert found == ["feature/x/y", "key/k", "team/a", "team/b", "user/*"]
    assert len(owner.ok("GET", "/limits?kind=team")["items"]) == 2


def test_price_holds_from_its_time_on(served: Served, owner: Client) -> None:
    price = {
        "provider": "openai", "model": "gpt-5", "starts_at": "2026-12-01T00:00:00+01:00",
        "input": {"usd": "0.15"}, "output": {"usd": "0.60"}, "reasoning": {"usd": "0"},
    }  # fmt: skip
    told = owner.ok("POST", "/prices", price)
    assert told["starts_at"] == "2026-11-30T23:00:00Z"
    assert (told["reasoning"]["nanousd"], told["cached_input"]) == (0, None)
    (entry,) = served.access().prices
    assert (entry.input_nanousd, entry.output_nanousd) == (150_000_000, 600_000_000)
    assert (entry.reasoning_nanousd, entry.cached_input_nanousd) == (0, None)
    assert owner("POST", "/prices", price).status == 409
    where = "/prices?provider=openai&model=gpt-5&starts_at=2026-11-30T23:00:00Z"
    owner.ok("DELETE", where)
    assert served.access().prices == ()
    assert owner("DELETE", where).status == 404


def test_limits_are_found_by_a_part_of_their_name(owner: Client) -> None:
    for name in ("search", "research", "growth", "*"):
        owner.ok("PUT", f"/limits/team/{name}", {"limits": {"concurrency": 1}})
    found = owner.ok("GET", "/limits?search=SEARCH")["items"]
    assert [each["name"] for each in found] == ["research", "search"]
