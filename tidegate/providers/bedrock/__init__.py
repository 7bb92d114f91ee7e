"""Amazon Bedrock: every model behind Converse, and the embeddings of Titan and Cohere."""

from __future__ import annotations

from tidegate.providers.bedrock.auth import ApiKey, Credential, KeyChain, Keys, Signer
from tidegate.providers.bedrock.dialect import Bedrock

__all__ = ["ApiKey", "Bedrock", "Credential", "KeyChain", "Keys", "Signer"]
