from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from reading import mistakes_in, read

from tidegate.config.provider import OpenAIProvider

SERVER = "server: {tls: {certificate: cert.pem, key: key.pem}}"
PROVIDER = "providers: {p: {kind: openai, tls: {ca: ca.pem}}}"


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> trustme.LeafCert:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    return certificate


@pytest.mark.usefixtures("certificate")
def test_a_certificate_with_its_key_is_taken(tmp_path: Path) -> None:
    config = read(tmp_path, f"{SERVER}\n{PROVIDER}")
    assert config.server.tls is not None
    assert config.server.tls.certificate == tmp_path / "cert.pem"
    provider = config.providers["p"]
    assert isinstance(provider, OpenAIProvider)
    assert provider.tls.ca == tmp_path / "ca.pem"


@pytest.mark.usefixtures("certificate")
def test_a_certificate_with_another_ones_key_is_refused(tmp_path: Path) -> None:
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (found,) = mistakes_in(tmp_path, SERVER)
    assert (found.path, found.line) == ("server.tls", 1)
    assert "with its own private key" in found.message


@pytest.mark.parametrize("name", ["cert.pem", "key.pem", "ca.pem"])
@pytest.mark.usefixtures("certificate")
def test_a_file_that_is_not_pem_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not PEM")
    (found,) = mistakes_in(tmp_path, f"{SERVER}\n{PROVIDER}")
    assert "PEM form" in found.message
