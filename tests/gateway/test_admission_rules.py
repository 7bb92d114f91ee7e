"""What rules of the configuration and of the admin API do to requests, through a whole gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from hashlib import sha256
from typing import Any

import pytest

from tidegate.guard.access import Access, Digest, KeyEntry
from tidegate.limits import Balance, Budget, Limits, Rate, Rule

from .accounts import asked, billed, chat, check_books, check_held_first, engine_of, post
from .conftest import Gateway, Open
from .scripted import Scripted, Step, scripted

CHAT = "/v1/chat/completions"
HELLO: Any = [{"role": "user", "content": "Hello"}]
PRICE = "price: {{input: $1/M, output: $2/M}}"
CONFIG = f"""
providers:
  sim: {{{{kind: openai, base_url: "{{sim}}", allow_private: true, passthrough: true}}}}
  other: {{{{kind: openai, base_url: "{{other}}", allow_private: true, passthrough: true}}}}
models:
  dear: {{{{targets: [{{{{provider: sim, model: sim-1, {PRICE}}}}}]}}}}
  cheap: {{{{targets: [{{{{provider: other, model: m-1, {PRICE}}}}}]}}}}
  gone: {{{{targets: [{{{{provider: sim, model: "sim-1+status:500", {PRICE}}}}}], fallback: [cheap],
    retry: {{{{attempts: 1}}}}, breaker: null}}}}
  full: {{{{targets: [{{{{provider: sim, model: sim-1, {PRICE}}}}}], fallback: [cheap]}}}}
  unpriced: {{{{targets: [{{{{provider: sim, model: nobody-knows}}}}]}}}}
  half:
    targets: [{{{{provider: sim, model: nobody-knows}}}}]
    fallback: [cheap]
keys:
  - {{{{name: web, secret: key-of-web, team: product, environment: production}}}}
  - {{{{name: free, secret: key-of-free}}}}
  - {{{{name: narrow, secret: key-of-narrow, features: [search, chat], may_name: [feature]}}}}
  - {{{{name: fixed, secret: key-of-fixed, user: bob, features: [only], environment: test}}}}
