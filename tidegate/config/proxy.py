"""Which proxy an address is reached through, decided once at load."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from tidegate.config.mistakes import nearest
from tidegate.config.secrets import Secret, resolve
from tidegate.config.surroundings import Surroundings, refusal

_FORMS = ("env", "none", "http://HOST:PORT")


def proxy_for(base_url: str, wanted: object, around: Surroundings) -> Secret | None:
    """The proxy's URL (it may hold a password), or None to go there directly.

    Raises: a pydantic refusal when `wanted` is neither `env`, `none` nor an HTTP URL.
    """
    if wanted is None or wanted == "none" or isinstance(wanted, Secret):
        return wanted if isinstance(wanted, Secret) else None
    if not isinstance(wanted, str):
        raise refusal("must be text", allowed=_FORMS)
    if wanted == "env":
        return _from_environment(base_url, around.environ)
    proxy = resolve(wanted, around)
    if not _is_proxy_url(proxy.reveal()):
        likely = nearest(wanted, ("env", "none")) if len(wanted) < 6 else None  # noqa: PLR2004
        raise refusal("is not the URL of an HTTP proxy", allowed=_FORMS, nearest=likely)
    return proxy


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine, seen from itself."""
    if host.casefold().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _from_environment(base_url: str, environ: Mapping[str, str]) -> Secret | None:
    url = urlsplit(base_url)
    host = (url.hostname or "").casefold()
    if is_loopback(host) or _is_exempt(host, _variable("no_proxy", environ)):
        return None
    name = f"{url.scheme}_proxy"
    proxy = _variable(name, environ)
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not _is_proxy_url(proxy):
        raise refusal(
            f"follows the environment variable {name.upper()}, which is not the URL of an HTTP "
            "proxy; correct it, or say `proxy: none`",
            allowed=_FORMS,
        )
    return Secret(proxy, f"${{env:{name.upper()}}}")


def _variable(name: str, environ: Mapping[str, str]) -> str:
    """The lower-case name wins, as it does in curl."""
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_exempt(host: str, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host, a domain above it or a network around it."""
    for entry in no_proxy.casefold().replace(",", " ").split():
        if entry == "*":
            return True
        domain = entry.removeprefix("*").removeprefix(".").split(":")[0]
        if domain and (host == domain or host.endswith(f".{domain}")):
            return True
        if _is_within(host, entry):
            return True
    return False


def _is_within(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _is_proxy_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme == "http" and bool(url.hostname) and url.port != 0
    except ValueError:
        return False
