"""Lists of models, as each vendor writes them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.providers.simulated.gemini.vendor import GEMINI
from tidegate.providers.simulated.reply import Reply, Request
from tidegate.providers.simulated.vendor import Vendor

_CREATED_S = 1_700_000_000


def list_models(names: Sequence[str], wanted: str, vendor: Vendor, request: Request) -> Reply:
    """All `names`, or the one that is `wanted`. Refusal (404) when it is not among them."""
    if wanted and wanted not in names:
        raise vendor.refusal("unknown-model", model=wanted)
    if vendor is GEMINI:
        return _gemini(names, wanted)
    if any(name == b"anthropic-version" for name, _ in request.headers):
        return _anthropic(names, wanted)
    found = [
        {"id": name, "object": "model", "created": _CREATED_S, "owned_by": "tidegate"}
        for name in names
        if wanted in ("", name)
    ]
    return _json(found[0] if wanted else {"object": "list", "data": found})


def _anthropic(names: Sequence[str], wanted: str) -> Reply:
    found = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2023-11-14T22:13:20Z"}
        for name in names
        if wanted in ("", name)
    ]
    if wanted:
        return _json(found[0])
    page = {"data": found, "has_more": False, "first_id": names[0], "last_id": names[-1]}
    return _json(page)


def _gemini(names: Sequence[str], wanted: str) -> Reply:
    methods = ["generateContent", "countTokens", "embedContent"]
    found = [
        {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": methods}
        for name in names
        if wanted in ("", name)
    ]
    return _json(found[0] if wanted else {"models": found})


def _json(value: object) -> Reply:
    return Reply(200, msgspec.json.encode(value))
