"""The form of a key: a new one, or what is different of one that is there."""

from __future__ import annotations

from collections.abc import Mapping
from secrets import token_urlsafe
from typing import Any, Final

from tidegate.console.page import Asked, View, Went
from tidegate.console.pages.keys.entry import page
from tidegate.console.refusals import Refusal
from tidegate.control.admin.shapes import Json

_OWNERS: Final = ("user", "team", "organisation")
_NAMEABLE: Final = ("user", "feature", "conversation", "tags")
_MOST_OFFERED: Final = 500


@page.get("/new", needs="keys:write")
def ask_new(asked: Asked) -> View:
    """An empty form."""
    return _form(asked, dict[str, str](), None)


@page.post("/new", needs="keys:write")
def make(asked: Asked) -> View:
    """Make the key; its secret is shown now, and never again."""
    try:
        made = asked.api("POST", "/keys", said(asked.form), once=asked.form.get("once"))
    except Refusal as refusal:
        return _form(asked, asked.form, None, refusal)
    return secret_of(made, "made")


@page.get("/key/{key}/change", needs="keys:write")
def ask_change(asked: Asked) -> View:
    """The form with what the key says now."""
    key = asked.api("GET", f"/keys/{asked.names['key']}")
    return _form(asked, fields_of(key), key)


@page.post("/key/{key}/change", needs="keys:write")
def change(asked: Asked) -> View | Went:
    """Change what is different."""
    key = asked.api("GET", f"/keys/{asked.names['key']}")
    shown = said(fields_of(key))
    wanted = {name: value for name, value in said(asked.form).items() if value != shown[name]}
    wanted.pop("name", None)
    if wanted:
        try:
            asked.api("PATCH", f"/keys/{key['id']}", wanted)
        except Refusal as refusal:
            return _form(asked, asked.form, key, refusal)
        asked.flash(f"The key {key['name']} is changed. Gateways know within two seconds.")
    return Went(f"{page.path}/key/{key['name']}")


def secret_of(made: Json, done: str) -> View:
    """The page that tells a secret, of a key that was just made or rotated."""
    return View("key-secret.html", {"key": made, "done": done}, f"The secret of {made['name']}")


def said(form: Mapping[str, str]) -> Json:
    """What the fields of the form ask of the admin API."""
    text = {name: value.strip() for name, value in form.items()}
    expires = text.get("expires_at")
    only = text.get("may_name") == "only"
    return {
        "name": text.get("name", ""),
        **{name: text.get(name) or None for name in (*_OWNERS, "environment")},
        "models": _list(text.get("models")),
        "features": _list(text.get("features")),
        "may_name": [each for each in _NAMEABLE if f"may_name_{each}" in text] if only else None,
        "priority": text.get("priority", "interactive"),
        "expires_at": f"{expires}Z" if expires else None,
    }


def fields_of(key: Json) -> dict[str, str]:
    """The fields of the form that say what the key is."""
    expires: str | None = key["expires_at"]
    fields = {name: key[name] or "" for name in (*_OWNERS, "environment", "name", "priority")}
    for name in ("models", "features"):
        fields[name] = "" if key[name] is None else ", ".join(key[name]) or _NONE
    fields["expires_at"] = "" if expires is None else expires.rstrip("Z").partition(".")[0]
    if key["may_name"] is not None:
        fields["may_name"] = "only"
        fields |= {f"may_name_{each}": "on" for each in key["may_name"]}
    return fields


_NONE: Final = "-"
"""What stands for a list that is there, and empty."""


def _list(text: str | None) -> list[str] | None:
    if not text:
        return None
    words = [word.strip() for word in text.replace("\n", ",").split(",")]
    return [word for word in words if word and word != _NONE]


def _form(
    asked: Asked, fields: Mapping[str, str], key: Json | None, refusal: Refusal | None = None
) -> View:
    configured = asked.back.settings.configured()
    offered: dict[str, list[str]] = {}
    for noun, filed in (
        ("user", configured.users),
        ("team", configured.teams),
        ("organisation", configured.organisations),
    ):
        there = asked.api("GET", f"/{noun}s", limit=_MOST_OFFERED)["items"]
        offered[noun] = sorted({*filed, *(each["name"] for each in there)})
    told: dict[str, Any] = {
        "fields": fields,
        "key": key,
        "refusal": refusal,
        "offered": offered,
        "nameable": _NAMEABLE,
        "aliases": sorted(configured.aliases),
        "once": token_urlsafe(16),
    }
    title = "A new key" if key is None else f"Change {key['name']}"
    return View("key-form.html", told, title, 200 if refusal is None else refusal.status)
