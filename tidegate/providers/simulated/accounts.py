"""Who asks: keys, those that are refused because of what their name says, and their quotas.

A key's name can ask for what becomes of its account:

    sk-revoked-1     401, as a key that is good no more
    sk-empty-2       402, as an account without money
    sk-spent-3       the same as this vendor has it when it does not answer 402
    sk-limited-4     429 with `retry-after`
    sk-quota-60      60 requests a minute; headers tell what is left, then 429
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final
from urllib.parse import unquote

from tidegate.clock import Clock
from tidegate.providers.simulated.bedrock.signature import is_signed_with
from tidegate.providers.simulated.reply import Request
from tidegate.providers.simulated.vendor import CauseName, Quota, Vendor

_ACCOUNTS: Final = 1000
_MINUTE_NS: Final = 60_000_000_000
_RETRY_S: Final = 20.0
_FATES: Final[tuple[CauseName, ...]] = ("revoked", "empty", "spent", "limited")
_QUOTA: Final = re.compile(rb"quota-(\d{1,9})")
_IN_QUERY: Final = re.compile(r"(?:^|&)key=([^&]*)")
_SIGNED: Final = b"AWS4-HMAC-SHA256 "


@dataclass(slots=True)
class Account:
    """One key: `fingerprint` names it without telling it."""

    fingerprint: str
    fate: CauseName | None = None
    limit: int | None = None
    left: int = 0
    reset_ns: int = 0

    def take(self, limit: int, now_ns: int) -> Quota:
        """Take one request from the quota; `left` is -1 when it was used up."""
        if now_ns >= self.reset_ns:
            self.left, self.reset_ns = limit, now_ns + _MINUTE_NS
        self.left = max(-1, self.left - 1)
        return Quota(limit, self.left, now_ns, self.reset_ns)


class Accounts:
    """All keys seen so far, within a bound."""

    def __init__(self, key: str | None, clock: Clock) -> None:
        self._key = key.encode() if key else None
        self._clock = clock
        self._known: dict[bytes, Account] = {}

    def of(self, request: Request) -> Account:
        """The account in whose name `request` comes."""
        key = key_of(request)
        account = self._known.get(key)
        if account is None:
            if len(self._known) >= _ACCOUNTS:
                del self._known[next(iter(self._known))]
            account = self._known[key] = _read(key)
        return account

    def admit(self, request: Request, account: Account, vendor: Vendor) -> bytes:
        """Header lines that tell what is left. Refusal when the account may not ask."""
        if self._key is not None and not self._is_right(request, self._key):
            raise vendor.refusal("bad-key")
        if account.fate is not None:
            retry_s = _RETRY_S if account.fate == "limited" else None
            raise vendor.refusal(account.fate, retry_s=retry_s)
        if account.limit is None:
            return b""
        quota = account.take(account.limit, self._clock.now_ns())
        if quota.left < 0:
            raise vendor.refusal("limited", retry_s=quota.reset_s)
        return vendor.quota(quota)

    def _is_right(self, request: Request, key: bytes) -> bool:
        if request.key.startswith(_SIGNED):
            return is_signed_with(key, request)
        return hmac.compare_digest(key, key_of(request))


def key_of(request: Request) -> bytes:
    """The key itself: a bearer's, a header's, the query's, or the access key of a signature."""
    key = request.key
    if key.startswith(b"Bearer "):
        return key[7:]
    if key.startswith(_SIGNED):
        return key.partition(b"Credential=")[2].partition(b"/")[0]
    if not key and (found := _IN_QUERY.search(request.query)):
        return unquote(found[1]).encode()
    return key


def fingerprint(key: bytes) -> str:
    """Twelve hexadecimal digits by which statistics name a key; empty for no key."""
    return sha256(key).hexdigest()[:12] if key else ""


def _read(key: bytes) -> Account:
    fates: list[CauseName] = [fate for fate in _FATES if fate.encode() in key]
    found = _QUOTA.search(key)
    return Account(fingerprint(key), fates[0] if fates else None, int(found[1]) if found else None)
