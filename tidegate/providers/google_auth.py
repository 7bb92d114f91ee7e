"""Access tokens for Vertex AI, always at hand: fetched ahead of time, in a thread, by google-auth.

No request waits for a token but those that come before the first one. A token that cannot be
renewed is used until it expires; trying goes on all the while. google-auth blocks, so it is never
called on the event loop; it is an extra (`tidegate[vertex]`) and loaded when it is needed.

Source: google-auth.readthedocs.io, datatracker.ietf.org/doc/html/rfc7523
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from tidegate.clock import Clock
from tidegate.errors import UpstreamDenied, UpstreamError, UpstreamUnreachable
from tidegate.net.http import verified_tls
from tidegate.providers.local import MissingPart
from tidegate.redact import redact

log = logging.getLogger("tidegate.providers.google_auth")

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
EXTRA: Final = "pip install 'tidegate[vertex]'"

_AHEAD_S: Final = 225.0
"""How long before its end a token is renewed, as Google's own libraries do: before that, a metadata
server gives the same one again."""
_LONGEST_S: Final = 3_600.0
_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_DOUBLINGS: Final = 6
_ANSWER_S: Final = 10.0
_ANSWER_LIMIT_BYTES: Final = 1 << 20
_DETAIL_CHARACTERS: Final = 300

_T = TypeVar("_T")


class Credentials(Protocol):
    """What is used of google-auth's credentials. `expiry` is UTC, without saying so."""

    token: str | None
    expiry: datetime | None
    quota_project_id: str | None

    def refresh(self, request: Any) -> None:
        """Get a new token. Raises: `google.auth.exceptions.GoogleAuthError`."""
        ...


Source = Callable[[], Credentials]
"""Finds the credentials; called in a thread, where it may block."""


def service_account(key: str) -> Source:
    """The credentials of a service account; `key` is the text of its JSON file.

    Raises: `ValueError` when it is no such text, `MissingPart`.
    """
    loaded = _load("google.oauth2.service_account")
    try:
        info = msgspec.json.decode(key, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError):
        raise ValueError("The service account's key is not the JSON that Google gives.") from None
    if info.get("type") != "service_account":
        raise ValueError(
            "The credentials are not a service account's key. For any other kind, name the file in "
            "GOOGLE_APPLICATION_CREDENTIALS and leave `credentials` out."
        )
    try:
        found = loaded.Credentials.from_service_account_info(info, scopes=[SCOPE])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Not chained: the error may carry a part of the key along.
        told = str(error).partition(":")[0][:_DETAIL_CHARACTERS]
        raise ValueError(f"The service account's key cannot be used: {told}.") from None
    return lambda: cast("Credentials", found)


def application_default(tls: ssl.SSLContext | None = None) -> Source:
    """The credentials that the machine has: by variable, by gcloud, or by its metadata server.

    Raises: `MissingPart`.
    """
    auth = _load("google.auth")

    def find() -> Credentials:
        found, _ = auth.default(scopes=[SCOPE], request=Transport(tls))
        return cast("Credentials", found)

    return find


