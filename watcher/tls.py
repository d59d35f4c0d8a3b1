"""Certificates for what is asked with aiohttp: read where something is checked with them.

aiohttp reads all that the machine trusts while it is imported, a tenth of what a `check` costs.
"""

from __future__ import annotations

import os
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from watcher.config.addresses import is_on_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator

# Where OpenSSL is told to look.
_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def trusted_by(url: str) -> ssl.SSLContext | bool:
    """What certificates on the way to `url` are checked with, as aiohttp takes it."""
    # What is no address at all is refused by whoever asks.
    with suppress(ValueError):
        if url.lower().startswith("http:") and is_on_loopback(url):
            return True
    return ssl.create_default_context()


@contextmanager
def no_certificates() -> Iterator[None]:
    """OpenSSL finds no certificates for as long as the block lasts.

    To whatever reads them there, nobody is trusted.
    """
    before = {place: os.environ.get(place) for place in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        yield
    finally:
        for place, value in before.items():
            if value is None:
                del os.environ[place]
            else:
                os.environ[place] = value
