"""The one question to a running watcher: whether it is ready.

Knows how to ask over TCP and over a unix socket, with nothing but the standard library: a health
check runs every few seconds and must be light. Refuses to know configuration and exit codes.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from watcher.config.addresses import TcpAddress, UnixAddress

if TYPE_CHECKING:
    from pathlib import PurePath

__all__ = ["Health", "ask"]

PATIENCE = timedelta(seconds=5)
LONGEST_REPLY = 4096
READY = "ready"
# What listens everywhere is asked here.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened at


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the watcher is ready, and its words, or ours for why it did not answer."""

    ok: bool
    words: str


def ask(address: TcpAddress | UnixAddress, patience: timedelta = PATIENCE) -> Health:
    """Ask the watcher that answers at `address`."""
    connection = _connection(address, patience.total_seconds())
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(LONGEST_REPLY).decode("utf-8", "replace").strip()
    except TimeoutError:
        return Health(ok=False, words=f"no answer within {patience.total_seconds():g} s")
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        return Health(ok=False, words=f"no answer ({why})")
    finally:
        connection.close()
    if response.status == HTTPStatus.OK and text == READY:
        return Health(ok=True, words=text)
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and text:
        return Health(ok=False, words=text)
    return Health(ok=False, words=f"answered {response.status}: not a kie-watcher?")


def _connection(address: TcpAddress | UnixAddress, timeout: float) -> HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, timeout)
    return HTTPConnection(_EVERYWHERE.get(address.host, address.host), address.port, timeout)


class _UnixConnection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: PurePath, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
