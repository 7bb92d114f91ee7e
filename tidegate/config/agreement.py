"""Rules between sections: names that must exist, things that must not be the same.

They look at the plain document, not at the model, so that they are told together with mistakes of
shape: whatever has the wrong shape is passed over here and told by `explain`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import cast

from tidegate.config.addresses import is_loopback
from tidegate.config.mistakes import Finding, YamlPath, nearest

Document = Mapping[str, object]

_FLOATING = re.compile(r"(?:^|[-_.:/@])latest(?:$|[-_.:/@])", re.IGNORECASE)
_PINNED_BY_KIND = ("local", "simulated")


def disagreements(document: Document) -> Iterator[Finding]:
    """Everything in which two parts of `document` do not fit each other."""
    yield from _targets(document)
    yield from _fallbacks(document)
    yield from _limits(document)
    yield from _shared_limits(document)
    yield from _budgets(document)
    yield from _keys(document)
    yield from _callers(document)
    yield from _ports(document)


def _targets(document: Document) -> Iterator[Finding]:
    providers = _section(document.get("providers"))
    for name, alias in _sections(document.get("models")):
        targets = list(_entries(alias.get("targets")))
        weights = [target.get("weight", 1) for _, target in targets]
        if targets and all(weight == 0 for weight in weights):
            yield Finding(("models", name, "targets"), "has no target with a weight above 0")
        for index, target in targets:
            path: YamlPath = ("models", name, "targets", index)
            yield from _provider_exists(target, providers, path)
            yield from _model_is_pinned(alias, target, providers, path)
            yield from _wildcards_agree(name, target, path)


def _provider_exists(target: Document, providers: Document, path: YamlPath) -> Iterator[Finding]:
    provider = target.get("provider")
    if isinstance(provider, str) and provider and provider not in providers:
        yield Finding(
            (*path, "provider"),
            f"no provider is called `{provider}`",
            tuple(providers),
            nearest(provider, providers),
            needs="providers",
        )


def _model_is_pinned(
    alias: Document, target: Document, providers: Document, path: YamlPath
) -> Iterator[Finding]:
    model = target.get("model")
    kind = _section(providers.get(str(target.get("provider")))).get("kind")
    if not isinstance(model, str) or kind in _PINNED_BY_KIND or alias.get("allow_floating") is True:
        return
    if _FLOATING.search(model):
        yield Finding(
            (*path, "model"),
            f"`{model}` is a floating name: the model behind it changes unseen; name a version, "
            "or say `allow_floating: true` on the alias",
        )


def _wildcards_agree(name: str, target: Document, path: YamlPath) -> Iterator[Finding]:
    model = target.get("model")
    if not isinstance(model, str):
        return
    if name.endswith("*") and model != "*":
        yield Finding(
            (*path, "model"),
            f"must be `*`, because the alias `{name}` stands for many names",
            nearest="*",
        )
    if model == "*" and "*" not in name:
        yield Finding(
            (*path, "model"),
            f"`*` passes the caller's name on, which needs an alias ending in `*`, not `{name}`",
            nearest=None,
        )


def _fallbacks(document: Document) -> Iterator[Finding]:
    models = dict(_sections(document.get("models")))
    for name, alias in models.items():
        if "*" in name[:-1]:
            yield Finding(("models", name), "may have `*` only at its end", at_key=True)
        for path, other in _successors(name, alias):
            if other not in _section(document.get("models")):
                yield Finding(
                    path,
                    f"no alias is called `{other}`",
                    tuple(models),
                    nearest(other, models),
                )
            elif other.endswith("*") and not name.endswith("*"):
                yield Finding(path, f"`{other}` stands for many names, so it cannot take over here")
    yield from _circles(models)


_CHAINS = ("on_context_overflow", "on_content_filter", "on_malformed")


def _successors(name: str, alias: Document) -> Iterator[tuple[YamlPath, str]]:
    """The aliases that may take over from `alias`, and where each is named."""
    for index, other in _texts(alias.get("fallback")):
        yield ("models", name, "fallback", index), other
    for chain in _CHAINS:
        written = alias.get(chain)
        for index, other in _texts(written):
            yield ("models", name, chain, index), other
        for index, other in _texts(_section(written).get("fallback")):
            yield ("models", name, chain, "fallback", index), other


def _circles(models: Mapping[str, Document]) -> Iterator[Finding]:
    """One finding for each fallback that leads back to where its chain came from."""
    done: set[str] = set()
    for start in models:
        # An explicit stack: the chains are the operator's, and may be long.
        trail: list[str] = []
        stack: list[tuple[str, Iterator[tuple[int, str]]]] = []
        if start not in done:
            trail.append(start)
            stack.append((start, _texts(models[start].get("fallback"))))
        while stack:
            name, rest = stack[-1]
            index, other = next(rest, (-1, ""))
            if index < 0:
                stack.pop()
                done.add(trail.pop())
            elif other in trail:
                circle = " → ".join([*trail[trail.index(other) :], other])
                yield Finding(("models", name, "fallback", index), f"goes in a circle: {circle}")
            elif other in models and other not in done:
                trail.append(other)
                stack.append((other, _texts(models[other].get("fallback"))))


def _limits(document: Document) -> Iterator[Finding]:
    for name, alias in _sections(document.get("models")):
        tokens = _section(alias.get("output_tokens"))
        default, most = tokens.get("default"), tokens.get("max")
        if isinstance(default, int) and isinstance(most, int) and default > most:
            yield Finding(
                ("models", name, "output_tokens", "default"),
                f"is above the ceiling `max`, {most}",
            )


def _owners(document: Document) -> Iterator[tuple[YamlPath, Document]]:
    """Every section that may hold limits and a budget."""
    for section in ("keys", "limits"):
        for index, owner in _entries(document.get(section)):
            yield (section, index), owner
    for section in ("teams", "organisations"):
        for name, owner in _sections(document.get(section)):
            yield (section, name), owner


def _shared_limits(document: Document) -> Iterator[Finding]:
    """Limits hold for all processes together, so several of them need what they share."""
    workers = _section(document.get("server")).get("workers", 1)
    if not isinstance(workers, int) or workers <= 1 or document.get("shared") is not None:
        return
    if any(owner.get("limits") or owner.get("budget") for _, owner in _owners(document)):
        yield Finding(
            ("server", "workers"),
            "several gateway processes can keep limits together by Redis only: set `shared`, or "
            "have one worker",
        )


def _budgets(document: Document) -> Iterator[Finding]:
    aliases = _section(document.get("models"))
    places: dict[str, Document] = {
        "alias": aliases, "provider": _section(document.get("providers"))
    }  # fmt: skip
    seen: set[tuple[object, object]] = set()
    for path, owner in _owners(document):
        for place, budget in _one_or_more(owner.get("budget"), (*path, "budget")):
            other = budget.get("downgrade")
            if isinstance(other, str) and other not in aliases:
                yield Finding(
                    (*place, "downgrade"),
                    f"no alias is called `{other}`",
                    tuple(aliases),
                    nearest(other, aliases),
                    needs="models",
                )
        scope, name = owner.get("scope"), owner.get("name")
        if path[0] != "limits" or not isinstance(scope, str):
            continue
        known = places.get(scope)
        if known is not None and isinstance(name, str) and name not in known:
            yield Finding(
                (*path, "name"),
                f"no {scope} is called `{name}`",
                tuple(known),
                nearest(name, known),
            )
        if (scope, name) in seen:
            yield Finding(path, "another entry has the same scope and name")
        seen.add((scope, name))


def _keys(document: Document) -> Iterator[Finding]:
    aliases = [
        *_section(document.get("models")),
        *(f"passthrough/{name}" for name, _ in _sections(document.get("providers"))),
    ]
    names: set[object] = set()
    secrets: set[object] = set()
    for index, key in _entries(document.get("keys")):
        name, secret = key.get("name"), key.get("secret")
        if isinstance(name, str) and name in names:
            yield Finding(("keys", index, "name"), f"another key is called `{name}` already")
        if isinstance(secret, str) and secret in secrets:
            yield Finding(("keys", index, "secret"), "is the same as another key's")
        names.add(name if isinstance(name, str) else None)
        secrets.add(secret if isinstance(secret, str) else None)
        for place, pattern in _texts(key.get("models")):
            if pattern not in aliases and not any(_covers(pattern, alias) for alias in aliases):
                yield Finding(
                    ("keys", index, "models", place),
                    f"no alias is called `{pattern}`",
                    tuple(aliases),
                    nearest(pattern, aliases),
                    needs="models",
                )


def _covers(pattern: str, alias: str) -> bool:
    """Whether the key's pattern allows some of the alias's names."""
    plain = pattern.replace("[", "[[]").replace("?", "[?]")
    if fnmatchcase(alias, plain):
        return True
    return alias.endswith("*") and pattern.startswith(alias[:-1])


def _callers(document: Document) -> Iterator[Finding]:
    server = _section(document.get("server"))
    host = server.get("host", "127.0.0.1")
    open_to_all = document.get("anonymous") is True
    if isinstance(host, str) and not is_loopback(host) and not document.get("keys"):
        if not open_to_all:
            yield Finding(
                ("server", "host"),
                f"`{host}` is open to other machines and there are no keys: add `keys`, or say "
                "`anonymous: true` if everybody who can connect may use the models",
                needs="keys",
            )
    elif document.get("anonymous") is False and not document.get("keys"):
        yield Finding(
            ("anonymous",), "is false and there are no keys, so nobody could call", needs="keys"
        )


def _ports(document: Document) -> Iterator[Finding]:
    taken: dict[int, str] = {}
    places: list[tuple[YamlPath, object]] = [
        (("server", "port"), _section(document.get("server")).get("port", 8080)),
        (("control", "port"), _section(document.get("control")).get("port", 8081)),
    ]
    for name, provider in _sections(document.get("providers")):
        places.append((("providers", name, "port"), provider.get("port")))
    for path, port in places:
        if not isinstance(port, int) or isinstance(port, bool) or port == 0:
            continue
        if port in taken:
            yield Finding(path, f"{port} is the port of {taken[port]} already")
        taken.setdefault(port, ".".join(map(str, path[:-1])))


def _section(value: object) -> Document:
    return cast("Document", value) if isinstance(value, dict) else {}


def _sections(value: object) -> Iterator[tuple[str, Document]]:
    for name, inner in _section(value).items():
        if isinstance(inner, dict):
            yield name, cast("Document", inner)


def _entries(value: object) -> Iterator[tuple[int, Document]]:
    for index, inner in enumerate(cast("list[object]", value) if isinstance(value, list) else ()):
        if isinstance(inner, dict):
            yield index, cast("Document", inner)


def _one_or_more(value: object, path: YamlPath) -> Iterator[tuple[YamlPath, Document]]:
    """The entries of a list that may be written as its one entry, and where each stands."""
    if isinstance(value, list):
        for index, inner in _entries(cast("object", value)):
            yield (*path, index), inner
    else:
        yield path, _section(value)


def _texts(value: object) -> Iterator[tuple[int, str]]:
    for index, inner in enumerate(cast("list[object]", value) if isinstance(value, list) else ()):
        if isinstance(inner, str) and inner:
            yield index, inner
