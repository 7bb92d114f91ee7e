"""From a request to its reply: who asks, for which model, with which faults, and what is said.

What is said depends on the seed and the prompt. How long it is and how fast it comes is drawn, for
each request, from the seed and the number of requests before it; a reset starts the count anew.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.clock import Clock
from tidegate.providers.simulated.accounts import Account, Accounts
from tidegate.providers.simulated.asking import model_of
from tidegate.providers.simulated.distribution import delays, lengths
from tidegate.providers.simulated.failures import Failures, refuse
from tidegate.providers.simulated.faults import NO_FAULTS, Faults, parse_faults
from tidegate.providers.simulated.listing import list_models
from tidegate.providers.simulated.outages import Outages
from tidegate.providers.simulated.refusal import Refusal
from tidegate.providers.simulated.reply import Pace, Reply, Request, Turn
from tidegate.providers.simulated.routes import Listing, Route, find, vendor_of
from tidegate.providers.simulated.settings import Settings
from tidegate.providers.simulated.stats import Meter, Stats, tally
from tidegate.providers.simulated.vendor import Quota
from tidegate.providers.simulated.vocabulary import Vocabulary
from tidegate.providers.simulated.wire import SILENT

_DEFAULT_MODELS: Final = ("sim-1",)
_OWN_PATHS: Final = ("/stats", "/calls", "/reset", "/healthz", "/_faults")
_MULTIPLE_CHOICES: Final = 300
_MINUTE_NS: Final = 60_000_000_000


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
        self._accounts = Accounts(settings.key, clock)
        self._outages = Outages()
        self._failures = Failures(clock)
        self._tag = f"sim-{settings.name}-" if settings.name else "sim-"

    def respond(self, request: Request) -> Reply:
        """The reply to one request; counts it."""
        path = request.path
        if path in _OWN_PATHS or path.removeprefix("/v1") in _OWN_PATHS:
            return self._administer(request, path.removeprefix("/v1"))
        stats = self.stats
        ordinal = stats.requests
        stats.requests += 1
        tally(stats.by_path, path)
        tag = f"{self._tag}{ordinal:x}"
        route = find(path)
        vendor = route.vendor if route else vendor_of(path)
        try:
            reply = self._admit(request, route, ordinal, tag)
        except Refusal as refusal:
            reply = refuse(vendor, refusal, tag)
            if refusal.retry_s is not None:
                reply.headers += b"retry-after: %d\r\n" % max(1, round(refusal.retry_s))
            if request.method == b"HEAD":
                reply.body = b""
        stats.request_ids.append(request.request_id or f"req-{tag}")
        reply.headers += b"%b: req-%b\r\n" % (vendor.id_header, tag.encode())
        silent = reply.faults and any(name in reply.faults for name in SILENT)
        tally(stats.by_status, "none" if silent else str(reply.status))
        return reply

    def _administer(self, request: Request, path: str) -> Reply:
        match request.method, path:
            case b"GET", "/stats":
                return Reply(200, msgspec.json.encode(self.stats.as_json()))
            case b"GET", "/calls":
                return Reply(200, msgspec.json.encode(self.stats.calls_as_json()))
            case b"POST", "/reset":
                self.stats.reset()
                self._failures.forget()
            case b"PUT", "/_faults":
                try:
                    self._outages.replace(request.body)
                except Refusal as refusal:
                    return refuse(vendor_of(path), refusal, "control")
            case b"DELETE", "/_faults":
                self._outages.clear()
            case b"GET", "/_faults":
                return Reply(200, self._outages.as_json())
            case b"GET", "/healthz":
                pass
            case _:
                return refuse(vendor_of(path), _wrong_method(request), "control")
        return Reply(200, b'{"status":"ok"}')

    def _admit(
        self, request: Request, route: Route | Listing | None, ordinal: int, tag: str
    ) -> Reply:
        """Whoever may ask is answered, and told what is left of the quota."""
        if route is None:
            raise Refusal(404, f"Invalid URL ({request.method.decode()} {request.path})")
        account = self._accounts.of(request)
        told = self._accounts.admit(request, account, route.vendor)
        if isinstance(route, Listing):
            if request.method != b"GET":
                raise _wrong_method(request)
            models = self._settings.models or _DEFAULT_MODELS
            reply = list_models(models, route.model, route.vendor, request)
        else:
            if request.method != route.method:
                raise _wrong_method(request)
            reply = self._serve(request, route, account, ordinal, tag)
        reply.headers += told
        return reply

    def _serve(
        self, request: Request, route: Route, account: Account, ordinal: int, tag: str
    ) -> Reply:
        model = route.model or model_of(request.body)
        if model:
            tally(self.stats.by_model, model)
        bare, faults = self._faults(model, request)
        known = self._settings.models
        if known and model and bare not in known:
            raise route.vendor.refusal("unknown-model", model=bare)
        turn = Turn(
            ordinal=ordinal,
            created_s=self._clock.now_ns() // 1_000_000_000,
            vendor=route.vendor,
            model=model,
            body=request.body,
            headers=request.headers,
            streams=route.streams,
            faults=faults,
            pace=self._pace(faults, ordinal),
            vocabulary=self._vocabulary,
            meter=Meter(tag=tag, model=model, key=account.fingerprint),
        )
        if not faults:
            reply = route.answer(turn)
            reply.meter = turn.meter
            return reply
        return self._answer_with_faults(turn, request, route)

    def _answer_with_faults(self, turn: Turn, request: Request, route: Route) -> Reply:
        faults, meter = turn.faults, turn.meter
        meter.reasoning_tokens = faults.number("reasoning") or 0
        reply = self._failures.of(turn, request)
        if reply is None:
            reply = route.answer(turn)
            reply.meter = meter
            meter.cached_tokens, meter.cache_write_tokens = turn.cached, turn.cache_write
            status = faults.number("status")
            if status is not None and status < _MULTIPLE_CHOICES:
                reply.status = status
            if reply.trouble is bytes:
                reply.trouble = turn.trouble
        if (left := faults.number("quota")) is not None:
            now_ns = self._clock.now_ns()
            quota = Quota(max(left, 60), left, now_ns, now_ns + _MINUTE_NS)
            reply.headers += turn.vendor.quota(quota)
        reply.faults = faults
        return reply

    def _faults(self, model: str, request: Request) -> tuple[str, Faults]:
        try:
            bare, faults = parse_faults(model, request.simulate)
        except ValueError as wrong:
            raise Refusal(400, str(wrong), param="model", code="unknown_fault") from wrong
        if self._outages:
            faults = self._outages.for_model(bare).over(faults)
        return bare, faults

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


def _wrong_method(request: Request) -> Refusal:
    message = f"Not allowed to {request.method.decode()} on {request.path}."
    return Refusal(405, message, kind="invalid_request_error", code="method_not_supported")
