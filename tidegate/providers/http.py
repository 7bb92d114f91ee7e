"""Ask a vendor over HTTP: `open(choice, call)` gives an answer to read.

The dialect knows the words, the accounts whose name it is asked in, the replicas where. Nothing
here tries again: what failed is told, together with whether a new try would meet another account
or replica (`spare`).
"""

from __future__ import annotations

import random
import re
import time
from asyncio import get_running_loop
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Protocol, cast

from tidegate.errors import (
    UpstreamDenied,
    UpstreamError,
    UpstreamFailed,
    UpstreamModelGone,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tidegate.net.http import Response, Timeouts
from tidegate.providers.accounts import Account, Accounts
from tidegate.providers.dialect import GOOD, Dialect
from tidegate.providers.quota import Window, read_quota
from tidegate.providers.replicas import Replica, Replicas
from tidegate.types import NO_CALL, Answer, Call, Choice, Facts
from tidegate.types import Timeouts as Deadlines

ERROR_LIMIT_BYTES, ERROR_WAIT_S = 64 << 10, 2.0
"""How much is read of what an error says, and how long that is waited for."""
KEEPER_WAIT_S = 5.0
"""How long the first requests wait for a first credential at most."""
HEAR_EVERY_S = 0.25
"""How often what is left of a quota is looked at."""
CONTENT_TYPE = b"content-type"

_VERSION = re.compile(r"v\d+\w{0,8}")
_REFUSALS = frozenset(range(400, 500)) - {408, 425}
"""What has a client to correct; the two say to try again."""
_NOT_FOUND, _GONE = 404, 410
_GONE_CODES = frozenset({
    "model_not_found", "model_not_available", "model_decommissioned", "DeploymentNotFound",
})  # fmt: skip
_NO_MODEL = re.compile(
    r"\b(models?|deployment)\b.*("
    r"not found|not exist|no longer|end of its life|not available|decommissioned|retired"
    r")"
    r"|^model: |^no endpoints found",
    re.IGNORECASE | re.DOTALL,
)
"""How a 404 speaks of the model, and of no file or answer that the caller named."""
_PASSED_ON = frozenset({b"openai-processing-ms", b"openai-version"})
_REQUEST_IDS = frozenset({b"x-request-id", b"request-id", b"x-amzn-requestid", b"apim-request-id"})


_READ = 500
"""So much of what it says is looked at: it may say a lot."""
_OF_ALL = (UpstreamDenied, UpstreamModelGone, UpstreamRateLimited)


class Keeper(Protocol):
    """Keeps a credential fresh in the background."""

    def start(self) -> None:
        """Begin."""
        ...

    async def ready(self, wait_s: float) -> None:
        """Wait `wait_s` at most for the first one, or the first failure. Raises nothing."""
        ...

    async def close(self) -> None:
        """End."""
        ...


class HttpProvider:
    """A vendor: its dialect, our accounts with it, and the places where it answers."""

    def __init__(
        self,
        dialect: Dialect,
        replicas: Replicas,
        accounts: Accounts,
        keeper: Keeper | None = None,
    ) -> None:
        """`keeper` is started and closed with the provider."""
        self._dialect = dialect
        self.native = dialect.native
        """The callers' formats that it speaks itself."""
        self.counts = dialect.counts
        """Whether it can count a request's tokens before it is sent."""
        self._keeper = keeper
        self.replicas = replicas
        self.accounts = accounts
        self.hear: Callable[[Choice, tuple[Window, ...], float], None] | None = None
        """Told now and then what is left of our one account's quota, and the loop time."""
        self._hears_s = 0.0
        self._only = replicas.all[0] if len(replicas.all) == 1 else None
        """The one server, if there is no other: it needs no choice and no judgement."""
        self._time = get_running_loop().time

    def start(self) -> None:
        """Begin what goes on in the background: keeping a credential, probing replicas."""
        if self._keeper is not None:
            self._keeper.start()
        self.replicas.start()

    async def open(self, choice: Choice, call: Call, deadline: float) -> Answer:
        """Send `call` to `choice` and return its answer once the head of it is in.

        Raises: `UpstreamError`, `BadRequest` when the call cannot be said.
        """
        if self._keeper is not None:
            await self._ready(deadline)
        began_s = self._time()
        account = self.accounts.pick(began_s)
        request = self._dialect.request(choice, call, account.credential)
        replica = self._only or self._pick(call, began_s)
        timeouts = choice.target.timeouts
        head_s: float | None = None
        try:
            response = await replica.pool.open(
                "POST",
                request.path,
                request.headers,
                request.body,
                timeouts=Timeouts(
                    connect_s=timeouts.connect_s,
                    # Without a stream the head comes with the whole answer, so only the total
                    # counts.
                    first_byte_s=timeouts.first_token_s if call.stream else timeouts.total_s,
                    idle_s=timeouts.idle_s,
                ),
                deadline=deadline,
                more=call.trace,
            )
            head_s = self._time() - began_s
            try:
                if response.status != GOOD or self.accounts.several or account.retired:
                    await self._judge(response, account, choice)
                elif began_s >= self._hears_s and self.hear is not None:
                    self._hears_s = began_s + HEAR_EVERY_S
                    quota = read_quota(response.headers, time.time())
                    self.hear(choice, quota, began_s + head_s)
                facts = _facts(response)
                facts.dropped = request.dropped
                answer = self._dialect.answer(response, call, facts, request.ask)
            except BaseException:
                response.close()
                raise
        except UpstreamError as error:
            self._ended(replica, head_s, error)
            if self._only is None and error.elsewhere:
                error.place = replica
                # Of an account's limits and rights, and of models, the others know as well.
                if not isinstance(error, _OF_ALL):
                    error.spare = error.spare or self.replicas.spare(self._time(), replica)
            raise
        except BaseException:
            self._ended(replica, None, None)
            raise
        if self._only is None:
            answer.ended = partial(self._ended, replica, head_s)
        return answer

    async def pass_through(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        body: bytes,
        *,
        timeouts: Deadlines,
        deadline: float,
        trace: bytes = b"",
    ) -> Response:
        """Send a request as it is, in our account's name; the answer, whatever its status.

        Raises: `UpstreamError`.
        """
        await self._ready(deadline)
        now_s = self._time()
        account = self.accounts.pick(now_s)
        own: bytes = self._dialect.signature(account.credential, method, path, body)
        ours = {line.partition(b":")[0].lower() for line in own.split(b"\r\n")}
        lines = [b"%b: %b\r\n" % pair for pair in headers if pair[0] not in ours - {CONTENT_TYPE}]
        if any(name == CONTENT_TYPE for name, _ in headers):
            own = b"".join(
                line + b"\r\n"
                for line in own.split(b"\r\n")
                if line and not line.lower().startswith(CONTENT_TYPE + b":")
            )
        replica = self.replicas.pick(NO_CALL, now_s, random.random())  # noqa: S311 - balance
        return await replica.pool.open(
            method,
            _versioned_once(replica.url, path),
            own + b"".join(lines),
            body,
            timeouts=Timeouts(
                connect_s=timeouts.connect_s,
                first_byte_s=timeouts.total_s,
                idle_s=timeouts.idle_s,
            ),
            deadline=deadline,
            more=trace,
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._keeper is not None:
            await self._keeper.close()
        await self.replicas.close()

    def _pick(self, call: Call, now_s: float) -> Replica:
        """One of several servers for `call`, which it begins."""
        avoid = cast("Replica | None", call.avoid)
        replica = self.replicas.pick(call, now_s, random.random(), avoid)  # noqa: S311 - balance
        replica.begin()
        return replica

    async def _ready(self, deadline: float) -> None:
        """Wait for a first credential, if there is one to come."""
        if self._keeper is not None:
            await self._keeper.ready(min(KEEPER_WAIT_S, deadline - self._time()))

    async def _judge(self, response: Response, account: Account, choice: Choice) -> None:
        """Learn from the head of an answer. Raises: the `UpstreamError` that it stands for."""
        now_s = self._time()
        if self.accounts.several:
            self.accounts.heard(account, read_quota(response.headers, time.time()), now_s)
        if response.status == GOOD:
            self.accounts.ended(account, None, now_s)
            return
        body = await _told(response, now_s + ERROR_WAIT_S)
        error = _meant(response.status, self._dialect.refusal(response.status, body))
        if type(error) is UpstreamRefused and "*" not in choice.target.model:
            error = _of_model(response.status, error)
        error.retry_after_s = retry_after_s(response, error.retry_after_s)
        self.accounts.ended(account, error, now_s)
        if isinstance(error, UpstreamDenied | UpstreamRateLimited):
            error.spare = self.accounts.spare(now_s)
        error.answered = response.status
        raise error

    def _ended(self, replica: Replica, head_s: float | None, error: UpstreamError | None) -> None:
        if self._only is None:
            self.replicas.ended(replica, error, head_s, self._time())


def _versioned_once(base_url: str, path: str) -> str:
    """`path` without the version that `base_url` ends in already.

    OpenAI's SDK wants the version in its base URL, Anthropic's and Google's bring it themselves.
    """
    version = base_url.rstrip("/").rpartition("/")[2]
    if _VERSION.fullmatch(version) and path.startswith(f"/{version}/"):
        return path[len(version) + 1 :]
    return path


def _meant(status: int, error: UpstreamError) -> UpstreamError:
    """`error`, or a refusal where it stands for a 4xx that its format has no other word for.

    Such a one is never tried again, and no caller rests a target by provoking it (414, 431, 451).
    """
    if not isinstance(error, UpstreamFailed) or status not in _REFUSALS:
        return error
    refused = UpstreamRefused(error.message)
    refused.status = status
    return refused


def _of_model(status: int, error: UpstreamRefused) -> UpstreamError:
    """`error`, unless what is wrong with the request is the model that the operator named.

    Where the caller names it (a `*`), it is the caller's mistake.
    """
    if not (
        status == _GONE
        or error.upstream_code in _GONE_CODES
        or (status == _NOT_FOUND and _NO_MODEL.search(error.message, 0, _READ))
    ):
        return error
    gone = UpstreamModelGone(error.message, param=error.param)
    gone.upstream_code = error.upstream_code
    return gone


async def _told(response: Response, until: float) -> bytes:
    """What an error says, as far as it comes: its status is known, and is never lost for more."""
    parts: list[bytes] = []
    size_bytes = 0
    response.set_limit(until)
    try:
        while size_bytes < ERROR_LIMIT_BYTES and (part := await response.read()):
            parts.append(part)
            size_bytes += len(part)
    except UpstreamError:
        pass
    return b"".join(parts)[:ERROR_LIMIT_BYTES]


def _facts(response: Response) -> Facts:
    headers: list[tuple[bytes, bytes]] = []
    known = False
    for name, value in response.headers:
        if name in _PASSED_ON:
            headers.append((name, value))
        elif name in _REQUEST_IDS and not known:
            known = True
            headers.append((b"x-upstream-request-id", value[:200]))
    return Facts(headers=headers)


def retry_after_s(response: Response, told_s: float | None = None) -> float | None:
    """Seconds to wait, as told by `retry-after-ms`, either form of `retry-after`, or the body.

    Source: RFC 9110, section 10.2.3; milliseconds are OpenAI's own.
    """
    value = ""
    for name, unit in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        value = (response.header(name) or b"").decode("latin-1")
        if value.isdecimal() and value.isascii() and len(value) < 10:  # noqa: PLR2004 - no flood
            return int(value) / unit
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return told_s
    return max(0.0, at.timestamp() - time.time())
