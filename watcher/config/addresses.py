"""Addresses on the network: where prices come from, where the pages answer, the heartbeat's.

No error repeats an address: one may be a secret.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import SplitResult, urlsplit

HIGHEST_PORT = 65535
# What the kernel has room for in the address of a unix socket, less the final zero byte.
LONGEST_SOCKET_PATH = 107

_UNIX_PREFIX = "unix:"
_URL_CHARACTERS = re.compile(r"[!-~]+")
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})")


class ListenError(Exception):
    """The address cannot be listened on; the text says why and what to set instead."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (a name, or an IPv4 or IPv6 address without brackets) and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system: only this machine can reach it."""

    path: PurePosixPath

    @property
    def is_loopback(self) -> bool:
        return True


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: localhost, 127.0.0.0/8 or ::1, with or without brackets."""
    address = _ip_address(host.strip("[]"))
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def is_on_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine."""
    return is_loopback(urlsplit(url).hostname or "")


def parse_source_url(text: str) -> str:
    """The API's URL, with a slash at its end. Raises `ValueError` that says how to fix it."""
    parts = _split_url(text, "write https://host/path/")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; the API needs none, remove it")
    if parts.query or parts.fragment:
        raise ValueError("has a ? or # part; end it after the path")
    if parts.scheme == "http" and not is_on_loopback(text):
        raise ValueError("is not encrypted; write https (http is for this machine only)")
    return text if text.endswith("/") else text + "/"


def parse_heartbeat_url(text: str) -> str:
    """The URL to ping, unchanged. Raises `ValueError` that says how to fix it.

    Plain http is allowed: such a monitor often runs in the same network, without TLS.
    """
    fix = "copy it again from the monitor"
    if _split_url(text, fix).fragment:
        raise ValueError(f"has a # part; {fix}")
    return text


def _split_url(text: str, fix: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not a URL; {fix}") from None
    if parts.scheme not in {"http", "https"} or not host or not _URL_CHARACTERS.fullmatch(text):
        raise ValueError(f"is not an http(s) URL; {fix}")
    return parts


def parse_listen(text: str) -> TcpAddress | UnixAddress:
    """Read `127.0.0.1:9178`, `[::1]:9178` or `unix:/run/x.sock`. Raises `ValueError` likewise."""
    if text.startswith(_UNIX_PREFIX):
        return _parse_socket(text.removeprefix(_UNIX_PREFIX))
    if not (match := _HOST_AND_PORT.fullmatch(text)):
        raise ValueError("is not an address; write 127.0.0.1:9178 or unix:/run/kie-watcher/web")
    bracketed, plain, port = match.groups()
    if bracketed is not None and _ip_address(bracketed) is None:
        raise ValueError("has no address in its brackets; write [::1]:9178 or 127.0.0.1:9178")
    if not 0 < int(port) <= HIGHEST_PORT:
        raise ValueError(f"has a port out of range; write one from 1 to {HIGHEST_PORT}")
    return TcpAddress(bracketed or plain, int(port))


def _parse_socket(path: str) -> UnixAddress:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("has no absolute path after unix:; write unix:/run/kie-watcher/web")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ValueError(f"is too long for a socket; use at most {LONGEST_SOCKET_PATH} bytes")
    return UnixAddress(PurePosixPath(path))


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
