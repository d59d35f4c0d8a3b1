"""`run` as a service: what it tells its supervisor, what a reload does, how it stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from build import row
from logs import capture_logs
from torture.loopback import serve_http
from watcher.config.errors import ConfigError, Place, Problem
from watcher.config.settings import Settings
from watcher.daemon import Reloads, run
from watcher.simulator.faults import Envelope, Fault, Status
from watcher.simulator.server import Simulator

PATIENCE = 20


@dataclass
class Service:
    """A service under way, and its levers."""

    settings: Settings
    folder: Path
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    following: Callable[[], Settings] = Settings
    printed: StringIO = field(default_factory=StringIO)
    told: list[str] = field(default_factory=list)
    relogged: list[Settings] = field(default_factory=list)
    reloads: Reloads = field(init=False)

    def __post_init__(self) -> None:
        self.reloads = Reloads(load=self._follow, configure_log=self.relogged.append)

    def _follow(self) -> Settings:
        return self.following()

    def listen(self) -> None:
        """Take what the supervisor was told so far."""
        while True:
            try:
                self.told.append(self.ear.recv(4096).decode())
            except BlockingIOError:
                return

    @property
    def address(self) -> Path:
        return self.folder / "notify"

    @asynccontextmanager
    async def running(self, receivers: Sequence[Any] | None = None) -> AsyncIterator[None]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as self.ear:
            self.ear.bind(str(self.address))
            self.ear.setblocking(False)
            work = asyncio.create_task(
                run(
                    self.settings,
                    stop=self.stop,
                    terminal=self.printed,
                    reloads=self.reloads,
                    receivers=None if receivers is None else tuple(receivers),
                    environment={"NOTIFY_SOCKET": str(self.address)},
                )
            )
            try:
                yield
            finally:
                self.stop.set()
                await asyncio.wait_for(work, PATIENCE)
                self.listen()

    async def until(self, truth: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not truth():
                await asyncio.sleep(0.01)
                self.listen()


def settings(simulator: Simulator, folder: Path, **more: Any) -> Settings:
    return Settings.model_validate(
        {
            "source": {"url": simulator.url},
            "state": {"path": folder / "state.db"},
            "poll": {"interval": "0.05s", "full_sweep_every": "0.05s", "settle_delay": "0.01s"},
            **more,
        }
    )


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator([row(f"Reel {n}, 720p", creditPrice=str(n + 1)) for n in range(30)]) as it:
        yield it


async def test_systemd_is_told_when_it_is_ready_how_it_goes_and_that_it_stops(
    simulator: Simulator, tmp_path: Path
) -> None:
    service = Service(settings(simulator, tmp_path), tmp_path)

    async with service.running():
        await service.until(lambda: any("baseline" in text for text in service.told))

    assert service.told[0] == "READY=1"
    assert service.told[-1] == "STOPPING=1"
    assert any(text.startswith("STATUS=Last poll") for text in service.told)


async def test_nothing_is_ready_while_the_state_cannot_be_used(
    simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "state.db").write_text("no database at all, but long enough to look at" * 10)
    service = Service(settings(simulator, tmp_path), tmp_path)

    with pytest.raises(Exception, match="not a database"):
        async with service.running():
            await asyncio.sleep(0)

    assert "READY=1" not in service.told


async def test_a_reload_swaps_the_configuration_whole_between_two_polls(
    simulator: Simulator, tmp_path: Path
) -> None:
    service = Service(settings(simulator, tmp_path), tmp_path)
    changed = settings(simulator, tmp_path, announce=["promotion_started"])
    service.following = lambda: changed

    with capture_logs() as logs:
        async with service.running():
            await service.until(lambda: "Watching 30 models" in service.printed.getvalue())
            service.reloads.requested.set()
            await service.until(lambda: bool(service.relogged))
            simulator.catalogue.edit("Reel 3, 720p", creditPrice="5", usdPrice="0.025")
            simulator.catalogue.edit("Reel 4, 720p", discountPrice=True)
            await service.until(lambda: "promotion" in service.printed.getvalue())

    assert "Reel 3" not in service.printed.getvalue()
    (reloaded,) = [it for it in logs if it["event"] == "config.reloaded"]
    assert reloaded["changed"] == ("announce",)
    reloading = next(at for at, text in enumerate(service.told) if text.startswith("RELOADING=1"))
    assert "MONOTONIC_USEC=" in service.told[reloading]
    assert "READY=1" in service.told[reloading:]


async def test_a_bad_configuration_leaves_the_old_one_running_and_says_so(
    simulator: Simulator, tmp_path: Path
) -> None:
    service = Service(settings(simulator, tmp_path, operator=["terminal"]), tmp_path)

    def refused() -> Settings:
        raise ConfigError(
            (Problem("config.yaml", Place(3, 5), "poll.interval", "has no unit; write 30s"),)
        )

    service.following = refused
    with capture_logs() as logs:
        async with service.running():
            await service.until(lambda: "Watching 30 models" in service.printed.getvalue())
            service.reloads.requested.set()
            await service.until(lambda: any("Reload refused" in text for text in service.told))
            simulator.catalogue.edit("Reel 4, 720p", discountPrice=True)
            await service.until(lambda: "promotion started" in service.printed.getvalue())
            await service.until(lambda: "refused" in service.printed.getvalue())

    assert [it["log_level"] for it in logs if it["event"] == "config.refused"] == ["warning"]
    assert service.relogged == []


async def test_what_waits_survives_a_reload(simulator: Simulator, tmp_path: Path) -> None:
    patient = settings(simulator, tmp_path, confirm={"removals": "1h"})
    service = Service(patient, tmp_path)
    hasty = settings(simulator, tmp_path, confirm={"removals": "0.2s"})
    service.following = lambda: hasty

    async with service.running():
        await service.until(lambda: "Watching 30 models" in service.printed.getvalue())
        simulator.catalogue.remove("Reel 7, 720p")
        await service.until(lambda: any("1 holds" in text for text in service.told))
        service.reloads.requested.set()
        await service.until(lambda: "✕ gone · " in service.printed.getvalue())


async def test_the_pages_say_how_it_is(simulator: Simulator, tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'web'}"
    poll = {"interval": "0.05s", "full_sweep_every": "60s", "settle_delay": "0.01s"}
    service = Service(settings(simulator, tmp_path, web={"listen": listen}, poll=poll), tmp_path)

    async def ask(page: str) -> tuple[int, str]:
        connector = aiohttp.UnixConnector(str(tmp_path / "web"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://it{page}") as reply,
        ):
            return reply.status, await reply.text()

    async with service.running():
        await service.until(lambda: any("baseline" in text for text in service.told))
        await service.until(lambda: "Watching" in service.printed.getvalue())
        alive, ready, metrics = await ask("/livez"), await ask("/readyz"), await ask("/metrics")

    assert (alive[0], ready) == (200, (200, "ready\n"))
    assert 'outcome="baseline"' in metrics[1]
    assert 'receiver="terminal"' in metrics[1]


async def test_a_monitor_hears_of_each_complete_sweep(simulator: Simulator, tmp_path: Path) -> None:
    pings: list[str] = []

    async def pinged(request: web.Request) -> web.Response:
        pings.append(request.path)
        return web.Response()

    async with serve_http(pinged) as host:
        heartbeat = {"url": f"http://{host}/ping/abc", "every": "sweep"}
        service = Service(settings(simulator, tmp_path, heartbeat=heartbeat), tmp_path)
        async with service.running():
            await service.until(lambda: len(pings) >= 2)

    assert set(pings) == {"/ping/abc"}


async def test_an_outage_is_told_to_the_operator_once_with_its_end(
    simulator: Simulator, tmp_path: Path
) -> None:
    service = Service(
        settings(simulator, tmp_path, operator=["terminal"], operator_after="0.1s"), tmp_path
    )

    async with service.running():
        await service.until(lambda: "Watching 30 models" in service.printed.getvalue())
        simulator.faults.always(Status(503))
        await service.until(lambda: "could not be read" in service.printed.getvalue())
        simulator.faults.clear()
        await service.until(lambda: "can be read again" in service.printed.getvalue())

    assert service.printed.getvalue().count("could not be read") == 1


REFUSED, BLIND = "refuses to serve", "could not be read"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        pytest.param(Status(403), REFUSED, id="an HTTP status"),
        pytest.param(Envelope(4030, "Not supported in the current region."), REFUSED, id="a code"),
        pytest.param(
            Envelope(500, "from upstream: status 403"), BLIND, id="a code that quotes one"
        ),
    ],
)
async def test_a_refusal_is_known_by_its_status_or_code_and_by_no_words(
    simulator: Simulator, tmp_path: Path, fault: Fault, said: str
) -> None:
    service = Service(
        settings(simulator, tmp_path, operator=["terminal"], operator_after="0.5s"), tmp_path
    )

    async with service.running():
        await service.until(lambda: "Watching 30 models" in service.printed.getvalue())
        simulator.faults.always(fault)
        await service.until(lambda: said in service.printed.getvalue())

    assert (REFUSED in service.printed.getvalue()) is (said == REFUSED)
