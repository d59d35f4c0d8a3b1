"""The proxy that the environment names for an address, for what is asked with aiohttp.

aiohttp would look for it only together with a password for the host in `~/.netrc`, which is none of
our business.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from watcher.config.addresses import is_on_loopback


class ProxyError(ValueError):
    """The environment names a proxy that cannot be used; the text says how to fix it."""


def proxy_for(url: str) -> str | None:
    """The proxy on the way to `url`; `None`: there is none. Raises `ProxyError`.

    As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in either case. What is on this
    machine is asked directly: a proxy elsewhere would look for it on its own.
    """
    parts = urlsplit(url)
    named = getproxies()
    proxy = named.get(parts.scheme) or named.get("all")
    if not proxy or is_on_loopback(url) or proxy_bypass(parts.netloc):
        return None
    # As curl and requests read it.
    address = proxy if "://" in proxy else f"http://{proxy}"
    scheme = address.partition("://")[0].lower()
    if scheme not in {"http", "https"} or not _has_host(address):
        raise ProxyError(
            "the proxy that the environment names cannot be used; set HTTPS_PROXY to "
            "http://HOST:PORT, or NO_PROXY to the host that needs none"
        )
    return address


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
