"""In whose name Bedrock is asked: an API key, or AWS keys that sign every request.

Keys are told, or come from botocore's own chain: environment, profile, web identity, the role of
the machine. The chain may ask over the network, so it runs on a thread; a request never waits for
it, and uses the keys that are there until they expire.

botocore is imported when the first signer is made, for most gateways need none of it.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from tidegate.clock import Clock, SystemClock
from tidegate.errors import UpstreamDenied, UpstreamError, UpstreamUnreachable
from tidegate.net.urls import parse_base_url
from tidegate.providers.dialect import joined
from tidegate.providers.local import MissingPart

log = logging.getLogger("tidegate.providers.bedrock")

LOOK_AGAIN_S: Final = 60.0
"""How often keys that expire are looked at; botocore renews them 15 minutes before they do."""
TRY_AGAIN_S: Final = 5.0

_SERVICE: Final = "bedrock"
_JSON: Final = "application/json"


class Credential(Protocol):
    """What an account is to this dialect."""

    def lines(self, path: str, body: bytes, method: str = "POST") -> bytes:
        """The header lines of a request; `path` stands behind the base URL, and may have a query.

        Raises: `UpstreamDenied` or `UpstreamUnreachable` when there are no keys (yet).
        """
        ...


class Keys:
    """AWS keys, with the token that temporary ones have. Shows none of them."""

    __slots__ = ("access_key", "secret_key", "token")

    def __init__(self, access_key: str, secret_key: str, token: str | None = None) -> None:
        self.access_key = access_key
        self.secret_key = secret_key
        self.token = token

    def __repr__(self) -> str:
        return "Keys(…)"

    def keys(self) -> Keys:
        """These. See `Source.keys`."""
        return self


class Source(Protocol):
    """Where a signer's keys come from: `Keys` themselves, or a `KeyChain`."""

    def keys(self) -> Keys:
        """The keys of now. Raises: as `Credential.lines`."""
        ...


class ApiKey:
    """A Bedrock API key: sent as it is, nothing is signed."""

    def __init__(self, key: str, headers: Mapping[str, str] | None = None) -> None:
        """`headers` are sent with every request."""
        self._lines = _encode({"content-type": _JSON, "authorization": f"Bearer {key}"}, headers)

    def lines(self, path: str, body: bytes, method: str = "POST") -> bytes:  # noqa: ARG002
        """The same for all. See `Credential.lines`."""
        return self._lines


