"""HashiCorp Vault's key-value secrets, of either version.

Vault's own variables say where it is and who we are: VAULT_ADDR, VAULT_NAMESPACE, VAULT_CACERT, and
VAULT_TOKEN, or VAULT_ROLE_ID with VAULT_SECRET_ID (AppRole), or the file `~/.vault-token`. Without
any, a Vault Agent is expected there that knows who we are.

Source: developer.hashicorp.com/vault/docs/commands#environment-variables and …/api-docs/secret/kv.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from tidegate.config.vaults import TIMEOUT_S, VaultError, not_installed

try:
    import hvac
    from hvac.exceptions import Forbidden, InvalidPath, Unauthorized
    from hvac.exceptions import VaultError as HvacError
except ImportError as error:
    raise not_installed("vault", "hvac") from error

_SECOND = "2"


class HashiCorp:
    """One Vault."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Open it. Raises: `VaultError`."""
        self._address = environ.get("VAULT_ADDR", "")
        if not self._address:
            raise VaultError("Vault, and VAULT_ADDR is not set to its address", closed=True)
        self._client: Any = hvac.Client(
            url=self._address,
            namespace=environ.get("VAULT_NAMESPACE") or None,
            verify=environ.get("VAULT_CACERT") or True,
            timeout=int(TIMEOUT_S),
        )
        # hvac finds a token by itself in this process's surroundings, which need not be ours.
        self._client.token = _token(environ)
        role = environ.get("VAULT_ROLE_ID")
        if self._client.token is None and role:
            self._ask(
                "its login",
                lambda: self._client.auth.approle.login(
                    role_id=role, secret_id=environ.get("VAULT_SECRET_ID")
                ),
            )

    def fetch(self, name: str) -> Mapping[str, object]:
        """The fields of the secret at `name`, `MOUNT/PATH`, as `vault kv get` takes it."""
        mount, path, version = self._mounted(name.strip("/"))
        if not path:
            raise VaultError(f"`{name}`, which names no secret: it is `MOUNT/PATH#FIELD`")
        kv = self._client.secrets.kv
        if version == _SECOND:
            answer = self._ask(
                f"`{name}`",
                lambda: kv.v2.read_secret_version(
                    path=path, mount_point=mount, raise_on_deleted_version=True
                ),
            )
            return cast("dict[str, object]", answer["data"]["data"])
        answer = self._ask(f"`{name}`", lambda: kv.v1.read_secret(path=path, mount_point=mount))
        return cast("dict[str, object]", answer["data"])

    def _mounted(self, name: str) -> tuple[str, str, str]:
        """Mount, path inside it and version of the engine there, asked as Vault's own client does.

        Where that may not be asked, the first word is the mount, of version 2.
        """
        mount, version = name.partition("/")[0], _SECOND
        try:
            told = cast(
                "dict[str, Any]", self._client.adapter.get(f"/v1/sys/internal/ui/mounts/{name}")
            )["data"]
            mount = str(told["path"]).strip("/")
            options: dict[str, Any] = told.get("options") or {}
            version = str(options.get("version", "1"))
        except (Forbidden, InvalidPath, KeyError, TypeError):
            pass
        except (HvacError, OSError) as error:  # requests' errors are OSErrors
            raise self._unusable(error) from None
        path = name.removeprefix(mount).strip("/")
        if version == _SECOND:
            path = path.removeprefix("data/")  # the path of the API, which many write
        return mount, path, version

    def _ask(self, what: str, question: Any) -> Any:
        try:
            return question()
        except InvalidPath:
            raise VaultError(f"{what} in Vault, and there is no such secret") from None
        except (Forbidden, Unauthorized):
            raise VaultError(f"{what} in Vault, which our token may not read") from None
        except (HvacError, OSError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> VaultError:
        """What is told when Vault gives no answer at all, or one that is none of its own."""
        if isinstance(error, HvacError):
            return VaultError(
                f"Vault at {self._address}, which answers with an error ({type(error).__name__})",
                closed=True,
            )
        return VaultError(
            f"Vault at {self._address}, which cannot be reached ({type(error).__name__})",
            closed=True,
        )


def _token(environ: Mapping[str, str]) -> str | None:
    token = environ.get("VAULT_TOKEN")
    if token:
        return token
    try:
        return (Path(environ["HOME"]) / ".vault-token").read_text(encoding="utf-8").strip() or None
    except (KeyError, OSError, UnicodeDecodeError):
        return None
