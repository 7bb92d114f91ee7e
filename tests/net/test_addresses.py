"""Which URLs are understood, and which addresses are refused in all their disguises."""

import pytest

from tidegate import errors
from tidegate.net.urls import (
    BaseUrl,
    ProxyUrl,
    check_address,
    literal_address,
    parse_base_url,
    parse_proxy_url,
    proxy_for,
)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254",
        "127.0.0.1", "127.9.9.9", "168.63.129.16", "169.254.0.1", "169.254.169.254",
        "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1",
        "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
        "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::169.254.169.254",
        "64:ff9b:1::1", "100::1", "2001::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1", "fd00:ec2::254",
        "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "nonsense", "",
    ],
)  # fmt: skip
def test_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(errors.UpstreamForbiddenAddress) as caught:
        check_address(address, allow_private=False)
    assert f"address {address}" in caught.value.__notes__


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
        "172.15.255.255", "172.32.0.0", "192.167.255.255", "198.17.255.255", "223.255.255.255",
        "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1",
    ],
)  # fmt: skip
def test_public_address_passes(address: str) -> None:
    check_address(address, allow_private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "fd00::1", "100.64.0.1"])
def test_private_address_passes_where_it_is_allowed(address: str) -> None:
    check_address(address, allow_private=True)


@pytest.mark.parametrize("address", ["224.0.0.1", "ff02::1"])
def test_group_of_machines_is_refused_everywhere(address: str) -> None:
    with pytest.raises(errors.UpstreamForbiddenAddress):
        check_address(address, allow_private=True)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("example.com", None),
        ("127.0.0.1.example.com", None),
    ],
)
def test_address_is_recognised_in_every_spelling(host: str, address: str | None) -> None:
    assert literal_address(host) == address


@pytest.mark.parametrize(
    ("url", "base", "authority"),
    [
        ("https://Api.x.com/v1", BaseUrl("https", "api.x.com", 443, "/v1"), "api.x.com"),
        ("https://h:443/", BaseUrl("https", "h", 443, ""), "h"),
        ("HTTP://Host:8000", BaseUrl("http", "host", 8000, ""), "host:8000"),
        ("http://[::1]:80/a/b/", BaseUrl("http", "::1", 80, "/a/b"), "[::1]"),
        ("http://gpu_1.lan", BaseUrl("http", "gpu_1.lan", 80, ""), "gpu_1.lan"),
    ],
)  # fmt: skip
def test_base_url_is_read(url: str, base: BaseUrl, authority: str) -> None:
    assert parse_base_url(url) == base
    assert base.authority == authority


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("api.openai.com/v1", "begin with http"),
        ("ftp://h", "begin with http"),
        ("", "begin with http"),
        ("https://", "name a host"),
        ("https:///v1", "name a host"),
        ("https://user:hunter2@h", "credentials"),
        ("https://user@h", "credentials"),
        ("https://h/v1?key=hunter2", "no \\?query"),
        ("https://h/v1#x", "no #fragment"),
        ("https://h/v1?", "no \\?query"),
        ("https://h:99999", "port"),
        ("https://h:0", "port"),
        ("https://h:x", "port"),
        ("https://h/ x", "printable"),
        ("https://h\\@evil", "backslash"),
        ("https://h\r\nx: y", "printable"),
        ("https://höst", "ASCII"),
        ("https://h*st", "letters"),
        ("https://[::1", "port|IPv6|host"),
        ("https://[fe80::1%25eth0]/", "IPv6"),
    ],
)
def test_base_url_that_cannot_be_meant_is_refused_with_a_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_base_url(url)
    assert "hunter2" not in str(caught.value)


def test_proxy_url_is_read_and_hides_its_password() -> None:
    assert parse_proxy_url("proxy:3128") == ProxyUrl("proxy", 3128)
    proxy = parse_proxy_url("http://a%20b:c%3Ad@proxy.lan:8080/")
    assert proxy == ProxyUrl("proxy.lan", 8080, b"Basic YSBiOmM6ZA==")
    assert "YSB" not in repr(proxy)


@pytest.mark.parametrize("url", ["https://proxy", "socks5://proxy", "http://", "http://a b"])
def test_proxy_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_proxy_url(url)


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("https://api.openai.com/v1", "", True),
        ("https://api.openai.com/v1", "*", False),
        ("https://api.openai.com/v1", "openai.com", False),
        ("https://api.openai.com/v1", ".openai.com", False),
        ("https://api.openai.com/v1", "*.openai.com", False),
        ("https://api.openai.com/v1", "penai.com", True),
        ("https://api.openai.com/v1", "other.com, API.OpenAI.com", False),
        ("https://api.openai.com/v1", "api.openai.com:443", False),
        ("https://api.openai.com/v1", "api.openai.com:8443", True),
        ("https://10.1.2.3/v1", "10.0.0.0/8", False),
        ("https://10.1.2.3/v1", "11.0.0.0/8,nonsense/99", True),
        ("https://10.1.2.3/v1", "10.1.2.3", False),
        ("https://[2606::1]/v1", "2606::1", False),
        ("https://[2606::1]/v1", "[2606::1]:443", False),
        ("https://[2606::1]/v1", "2606::2", True),
        ("https://localhost/v1", "", False),
        ("https://127.0.0.1/v1", "", False),
        ("http://plain.example/v1", "", False),
    ],
)
def test_environment_names_the_proxy(url: str, no_proxy: str, *, proxied: bool) -> None:
    environ = {
        "HTTPS_PROXY": "http://proxy:1",
        "HTTP_PROXY": "http://proxy:2",
        "NO_PROXY": no_proxy,
    }
    assert proxy_for(url, environ) == ("http://proxy:1" if proxied else None)


def test_plain_http_has_a_proxy_of_its_own() -> None:
    assert proxy_for("http://h", {"http_proxy": "http://proxy:3"}) == "http://proxy:3"
    assert proxy_for("https://h", {"http_proxy": "http://proxy:3"}) is None
    assert proxy_for("https://h", {}) is None
