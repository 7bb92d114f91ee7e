"""Recognise a caller by its key.

Keys are kept and compared as SHA-256 digests, so neither memory nor timing tells one: the digest
is computed for every request, with or without a key, and the answer to a wrong key and to no key
is the same. That a key is blocked or over is told only to who has its secret.

The configuration's keys and those of the access document are one dictionary, made anew at each
change; a request looks into it once, and compares one time. Whose a key of the document is, by way
of user, team and organisation, is worked out at its first use: with a hundred thousand keys a
change would hold up the loop otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct, structs

from tidegate.clock import Clock, SystemClock
from tidegate.errors import KeyBlocked, KeyExpired, Unauthenticated
from tidegate.guard.access import Access, Digest, KeyEntry
from tidegate.types import Principal

Headers = Iterable[tuple[bytes, bytes]]

ANYTHING: Final = frozenset({"user", "feature", "conversation", "tags"})
_ALL_BUT_USER: Final = ANYTHING - {"user"}
_KEY_HEADERS: Final = frozenset({b"authorization", b"x-api-key", b"api-key"})
_NAMES_SHOWN = 10

_MESSAGE = (
    "No valid API key was sent. Send one that the operator of this gateway gave you,"
    " as `Authorization: Bearer KEY`."
)

log = logging.getLogger("tidegate.guard")


class _Held(Struct, frozen=True):
    """One secret: whom it stands for, and until when."""

    principal: Principal
    good_until_ns: int | None = None
    """None for what does not end, 0 for what is blocked."""
    replaced: bool = False
    """Whether the key goes on with another secret after that."""


class KeyRing:
    """The keys in force."""

    def __init__(
        self,
        keys: Mapping[str, Principal],
        *,
        anonymous: bool,
        while_keyless: bool = False,
        expires_ns: Mapping[str, int] | None = None,
        access: Access | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Hold `keys` (secret → whom it stands for) and those of `access`.

        `anonymous` lets callers without a good key in, with `while_keyless` only as long as there
        is no key at all and none was deleted: else a key that is revoked would go on as nobody's.
        `expires_ns` is the end of those of `keys` that have one, by the key's name. A principal of
        `keys` is taken as it stands, save for owners that `access` knows and it leaves out.
        """
        self._configured = [(sha256(secret.encode()).digest(), who) for secret, who in keys.items()]
        self._expires_ns = dict(expires_ns or {})
        self._anyone = Principal(key=None) if anonymous else None
        self._while_keyless = while_keyless
        self._now_ns = (clock or SystemClock()).now_ns
        self.take(access or Access())

    def take(self, access: Access) -> None:
        """Hold the keys of `access` instead of those of the document before, from now on.

        Where a name or a secret is the configuration's too, the configuration's key is meant.
        """
        ours = {who.key for _, who in self._configured}
        hidden = [entry.name for entry in access.keys if entry.name in ours]
        if hidden:
            log.warning(
                "keys of the configuration hide keys of the same name; rename either",
                extra={"fields": {"keys": hidden[:_NAMES_SHOWN], "count": len(hidden)}},
            )
        self._held = {
            digest: _Held(_owned(who, access), self._expires_ns.get(who.key or ""))
            for digest, who in self._configured
        }
        self._unseen = {
            bytes.fromhex(digest.sha256): (entry, digest)
            for entry in access.keys
            if entry.name not in ours
            for digest in entry.digests
        }
        self._access = access
        keyless = not (self._configured or access.keys or access.guarded)
        self._everybody = self._anyone if keyless else None
        self._stranger = self._anyone if keyless or not self._while_keyless else None

    def identify(self, headers: Headers, now_ns: int | None = None) -> Principal:
        """The caller who sent `headers` (lower-case names).

        `now_ns` is the Unix time if it is known already; reading it costs a tenth of all this.
        Raises: `Unauthenticated`, `KeyExpired`, `KeyBlocked`.
        """
        if self._everybody is not None:
            return self._everybody
        sent = b""
        for name, value in headers:
            if name in _KEY_HEADERS:
                if name == b"authorization":
                    sent = value[7:].strip() if value[:7] == b"Bearer " else _token(value)
                    break
                sent = value
        digest = sha256(sent).digest()
        held = self._held.get(digest) or self._first_seen(digest)
        if held is None:
            if self._stranger is None:
                raise Unauthenticated(_MESSAGE)
            return self._stranger
        until_ns = held.good_until_ns
        if until_ns is not None and until_ns <= (now_ns or self._now_ns()):
            raise _refusal(held)
        return held.principal

    def _first_seen(self, digest: bytes) -> _Held | None:
        found = self._unseen.get(digest)
        if found is None:
            return None
        held = self._held[digest] = _made(*found, self._access)
        return held


def _token(value: bytes) -> bytes:
    """The token of an `Authorization` header that names the scheme in its own way."""
    scheme, _, token = value.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


def nameable(may_name: Sequence[str] | None, user: str | None) -> frozenset[str]:
    """What callers of a key may say of a request: as it says, else all that the key does not fix.

    So a key with a user of its own lets it be overruled only if it says so.
    """
    if may_name is not None:
        return frozenset(may_name)
    return ANYTHING if user is None else _ALL_BUT_USER


def _made(entry: KeyEntry, digest: Digest, access: Access) -> _Held:
    who = Principal(
        key=entry.name,
        team=entry.team,
        models=entry.models,
        user=entry.user,
        organisation=entry.organisation,
        environment=entry.environment,
        features=entry.features,
        may_name=nameable(entry.may_name, entry.user),
        priority=entry.priority,
    )
    until_ns, replaced = entry.expires_ns, False
    if digest.until_ns is not None and (until_ns is None or digest.until_ns < until_ns):
        until_ns, replaced = digest.until_ns, True
    return _Held(_owned(who, access), 0 if entry.blocked else until_ns, replaced)


def _owned(who: Principal, access: Access) -> Principal:
    """`who` with the owners it leaves out: its user's team, its team's organisation and share."""
    team = who.team
    if team is None and who.user is not None:
        team = access.teams.get(who.user)
    if team is None:
        return who
    organisation = who.organisation or access.organisations.get(team)
    weight = access.weights.get(team, who.weight)
    if (team, organisation, weight) == (who.team, who.organisation, who.weight):
        return who
    return structs.replace(who, team=team, organisation=organisation, weight=weight)


def _refusal(held: _Held) -> KeyBlocked | KeyExpired:
    name = held.principal.key
    if held.good_until_ns == 0:
        return KeyBlocked(f"The key `{name}` is blocked.")
    if held.replaced:
        return KeyExpired(f"This secret of the key `{name}` was replaced; use its new one.")
    return KeyExpired(f"The key `{name}` has expired.")
