"""Everything that the admin API refuses, as one tree.

    Problem
    ├── Malformed            400  the body is not JSON
    ├── NotSignedIn          401
    ├── NotAllowed           403
    ├── NotFound             404
    ├── WrongMethod          405
    ├── TooSlow              408
    ├── Conflict             409  it contradicts what is there
    ├── TooLarge             413
    ├── Invalid              422  a field is missing, unknown or out of range
    │   └── KeyReused        422  an idempotency key came with another request before
    ├── TooManyFailures      429  of signing in
    ├── Broken               500  a bug of ours
    └── StoreUnavailable     503
        └── NotPublished     503  stored, but the gateways could not be told yet

Each is answered as `{"error": {code, message, remedy, param}}`.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field


class Problem(Exception):
    """Root of the tree. `message` says what and where, `remedy` what to do next."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    remedy: str = "Look into the log of the control process."

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        remedy: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.remedy = remedy or self.remedy
        self.retry_after_s = retry_after_s

    def told(self) -> dict[str, dict[str, str | None]]:
        """As it is answered."""
        error = {"code": self.code, "message": self.message, "remedy": self.remedy}
        return {"error": {**error, "param": self.param}}


class Malformed(Problem):
    """The body is not JSON."""

    status = 400
    code = "malformed"
    remedy = "Send one JSON object, with `content-type: application/json`."


class NotSignedIn(Problem):
    """No token, or one that is not known, or no longer."""

    status = 401
    code = "not_signed_in"
    remedy = "Send `Authorization: Bearer TOKEN` with an admin token (`tga-…`)."


class NotAllowed(Problem):
    """The token is good; its role may not do this."""

    status = 403
    code = "not_allowed"
    remedy = "Use a token of another role, or ask an owner for one."


class NotFound(Problem):
    """There is nothing of that name."""

    status = 404
    code = "not_found"
    remedy = "List what there is, and mind the spelling."


class WrongMethod(Problem):
    """The path exists, the method does not."""

    status = 405
    code = "method_not_allowed"
    remedy = "Use a method that the `allow` header names."


class TooSlow(Problem):
    """The body did not arrive in time."""

    status = 408
    code = "body_timeout"
    remedy = "Send the body at once."


class Conflict(Problem):
    """It contradicts what is there."""

    status = 409
    code = "conflict"
    remedy = "Look at what is there, then decide."


class TooLarge(Problem):
    """The body is longer than any request needs."""

    status = 413
    code = "body_too_large"
    remedy = "Send at most 1 MiB."


class Invalid(Problem):
    """A field is missing, unknown, of the wrong type or out of range."""

    status = 422
    code = "invalid"
    remedy = "Correct the field named by `param`; `/admin/v1/openapi.json` describes them all."


class KeyReused(Invalid):
    """An idempotency key came with another request before."""

    code = "idempotency_key_reused"
    remedy = "Take a new `Idempotency-Key` for each new change."


class TooManyFailures(Problem):
    """An address has failed to sign in too often."""

    status = 429
    code = "too_many_failures"
    remedy = "Wait as long as `retry-after` says, then send a good token."


class Broken(Problem):
    """A bug of ours."""

    remedy = "Look into the log of the control process, and report what you find."


class StoreUnavailable(Problem):
    """The database does not answer."""

    status = 503
    code = "store_unavailable"
    remedy = "Try again; the log of the control process says what is wrong with the store."


class NotPublished(StoreUnavailable):
    """The change is stored, but the gateways could not be told yet."""

    code = "not_published"
    remedy = "It is tried again twice a second; the log says what is wrong with the disk."


class Told(BaseModel):
    """What went wrong, and what to do next."""

    code: str = Field(description="Stable, for programs.")
    message: str
    remedy: str
    param: str | None = Field(description="The field or parameter that is meant, if one is.")


class ProblemTold(BaseModel):
    """The answer to whatever was refused."""

    error: Told
