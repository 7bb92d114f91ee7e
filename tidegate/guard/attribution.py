"""Whom and what a request is counted for: what its key says, its headers, its body, in this order.

Headers of ours are words to us: what a key's callers may not name, or what is no name, is refused.
The body's fields are words to the provider, which is sent them whatever we make of them, and whose
bounds are other ones: what of them may not or cannot be counted is passed over, and nobody's
request fails for it. Either way a feature that the key is not for is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from tidegate.errors import BadRequest, Forbidden
from tidegate.net import trace_context
from tidegate.types import Attribution, Principal, allowed

NAME_CHARACTERS = 200
TAGS, TAG_CHARACTERS, VALUE_CHARACTERS = 16, 64, 200

_HEADERS: Final = {
    b"x-tidegate-user": "user",
    b"x-tidegate-feature": "feature",
    b"x-tidegate-conversation": "conversation",
    b"x-tidegate-tags": "tags",
    trace_context.HEADER: "trace",  # whose place in a trace: looked for here, as we look anyway
}
_ANTHROPIC: Final = frozenset({"messages", "count_tokens"})
_NOBODY: Final = Attribution()
_BLANKS: Final = " \t"
"""Around a header's value they mean nothing; what else Python strips does not belong there."""
_SHOWN = 10
_NO_TRACE: Final = ""
"""What is no place in a trace, or of which there are two: nobody knows which is meant."""


def attribute(
    principal: Principal,
    headers: Iterable[tuple[bytes, bytes]],
    wire: str,
    body: Mapping[str, Any],
) -> Attribution:
    """Whom and what the request is for; `headers` have lower-case names.

    Raises: `BadRequest`, `Forbidden`, with the header's name as `param`.
    """
    named: dict[str, str] | None = None
    trace: str | None = None
    for name, value in headers:
        if name in _HEADERS:
            if name == trace_context.HEADER:
                trace = _NO_TRACE if trace is not None else trace_context.read(value) or _NO_TRACE
            else:
                named = _named(named, name, value)
    metadata = body.get("metadata")
    if (
        named is None
        and metadata is None
        and principal.features is None
        and "user" not in body
        and "safety_identifier" not in body
        and "conversation" not in body
    ):
        if principal.user is None and trace is None:
            return _NOBODY
        return Attribution(user=principal.user, trace=trace or None)
    return _attributed(principal, named or {}, trace or None, wire, body)


def _attributed(
    principal: Principal,
    headed: dict[str, str],
    trace: str | None,
    wire: str,
    body: Mapping[str, Any],
) -> Attribution:
    """`headed` is what our headers say. Raises: as `attribute`."""
    metadata, may = body.get("metadata"), principal.may_name
    for what, name in headed.items():
        if what not in may and not (what == "user" and name == principal.user):
            param = f"x-tidegate-{what}"
            raise Forbidden(f"This key may not name {what}: leave `{param}` out.", param=param)
    said = cast("dict[str, object]", metadata) if isinstance(metadata, dict) else {}
    told = {} if wire in _ANTHROPIC else said
    user, feature, conversation = map(headed.get, ("user", "feature", "conversation"))
    if user is None and "user" in may:
        if wire in _ANTHROPIC:
            user = _first(said.get("user_id"))
        else:
            user = _first(said.get("user"), body.get("user"), body.get("safety_identifier"))
    if feature is None and "feature" in may:
        feature = _first(told.get("feature"))
    if conversation is None and "conversation" in may:
        conversation = _first(told.get("conversation"), _id(body.get("conversation")))
    return Attribution(
        user=user or principal.user,
        feature=_feature(principal, feature),
        conversation=conversation,
        tags=_tags(headed.get("tags"), told if "tags" in may else {}),
        trace=trace,
    )


def _named(named: dict[str, str] | None, name: bytes, value: bytes) -> dict[str, str] | None:
    """`named` with what one of our headers says; an empty one says nothing."""
    what, param = _HEADERS[name], name.decode()
    try:
        said = value.decode().strip(_BLANKS)
    except UnicodeDecodeError:
        raise BadRequest(f"{param} is not UTF-8.", param=param) from None
    if not said:
        return named
    named = named or {}
    if what == "tags":
        named[what] = f"{named[what]},{said}" if what in named else said
        return named
    if what in named:
        raise BadRequest(f"{param} is there more than once.", param=param)
    if not _fits(said, NAME_CHARACTERS):
        raise BadRequest(
            f"{param} must be at most {NAME_CHARACTERS} printable characters.", param=param
        )
    named[what] = said
    return named


def _id(conversation: object) -> object:
    """Responses have a conversation as its id, or as an object around that."""
    if isinstance(conversation, dict):
        return cast("dict[str, object]", conversation).get("id")
    return conversation


def _first(*said: object) -> str | None:
    for name in said:
        if isinstance(name, str) and _fits(name, NAME_CHARACTERS) and (name := name.strip()):
            return name
    return None


def _fits(text: str, most: int) -> bool:
    return len(text) <= most and text.isprintable()


def _feature(principal: Principal, named: str | None) -> str | None:
    """The feature, if the key is for it.

    Of several, one must be named, or what is limited for each of them could be got round. A single
    one is meant anyway, and where none may be named, none is asked for.
    """
    features = principal.features
    if features is None or "*" in features:
        return named
    if named is not None and allowed(features, named):
        return named
    if named is None and len(features) == 1 and "*" not in features[0]:
        return features[0]
    if named is None and (not features or "feature" not in principal.may_name):
        return None
    param = "x-tidegate-feature"
    known = ", ".join(f"`{each}`" for each in features[:_SHOWN]) or "none"
    if named is None:
        raise Forbidden(f"This key is for {known}: say in `{param}` for which.", param=param)
    raise Forbidden(f"This key is not for the feature `{named}`, but for {known}.", param=param)


def _tags(headed: str | None, told: dict[str, object]) -> dict[str, str]:
    """The header's tags, and as many of the body's besides as there may be."""
    tags = {} if headed is None else _parsed(headed)
    if told:
        for name, value in told.items():
            if len(tags) == TAGS:
                break
            if (
                name not in tags
                and name not in ("user", "feature", "conversation")
                and isinstance(value, str)
                and name
                and _fits(name, TAG_CHARACTERS)
                and _fits(value, VALUE_CHARACTERS)
            ):
                tags[name] = value
    return tags


def _parsed(text: str) -> dict[str, str]:
    """`a=b,c=d` as a dictionary; spaces around each, and empty parts, mean nothing."""
    param = "x-tidegate-tags"
    tags: dict[str, str] = {}
    for part in text.split(","):
        name, is_pair, value = (each.strip(_BLANKS) for each in part.partition("="))
        if not (name or is_pair or value):
            continue
        if not (is_pair and name):
            raise BadRequest(f"{param} must be pairs such as `a=b,c=d`.", param=param)
        if name in tags:
            raise BadRequest(f"{param} names a tag more than once.", param=param)
        if not (_fits(name, TAG_CHARACTERS) and _fits(value, VALUE_CHARACTERS)):
            raise BadRequest(
                f"{param}: a tag is at most {TAG_CHARACTERS} printable characters,"
                f" its value {VALUE_CHARACTERS}.",
                param=param,
            )
        if len(tags) == TAGS:
            raise BadRequest(f"{param}: more than {TAGS} tags.", param=param)
        tags[name] = value
    return tags
