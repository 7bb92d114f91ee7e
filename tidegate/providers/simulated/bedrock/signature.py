"""Whether a request is signed with the right secret: AWS Signature Version 4, the checking side.

Source: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. The
path is encoded once more than it was sent, as every service but S3 wants it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from tidegate.providers.simulated.reply import Request


def is_signed_with(secret: bytes, request: Request) -> bool:
    """Whether `request` is signed, body included, by whoever knows `secret`."""
    fields = {
        name: value
        for part in request.key.decode("latin-1").partition(" ")[2].split(",")
        for name, _, value in [part.strip().partition("=")]
    }
    _, _, scope = fields.get("Credential", "").partition("/")
    names = fields.get("SignedHeaders", "").split(";")
    values = {
        name.decode("latin-1"): " ".join(value.decode("latin-1").split())
        for name, value in request.headers
    }
    wanted = {"host", "x-amz-date"} <= set(names) and len(scope.split("/")) == 4  # noqa: PLR2004
    if not wanted or any(name not in values for name in names):
        return False
    canonical = "\n".join(
        (
            request.method.decode(),
            quote(request.path, safe="/-_.~"),
            "&".join(sorted(request.query.split("&"))),
            *(f"{name}:{values[name]}" for name in names),
            "",
            ";".join(names),
            sha256(request.body).hexdigest(),
        )
    )
    digest = sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{values['x-amz-date']}\n{scope}\n{digest}"
    key = b"AWS4" + secret
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return hmac.compare_digest(signature, fields.get("Signature", ""))
