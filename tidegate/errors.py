"""Everything that can go wrong, as one tree; the catalogue page of the docs is generated from it.

    TidegateError
    ├── BadRequest              400  the caller's request cannot be understood
    │   ├── BodyTooLarge        413
    │   ├── HeadersTooLarge     431
    │   ├── SlowBody            408
    │   ├── UnknownModel        404
    │   ├── UnknownResponse     404
    │   ├── TooLongPast         400
    │   ├── UnknownPath         404
    │   └── WrongMethod         405
    ├── Unauthenticated         401  no key, or not one of ours
    │   └── KeyExpired          401
    ├── Forbidden               403  a good key that may not do this
    │   ├── KeyBlocked          403
    │   └── PriceUnknown        403  a budget covers it, and nobody knows what it costs
    ├── LimitReached            429  a rate or the concurrency of one scope
    │   ├── StepsReached        429  the requests of a conversation
    │   └── BudgetReached       429  the money of one scope
    ├── Overloaded              429  no turn came in time, or the gateway is at its end
    ├── Unavailable             503  the gateway itself cannot serve now
    │   ├── LimitsUnavailable   503  what has been spent is not known now
    │   └── Draining            503
    ├── UpstreamError           502  a target failed
    │   ├── UpstreamRefused     4xx  it says the caller's request is wrong
    │   ├── UpstreamModelGone   404  it does not have the target's model, or no longer
    │   ├── UpstreamDenied      502  it does not accept our credentials
    │   ├── UpstreamRateLimited 429
    │   ├── UpstreamFailed      502  it answered 5xx or something unexpected
    │   ├── UpstreamMalformed   502  its answer cannot be understood
    │   ├── UpstreamUnreachable 502  no connection: DNS, refused, reset
    │   │   ├── UpstreamTls     502
    │   │   └── UpstreamForbiddenAddress 502  refused by the SSRF guard
    │   ├── UpstreamProtocol    502  it does not speak HTTP, or not correctly
    │   │   └── UpstreamCut     502  the answer ended before its end
    │   └── UpstreamTimeout     504
    │       ├── ConnectTimeout, FirstTokenTimeout, IdleTimeout, DeadlineExceeded
    └── InternalError           500  a bug of ours

A class says five things: `status` (HTTP), `code` (stable, for machines), `type` (OpenAI's word),
`retryable` (the same target may succeed later), `elsewhere` (another target may succeed now).
Messages say what, where and what to do next; never a secret, a prompt or a raw upstream body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar


class TidegateError(Exception):
    """Root of the tree. `message` is fit for an end user."""

    status: int = 500
    code: ClassVar[str] = "internal_error"
    type: ClassVar[str] = "api_error"
    retryable: ClassVar[bool] = False
    elsewhere: ClassVar[bool] = False
    remedy: ClassVar[str] = "Report the request id to whoever runs this gateway."

    def __init__(
        self, message: str, *, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class BadRequest(TidegateError):
    """The request is not JSON, or a field is missing, of the wrong type or out of range."""

    status = 400
    code = "invalid_request"
    type = "invalid_request_error"
    remedy = "Correct the field named by `param` and send the request again."


class BodyTooLarge(BadRequest):
    """The body is longer than `server.body_limit`."""

    status = 413
    code = "body_too_large"
    remedy = "Send a smaller body, or raise `server.body_limit`."


class HeadersTooLarge(BadRequest):
    """The request line and headers are longer than `server.header_limit`."""

    status = 431
    code = "headers_too_large"
    remedy = "Send smaller headers, or raise `server.header_limit`."


class SlowBody(BadRequest):
    """The body did not arrive within `server.read_timeout`."""

    status = 408
    code = "body_timeout"
    remedy = "Send the body faster, or raise `server.read_timeout`."


class UnknownModel(BadRequest):
    """No alias of the configuration has this name, or the key may not use it."""

    status = 404
    code = "model_not_found"
    remedy = "Use one of the names that `GET /v1/models` lists, or add the alias under `models`."


class UnknownResponse(BadRequest):
    """No response of this id is kept for this key, or no longer."""

    status = 404
    code = "response_not_found"
    remedy = "Answers are kept unless `store` is false, and as long as the operator lets them."


class TooLongPast(BadRequest):
    """The conversation has become too long to be continued by an id."""

    code = "conversation_too_long"
    remedy = "Send what matters of the conversation in `input`, without `previous_response_id`."


class UnknownPath(BadRequest):
    """This path is not served."""

    status = 404
    code = "unknown_path"
    remedy = "Set the SDK's base URL to `http://HOST:PORT/v1`."


class WrongMethod(BadRequest):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    remedy = "Use the method named in the `allow` header."


class Unauthenticated(TidegateError):
    """No key was sent, or one that is not known."""

    status = 401
    code = "invalid_api_key"
    type = "authentication_error"
    remedy = "Send `Authorization: Bearer KEY` with a key listed under `keys`."


class Forbidden(TidegateError):
    """The key is good, but not for this."""

    status = 403
    code = "not_allowed"
    type = "permission_error"
    remedy = "Ask the operator to allow this for your key."


class KeyExpired(Unauthenticated):
    """The key was good once; its time is over."""

    code = "key_expired"
    remedy = "Use the key's new secret, or ask the operator to renew it."


class KeyBlocked(Forbidden):
    """The key is blocked."""

    code = "key_blocked"
    remedy = "Ask the operator why; `tidegate keys unblock NAME` lets it in again."


class PriceUnknown(Forbidden):
    """A budget covers the request, and what it may cost is not known: no price, or a fee."""

    code = "price_unknown"
    remedy = "The operator sets `price` on the target, or `unpriced: allow`."


class LimitReached(TidegateError):
    """A limit on one scope is used up; nothing was counted for the refused request.

    `limit` names it for the record: `team product requests_per_minute`. `rate` is what headers tell
    of a limit on `requests` or `tokens`: which, its value, what is left, seconds until it will do.
    """

    rate: tuple[str, int, int, float] | None = None

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"
    retryable = True
    remedy = "Try again after `retry-after`, or ask the operator for a higher limit."

    def __init__(self, message: str, *, limit: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.limit = limit


class StepsReached(LimitReached):
    """A conversation has made all the requests it may: no waiting helps."""

    code = "conversation_limit_exceeded"
    retryable = False
    remedy = "Begin a new conversation, or let the operator raise `steps`."


class BudgetReached(LimitReached):
    """The money of one scope would be exceeded."""

    code = "budget_exceeded"
    type = "insufficient_quota"
    retryable = False
    remedy = (
        "Ask the operator for a higher budget, wait for its next period, or ask for a shorter"
        " answer (`max_tokens`)."
    )


class Overloaded(TidegateError):
    """No turn came in time, or the gateway has more to do than it can."""

    status = 429
    code = "overloaded"
    type = "rate_limit_error"
    retryable = True
    remedy = "Try again after `retry-after`; the operator finds what is full in `tidegate targets`."


class Unavailable(TidegateError):
    """The gateway cannot serve now, through no fault of the request."""

    status = 503
    code = "unavailable"
    type = "api_error"
    retryable = True
    remedy = "Try again after `retry-after`; the operator finds the reason in the log."


class NoTarget(Unavailable):
    """Every target of the model is resting after failures."""

    code = "no_target_available"
    remedy = "Try again after `retry-after`, or let the operator add a fallback."


class LimitsUnavailable(Unavailable):
    """What has been spent is not known now, so nothing more may be."""

    code = "limits_unavailable"
    remedy = "Try again after `retry-after`; the operator looks at Redis and the control process."


class Draining(Unavailable):
    """The gateway is shutting down and takes no new requests."""

    code = "draining"
    remedy = "Try again: another replica, or this one after its restart, will answer."


class UpstreamError(TidegateError):
    """A target failed. `target` names it in the record; the caller is not told."""

    status = 502
    code = "upstream_error"
    retryable = True
    elsewhere = True
    spare: bool = False
    """Whether another account or replica of the same target is free: no pause is needed then."""
    answered: int | None = None
    """The HTTP status that the target answered with, if it did."""
    place: object = None
    """The replica it came from, for the next try to avoid, if there are several."""
    remedy = "Try again; if it goes on, look at the provider's status and `tidegate log --errors`."


class UpstreamRefused(UpstreamError):
    """The target says that the request itself is wrong (400, 404, 409, 413, 422)."""

    status = 400
    code = "upstream_refused"
    type = "invalid_request_error"
    retryable = False
    elsewhere = False
    upstream_code: str | None = None
    """The provider's own code, which clients know (`context_length_exceeded`): passed on."""
    remedy = "Correct the request as the message says."


