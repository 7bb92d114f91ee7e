from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from imitating import Asked, Imitation, imitation
from pydantic_core import PydanticCustomError
from reading import mistakes_in, read

from tidegate.config.provider import OpenAIProvider
from tidegate.config.secrets import resolve
from tidegate.config.surroundings import Surroundings

NOWHERE = "http://127.0.0.1:1"


def refused(text: str, environ: dict[str, str]) -> PydanticCustomError:
    with pytest.raises(PydanticCustomError) as caught:
        resolve(text, Surroundings(Path("/"), environ))
    return caught.value


# HashiCorp Vault


def kv(asked: Asked) -> tuple[int, object]:
    """Two mounts, `kv` of version 2 and `old` of version 1, and an AppRole."""
    if asked.path == "/v1/auth/approle/login":
        good = asked.json() == {"role_id": "role", "secret_id": "hidden"}
        return (200, {"auth": {"client_token": "by-role"}}) if good else (400, {"errors": ["no"]})
    if asked.headers.get("x-vault-token") not in {"token", "by-role"}:
        return 403, {"errors": ["permission denied"]}
    mounts = "/v1/sys/internal/ui/mounts/"
    if asked.path.startswith(f"{mounts}team/kv/"):
        return 200, {"data": {"path": "team/kv/", "options": {"version": "2"}}}
    if asked.path.startswith(f"{mounts}old/"):
        return 200, {"data": {"path": "old/", "options": None}}
    if asked.path.startswith(mounts):
        return 403, {"errors": ["preflight capability check returned 403"]}
    return {
        "/v1/team/kv/data/openai": (200, {"data": {"data": {"key": "from-v2", "port": 8}}}),
        "/v1/old/openai": (200, {"data": {"key": "from-v1"}}),
        "/v1/secret/data/openai": (200, {"data": {"data": {"key": "unseen-mount"}}}),
        "/v1/secret/data/broken": (500, {"errors": ["sealed"]}),
    }.get(asked.path, (404, {"errors": []}))


@pytest.fixture
def vault() -> Iterator[Imitation]:
    with imitation(kv) as server:
        yield server


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("team/kv/openai#key", "from-v2"),
        ("team/kv/data/openai#key", "from-v2"),
        ("team/kv/openai#port", "8"),
        ("old/openai#key", "from-v1"),
        ("secret/openai#key", "unseen-mount"),
    ],
)
def test_a_field_of_vault_is_read_whatever_the_engines_version(
    vault: Imitation, reference: str, value: str
) -> None:
    around = Surroundings(Path("/"), {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "token"})
    secret = resolve(f"Bearer ${{vault:{reference}}}", around)
    assert secret.reveal() == f"Bearer {value}"
    assert secret.source == f"${{vault:{reference}}}"


def test_vault_is_asked_once_for_all_fields_of_a_secret(vault: Imitation) -> None:
    around = Surroundings(Path("/"), {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "token"})
    resolve("${vault:team/kv/openai#key}${vault:team/kv/openai#port}", around)
    assert vault.paths().count("/v1/team/kv/data/openai") == 1


def test_a_role_logs_in(vault: Imitation) -> None:
    environ = {"VAULT_ADDR": vault.url, "VAULT_ROLE_ID": "role", "VAULT_SECRET_ID": "hidden"}
    found = resolve("${vault:old/openai#key}", Surroundings(Path("/"), environ))
    assert found.reveal() == "from-v1"
    wrong = refused("${vault:old/openai#key}", environ | {"VAULT_SECRET_ID": "hidden too"})
    assert "hidden" not in str(wrong)


def test_a_token_may_be_in_the_home_directory(vault: Imitation, tmp_path: Path) -> None:
    (tmp_path / ".vault-token").write_text("token\n")
    around = Surroundings(Path("/"), {"VAULT_ADDR": vault.url, "HOME": str(tmp_path)})
    assert resolve("${vault:old/openai#key}", around).reveal() == "from-v1"


@pytest.mark.parametrize(
    ("reference", "message", "nearest"),
    [
        ("team/kv/none#key", "`team/kv/none` in Vault, and there is no such secret", None),
        ("team/kv/openai#kei", "field `kei`", "${vault:team/kv/openai#key}"),
        ("team/kv/openai", "without saying which field", None),
        ("team/kv/openai#", "not `NAME#FIELD`", None),
        ("secret#key", "names no secret", None),
        ("secret/broken#key", "answers with an error", None),
    ],
)
def test_what_vault_does_not_have_is_told(
    vault: Imitation, reference: str, message: str, nearest: str | None
) -> None:
    error = refused(f"${{vault:{reference}}}", {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "token"})
    assert message in str(error)
    assert error.context is not None
    assert error.context["nearest"] == nearest


