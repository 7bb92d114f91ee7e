"""Recognise a caller by its key.

Keys are kept and compared as SHA-256 digests, so neither memory nor timing tells one: the digest
is computed for every request, with or without a key, and the answer to a wrong key and to no key
is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from tidegate.errors import Unauthenticated
from tidegate.types import Principal

Headers = Iterable[tuple[bytes, bytes]]

_MESSAGE = (
    "No valid API key was sent. Send one that the operator of this gateway gave you,"
    " as `Authorization: Bearer KEY`."
)


class KeyRing:
    """The keys in force."""

    def __init__(self, keys: Mapping[str, Principal], *, anonymous: bool) -> None:
        """Hold `keys` (secret → whom it stands for); `anonymous` lets callers without one in."""
        self._principals = {sha256(secret.encode()).digest(): who for secret, who in keys.items()}
        self._anonymous = Principal(key=None) if anonymous else None

    def identify(self, headers: Headers) -> Principal:
        """The caller who sent `headers` (lower-case names).

        Raises: `Unauthenticated`.
        """
        if not self._principals and self._anonymous is not None:
            return self._anonymous
        sent = b""
        for name, value in headers:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
                sent = token.strip() if scheme.lower() == b"bearer" else b""
                break
            if name in (b"x-api-key", b"api-key"):
                sent = value
        principal = self._principals.get(sha256(sent).digest(), self._anonymous)
        if principal is None:
            raise Unauthenticated(_MESSAGE)
        return principal
