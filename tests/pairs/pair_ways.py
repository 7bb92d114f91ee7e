"""The ways out of the gateway: one simulated provider, spoken to as every kind of vendor."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.gateway.running import Gateway, running
from tests.pairs.pair_callers import Callers
from tidegate.conversations.kept import is_kept
from tidegate.ledger.segment import read_segment, segments
from tidegate.providers.simulated.settings import Settings
from tidegate.providers.simulated.stats import Meter
from tidegate.telemetry.record import Record, decode

KEY = "only-this-key-is-let-in"
"""What every vendor knows us by; Bedrock is signed to with it, Vertex AI gets it as a token."""


@dataclass(frozen=True)
class Way:
    """One kind of provider, and a model's name that it would have."""

    name: str
    speaks: str
    """The format that it is asked in."""
    model: str
    native: tuple[str, ...] = ()
    """The callers' formats that pass through unchanged."""
    tells_written: bool = True
    """Whether its usage tells what was written to a cache."""
    tells_reasoning: bool = True
    """Whether its usage tells how much of the output was reasoning."""
    tells_model: bool = True
    """Whether its answers name the model; if not, callers see the name that they asked for."""

    @property
    def signs(self) -> bool:
        """Whether its thoughts are signed, and refused without their signature."""
        return self.speaks in ("messages", "converse")


_OPENAI = ("chat", "completions")
WAYS = (
    Way("openai", "chat", "gpt-5.1-2025-11-13", native=_OPENAI),
    Way("openai_responses", "responses", "gpt-5.1-2025-11-13", native=("responses",)),
    Way("azure", "chat", "our-deployment", native=(*_OPENAI, "responses")),
    Way("azure_dated", "chat", "our-deployment", native=_OPENAI),
    Way("anthropic", "messages", "claude-sonnet-4-5-20250929", native=("messages",)),
    Way("gemini", "gemini", "gemini-2.5-flash", tells_written=False),
    Way("vertex", "gemini", "gemini-3-pro-preview", tells_written=False),
    Way(
        "bedrock",
        "converse",
        "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
        tells_reasoning=False,
        tells_model=False,
    ),
    Way("groq", "chat", "llama-3.3-70b-versatile", native=("chat",)),
    Way("ollama", "chat", "qwen3:32b", native=_OPENAI),
)
BY_NAME = {way.name: way for way in WAYS}

PROVIDERS = """
providers:
  openai: {{kind: openai, base_url: "{root}/v1", allow_private: true, api_key: {key}}}
  openai_responses:
    {{kind: openai, api: responses, base_url: "{root}/v1", allow_private: true, api_key: {key}}}
  azure: {{kind: azure, base_url: "{root}", allow_private: true, api_key: {key}}}
  azure_dated:
    kind: azure
    api_version: "2024-10-21"
    base_url: "{root}"
    allow_private: true
    api_key: {key}
  anthropic: {{kind: anthropic, base_url: "{root}/v1", allow_private: true, api_key: {key}}}
  gemini: {{kind: gemini, base_url: "{root}/v1beta", allow_private: true, api_key: {key}}}
  vertex:
    kind: vertex
    base_url: "{root}/v1"
    allow_private: true
    project: our-project
    location: europe-west4
    credentials: ${{file:{here}/service-account.json}}
  bedrock:
    kind: bedrock
    base_url: "{root}"
    allow_private: true
    region: eu-central-1
    access_key_id: AKIDEXAMPLE
    secret_access_key: {key}
  groq: {{kind: groq, base_url: "{root}/openai/v1", allow_private: true, api_key: {key}}}
  ollama: {{kind: ollama, base_url: "{root}/v1", allow_private: true, api_key: {key}}}
"""
"""`{root}` is where the vendors are, `{key}` how they know us."""

ALIASES = "models:\n" + "".join(
    f"""
  "{way.name}/*":
    targets:
      - provider: {way.name}
        model: "*"
        price: {{{{input: $1/M, output: $2/M, cached_input: $0.1/M, cache_write: $3/M}}}}
    retry: {{{{attempts: 1}}}}
    breaker: null
"""
    for way in WAYS
)
"""An alias for each way, named after it: what follows the slash is the model."""

CONFIG = PROVIDERS + ALIASES


class Pairs:
    """A gateway with every way out of it, and callers of every format before it."""

    def __init__(self, gateway: Gateway, callers: Callers) -> None:
        self.gateway = gateway
        self.callers = callers.by_name
        self.sdks = callers
        self._read: dict[Path, int] = {}

    def record(self) -> Record:
        """The last record; there must be one since one was asked for."""
        return self.records()[-1]

    def records(self) -> list[Record]:
        """The records since the last ones were asked for."""
        found: list[Record] = []
        for path in segments(self.gateway.directory / ".tidegate" / "spool"):
            for payload, end in read_segment(path, self._read.get(path, 0)):
                if not is_kept(payload):
                    found.append(decode(payload))
                self._read[path] = end
        return found

    @property
    def billed(self) -> Meter:
        """What the provider counted for the last answer."""
        return self.gateway.sim.stats.calls[-1][0]


@asynccontextmanager
async def open_pairs(directory: Path, config: str = CONFIG, **places: str) -> AsyncGenerator[Pairs]:
    """Run all of it; `places` are the names in braces of `config`."""
    told = {"key": KEY, "here": str(directory), **places}
    async with (
        google_tokens(directory),
        running(directory, config, Settings(key=KEY), **told) as gateway,
        Callers(gateway.url) as callers,
    ):
        yield Pairs(gateway, callers)


@asynccontextmanager
async def google_tokens(directory: Path) -> AsyncGenerator[None]:
    """Google's token server, and a service account's key in `directory` that leads to it."""
    told = json.dumps({"access_token": KEY, "expires_in": 3600, "token_type": "Bearer"}).encode()

    async def give(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(told)}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + told)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(give, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    account = {
        "type": "service_account",
        "private_key": _private_key(),
        "client_email": "gateway@our-project.iam.gserviceaccount.com",
        "token_uri": f"http://127.0.0.1:{port}/token",
    }
    (directory / "service-account.json").write_text(json.dumps(account))
    async with server:
        yield


@cache
def _private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
