"""Google Secret Manager, asked as google-auth asks for tokens.

The credentials are the application default ones. CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER
names another endpoint, as it does for Google's own command line.

Source: cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tidegate.config.vaults import TIMEOUT_S, VaultError, not_installed
from tidegate.providers.google_auth import Source, Transport, application_default, service_account

try:
    from google.auth.exceptions import GoogleAuthError, TransportError
except ImportError as error:
    raise not_installed("gcp", "google-auth") from error

_ENDPOINT: Final = "https://secretmanager.googleapis.com/"
_NOT_FOUND, _DENIED, _GOOD = 404, (401, 403), 200


class _Payload(msgspec.Struct):
    data: str = ""


class _Key(msgspec.Struct):
    type: str = ""


class _Version(msgspec.Struct):
    payload: _Payload


class _Http(Transport):
    """Google's way to ask for tokens, and ours to ask for secrets, with less patience."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Ask, and wait. Raises: `google.auth.exceptions.TransportError`."""
        return super().__call__(*arguments, **{**named, "timeout": TIMEOUT_S})


class SecretManager:
    """The secrets that the application default credentials may read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Open it: find the credentials. Raises: `VaultError`."""
        self._http = _Http()
        endpoint = environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER") or _ENDPOINT
        self._endpoint = endpoint.rstrip("/")
        try:
            self._credentials = _source(environ.get("GOOGLE_APPLICATION_CREDENTIALS"))()
            self._credentials.refresh(self._http)
        except TransportError as error:
            raise _unreachable(error) from None
        except (GoogleAuthError, msgspec.MsgspecError, ValueError, OSError):
            raise VaultError(
                "Google Cloud, and no usable credentials of Google are found; "
                "set GOOGLE_APPLICATION_CREDENTIALS",
                closed=True,
            ) from None

    def fetch(self, name: str) -> str:
        """The text of `projects/PROJECT/secrets/NAME[/versions/VERSION]`, by default the latest."""
        if not name.startswith("projects/") or "/secrets/" not in name or set(name) & set("?# "):
            raise VaultError(f"`{name}`, which is not `projects/PROJECT/secrets/NAME`")
        version = name if "/versions/" in name else f"{name}/versions/latest"
        try:
            answer = self._http(
                f"{self._endpoint}/v1/{version}:access",
                headers={"authorization": f"Bearer {self._credentials.token}"},
            )
        except TransportError as error:
            raise _unreachable(error) from None
        if answer.status == _NOT_FOUND:
            raise VaultError(f"`{name}` in Google Secret Manager, and there is no such secret")
        if answer.status in _DENIED:
            raise VaultError(
                f"`{name}` in Google Secret Manager, which our credentials may not read"
            )
        if answer.status != _GOOD:
            raise VaultError(f"`{name}` in Google Secret Manager, which answers {answer.status}")
        try:
            payload = msgspec.json.decode(answer.data, type=_Version).payload
            return b64decode(payload.data, validate=True).decode()
        except (ValueError, msgspec.MsgspecError):  # binascii.Error and UnicodeDecodeError are ones
            # Not chained: the error would carry the secret's bytes along.
            raise VaultError(f"`{name}` in Google Secret Manager, which is not text") from None


def _source(file: str | None) -> Source:
    """Where the credentials come from: a service account's key in `file`, or what the machine has.

    Raises: `OSError`, `ValueError`, `MsgspecError`.
    """
    if file:
        text = Path(file).read_text(encoding="utf-8")
        if msgspec.json.decode(text, type=_Key).type == "service_account":
            return service_account(text)
    return application_default()


def _unreachable(error: Exception) -> VaultError:
    return VaultError(
        f"Google Cloud, which cannot be reached ({type(error.__cause__ or error).__name__})",
        closed=True,
    )
