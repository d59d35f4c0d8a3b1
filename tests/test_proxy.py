"""The source and the heartbeat go through the proxy of the environment, and never read a netrc."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from command_line import Place, ended
from torture.internet import Internet, WebAnswer, WebRequest
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.kie.responses import SourceError
from watcher.monitor.heartbeat import open_heartbeat
from watcher.observer import Observer
from watcher.proxy import ProxyError, proxy_for
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta
    from pathlib import Path

KIE = "https://api.kie.ai/client/v1/"
NAMES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def at_once(_: timedelta) -> None:
    return


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, KIE, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, KIE, "http://proxy:3128"),
        ({"https_proxy": "proxy:3128"}, KIE, "http://proxy:3128"),
        ({"ALL_PROXY": "https://proxy"}, KIE, "https://proxy"),
        ({"HTTP_PROXY": "http://proxy"}, KIE, None),
        ({"HTTP_PROXY": "http://proxy"}, "http://monitor/ping", "http://proxy"),
        ({"HTTPS_PROXY": ""}, KIE, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "kie.ai"}, KIE, None),
        ({"HTTPS_PROXY": "http://proxy", "NO_PROXY": "*"}, KIE, None),
        ({"HTTPS_PROXY": "http://proxy", "no_proxy": "other.example"}, KIE, "http://proxy"),
        ({"HTTP_PROXY": "http://proxy"}, "http://127.0.0.1:8080/", None),
        ({"HTTP_PROXY": "http://proxy"}, "http://[::1]:8080/", None),
    ],
)
def test_a_proxy_is_used_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str, expected: str | None
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(url) == expected


@pytest.mark.parametrize("named", ["socks5://proxy", "http://", "http://proxy:99999", "http://["])
def test_a_proxy_that_cannot_be_used_is_said_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", named)

    with pytest.raises(ProxyError, match="HTTPS_PROXY to http://HOST:PORT") as refused:
        proxy_for(KIE)
    assert "socks" not in str(refused.value)


class Pinged(Observer):
    """How a ping ended."""

    def __init__(self) -> None:
        self.outcome, self.once = "", asyncio.Event()

    def pinged(self, outcome: str) -> None:
        self.outcome = outcome
        self.once.set()


@asynccontextmanager
async def proxy_that_says(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heads


async def test_a_proxy_that_refuses_is_said_and_is_not_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with proxy_that_says(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as (host, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:c4n4ry@{host}")
        async with open_client(SourceSettings(), PollSettings(), at_once) as client:
            with pytest.raises(SourceError, match=r"the proxy refused \(407\)") as failed:
                await client.sweep(None)
    assert heads[0].startswith(b"CONNECT api.kie.ai:443 ")
    assert b"Proxy-Authorization: Basic " in heads[0]
    assert "c4n4ry" not in str(failed.value)


async def test_a_proxy_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    async with open_client(SourceSettings(), PollSettings(), at_once) as client:
        with pytest.raises(SourceError, match="cannot connect to the proxy"):
            await client.sweep(None)


async def test_a_monitor_is_pinged_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy_that_says(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (host, heads):
        monkeypatch.setenv("HTTP_PROXY", host)
        stop, pinged = asyncio.Event(), Pinged()
        async with open_heartbeat(
            "http://monitor.example/ping", retry_pauses=(), observer=pinged
        ) as heartbeat:
            heartbeat.report_up()
            beating = asyncio.create_task(heartbeat.run(stop))
            async with asyncio.timeout(10):
                await pinged.once.wait()
            stop.set()
            await beating
    assert pinged.outcome == "accepted"
    assert heads[0].startswith(b"GET http://monitor.example/ping HTTP/1.1")


async def test_the_catalogue_is_read_through_the_proxy(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies, asked = Replies(Catalogue(generate(seed=3, size=20))), list[str]()

    def answer(request: WebRequest) -> WebAnswer:
        asked.append(request.host)
        if request.path.endswith("/count"):
            return WebAnswer(replies.count(()))
        return WebAnswer(replies.page(PageQuery.of(json.loads(request.body)), ()))

    async with Internet(place.path, answer) as internet:
        place.configure("log: {level: error}\n")
        for name, value in internet.environment.items():
            monkeypatch.setenv(name, value)
        check = await ended(await place.start("check"))

    assert (check.exit_code, check.stderr) == (0, "")
    assert "Watching 20 models" in check.stdout
    assert set(asked) == {"api.kie.ai"}


async def test_a_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    async with Simulator(generate(seed=3, size=20)) as simulator:
        source = SourceSettings(url=simulator.url)
        async with open_client(source, PollSettings(), at_once) as client:
            await client.sweep(None)
        assert "Authorization" not in simulator.headers