class ContextOverflow(UpstreamRefused):
    """The conversation is longer than the model's context window."""

    code = "context_length_exceeded"
    remedy = (
        "Send a shorter conversation, or let the operator set `on_context_overflow` on the alias."
    )


class ContentFiltered(UpstreamRefused):
    """The provider's content filter stopped the request or the answer."""

    code = "content_filter"
    remedy = "Change the request, or let the operator set `on_content_filter` on the alias."


class Unsupported(UpstreamError):
    """The target's format has no word for something that was asked (`unsupported: error`)."""

    status = 400
    code = "unsupported_by_target"
    type = "invalid_request_error"
    retryable = False
    remedy = "Leave the field out, or let the operator set `unsupported: drop` on the alias."


class UpstreamModelGone(UpstreamError):
    """The target's model is not there, or no longer (404, 410): the configuration names another."""

    status = 404
    code = "upstream_model_gone"
    type = "invalid_request_error"
    retryable = False
    upstream_code: str | None = None
    """The provider's own code: passed on, as that of a refusal is."""
    remedy = "The operator must name a model that the provider has in the target's `model`."


class UpstreamDenied(UpstreamError):
    """The target does not accept the operator's credentials (401, 402, 403)."""

    code = "upstream_denied"
    retryable = False
    remedy = "The operator must check the provider's `api_key` and account."