def test_a_vault_that_does_not_know_us_is_told(vault: Imitation) -> None:
    environ = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "wrong-token"}
    error = refused("${vault:old/openai#key}", environ)
    assert "our token may not read" in str(error)
    assert "wrong-token" not in str(error)


def test_a_vault_that_is_not_there_is_told_at_every_place_of_the_file(tmp_path: Path) -> None:
    text = """\
        providers:
          a: {kind: openai, api_key: "${vault:kv/a#key}"}
          b: {kind: openai, api_key: "${vault:kv/b#key}"}
        """
    found = mistakes_in(tmp_path, text, {"VAULT_ADDR": NOWHERE, "VAULT_TOKEN": "token"})
    assert [each.path for each in found] == ["providers.a.api_key", "providers.b.api_key"]
    assert all("cannot be reached" in each.message for each in found)
    assert all(NOWHERE in each.message for each in found)


def test_a_rotated_secret_is_seen_at_the_next_reading(tmp_path: Path) -> None:
    values = iter(["first", "first", "second"])

    def answer(asked: Asked) -> tuple[int, object]:
        if "/mounts/" in asked.path:
            return 403, {}
        return 200, {"data": {"data": {"key": next(values)}}}

    with imitation(answer) as vault:
        environ = {"VAULT_ADDR": vault.url, "VAULT_TOKEN": "token"}
        text = "providers: {a: {kind: openai, api_key: '${vault:kv/a#key}'}}"
        first, same, other = (read(tmp_path, text, environ) for _ in range(3))
    assert first == same != other
    assert first.version == other.version
    provider = other.providers["a"]
    assert isinstance(provider, OpenAIProvider)
    assert provider.keys == (("default", "second"),)


# AWS Secrets Manager

ARN = "arn:aws:secretsmanager:eu-west-3:123456789012:secret:openai-AbCdEf"


def secrets_manager(asked: Asked) -> tuple[int, object]:
    assert asked.headers["x-amz-target"] == "secretsmanager.GetSecretValue"
    name = asked.json()["SecretId"]
    if "Credential=AKIDDENIED" in asked.headers["authorization"]:
        return 400, {"__type": "AccessDeniedException", "Message": "not allowed"}
    if name == ARN:
        assert "/eu-west-3/secretsmanager/aws4_request" in asked.headers["authorization"]
    texts = {"prod/openai": '{"key": "from-aws", "n": 1}', "plain": "plain-text", ARN: "by-arn"}
    if name == "binary":
        return 200, {"SecretBinary": b64encode(b"x").decode()}
    if name == "busy":
        return 400, {"__type": "InternalServiceError", "Message": "later"}
    if name not in texts:
        return 400, {"__type": "ResourceNotFoundException", "Message": "none"}
    return 200, {"Name": name, "SecretString": texts[name]}


@pytest.fixture
def aws() -> Iterator[dict[str, str]]:
    with imitation(secrets_manager) as server:
        yield {
            "AWS_ENDPOINT_URL_SECRETS_MANAGER": server.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "hidden",
        }


@pytest.mark.parametrize(
    ("reference", "value"),
    [("prod/openai#key", "from-aws"), ("plain", "plain-text"), (ARN, "by-arn")],
)
def test_a_secret_of_aws_is_read_whole_or_by_field(
    aws: dict[str, str], reference: str, value: str
) -> None:
    assert resolve(f"${{aws:{reference}}}", Surroundings(Path("/"), aws)).reveal() == value


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("none", "`none` in AWS Secrets Manager, and there is no such secret"),
        ("prod/openai#kye", "field `kye`"),
        ("plain#key", "not a JSON object"),
        ("binary", "is not text"),
        ("busy", "answers InternalServiceError"),
    ],
)
def test_what_aws_does_not_have_is_told(aws: dict[str, str], reference: str, message: str) -> None:
    assert message in str(refused(f"${{aws:{reference}}}", aws))


