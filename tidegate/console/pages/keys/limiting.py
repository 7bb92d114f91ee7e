"""Limits and budgets: the list with what is used, and the form that sets those of one scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tidegate.console.page import Asked, View, Went
from tidegate.console.pages.keys.entry import page
from tidegate.console.pages.keys.gauges import Ruled, Usage, filed_rule, gauges_of, stored_rule
from tidegate.console.pages.keys.teams import bounds
from tidegate.console.refusals import Refusal
from tidegate.control.admin.limits import EACH
from tidegate.control.admin.shapes import Json
from tidegate.limits import KINDS

_SHOWN: Final = 50
_MOST_BUDGETS: Final = 8
_MOST_DIGITS: Final = 18
RATES: Final = (
    "requests_per_minute", "requests_per_hour", "requests_per_day",
    "tokens_per_minute", "tokens_per_hour", "tokens_per_day", "concurrency", "steps",
)  # fmt: skip
_BUDGET: Final = ("amount", "period", "timezone", "soft_percent", "downgrade")


@page.get("/limits", needs="limits:read")
def show(asked: Asked) -> View:
    """Limits of the configuration file first, then those of the store by kind and name."""
    query = asked.query
    kind, search, after = (query.get(name) for name in ("kind", "search", "after"))
    found = asked.api("GET", "/limits", limit=_SHOWN, after=after, kind=kind, search=search)
    usage = Usage(asked)
    rules = [_ruled(rule, usage, filed=False) for rule in found["items"]]
    if after is None:
        wanted = (search or "").casefold()
        filed = [
            rule
            for rule in asked.back.settings.configured().rules
            if kind in (None, rule.kind) and wanted in (rule.name or "").casefold()
        ]
        rules = [*(_ruled(filed_rule(rule), usage, filed=True) for rule in filed), *rules]
    told = {
        "rules": rules,
        "next": found["next"],
        "kinds": KINDS,
        "narrowed": bool(kind or search),
        "each": EACH,
        "kept": bounds(asked) if any(rule.kind == "team" for rule in rules) else {},
    }
    return View("limits.html", told)


@page.post("/limits", needs="limits:write")
def remove(asked: Asked) -> Went:
    """Remove the limits of a scope."""
    kind, name = asked.form.get("kind", ""), asked.form.get("name", "")
    asked.api("DELETE", f"/limits/{kind}/{name}")
    asked.flash(f"The limits of {_scope(kind, name)} are removed.")
    return Went(f"{page.path}/limits")


@page.get("/limits/set", needs="limits:write")
def ask_limits(asked: Asked) -> View:
    """The form, with what is set for the scope that the URL names."""
    kind, name = asked.query.get("kind", ""), asked.query.get("name", "")
    there = stored_rule(asked, kind, name) if kind in KINDS and name else None
    fields = {"kind": kind, "name": name} | ({} if there is None else fields_of(there))
    return _form(asked, fields, known=there is not None)


@page.post("/limits/set", needs="limits:write")
def set_limits(asked: Asked) -> View | Went:
    """Set them, in the place of those that were."""
    form = asked.form
    kind, name = form.get("kind", ""), form.get("name", "").strip()
    try:
        asked.api("PUT", f"/limits/{kind}/{name}", said(form))
    except Refusal as refusal:
        return _form(asked, form, known="known" in form, refusal=refusal)
    asked.flash(f"The limits of {_scope(kind, name)} are set. Gateways know within two seconds.")
    return Went(f"{page.path}/limits")


def said(form: Mapping[str, str]) -> Json:
    """What the fields of the form ask of the admin API."""
    budgets: list[Json] = []
    for number in range(_MOST_BUDGETS):
        own = {name: form.get(f"budget{number}_{name}", "").strip() for name in _BUDGET}
        if own["amount"]:
            budgets.append(
                {
                    "amount": {"usd": own["amount"].lstrip("$").replace(",", "")},
                    "period": own["period"] or "month",
                    "timezone": own["timezone"] or "UTC",
                    "soft_percent": _number(own["soft_percent"] or "80"),
                    "downgrade": own["downgrade"] or None,
                }
            )
    rates = {name: _number(form[name].strip()) for name in RATES if form.get(name, "").strip()}
    return {"limits": rates, "budgets": budgets}


def fields_of(rule: Json) -> dict[str, str]:
    """The fields of the form that say what the rule does."""
    fields = {name: str(rule["limits"][name]) for name in RATES if rule["limits"][name] is not None}
    for number, budget in enumerate(rule["budgets"]):
        own = {**budget, "amount": budget["amount"]["usd"], "downgrade": budget["downgrade"] or ""}
        fields |= {f"budget{number}_{name}": str(own[name]) for name in _BUDGET}
    return fields


def _number(text: str) -> int | str:
    # What is no number goes on as it is: the admin API says what is wrong with it.
    plain = text.replace(",", "")
    whole = plain.isascii() and plain.isdigit() and len(plain) <= _MOST_DIGITS
    return int(plain) if whole else text


def _form(
    asked: Asked, fields: Mapping[str, str], *, known: bool, refusal: Refusal | None = None
) -> View:
    used = [number for number in range(_MOST_BUDGETS) if fields.get(f"budget{number}_amount", "")]
    told: dict[str, Any] = {
        "fields": fields,
        "known": known,
        "refusal": refusal,
        "kinds": [(kind, kind) for kind in KINDS],
        "budgets": range(min(_MOST_BUDGETS, max(used, default=-1) + 2)),
        "aliases": sorted(asked.back.settings.configured().aliases),
        "each": EACH,
    }
    scope = _scope(fields.get("kind", ""), fields.get("name", ""))
    title = f"Limits of {scope}" if known else "Set limits"
    return View("limits-form.html", told, title, 200 if refusal is None else refusal.status)


def _ruled(rule: Json, usage: Usage, *, filed: bool) -> Ruled:
    return Ruled(rule["kind"], rule["name"], filed=filed, gauges=gauges_of(rule, usage))


def _scope(kind: str, name: str) -> str:
    return f"each {kind}" if name == EACH else f"the {kind} {name}"