class UpstreamRateLimited(UpstreamError):
    """The target answered 429."""

    status = 429
    code = "upstream_rate_limited"
    type = "rate_limit_error"
    remedy = "Try again after `retry-after`, or let the operator add a fallback."


class UpstreamFailed(UpstreamError):
    """The target answered 5xx or a status that means nothing here."""

    code = "upstream_failed"


class UpstreamMalformed(UpstreamError):
    """The answer is not what its format promises: broken JSON, no choices, wrong content type."""

    code = "upstream_malformed"


class UpstreamUnreachable(UpstreamError):
    """No connection: name not found, refused, reset before an answer."""

    code = "upstream_unreachable"
    remedy = "The operator must check the provider's `base_url` and the network."


class UpstreamTls(UpstreamUnreachable):
    """The TLS handshake failed; certificates are always verified."""

    code = "upstream_tls"
    retryable = False
    remedy = "The operator must check the provider's certificate, or name its CA in `tls.ca`."


class UpstreamForbiddenAddress(UpstreamUnreachable):
    """The host resolves to a private, link-local or metadata address."""

    code = "upstream_forbidden_address"
    retryable = False
    remedy = "If the address is meant, the operator sets `allow_private: true` on the provider."


class UpstreamProtocol(UpstreamError):
    """The other side does not speak HTTP/1.1, or breaks its rules."""

    code = "upstream_protocol"


class UpstreamCut(UpstreamProtocol):
    """The answer ended before its end was said."""

    code = "upstream_cut"


class UpstreamTimeout(UpstreamError):
    """The target was too slow; subclasses say in which phase."""

    status = 504
    code = "upstream_timeout"
    type = "timeout_error"
    remedy = "Try again, or raise the alias's `timeout`."


class ConnectTimeout(UpstreamTimeout):
    """No connection within `timeout.connect`."""

    code = "upstream_connect_timeout"


class FirstTokenTimeout(UpstreamTimeout):
    """No first token within `timeout.first_token`."""

    code = "upstream_first_token_timeout"


class IdleTimeout(UpstreamTimeout):
    """Nothing came for `timeout.idle` in the middle of an answer."""

    code = "upstream_idle_timeout"


class DeadlineExceeded(UpstreamTimeout):
    """The whole request took longer than `timeout.total`."""

    code = "deadline_exceeded"
    retryable = False
    elsewhere = False


class InternalError(TidegateError):
    """A bug of ours; the log has the details under the request id."""


def every(kind: type[TidegateError] = TidegateError) -> Iterator[type[TidegateError]]:
    """`kind` and what is below it, as the tree has them."""
    yield kind
    for each in kind.__subclasses__():
        yield from every(each)


def remedy_of(code: str) -> str | None:
    """What helps against an error of this code; None where that is no error of ours."""
    return next((each.remedy for each in every() if each.code == code), None)
