"""What a caller is told of its limits, and of trying again: headers of OpenAI and of Anthropic.

Sources: platform.openai.com/docs/guides/rate-limits (resets are durations: `6m0s`),
docs.anthropic.com/en/api/rate-limits (resets are RFC 3339 times).
"""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime

from tidegate.admission.engine import Left, Ticket
from tidegate.errors import LimitReached, TidegateError, UpstreamError, UpstreamRateLimited
from tidegate.gateway.exchange import Header

_KINDS = (b"requests", b"tokens")


def quota_headers(ticket: Ticket, *, anthropic: bool) -> list[Header]:
    """The headers that tell what is left of the tightest limits on requests and on tokens."""
    headers: list[Header] = []
    for kind, left in zip(_KINDS, (ticket.requests, ticket.tokens), strict=True):
        if left is not None:
            headers += _anthropic(kind, left) if anthropic else _openai(kind, left)
    return headers


def refused_headers(error: LimitReached, *, anthropic: bool) -> list[Header]:
    """The same, of the limit that refused the request."""
    if error.rate is None:
        return []
    kind, limit, remaining, reset_s = error.rate
    left = Left(limit, remaining, reset_s)
    return _anthropic(kind.encode(), left) if anthropic else _openai(kind.encode(), left)


def retry_headers(error: TidegateError) -> list[Header]:
    """Whether and when an SDK should try again.

    What an upstream failed at has been tried again as often as is good: an SDK that tries once more
    multiplies the load. Only a wait that was named may be waited for.
    """
    headers: list[Header] = []
    spent = isinstance(error, UpstreamError) and not isinstance(error, UpstreamRateLimited)
    hopeless = isinstance(error, LimitReached) and error.retry_after_s is None
    if spent or hopeless or not error.retryable:
        headers.append((b"x-should-retry", b"false"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after_s * 1000)))
    return headers


def _openai(kind: bytes, left: Left) -> list[Header]:
    return [
        (b"x-ratelimit-limit-" + kind, b"%d" % left.limit),
        (b"x-ratelimit-remaining-" + kind, b"%d" % left.remaining),
        (b"x-ratelimit-reset-" + kind, duration(left.reset_s)),
    ]


def _anthropic(kind: bytes, left: Left) -> list[Header]:
    at = datetime.fromtimestamp(math.ceil(time.time() + left.reset_s), UTC)
    return [
        (b"anthropic-ratelimit-" + kind + b"-limit", b"%d" % left.limit),
        (b"anthropic-ratelimit-" + kind + b"-remaining", b"%d" % left.remaining),
        (b"anthropic-ratelimit-" + kind + b"-reset", f"{at:%Y-%m-%dT%H:%M:%SZ}".encode()),
    ]


def duration(seconds: float) -> bytes:
    """`seconds` as OpenAI writes it: `12ms`, `1s`, `6m0s`, `1h0m0s`."""
    if seconds < 1.0:
        return b"%dms" % math.ceil(seconds * 1000.0)
    minutes, rest = divmod(math.ceil(seconds), 60)
    if minutes == 0:
        return b"%ds" % rest
    hours, minutes = divmod(minutes, 60)
    return b"%dh%dm%ds" % (hours, minutes, rest) if hours else b"%dm%ds" % (minutes, rest)
