"""Where a Redis is, as its URL says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.admission.redis_address import Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://", Address()),
        ("redis://cache", Address("cache")),
        ("valkey://cache:7000/3", Address("cache", 7000, db=3)),
        ("redis://[::1]:7000?db=4", Address("::1", 7000, db=4)),
        ("redis://:p%40ss@h", Address("h", password="p@ss")),
        ("redis://me:p%2Fw@h/1", Address("h", user="me", password="p/w", db=1)),
        ("rediss://h?ssl_ca_certs=/etc/ca.pem", Address("h", tls=True, ca=Path("/etc/ca.pem"))),
        ("unix:///run/redis.sock", Address(path="/run/redis.sock")),
        ("unix://me:pw@/r.sock?db=2", Address(path="/r.sock", user="me", password="pw", db=2)),
    ],
)
def test_url_is_understood(url: str, address: Address) -> None:
    assert Address.of(url) == address


@pytest.mark.parametrize(
    "url",
    [
        "http://h", "redis://:secret@h/x", "redis://:secret@h:99999", "unix://",
        "redis://:secret@h?retries=3", "redis://:secret@h?db=-1", "rediss://:secret@h?db",
    ],
)  # fmt: skip
def test_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"Redis|query") as refused:
        Address.of(url)
    assert "secret" not in str(refused.value)


def test_address_tells_no_secret() -> None:
    assert str(Address.of("redis://me:secret@h:1/2")) == "h:1"
    assert str(Address.of("unix://me:secret@/r.sock")) == "/r.sock"
