"""From a request to its reply: who asks, for which model, with which faults, and what is said.

What is said depends on the seed and the prompt. How long it is and how fast it comes is drawn, for
each request, from the seed and the number of requests before it; a reset starts the count anew.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote

import msgspec

from tidegate.clock import Clock
from tidegate.providers.simulated.chat import chat
from tidegate.providers.simulated.completions import completions
from tidegate.providers.simulated.distribution import delays, lengths
from tidegate.providers.simulated.embeddings import embeddings
from tidegate.providers.simulated.faults import NO_FAULTS, Faults, parse_faults
from tidegate.providers.simulated.reply import Pace, Reply, Request, Turn
from tidegate.providers.simulated.requests import Refusal, error_body, model_of
from tidegate.providers.simulated.settings import Settings
from tidegate.providers.simulated.stats import Meter, Stats, tally
from tidegate.providers.simulated.vocabulary import Vocabulary
from tidegate.providers.simulated.wire import SILENT

_ENDPOINTS: Final[Mapping[str, Callable[[Turn], Reply]]] = {
    "/chat/completions": chat,
    "/completions": completions,
    "/embeddings": embeddings,
}
_DEFAULT_MODELS: Final = ("sim-1",)
_CODES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "permission_denied"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_OVERFLOW: Final = (
    "This model's maximum context length is 8192 tokens. However, your messages resulted in {} "
    "tokens. Please reduce the length of the messages."
)
_COUNTED_NAMES: Final = 10_000


class Simulator:
    """Everything one simulated provider knows."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.stats = Stats()
        self._settings = settings
        self._clock = clock
        self._vocabulary = Vocabulary(settings.seed)
        self._ttft = delays(settings.ttft)
        self._gap = delays(settings.gap)
        self._length = lengths(settings.length)
        self._key = b"Bearer " + settings.key.encode() if settings.key else None
        self._seen: dict[tuple[str, str], int] = {}

    def respond(self, request: Request) -> Reply:
        """The reply to one request; counts it."""
        path = request.path.removeprefix("/v1")
        if path in ("/stats", "/reset", "/healthz"):
            return self._administer(request, path)
        stats = self.stats
        ordinal = stats.requests
        stats.requests += 1
        tally(stats.by_path, request.path)
        try:
            self._authorize(request)
            reply = self._serve(request, path, ordinal)
        except Refusal as refusal:
            reply = Reply(refusal.status, refusal.body)
        own_id = b"req-sim-%x" % ordinal
        stats.request_ids.append(request.request_id or own_id.decode())
        reply.headers += b"x-request-id: %b\r\n" % own_id
        silent = reply.faults and any(name in reply.faults for name in SILENT)
        tally(stats.by_status, "none" if silent else str(reply.status))
        return reply

    def _administer(self, request: Request, path: str) -> Reply:
        if (request.method == b"POST") != (path == "/reset"):
            return _wrong_method(request)
        if path == "/reset":
            self.stats.reset()
            self._seen.clear()
        elif path == "/stats":
            return Reply(200, msgspec.json.encode(self.stats.as_json()))
        return Reply(200, b'{"status":"ok"}')

    def _authorize(self, request: Request) -> None:
        if self._key is None or hmac.compare_digest(self._key, request.authorization):
            return
        raise Refusal(401, "Incorrect API key provided.", code="invalid_api_key")

    def _serve(self, request: Request, path: str, ordinal: int) -> Reply:
        if path == "/models" or path.startswith("/models/"):
            return self._list_models(request, unquote(path[len("/models/") :]))
        endpoint = _ENDPOINTS.get(path)
        if endpoint is None:
            raise Refusal(404, f"Invalid URL ({request.method.decode()} {request.path})")
        if request.method != b"POST":
            return _wrong_method(request)
        model = model_of(request.body)
        if model:
            tally(self.stats.by_model, model)
        try:
            bare, faults = parse_faults(model, request.simulate)
        except ValueError as wrong:
            raise Refusal(400, str(wrong), param="model", code="unknown_fault") from wrong
        known = self._settings.models
        if known and model and bare not in known:
            raise _unknown_model(bare)
        turn = Turn(
            ordinal=ordinal,
            created_s=self._clock.now_ns() // 1_000_000_000,
            model=model,
            body=request.body,
            faults=faults,
            pace=self._pace(faults, ordinal),
            vocabulary=self._vocabulary,
            meter=Meter(reasoning_tokens=faults.number("reasoning") or 0) if faults else Meter(),
        )
        reply = self._fail(turn, request) if faults else None
        if reply is None:
            reply = endpoint(turn)
            reply.meter = turn.meter
            if (status := faults.number("status")) is not None and status < 300:  # noqa: PLR2004
                reply.status = status
        reply.faults = faults
        return reply

    def _pace(self, faults: Faults, ordinal: int) -> Pace:
        seed = self._settings.seed * 1_000_003 + ordinal
        if faults is NO_FAULTS:
            return Pace(self._ttft, self._gap, self._length, seed)
        return Pace(
            faults.distribution("ttft") or self._ttft,
            faults.distribution("gap") or self._gap,
            faults.distribution("tokens") or self._length,
            seed,
        )

    def _fail(self, turn: Turn, request: Request) -> Reply | None:
        """The error the faults ask for, or None when this request is to succeed."""
        faults = turn.faults
        wait_s = turn.pace.whole_s(0)
        if any(name in faults for name in SILENT):
            return Reply(200, wait_s=wait_s)
        if "context-overflow" in faults:
            tokens = 8193 + len(request.body) // 4
            body = error_body(
                _OVERFLOW.format(tokens),
                kind="invalid_request_error",
                param="messages",
                code="context_length_exceeded",
            )
            return Reply(400, body, wait_s=wait_s)
        status = faults.number("status")
        headers = self._retry_after(faults)
        if "fail-first" in faults or "flap" in faults:
            status = (status or 503) if self._is_bad_turn(turn.model, request, faults) else None
        elif headers and status is None:
            status = 429
        if status is None or (status < 300 and status not in (204, 205)):  # noqa: PLR2004
            return None
        if status < 400:  # noqa: PLR2004 - a redirect must not be followed with a key in hand
            headers += b"location: /v1/redirected\r\n"
        kind, code = _CODES.get(
            status,
            ("server_error" if status >= 500 else "invalid_request_error", None),  # noqa: PLR2004
        )
        body = error_body(f"Simulated status {status}.", kind=kind, code=code)
        body = b"" if status == 205 else body  # noqa: PLR2004 - Reset Content has none
        return Reply(status, body, headers=headers, wait_s=wait_s)

    def _is_bad_turn(self, model: str, request: Request, faults: Faults) -> bool:
        key = (model, request.simulate)
        if key not in self._seen and len(self._seen) >= _COUNTED_NAMES:
            del self._seen[next(iter(self._seen))]
        before = self._seen[key] = self._seen.get(key, -1) + 1
        first = faults.number("fail-first")
        if first is not None:
            return before < first
        return before // max(1, faults.number("flap") or 1) % 2 == 0

    def _retry_after(self, faults: Faults) -> bytes:
        headers = b""
        if (seconds := faults.number("retry-after")) is not None:
            headers += b"retry-after: %d\r\n" % seconds
        if (seconds := faults.number("retry-after-date")) is not None:
            when = formatdate(self._clock.now_ns() // 1_000_000_000 + seconds, usegmt=True)
            headers += b"retry-after: %b\r\n" % when.encode()
        if (milliseconds := faults.number("retry-after-ms")) is not None:
            headers += b"retry-after-ms: %d\r\n" % milliseconds
        return headers

    def _list_models(self, request: Request, wanted: str) -> Reply:
        if request.method != b"GET":
            return _wrong_method(request)
        names = self._settings.models or _DEFAULT_MODELS
        found = [
            {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "tidegate"}
            for name in names
            if wanted in ("", name)
        ]
        if not wanted:
            return Reply(200, msgspec.json.encode({"object": "list", "data": found}))
        if not found:
            raise _unknown_model(wanted)
        return Reply(200, msgspec.json.encode(found[0]))


def _wrong_method(request: Request) -> Reply:
    message = f"Not allowed to {request.method.decode()} on {request.path}."
    body = error_body(message, kind="invalid_request_error", code="method_not_supported")
    return Reply(405, b"" if request.method == b"HEAD" else body)


def _unknown_model(name: str) -> Refusal:
    return Refusal(
        404, f"The model `{name}` does not exist.", param="model", code="model_not_found"
    )
