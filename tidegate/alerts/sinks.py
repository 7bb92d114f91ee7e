"""Where messages go over HTTP: Slack and what understands it, any webhook, an Alertmanager."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from tidegate.alerts.notices import Notice, show_time, shown
from tidegate.errors import TidegateError
from tidegate.net.dns import Resolver
from tidegate.net.http import Pool, Timeouts

SIGNATURE: Final = "tidegate-signature"
DELIVERY: Final = "tidegate-delivery"
_TIMEOUTS: Final = Timeouts(connect_s=5.0, first_byte_s=10.0, idle_s=10.0)
_TOTAL_S: Final = 20.0
_FINE: Final = range(200, 300)
_SKEW_NS: Final = 60 * 10**9
_MOST_BYTES: Final = 64 << 10
_LATE: Final = (408, 425, 429)
_SERVER_ERROR: Final = 500


class NotDelivered(Exception):
    """A message did not arrive; `hopeless` if it never will. The text holds no secret."""

    def __init__(self, why: str, *, hopeless: bool = False) -> None:
        super().__init__(why)
        self.hopeless = hopeless


class Sink(Protocol):
    """Where messages go."""

    async def send(self, notice: Notice) -> None:
        """Deliver it, within half a minute. Raises: `NotDelivered`."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Post:
    """POSTs to one URL, which may hold a secret."""

    def __init__(
        self, url: str, *, allow_private: bool, resolver: Resolver, authorization: str | None = None
    ) -> None:
        self._headers = {} if authorization is None else {"authorization": authorization}
        parts = urlsplit(url)
        self._path = parts.path or "/"
        if parts.query:
            self._path += f"?{parts.query}"
        origin = f"{parts.scheme}://{parts.netloc}"
        self._pool = Pool(origin, allow_private=allow_private, max_connections=2, resolver=resolver)

    async def post(self, body: bytes, headers: dict[str, str]) -> None:
        """Send `body` as JSON. Raises: `NotDelivered`."""
        lines = {
            "content-type": "application/json",
            "user-agent": "tidegate",
            **self._headers,
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode()
        try:
            status = await self._status(head, body)
        except TidegateError as error:
            raise NotDelivered(error.message.replace("upstream", "receiver")) from error
        if status not in _FINE:
            late = status in _LATE or status >= _SERVER_ERROR
            raise NotDelivered(f"it answered {status}", hopeless=not late)

    async def _status(self, head: bytes, body: bytes) -> int:
        deadline = asyncio.get_running_loop().time() + _TOTAL_S
        answer = await self._pool.open(
            "POST", self._path, head, body, timeouts=_TIMEOUTS, deadline=deadline
        )
        try:
            await answer.read_all(_MOST_BYTES)  # so that the connection can be used again
        finally:
            answer.close()
        return answer.status

    async def close(self) -> None:
        """Let go of connections."""
        await self._pool.close()


class Webhook:
    """Any receiver of JSON; signed if there is a secret.

    The header is `tidegate-signature: t=UNIX,v1=HEX`, where HEX is the HMAC-SHA256 of `UNIX.BODY`:
    a receiver that checks the time too cannot be told an old message again.
    """

    def __init__(self, post: Post, secret: str | None, now_ns: Callable[[], int]) -> None:
        self._post = post
        self._secret = secret
        self._now_ns = now_ns

    async def send(self, notice: Notice) -> None:
        """Deliver it. Raises: `NotDelivered`."""
        body = msgspec.json.encode(shown(notice))
        headers = {DELIVERY: notice.id}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, self._now_ns() // 10**9, body)
        await self._post.post(body, headers)

    async def close(self) -> None:
        """Let go of connections."""
        await self._post.close()


def signature(secret: str, unix_s: int, body: bytes) -> str:
    """The header's value."""
    signed = hmac.new(secret.encode(), b"%d." % unix_s + body, sha256).hexdigest()
    return f"t={unix_s},v1={signed}"


class Slack:
    """Slack's incoming webhooks, and what takes the same: Mattermost, Rocket.Chat, Discord's.

    Source: Slack API, "Sending messages using incoming webhooks" and "Formatting text": `&`, `<`
    and `>` are escaped, so that nothing in a name becomes a mention or a link.
    """

    def __init__(self, post: Post) -> None:
        self._post = post

    async def send(self, notice: Notice) -> None:
        """Deliver it. Raises: `NotDelivered`."""
        lines = [f"*{_escaped(notice.title)}*"]
        for each in notice.alerts:
            lines.append(f"• {_escaped(each.summary)}\n   {_escaped(each.todo)}")
            lines.append(f"   Runbook: {_escaped(each.runbook)}")
            if each.link:
                lines.append(f"   <{_escaped(each.link)}|Open in the console>")
        if notice.more:
            lines.append(f"And {notice.more} more: `tidegate alerts`")
        await self._post.post(msgspec.json.encode({"text": "\n".join(lines)}), {})

    async def close(self) -> None:
        """Let go of connections."""
        await self._post.close()


class Alertmanager:
    """Prometheus's Alertmanager, which groups, routes and silences in its own way.

    An alert that fires is given until somewhat after it would be repeated, so that it does not end
    by itself before. One that is over has ended a minute ago: an end that is still to come by
    Alertmanager's clock gives way to the later one that was told before, and would be lost.
    Source: Alertmanager's OpenAPI document, `POST /api/v2/alerts`, and `types.Alert.Merge`.
    """

    def __init__(self, post: Post, repeat_s: float) -> None:
        self._post = post
        self._lasts_ns = math.ceil(repeat_s * 1.25) * 10**9

    async def send(self, notice: Notice) -> None:
        """Deliver it. Raises: `NotDelivered`."""
        firing = notice.status == "firing"
        ends_ns = notice.at_ns + (self._lasts_ns if firing else -_SKEW_NS)
        body: list[dict[str, Any]] = [
            {
                "labels": {
                    **each.labels,
                    "alertname": f"Tidegate_{each.rule}",
                    "severity": each.severity,
                },
                "annotations": {
                    "summary": each.summary,
                    "description": each.todo,
                    "runbook_url": each.runbook,
                    "value": f"{each.value:g}",
                    "threshold": f"{each.threshold:g}",
                },
                "startsAt": show_time(each.since_ns),
                "endsAt": show_time(max(ends_ns, each.since_ns)),
                **({"generatorURL": each.link} if each.link else {}),
            }
            for each in notice.alerts
        ]
        await self._post.post(msgspec.json.encode(body), {})

    async def close(self) -> None:
        """Let go of connections."""
        await self._post.close()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
