"""TODO."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

HIGHEST_PORT = 65535
# What the kernel has room for in the address of a unix socket, the final zero taken off.
LONGEST_SOCKET_PATH = 107
UNIX = "unix:"

_URL_SIGNS = re.compile(r"[!-~]+")
_HOST_AND_PORT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host (a name, or an IPv4 or IPv6 address without brackets) and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return _is_this_machine(self.host)


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A socket in the file system: only this machine can reach it."""

    path: PurePosixPath

    @property
    def is_loopback(self) -> bool:
        return True


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine: localhost, 127.0.0.0/8 or ::1."""
    return _is_this_machine(urlsplit(url).hostname or "")


def parse_source_url(text: str) -> str:
    """The API's URL, with a slash at its end. Raises `ValueError` with the mending."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL; write https://host/path/") from None
    if parts.scheme not in {"http", "https"} or not host or not _URL_SIGNS.fullmatch(text):
        raise ValueError("is not an http(s) URL; write https://host/path/")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; the API needs none, remove it")
    if parts.query or parts.fragment:
        raise ValueError("has a ? or # part; end it after the path")
    if parts.scheme == "http" and not is_loopback(text):
        raise ValueError("is not encrypted; write https (http is for this machine only)")
    return text if text.endswith("/") else text + "/"


def parse_heartbeat_url(text: str) -> str:
    """The URL to ping, as it stands. Raises `ValueError` with the mending.

    Plain http is let through: such a monitor often stands in the same house, without TLS.
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not a URL; copy it again from the monitor") from None
    if parts.scheme not in {"http", "https"} or not host or not _URL_SIGNS.fullmatch(text):
        raise ValueError("is not an http(s) URL; copy it again from the monitor")
    if parts.fragment:
        raise ValueError("has a # part; copy it again from the monitor")
    return text


def parse_listen(text: str) -> TcpAddress | UnixAddress:
    """Read `127.0.0.1:9178`, `[::1]:9178` or `unix:/run/x.sock`."""
    if text.startswith(UNIX):
        return _parse_socket(text.removeprefix(UNIX))
    if not (match := _HOST_AND_PORT.fullmatch(text)):
        raise ValueError("is not an address; write 127.0.0.1:9178 or unix:/run/kie-watcher/web")
    bracketed, plain, port = match.groups()
    if bracketed is not None and not _is_ip(bracketed):
        raise ValueError("has no address in its brackets; write [::1]:9178 or 127.0.0.1:9178")
    if not 0 < int(port) <= HIGHEST_PORT:
        raise ValueError(f"has a port out of range; write one from 1 to {HIGHEST_PORT}")
    return TcpAddress(bracketed or plain, int(port))


def _parse_socket(path: str) -> UnixAddress:
    if not path.startswith("/") or not path.isprintable():
        raise ValueError("has no whole path behind unix:; write unix:/run/kie-watcher/web")
    if len(path.encode()) > LONGEST_SOCKET_PATH:
        raise ValueError(f"is too long for a socket; use at most {LONGEST_SOCKET_PATH} bytes")
    return UnixAddress(PurePosixPath(path))


def _is_this_machine(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