"""
TEAM = """
teams: {{product: {{budget: {{usd: %s, soft: 50%%, period: total%s}}}}}}
"""


@pytest.fixture
async def other() -> AsyncGenerator[Scripted]:
    async with scripted() as running:
        yield running


def spend(gateway: Gateway, kind: Any, name: str, nanousd: int) -> None:
    """Let a budget of `total` begin with what was spent before."""
    engine_of(gateway).restore([Balance(kind, name, "total", "UTC", 0, nanousd)])


def limit(kind: Any, name: str | None = None, **limits: Any) -> Access:
    return Access(rules=(Rule(kind, Limits(**limits), name),))


async def test_past_the_soft_cap_the_cheaper_alias_is_asked(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (0.1, ", downgrade: cheap"), other=other.url)
    assert (await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})).status == 200
    pot = next(g for g in engine_of(gateway).gauges() if g.scope[0] == "team").purses[0].pot
    pot.settled += 60_000_000
    for number in (2, 3):
        told = await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
        assert told.status == 200
        assert told.headers["x-tidegate-downgraded"] == "cheap"
        record = await gateway.record(number)
        assert (record.alias, record.downgraded, record.provider) == ("cheap", "dear", "other")
    same = await asked(gateway, CHAT, {"model": "cheap", "messages": HELLO})
    assert "x-tidegate-downgraded" not in same.headers
    embedded = await asked(gateway, "/v1/embeddings", {"model": "dear", "input": "a"})
    assert "x-tidegate-downgraded" not in embedded.headers
    assert gateway.records()[-1].provider == "sim"
    pot.settled -= 60_000_000
    check_books(gateway)


async def test_a_cheaper_alias_that_is_gone_is_not_asked(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG, other=other.url)
    budget = Budget(10**9, "total", soft=0.0, downgrade="nowhere")
    gateway.live.adopt(limit("team", "product", budgets=(budget,)))
    spend(gateway, "team", "product", 5)
    told = await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
    assert (told.status, (await gateway.record()).downgraded) == (200, None)


async def test_what_has_no_price_is_not_asked_under_a_budget(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (10, ""), other=other.url)
    told = await asked(gateway, CHAT, {"model": "unpriced", "messages": HELLO})
    assert (told.status, told.body["error"]["code"]) == (403, "price_unknown")
    assert told.headers["x-should-retry"] == "false"
    assert gateway.sim.stats.requests == 0
    told = await asked(gateway, CHAT, {"model": "half", "messages": HELLO})
    assert (told.status, gateway.sim.stats.requests, other.calls) == (200, 0, 1)
    check_books(gateway)


async def test_the_first_provider_is_the_first_that_is_asked(
    open_gateway: Open, other: Scripted
) -> None:
    limits = "limits: [{{scope: provider, limits: {{requests_per_minute: 1}}}}]\n"
    gateway = await open_gateway(CONFIG + TEAM % (10, "") + limits, other=other.url)
    await asked(gateway, CHAT, {"model": "half", "messages": HELLO})
    told = await asked(gateway, CHAT, {"model": "half", "messages": HELLO})
    assert (told.status, gateway.records()[-1].limit) == (429, "provider other requests_per_minute")
    assert (await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})).status == 200
    check_books(gateway)


async def test_what_has_no_price_may_be_allowed(open_gateway: Open, other: Scripted) -> None:
    allowed = "ledger: {{unpriced: allow}}\n"
    gateway = await open_gateway(CONFIG + TEAM % (0.001, "") + allowed, other=other.url)
    body = {"model": "unpriced", "messages": HELLO}
    assert (await asked(gateway, CHAT, body)).status == 200
    assert gateway.records()[0].cost_nanousd is None
    next(iter(engine_of(gateway).gauges())).purses[0].pot.settled = 1_000_000
    assert (await asked(gateway, CHAT, body)).body["error"]["code"] == "budget_exceeded"


async def test_an_answer_that_nobody_bounds_is_bounded_under_a_budget(
    open_gateway: Open, other: Scripted
) -> None:
    bounded = "ledger: {{output_tokens: 77}}\n"
    gateway = await open_gateway(CONFIG + TEAM % (10, "") + bounded, other=other.url)
    cases: list[tuple[Any, list[int]]] = [
        ({}, [77]),
        ({"max_tokens": 9}, [9]),
        ({"max_completion_tokens": 9}, [9]),
        ({"authorization": "Bearer key-of-free"}, []),
    ]
    for said, sent in cases:
        body: Any = {"model": "cheap", "messages": HELLO}
        if "authorization" in said:
            await asked(gateway, CHAT, body, **said)
        else:
            await asked(gateway, CHAT, body | said)
        assert [v for k, v in other.bodies[-1].items() if k.startswith("max_")] == sent
    assert [bool(r.held_nanousd) for r in gateway.records()] == [True, True, True, False]


async def test_a_provider_that_is_full_is_passed_over_for_the_next_target(
    open_gateway: Open, other: Scripted
) -> None:
    limits = "limits: [{{scope: provider, name: sim, limits: {{requests_per_minute: 2}}}}]\n"
    gateway = await open_gateway(CONFIG + limits, other=other.url)
    for _ in range(4):
        assert (await asked(gateway, CHAT, {"model": "full", "messages": HELLO})).status == 200
    assert [r.provider for r in gateway.records()] == ["sim", "sim", "other", "other"]
    told = await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
    assert (told.status, gateway.records()[-1].limit) == (429, "provider sim requests_per_minute")
    check_books(gateway)


async def test_a_fallback_is_held_on_its_own_providers_budget_too(
    open_gateway: Open, other: Scripted
) -> None:
    limits = (
        "limits: [{{scope: provider, name: other, budget: {{usd: 0.0059, period: total}}}}]\n"
        "ledger: {{output_tokens: 100}}\n"
    )
    gateway = await open_gateway(CONFIG + limits, other=other.url)
    assert (await asked(gateway, CHAT, {"model": "gone", "messages": HELLO})).status == 200
    record = await gateway.record()
    assert (record.provider, record.cost_nanousd) == ("other", 7_000)
    assert record.held_nanousd
    check_books(gateway)
    check_held_first(gateway)
    gauge = next(g for g in engine_of(gateway).gauges() if g.scope == ("provider", "other"))
    gauge.purses[0].pot.settled += 5_500_000
    told = await asked(gateway, CHAT, {"model": "gone", "messages": HELLO})
    assert told.status == 502  # the first failure is told; no second try was let through
    assert [tried.outcome for tried in gateway.records()[-1].attempts] == [
        "upstream_failed",
        "budget_exceeded",
    ]
    assert other.calls == 1


async def test_a_conversation_may_make_so_many_steps(open_gateway: Open, other: Scripted) -> None:
    limits = "limits: [{{scope: conversation, limits: {{steps: 2}}}}]\n"
    gateway = await open_gateway(CONFIG + limits, other=other.url)
    body = {"model": "dear", "messages": HELLO}
    codes = [(await asked(gateway, CHAT, body)).status for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = gateway.records()[-1]
    assert (refused.outcome, refused.limit) == (
        "conversation_limit_exceeded",
        "conversation c-1 steps",
    )
    assert (await asked(gateway, CHAT, body, x_tidegate_conversation="c-2")).status == 200


async def test_a_record_says_for_whom_and_what_it_was(open_gateway: Open, other: Scripted) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (10, ""), other=other.url)
    await asked(gateway, CHAT, {"model": "dear", "messages": HELLO}, x_tidegate_tags="run=7,x=y")
    for record in gateway.spooled():
        assert (record.key, record.team, record.environment) == ("web", "product", "production")
        assert (record.user, record.feature, record.conversation) == ("ada", "search", "c-1")
        assert record.tags == {"run": "7", "x": "y"}
    assert len(gateway.spooled()) == 2


async def test_a_key_is_for_its_features_only(open_gateway: Open, other: Scripted) -> None:
    gateway = await open_gateway(CONFIG, other=other.url)

    async def of(secret: str, **headers: str) -> Any:
        body = json.dumps({"model": "dear", "messages": HELLO}).encode()
        lines = {"authorization": f"Bearer {secret}", **headers, "connection": "close"}
        head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
        sent = f"POST {CHAT} HTTP/1.1\r\nhost: g\r\n{head}content-length: {len(body)}\r\n\r\n"
        return int((await gateway.raw(sent.encode() + body)).split()[1]), gateway.records()[-1]

    assert (await of("key-of-narrow"))[0] == 403
    assert (await of("key-of-narrow", x_tidegate_feature="billing"))[0] == 403
    assert (await of("key-of-narrow", x_tidegate_feature="chat"))[1].feature == "chat"
    assert (await of("key-of-narrow", x_tidegate_feature="chat", x_tidegate_user="eve"))[0] == 403
    status, record = await of("key-of-fixed")
    assert (status, record.user, record.feature, record.environment) == (200, "bob", "only", "test")


async def test_keys_and_limits_change_while_it_runs(open_gateway: Open, other: Scripted) -> None:
    gateway = await open_gateway(CONFIG, other=other.url)
    digest = Digest(sha256(b"key-of-new").hexdigest())
    body = {"model": "dear", "messages": HELLO}
    bearer = "Bearer key-of-new"
    assert (await asked(gateway, CHAT, body, authorization=bearer)).status == 401
    key = KeyEntry("k-1", "new", (digest,), team="product")
    gateway.live.adopt(Access(1, (key,)))
    assert (await asked(gateway, CHAT, body, authorization=bearer)).status == 200

    rule = Rule("key", Limits(requests=(Rate(1, 60),)), "new")
    gateway.live.adopt(Access(2, (key,), (rule,)))
    codes = [(await asked(gateway, CHAT, body, authorization=bearer)).status for _ in range(2)]
    assert codes == [200, 429]

    blocked = KeyEntry("k-1", "new", (digest,), blocked=True)
    gateway.live.adopt(Access(3, (blocked,), (rule,)))
    assert (await asked(gateway, CHAT, body, authorization=bearer)).status == 403
    gateway.live.adopt(Access(4))
    assert (await asked(gateway, CHAT, body, authorization=bearer)).status == 401
    assert (await asked(gateway, CHAT, body)).status == 200
    check_books(gateway)


async def test_a_new_budget_refuses_until_its_balance_is_known(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG, other=other.url)
    gateway.live.adopt(limit("key", "web", budgets=(Budget(10**9, "total"),)))
    told = await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
    assert (told.status, told.body["error"]["code"]) == (503, "limits_unavailable")
    assert "retry-after" in told.headers
    assert gateway.sim.stats.requests == 0
    spend(gateway, "key", "web", 999_999_999)
    told = await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
    assert (told.status, told.body["error"]["code"]) == (429, "budget_exceeded")
    assert engine_of(gateway).running == 0


async def test_a_reload_keeps_counts_and_balances(open_gateway: Open, other: Scripted) -> None:
    limits = "limits: [{{scope: user, limits: {{requests_per_minute: 3}}}}]\n"
    gateway = await open_gateway(CONFIG + TEAM % (10, "") + limits, other=other.url)
    await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})
    before = billed(gateway)
    gateway.config.write_text(gateway.config.read_text() + "\n# again\n")
    assert await gateway.live.reload()
    pot = next(g for g in engine_of(gateway).gauges() if g.scope[0] == "team").purses[0].pot
    assert pot.settled == before > 0
    codes = [
        (await asked(gateway, CHAT, {"model": "dear", "messages": HELLO})).status for _ in range(3)
    ]
    assert codes == [200, 200, 429]
    check_books(gateway)


async def test_what_is_handed_on_is_limited_too(open_gateway: Open, other: Scripted) -> None:
    limits = "limits: [{{scope: user, limits: {{requests_per_minute: 1}}}}]\n"
    gateway = await open_gateway(CONFIG + limits, other=other.url)
    path, body = "/passthrough/sim/chat/completions", {"model": "sim-1", "messages": HELLO}
    assert [(await asked(gateway, path, body)).status for _ in range(2)] == [200, 429]
    assert gateway.records()[-1].limit == "user ada requests_per_minute"
    assert len(gateway.spooled()) == 2
    check_books(gateway)


async def test_what_is_handed_on_has_no_bound_and_is_refused_under_a_budget(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (10, ""), other=other.url)
    path, body = "/passthrough/sim/chat/completions", {"model": "sim-1", "messages": HELLO}
    assert (await asked(gateway, path, body)).body["error"]["code"] == "price_unknown"
    assert gateway.sim.stats.requests == 0


async def test_what_is_handed_on_may_be_allowed_until_the_budget_is_used_up(
    open_gateway: Open, other: Scripted
) -> None:
    allowed = "ledger: {{unpriced: allow}}\n"
    gateway = await open_gateway(CONFIG + TEAM % ('"0.00001"', "") + allowed, other=other.url)
    path, body = "/passthrough/sim/chat/completions", {"model": "sim-1", "messages": HELLO}
    assert (await asked(gateway, path, body)).status == 200
    assert gateway.records()[0].cost_nanousd == billed(gateway) > 10_000
    assert (await asked(gateway, path, body)).body["error"]["code"] == "budget_exceeded"
    assert gateway.sim.stats.requests == 1


async def test_an_answer_in_the_background_cannot_be_held(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (10, ""), other=other.url)
    body = {"model": "dear", "input": "Hello", "background": True}
    told = await asked(gateway, "/v1/responses", body)
    assert (told.status, told.body["error"]["code"]) == (403, "price_unknown")
    assert told.body["error"]["param"] == "background"


async def test_tools_with_a_fee_that_nobody_counts_are_not_let_through_under_a_budget(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG + TEAM % (10, ""), other=other.url)
    body: dict[str, Any] = {"model": "dear", "messages": HELLO, "web_search_options": {}}
    told = await asked(gateway, CHAT, body)
    assert (told.status, told.body["error"]["code"]) == (403, "price_unknown")
    assert told.body["error"]["param"] == "tools"
    assert gateway.sim.stats.requests == 0


async def test_tools_with_a_fee_may_be_allowed(open_gateway: Open, other: Scripted) -> None:
    allowed = "ledger: {{unpriced: allow}}\n"
    gateway = await open_gateway(CONFIG + TEAM % (1000, "") + allowed, other=other.url)
    body: dict[str, Any] = {"model": "dear", "messages": HELLO, "web_search_options": {}}
    assert (await asked(gateway, CHAT, body)).status == 200


async def test_a_malformed_answer_is_charged_and_its_repair_too(
    open_gateway: Open, other: Scripted
) -> None:
    repairing = CONFIG.replace(
        "  cheap:", "  mend:\n    targets: [{{provider: other, model: m-1, " + PRICE
        + "}}]\n    on_malformed: {{repairs: 1}}\n  cheap:",
    )  # fmt: skip
    gateway = await open_gateway(repairing + TEAM % (10, ""), other=other.url)
    other.steps += [Step(text="no JSON"), Step(text="{}")]
    form = {"type": "json_object"}
    told = await asked(gateway, CHAT, {"model": "mend", "messages": HELLO, "response_format": form})
    assert told.status == 200
    record = await gateway.record()
    assert [tried.cost_nanousd for tried in record.attempts] == [7_000, None]
    assert record.cost_nanousd == 14_000
    check_books(gateway)
    check_held_first(gateway)


async def test_nothing_is_kept_of_limits_where_there_are_none(
    open_gateway: Open, other: Scripted
) -> None:
    gateway = await open_gateway(CONFIG, other=other.url)
    await gateway.raw(chat("dear"))
    await gateway.raw(post("/v1/embeddings", {"model": "dear", "input": "a"}))
    assert not gateway.live.house.rooms.desk.limits
    assert list(engine_of(gateway).gauges()) == []
    assert len(gateway.spooled()) == 2