class Tokens:
    """Keeps one access token good: the credential of an account at Vertex AI."""

    def __init__(
        self,
        source: Source,
        *,
        clock: Clock,
        tls: ssl.SSLContext | None = None,
        pause_s: float = _PAUSE_S,
    ) -> None:
        """`pause_s` is the wait after a first failure, and the shortest between two tokens."""
        self._source = source
        self._clock = clock
        self._transport = Transport(tls)
        self._pause_s = pause_s
        self._found: Credentials | None = None
        self._header = b""
        self._until_s = 0.0
        self._failure: tuple[type[UpstreamError], str] = (
            UpstreamUnreachable,
            "There is no access token for the provider yet.",
        )
        self._asked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep a token."""
        self._keeper = asyncio.create_task(self._keep(), name="google access token")

    async def ready(self, wait_s: float) -> None:
        """Wait `wait_s` at most for the first token, or for the first failure to get one.

        Nothing is raised: whoever asks for the header is told.
        """
        if self._asked.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._asked.wait()

    async def close(self) -> None:
        """Stop; a thread that is still asking ends by itself."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    def header(self) -> bytes:
        """The header lines for a request sent now.

        Raises: `UpstreamDenied` when Google does not accept the credentials, or there are none;
            `UpstreamUnreachable` when it could not be asked.
        """
        if self._now_s() >= self._until_s:
            kind, message = self._failure
            raise kind(message)
        return self._header

    async def _keep(self) -> None:
        failures = 0
        while True:
            try:
                self._header, self._until_s = await _in_thread(self._renew)
            except Exception as error:  # noqa: BLE001 - a task's root: logged, and tried again
                wait_s = min(self._pause_s * 2.0 ** min(failures, _DOUBLINGS), _LONGEST_PAUSE_S)
                failures += 1
                self._failure = _told(error)
            else:
                left_s = min(self._until_s - self._now_s(), _LONGEST_S)
                wait_s = max(left_s - _AHEAD_S, left_s / 2, self._pause_s)
                failures = 0
                self._failure = UpstreamUnreachable, "The provider's access token has expired."
            self._asked.set()
            await asyncio.sleep(wait_s)

    def _renew(self) -> tuple[bytes, float]:
        """Header lines with a new token, and when it ends. Runs in a thread, one at a time."""
        if self._found is None:
            self._found = self._source()
        self._found.refresh(self._transport)
        return _lines(self._found)

    def _now_s(self) -> float:
        return self._clock.now_ns() / 1e9


class Answered:
    """An answer in the shape that google-auth reads: see `google.auth.transport.Response`."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data


class Transport:
    """How google-auth asks: see `google.auth.transport.Request`, whose shape this has.

    Certificates are checked as everywhere else; redirects are not followed, for what is sent here
    is not meant for others; proxies are those of the environment.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=tls or verified_tls()),
        ):
            self._opener.add_handler(handler)

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Answered:
        """Ask, and wait. Raises: `google.auth.exceptions.TransportError`."""
        if not url.startswith(("https://", "http://")):
            raise _load("google.auth.exceptions").TransportError("Not an address to ask.")
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked
            url, data=body, headers=dict(headers or {}), method=method
        )
        try:
            with self._opener.open(request, timeout=timeout or _ANSWER_S) as answer:
                data = answer.read(_ANSWER_LIMIT_BYTES)
                return Answered(answer.status, dict(answer.headers.items()), data)
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise _load("google.auth.exceptions").TransportError(str(error)) from error


def _lines(found: Credentials) -> tuple[bytes, float]:
    """The header lines that `found` asks with, and until when (Unix time in seconds)."""
    token = found.token
    if not token or not token.isascii() or not token.isprintable():
        raise UpstreamDenied("Google gave no access token that can be used.")
    lines = f"authorization: Bearer {token}\r\n"
    project = getattr(found, "quota_project_id", None)
    if isinstance(project, str) and project.isascii() and project.isprintable():
        lines += f"x-goog-user-project: {project}\r\n"
    if found.expiry is None:
        return lines.encode(), float("inf")
    return lines.encode(), found.expiry.replace(tzinfo=UTC).timestamp()


def _told(error: Exception) -> tuple[type[UpstreamError], str]:
    """What a failure means to callers, who are told less than the log."""
    exceptions = _load("google.auth.exceptions")
    known = isinstance(error, exceptions.GoogleAuthError | UpstreamError)
    asked = not isinstance(error, exceptions.TransportError)
    denied = known and asked and not getattr(error, "retryable", False)
    log.error(
        "no access token for Vertex AI",
        exc_info=None if known else error,
        extra={
            "fields": {
                "error": type(error).__name__,
                "detail": redact(str(error.args[0] if error.args else "")[:_DETAIL_CHARACTERS]),
                "next": "correct the credentials" if denied else "check the way to Google",
            }
        },
    )
    if denied:
        return UpstreamDenied, "Google does not accept this gateway's credentials."
    return UpstreamUnreachable, "Google's token server could not be asked."


def _load(name: str) -> Any:
    """A module of google-auth's. Raises: `MissingPart`."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPart(
            f"Vertex AI needs google-auth, which is not installed ({error}). "
            f"Install it with: {EXTRA}"
        ) from error


async def _in_thread(work: Callable[[], _T]) -> _T:
    """What `work` returns, run in a thread that nobody has to wait for at the end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("_T", result))

    def run() -> None:
        result: _T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
            failure = error
        with suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="google access token", daemon=True).start()
    return await future
