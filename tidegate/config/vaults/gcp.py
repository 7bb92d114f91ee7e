"""Google Secret Manager, over the standard library's HTTP client with google-auth's credentials.

The credentials are the application default ones. CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER
names another endpoint, as it does for Google's own command line.

Source: cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import msgspec

from tidegate.config.vaults import TIMEOUT_S, VaultError, not_installed

try:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
    from google.auth.transport import Request, Response
except ImportError as error:
    raise not_installed("gcp", "google-auth") from error

_ENDPOINT: Final = "https://secretmanager.googleapis.com/"
_SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
_ANSWER_LIMIT_BYTES: Final = 1 << 20
_NOT_FOUND, _DENIED, _GOOD = 404, (401, 403), 200


class _Payload(msgspec.Struct):
    data: str = ""


class _Version(msgspec.Struct):
    payload: _Payload


class _Answer(Response):
    """An answer as google-auth wants it."""

    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._status, self._headers, self._data = status, headers, data

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        return self._headers

    @property
    def data(self) -> bytes:
        """The body."""
        return self._data


class _Http(Request):
    """How google-auth asks for tokens; and how we ask for secrets."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Answer:
        """The answer, whatever its status. Raises: `TransportError` when there is none."""
        if not url.startswith(("https://", "http://")):
            raise TransportError("not an HTTP address")
        asked = HttpRequest(url, data=body, headers=dict(headers or {}), method=method)  # noqa: S310
        wait_s = min(timeout or TIMEOUT_S, TIMEOUT_S)
        try:
            with urlopen(asked, timeout=wait_s) as answer:  # noqa: S310 - the scheme is checked
                return _Answer(answer.status, answer.headers, answer.read(_ANSWER_LIMIT_BYTES))
        except HTTPError as error:
            with error:
                return _Answer(error.code, dict(error.headers), error.read(_ANSWER_LIMIT_BYTES))
        except OSError as error:
            raise TransportError(type(error).__name__) from error


class SecretManager:
    """The secrets that the application default credentials may read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Open it: find the credentials. Raises: `VaultError`."""
        self._http = _Http()
        endpoint = environ.get("CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER") or _ENDPOINT
        self._endpoint = endpoint.rstrip("/")
        file = environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        library: Any = google.auth  # without types
        try:
            found = (
                library.load_credentials_from_file(file, scopes=_SCOPES, request=self._http)
                if file
                else library.default(scopes=_SCOPES, request=self._http)
            )
            self._credentials = found[0]
            self._credentials.refresh(self._http)
        except TransportError as error:
            raise _unreachable(error) from None
        except (DefaultCredentialsError, GoogleAuthError, ValueError):
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


def _unreachable(error: Exception) -> VaultError:
    return VaultError(f"Google Cloud, which cannot be reached ({error})", closed=True)
