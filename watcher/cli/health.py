"""The command `health`: ask the running watcher whether it is ready.

It runs every few seconds, as a container's check, and needs nothing except the standard library
where it is told the address.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

import click

from watcher.cli.options import GlobalOptions, load_settings_leniently
from watcher.cli.output import FAILED, BadUsage, failed, say
from watcher.config.addresses import TcpAddress, UnixAddress, parse_listen

if TYPE_CHECKING:
    from pathlib import PurePath

PATIENCE = timedelta(seconds=5)
LONGEST_REPLY = 4096
READY = "ready"
# Whoever listens on all addresses is asked at this one.
_LISTENS_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - asked, not listened on


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the watcher is ready, and its own answer, or why there was none."""

    ok: bool
    answer: str


def ask_readiness(address: TcpAddress | UnixAddress, patience: timedelta = PATIENCE) -> Readiness:
    """Ask the watcher that listens on `address`."""
    connection = _connection(address, patience.total_seconds())
    try:
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        response = connection.getresponse()
        text = response.read(LONGEST_REPLY).decode("utf-8", "replace").strip()
    except TimeoutError:
        return Readiness(ok=False, answer=f"no answer within {patience.total_seconds():g} s")
    except (OSError, HTTPException) as error:
        why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        return Readiness(ok=False, answer=f"no answer ({why})")
    finally:
        connection.close()
    if response.status == HTTPStatus.OK and text == READY:
        return Readiness(ok=True, answer=text)
    if response.status == HTTPStatus.SERVICE_UNAVAILABLE and text:
        return Readiness(ok=False, answer=text)
    return Readiness(ok=False, answer=f"answered {response.status}: not a kie-watcher?")


def _connection(address: TcpAddress | UnixAddress, timeout: float) -> HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, timeout)
    return HTTPConnection(
        _LISTENS_EVERYWHERE.get(address.host, address.host), address.port, timeout
    )


class _UnixConnection(HTTPConnection):
    """HTTP over a socket in the file system."""

    def __init__(self, path: PurePath, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@click.command(epilog="Example: kie-watcher health --listen unix:/run/kie-watcher/web")
@click.option("--listen", metavar="ADDRESS", help="Ask there instead of at web.listen.")
@click.pass_obj
def health(options: GlobalOptions, listen: str | None) -> None:
    """Ask the running watcher whether it is ready.

    It needs `web.listen` in the configuration. Exit 0: it is ready. Exit 1: it is not, or does
    not answer; the reason is printed.
    """
    found = ask_readiness(_parse_address(listen) if listen else _configured_address(options))
    for line in found.answer.splitlines():
        say(line)
    if not found.ok:
        raise click.exceptions.Exit(FAILED)


def _parse_address(listen: str) -> TcpAddress | UnixAddress:
    try:
        return parse_listen(listen)
    except ValueError as error:
        raise BadUsage(f"--listen {error}") from None


def _configured_address(options: GlobalOptions) -> TcpAddress | UnixAddress:
    listen = load_settings_leniently(options).web.listen
    if listen is None:
        raise failed("the configuration has no web.listen, so there is nobody to ask")
    return listen
