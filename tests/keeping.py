"""Vault, AWS Secrets Manager and Google Secret Manager in one, with a secret under every name."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import msgspec
from config.imitating import Asked
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

FIELDS = {"key": "value"}


def keep(asked: Asked) -> tuple[int, object]:
    """Answer whoever asks for a secret, or for leave to ask."""
    text = msgspec.json.encode(FIELDS)
    if "x-amz-target" in asked.headers:
        return 200, {"SecretString": text.decode()}
    if asked.path == "/token":
        return 200, {"access_token": "fresh", "expires_in": 3600, "token_type": "Bearer"}
    if asked.path.endswith(":access"):
        return 200, {"payload": {"data": b64encode(text).decode()}}
    if "/mounts/" in asked.path:
        return 403, {"errors": []}
    return 200, {"data": {"data": FIELDS}}


def environment(url: str, directory: Path) -> dict[str, str]:
    """The variables that lead to a server of `keep` at `url`; Google's key goes to `directory`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {
        "type": "service_account",
        "project_id": "p",
        "client_email": "gate@p.example",
        "private_key": pem,
        "token_uri": f"{url}/token",
    }
    file = directory / "key.json"
    file.write_bytes(msgspec.json.encode(account))
    return {
        "VAULT_ADDR": url,
        "VAULT_TOKEN": "token",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": url,
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "GOOGLE_APPLICATION_CREDENTIALS": str(file),
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": f"{url}/",
    }
