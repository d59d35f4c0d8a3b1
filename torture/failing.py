"""An API that is down, in one way or another, in memory; and a name that cannot be resolved.

Refuses to know what a good reply says.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from torture.shelf import Shelf
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.kie.responses import SourceError, SourceReason, refuse_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from watcher.simulator.server import Simulator

__all__ = ["WAYS_DOWN", "FailingShelf", "Names", "client_by_name"]

Way: TypeAlias = "Callable[[str], str]"


def _raises(error: Exception) -> Way:
    def fail(_: str) -> str:
        raise error

    return fail


def _status(status: int, location: str | None = None, wait: timedelta | None = None) -> Way:
    def fail(call: str) -> str:
        refuse_status(call, status, location, wait)
        raise AssertionError("a good status")

    return fail


def _says(text: str) -> Way:
    return lambda _: text


WAYS_DOWN: tuple[Way, ...] = (
    _raises(ConnectionRefusedError(111, "Connection refused")),
    _raises(OSError(101, "Network is unreachable")),
    _raises(aiohttp.ServerDisconnectedError()),
    _raises(aiohttp.ClientPayloadError()),
    _raises(TimeoutError()),
    _raises(SourceError("page", "the reply is larger than 16 MiB", SourceReason.CAP)),
    _status(500),
    _status(502),
    _status(403),
    _status(302, "https://elsewhere.example/"),
    _status(429, wait=timedelta(hours=2)),
    _status(503, wait=timedelta(days=1)),
    _says('{"code": 4030, "msg": "Not supported in the current region."}'),
    _says('{"code": 429, "msg": "slow down"}'),
    _says('{"code": 200, "data": null}'),
    _says('{"code": 200, "data": {"all": 0}}'),
    _says('{"code": 200, "data": {"records": [], "total": 0}}'),
    _says("<!doctype html><title>Just a moment</title>"),
    _says(""),
)


class FailingShelf(Shelf):
    """A shelf that is down for as long as `way` is set."""

    way: Way | None = None

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        if self.way is not None:
            return self.way(call.name), None
        return await super()._exchange(call)


class Names(AbstractResolver):
    """Knows one address for every name, on loopback; or, while `broken`, none at all."""

    def __init__(self) -> None:
        self.broken = False
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        if self.broken:
            raise OSError(None, "Temporary failure in name resolution")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=port, family=family, proto=0, flags=0
            )
        ]

    async def close(self) -> None:
        return


@asynccontextmanager
async def client_by_name(simulator: Simulator, names: Names) -> AsyncIterator[KieClient]:
    """The real client over a real socket, asking for a name anew each time."""

    async def pause(_: timedelta) -> None:
        return

    # Any name would do for the resolver; the settings take plain HTTP for this one only.
    url = simulator.url.replace("127.0.0.1", "localhost")
    connector = aiohttp.TCPConnector(resolver=names, use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield KieClient(session, SourceSettings(url=url, page_size=20), PollSettings(), pause)
