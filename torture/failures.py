"""Failures of the API: a client whose every call fails, and a name that cannot be resolved."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from torture.client import InMemoryClient
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import KieClient
from watcher.kie.responses import SourceError, SourceReason, refuse_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from watcher.simulator.server import Simulator

__all__ = ["FAILURES", "FailingClient", "Resolver", "client_with_resolver"]

Failure: TypeAlias = "Callable[[str], str]"


def _raises(error: Exception) -> Failure:
    def fail(_: str) -> str:
        raise error

    return fail


def _status(status: int, location: str | None = None, wait: timedelta | None = None) -> Failure:
    def fail(call: str) -> str:
        refuse_status(call, status, location, wait)
        raise AssertionError("a good status")

    return fail


def _body(text: str) -> Failure:
    return lambda _: text


FAILURES: tuple[Failure, ...] = (
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
    _body('{"code": 4030, "msg": "Not supported in the current region."}'),
    _body('{"code": 429, "msg": "slow down"}'),
    _body('{"code": 200, "data": null}'),
    _body('{"code": 200, "data": {"all": 0}}'),
    _body('{"code": 200, "data": {"records": [], "total": 0}}'),
    _body("<!doctype html><title>Just a moment</title>"),
    _body(""),
)


class FailingClient(InMemoryClient):
    """Every call fails for as long as `failure` is set."""

    failure: Failure | None = None

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        if self.failure is not None:
            return self.failure(call.name), None
        return await super()._exchange(call)


class Resolver(AbstractResolver):
    """Resolves every name to 127.0.0.1; or, while `broken`, none."""

    def __init__(self) -> None:
        self.broken = False
        self.requests = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.requests += 1
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
async def client_with_resolver(
    simulator: Simulator, resolver: Resolver
) -> AsyncIterator[KieClient]:
    """The real client over a real socket; it resolves the API's name for every request."""

    async def no_pause(_: timedelta) -> None:
        return

    # Plain HTTP is allowed for this name only.
    url = simulator.url.replace("127.0.0.1", "localhost")
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        yield KieClient(session, SourceSettings(url=url, page_size=20), PollSettings(), no_pause)
