"""Addresses an operator writes: which are sound, which are this machine's, which need a proxy."""

from __future__ import annotations

import ipaddress

from tidegate.config.mistakes import nearest
from tidegate.config.secrets import Secret, resolve
from tidegate.config.surroundings import Surroundings, refusal
from tidegate.errors import UpstreamForbiddenAddress
from tidegate.net.urls import (
    check_address,
    literal_address,
    parse_base_url,
    parse_proxy_url,
    proxy_for,
)

_BASE_URLS = ("https://HOST/v1", "http://HOST:PORT/v1")
_PROXIES = ("env", "none", "http://HOST:PORT")


def checked_base_url(text: str) -> str:
    """`text` without a slash at its end. Raises: a pydantic refusal when it is not a base URL."""
    try:
        parse_base_url(text)
    except ValueError as error:
        raise refusal(_plain(error), allowed=_BASE_URLS) from error
    return text.rstrip("/")


def chosen_proxy(wanted: object, url: str, around: Surroundings) -> Secret | None:
    """The proxy to reach `url` through (its URL may hold a password), or None to go directly.

    Raises: a pydantic refusal when `wanted` is neither `env`, `none` nor an HTTP URL.
    """
    if wanted is None or isinstance(wanted, Secret):
        return wanted
    if not isinstance(wanted, str):
        raise refusal("must be text", allowed=_PROXIES)
    if wanted == "none":
        return None
    if wanted == "env":
        found = proxy_for(url, around.environ)
        return _checked(Secret(found, "environment"), _FROM_ENVIRONMENT) if found else None
    likely = nearest(wanted, ("env", "none")) if "/" not in wanted and "." not in wanted else None
    found = resolve(wanted, around)
    complaint = "is not the URL of an HTTP proxy"
    if "://" not in found.reveal():  # the environment may leave it out, here it would be a slip
        raise refusal(complaint, allowed=_PROXIES, nearest=likely)
    return _checked(found, complaint, likely)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to what listens on `host`."""
    if host.casefold().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_refused(url: str) -> bool:
    """Whether the guard would refuse `url` for certain: no name to look up, and not public."""
    try:
        host = parse_base_url(url).host
        address = "127.0.0.1" if is_loopback(host) else literal_address(host)
        if address is not None:
            check_address(address, allow_private=False)
    except ValueError:  # it is no URL at all, which is told elsewhere
        return False
    except UpstreamForbiddenAddress:
        return True
    return False


_FROM_ENVIRONMENT = (
    "follows the environment's HTTPS_PROXY or http_proxy, which is not the URL of an HTTP proxy; "
    "correct it, or say `proxy: none`"
)


def _checked(url: Secret, complaint: str, likely: str | None = None) -> Secret:
    try:
        parse_proxy_url(url.reveal())
    except ValueError:
        # Not chained: a proxy's URL may hold a password.
        raise refusal(complaint, allowed=_PROXIES, nearest=likely) from None
    return url


def _plain(error: ValueError) -> str:
    return str(error).removeprefix("the URL ").removeprefix("the URL's ")