class Signer:
    """AWS keys, by which each request is signed (signature version 4)."""

    def __init__(
        self,
        source: Source,
        *,
        region: str,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Make one.

        Args:
            source: where the keys come from.
            region: of which the signatures are.
            base_url: where the requests go; the host is signed, so it must be the one.
            headers: sent with every request, and not signed.
            clock: signatures hold for minutes around its time.

        Raises: `MissingPart` without botocore; `ValueError` when the URL cannot be read.
        """
        base = parse_base_url(base_url)
        self._source = source
        self._region = region
        self._clock: Clock = clock or SystemClock()
        self._host = base.authority
        self._base_url = f"{base.scheme}://{base.authority}{base.path}"
        self._more = _encode({}, headers)
        self._signature: Any = _signature()
        self._keys: Keys | None = None
        self._auth: Any = None

    def lines(self, path: str, body: bytes, method: str = "POST") -> bytes:
        """See `Credential.lines`."""
        keys = self._source.keys()
        if keys is not self._keys:
            self._keys, self._auth = keys, self._signature(keys, _SERVICE, self._region)
        auth = self._auth
        at = datetime.fromtimestamp(self._clock.now_ns() // 1_000_000_000, UTC)
        request = _Unsigned(method, self._base_url + path, body, f"{at:%Y%m%dT%H%M%SZ}")
        headers = request.headers
        headers["content-type"] = _JSON
        headers["host"] = self._host
        headers["x-amz-date"] = request.context["timestamp"]
        if keys.token is not None:
            headers["x-amz-security-token"] = keys.token
        # In pieces, because `add_auth` would log what it signs, the token included.
        told = auth.string_to_sign(request, auth.canonical_request(request))
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={auth.signed_headers(headers)}, "
            f"Signature={auth.signature(told, request)}"
        )
        del headers["host"]  # which is the pool's to send
        return _encode(headers, None) + self._more


class KeyChain:
    """Keys from botocore's own chain, resolved and renewed on a thread."""

    def __init__(
        self,
        profile: str | None = None,
        *,
        resolve: Callable[[], Any] | None = None,
        look_again_s: float = LOOK_AGAIN_S,
        try_again_s: float = TRY_AGAIN_S,
    ) -> None:
        """Make one.

        Args:
            profile: of the AWS configuration files; None is the default one.
            resolve: what goes through the chain; gives botocore's credentials, or None.
            look_again_s: how often keys that expire are looked at.
            try_again_s: the wait after a failure.

        Raises: `MissingPart` without botocore.
        """
        self._resolve = resolve or _chain(profile)
        self._look_again_s = look_again_s
        self._try_again_s = try_again_s
        self._credentials: Any = None
        self._keys: Keys | None = None
        self._failure: tuple[type[UpstreamError], str] = (
            UpstreamUnreachable,
            "The gateway's AWS credentials are still being looked for.",
        )
        self._looked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to keep keys."""
        self._keeper = asyncio.create_task(self._keep(), name="aws credentials")

    async def ready(self, wait_s: float) -> None:
        """Wait `wait_s` at most for the first keys, or for the first failure to get some.

        Nothing is raised: whoever asks for the keys is told.
        """
        if self._looked.is_set():
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._looked.wait()

    async def close(self) -> None:
        """Stop; a thread that is still looking ends by itself."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None

    def keys(self) -> Keys:
        """The keys of now. See `Source.keys`."""
        if self._keys is None or self._expired():
            kind, message = self._failure
            raise kind(message)
        return self._keys

    async def _keep(self) -> None:
        while True:
            try:
                frozen = await _in_thread(self._frozen)
            except Exception as error:  # noqa: BLE001 - the chain's links raise whatever they like
                self._failed(error)
                wait_s = self._try_again_s
            else:
                self._keys = Keys(frozen.access_key, frozen.secret_key, frozen.token)
                self._failure = UpstreamDenied, "The gateway's AWS credentials are expired."
                wait_s = self._look_again_s
            self._looked.set()
            if self._keys is not None and not hasattr(self._credentials, "refresh_needed"):
                return  # these hold for ever
            await asyncio.sleep(wait_s)

    def _frozen(self) -> Any:
        """What the chain gives now; renewed when it is soon to expire. Blocks."""
        if self._credentials is None:
            self._credentials = self._resolve()
        if self._credentials is None:
            raise LookupError("no link of the chain has any")
        return self._credentials.get_frozen_credentials()

    def _failed(self, error: Exception) -> None:
        if self._keys is None:
            self._failure = UpstreamDenied, "The gateway has no AWS credentials."
        log.warning(
            "AWS credentials could not be had",
            extra={"fields": {"error": type(error).__name__, "detail": str(error)[:300]}},
        )

    def _expired(self) -> bool:
        needed: Any = getattr(self._credentials, "refresh_needed", None)
        return needed is not None and bool(needed(refresh_in=0))


class _Lines(dict[str, str]):
    """Headers as botocore's signer reads them, without its mail parser's cost."""

    def get_all(self, name: str) -> list[str]:
        return [self[name]]


class _Unsigned:
    """A request as botocore's signer reads it."""

    __slots__ = ("body", "context", "headers", "method", "params", "url")

    def __init__(self, method: str, url: str, body: bytes, timestamp: str) -> None:
        self.method = method
        self.url = url
        self.params = None
        self.body = body
        self.headers = _Lines()
        self.context = {"timestamp": timestamp}


def _signature() -> Any:
    auth: Any = _load("botocore.auth")

    class Signature(auth.SigV4Auth):
        """botocore's, for headers that are in its form already."""

        def headers_to_sign(self, request: _Unsigned) -> _Lines:
            return request.headers

    return Signature


def _chain(profile: str | None) -> Callable[[], Any]:
    session: Any = _load("botocore.session")
    return lambda: session.Session(profile=profile).get_credentials()


async def _in_thread(work: Callable[[], Any]) -> Any:
    """What `work` returns, run in a thread that nobody has to wait for at the end."""
    done: Future[Any] = Future()

    def run() -> None:
        if done.set_running_or_notify_cancel():
            try:
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                done.set_exception(error)

    threading.Thread(target=run, name="aws credentials", daemon=True).start()
    return await asyncio.wrap_future(done)


def _load(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPart(
            f"Signing for Bedrock needs botocore ({error}). "
            "Install it with: pip install 'tidegate[bedrock]'"
        ) from error


def _encode(lines: Mapping[str, str], more: Mapping[str, str] | None) -> bytes:
    """`lines` as header lines; of `more` those that are not among them."""
    told = {name.lower(): value for name, value in (more or {}).items()} | dict(lines)
    return joined(told)