def test_aws_without_leave_or_without_an_answer_is_told(aws: dict[str, str]) -> None:
    denied = refused("${aws:plain}", aws | {"AWS_ACCESS_KEY_ID": "AKIDDENIED"})
    assert "may not read" in str(denied)
    away = refused("${aws:plain}", aws | {"AWS_ENDPOINT_URL_SECRETS_MANAGER": NOWHERE})
    assert "cannot be reached" in str(away)
    placeless = {name: value for name, value in aws.items() if name != "AWS_REGION"}
    assert "AWS_REGION is not set" in str(refused("${aws:plain}", placeless))


# Google Secret Manager


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


def secret_manager(asked: Asked) -> tuple[int, object]:
    if asked.path == "/token":
        return 200, {"access_token": "fresh", "expires_in": 3600, "token_type": "Bearer"}
    if asked.headers.get("authorization") != "Bearer fresh":
        return 401, {}
    data = b64encode(b'{"key": "from-gcp"}').decode()
    answers: dict[str, tuple[int, object]] = {
        "/v1/projects/p/secrets/openai/versions/latest:access": (200, {"payload": {"data": data}}),
        "/v1/projects/p/secrets/openai/versions/3:access": (
            200,
            {"payload": {"data": b64encode(b"third").decode()}},
        ),
        "/v1/projects/p/secrets/closed/versions/latest:access": (403, {}),
        "/v1/projects/p/secrets/busy/versions/latest:access": (503, {}),
        "/v1/projects/p/secrets/binary/versions/latest:access": (
            200,
            {"payload": {"data": b64encode(b"\xff").decode()}},
        ),
    }
    return answers.get(asked.path, (404, {}))


@pytest.fixture
def gcp(tmp_path: Path, private_key: str) -> Iterator[dict[str, str]]:
    with imitation(secret_manager) as server:
        key = {
            "type": "service_account",
            "project_id": "p",
            "client_email": "gate@p.example",
            "private_key": private_key,
            "token_uri": f"{server.url}/token",
        }
        (tmp_path / "key.json").write_bytes(msgspec.json.encode(key))
        yield {
            "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json"),
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": f"{server.url}/",
        }


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("projects/p/secrets/openai#key", "from-gcp"),
        ("projects/p/secrets/openai/versions/3", "third"),
    ],
)
def test_a_secret_of_google_is_read_whole_or_by_field(
    gcp: dict[str, str], reference: str, value: str
) -> None:
    assert resolve(f"${{gcp:{reference}}}", Surroundings(Path("/"), gcp)).reveal() == value


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("projects/p/secrets/none", "there is no such secret"),
        ("projects/p/secrets/closed", "may not read"),
        ("projects/p/secrets/busy", "answers 503"),
        ("projects/p/secrets/binary", "is not text"),
        ("openai", "is not `projects/PROJECT/secrets/NAME`"),
    ],
)
def test_what_google_does_not_have_is_told(
    gcp: dict[str, str], reference: str, message: str
) -> None:
    assert message in str(refused(f"${{gcp:{reference}}}", gcp))


def test_google_without_credentials_or_without_an_answer_is_told(
    gcp: dict[str, str], tmp_path: Path
) -> None:
    away = gcp | {"CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": NOWHERE}
    assert "cannot be reached" in str(refused("${gcp:projects/p/secrets/openai}", away))
    for text in ("", "{", '{"type": "service_account"}'):
        (tmp_path / "bad.json").write_text(text)
        bad = gcp | {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "bad.json")}
        assert "no usable credentials" in str(refused("${gcp:projects/p/secrets/openai}", bad))
    absent = gcp | {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "absent.json")}
    assert "no usable credentials" in str(refused("${gcp:projects/p/secrets/openai}", absent))


# Extras


@pytest.mark.parametrize(
    ("kind", "package"), [("vault", "hvac"), ("aws", "botocore"), ("gcp", "google.auth")]
)
def test_a_missing_extra_is_told_with_the_way_to_install_it(kind: str, package: str) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        f"sys.modules[{package!r}] = None\n"
        "from tidegate.config.secrets import resolve\n"
        "from tidegate.config.surroundings import Surroundings\n"
        "try:\n"
        f"    resolve('${{{kind}:a/b#c}}', Surroundings(Path('/'), {{'VAULT_ADDR': 'http://x'}}))\n"
        "except Exception as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert f"pip install 'tidegate[{kind}]'" in done.stdout


def test_none_of_the_clients_is_loaded_without_a_reference_to_it() -> None:
    program = (
        "import sys; import tidegate.config.load\n"
        "print([name for name in ('hvac', 'botocore', 'google.auth') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
