"""Secrets that are kept elsewhere: HashiCorp Vault, AWS Secrets Manager, Google Secret Manager.

They are fetched while a configuration is read, never for a request. Each place is opened at most
once for a reading, and one that does not answer is not asked a second time: a hundred references
to a dead one cost one timeout. Their clients are imported when a reference needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from tidegate.config.mistakes import nearest

TIMEOUT_S: Final = 5.0
"""How long any one question to such a place may take."""


class VaultError(Exception):
    """A secret cannot be had; the message goes on from `refers to …` and holds no secret."""

    def __init__(self, message: str, *, nearest: str | None = None, closed: bool = False) -> None:
        super().__init__(message)
        self.nearest = nearest
        self.closed = closed
        """Whether the place itself cannot be used, so that asking it again is no use."""


class Vault(Protocol):
    """One place that keeps secrets; opening it is its constructor's work."""

    def fetch(self, name: str) -> str | Mapping[str, object]:
        """The secret called `name`: a text, or texts by field. Raises: `VaultError`."""
        ...


class Vaults:
    """The places of one reading of the configuration."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._open: dict[str, Vault] = {}
        self._closed: dict[str, VaultError] = {}
        self._fetched: dict[tuple[str, str], str | Mapping[str, object]] = {}

    def get(self, kind: str, reference: str) -> str:
        """The text that `reference`, `NAME` or `NAME#FIELD`, stands for in the place `kind`.

        Raises: `VaultError`.
        """
        name, hash_sign, field = reference.partition("#")
        if not name or (hash_sign and not field):
            raise VaultError("by something that is not `NAME#FIELD`")
        return _field(self._fetch(kind, name), name, field)

    def _fetch(self, kind: str, name: str) -> str | Mapping[str, object]:
        if kind in self._closed:
            raise self._closed[kind]
        if (kind, name) in self._fetched:
            return self._fetched[kind, name]
        try:
            if kind not in self._open:
                self._open[kind] = OPENERS[kind](self._environ)
            found = self._open[kind].fetch(name)
        except VaultError as error:
            if error.closed:
                self._closed[kind] = error
            raise
        self._fetched[kind, name] = found
        return found


def _field(found: str | Mapping[str, object], name: str, field: str) -> str:
    """The text of `field`; of a secret that is one text, that text, or what its JSON has."""
    if isinstance(found, str):
        if not field:
            return found
        try:
            fields = msgspec.json.decode(found, type=dict[str, object])
        except msgspec.MsgspecError:
            # Not chained: the error would quote the secret.
            raise VaultError(
                f"the field `{field}` of `{name}`, which is not a JSON object"
            ) from None
    else:
        fields = dict(found)
    if not field:
        names = ", ".join(sorted(fields)[:10])
        raise VaultError(f"`{name}` without saying which field: `{name}#FIELD`; it has: {names}")
    value = fields.get(field)
    if value is None:
        likely = nearest(field, fields)
        raise VaultError(f"the field `{field}` of `{name}`, which has none", nearest=likely)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _hashicorp(environ: Mapping[str, str]) -> Vault:
    from tidegate.config.vaults.hashicorp import HashiCorp  # noqa: PLC0415 - an extra

    return HashiCorp(environ)


def _aws(environ: Mapping[str, str]) -> Vault:
    from tidegate.config.vaults.aws import SecretsManager  # noqa: PLC0415 - an extra

    return SecretsManager(environ)


def _gcp(environ: Mapping[str, str]) -> Vault:
    from tidegate.config.vaults.gcp import SecretManager  # noqa: PLC0415 - an extra

    return SecretManager(environ)


def not_installed(extra: str, package: str) -> VaultError:
    """The error that tells how to install what is missing."""
    return VaultError(
        f"a place that needs {package}, which is not installed: pip install 'tidegate[{extra}]'",
        closed=True,
    )


OPENERS: Final[dict[str, Callable[[Mapping[str, str]], Vault]]] = {
    "vault": _hashicorp,
    "aws": _aws,
    "gcp": _gcp,
}
"""How each place is opened, by the word that stands before the colon."""
