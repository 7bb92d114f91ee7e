"""What is refused: raised while a request is read, answered in its vendor's own words."""

from __future__ import annotations


class Refusal(Exception):
    """The request is answered with an error.

    `kind` and `code` are the vendor's words; where None, its table says them by status.
    `retry_s` is how long to wait, for those who say that in the body.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_s = retry_s
