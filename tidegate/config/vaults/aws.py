"""AWS Secrets Manager, by botocore: its credential chain, its regions, its endpoints.

Source: docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.config.vaults import TIMEOUT_S, VaultError, not_installed

try:
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
    from botocore.session import Session
except ImportError as error:
    raise not_installed("aws", "botocore") from error

_DENIED = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "InvalidSignatureException",
        "UnrecognizedClientException",
    }
)
_ARN_PARTS = 6


class SecretsManager:
    """The secrets of one account; those named by ARN may be in any region."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Open it; nothing is asked yet. Raises: `VaultError`."""
        self._environ = environ
        self._clients: dict[str | None, Any] = {}

    def fetch(self, name: str) -> str:
        """The text of the secret with the name or ARN `name`."""
        parts = name.split(":")
        region = parts[3] if len(parts) > _ARN_PARTS and parts[0] == "arn" else None
        try:
            answer = self._client(region).get_secret_value(SecretId=name)
        except ClientError as error:
            raise _refused(name, error) from None
        except NoCredentialsError:
            raise VaultError("AWS, and no credentials of AWS are found", closed=True) from None
        except NoRegionError:
            raise VaultError("AWS, and AWS_REGION is not set", closed=True) from None
        except (BotoCoreError, ValueError) as error:
            raise VaultError(
                f"AWS Secrets Manager, which cannot be reached ({type(error).__name__})",
                closed=True,
            ) from None
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise VaultError(f"`{name}` in AWS Secrets Manager, which is not text")
        return text

    def _client(self, region: str | None) -> Any:
        if region not in self._clients:
            told = self._environ.get
            self._clients[region] = Session().create_client(
                "secretsmanager",
                region_name=region or told("AWS_REGION") or told("AWS_DEFAULT_REGION"),
                endpoint_url=told("AWS_ENDPOINT_URL_SECRETS_MANAGER") or told("AWS_ENDPOINT_URL"),
                aws_access_key_id=told("AWS_ACCESS_KEY_ID"),
                aws_secret_access_key=told("AWS_SECRET_ACCESS_KEY"),
                aws_session_token=told("AWS_SESSION_TOKEN"),
                config=Config(
                    connect_timeout=TIMEOUT_S,
                    read_timeout=TIMEOUT_S,
                    retries={"total_max_attempts": 1},
                ),
            )
        return self._clients[region]


def _refused(name: str, error: Any) -> VaultError:
    code = str(error.response.get("Error", {}).get("Code", "an error"))
    if code == "ResourceNotFoundException":
        return VaultError(f"`{name}` in AWS Secrets Manager, and there is no such secret")
    if code in _DENIED:
        return VaultError(f"`{name}` in AWS Secrets Manager, which our credentials may not read")
    return VaultError(f"`{name}` in AWS Secrets Manager, which answers {code}")
