"""The three pages, over TCP and a unix socket, and the command that asks one of them."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from logs import capture_logs
from watcher.cli.health import ask_readiness
from watcher.cli.main import cli
from watcher.config.addresses import ListenError, TcpAddress, UnixAddress
from watcher.config.settings import Settings
from watcher.monitor.alarms import Alarm, AlarmKind
from watcher.monitor.health import health_routes, unready_reasons
from watcher.monitor.metrics import Metrics
from watcher.monitor.monitor import Monitor
from watcher.monitor.web import MOST_CONNECTIONS, serve
from watcher.store.connection import StateError
from watcher.store.values import PollStatus, ReceiverStatus, Status

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CANARY = "c4n4ry-t0k3n-9d8f7a6b"
ANY_PORT = TcpAddress("127.0.0.1", 0)

GOOD = Status(
    poll=PollStatus(NOW, "quiet", CANARY, NOW, 0),
    swept_at=NOW - 20 * MINUTE,
    usd_per_credit=Decimal("0.005"),
    models={"video": 300},
    holds=(),
    receivers=(),
)


SETTINGS = Settings.model_validate(
    {"receivers": {"team": {"url": "json://localhost"}}, "poll": {"full_sweep_every": "30m"}}
)


def receiver(name: str = "team", **fields: object) -> ReceiverStatus:
    nothing = ReceiverStatus(name, 0, 0, 0, None, None, CANARY)
    return replace(nothing, **fields)


def at(receivers: ReceiverStatus) -> Status:
    return replace(GOOD, receivers=(receivers,))


@dataclass
class Daemon:
    """What the pages are about."""

    standing: Status | StateError = GOOD
    routes: list[web.RouteDef] = field(init=False)
    monitor: Monitor = field(init=False)

    def __post_init__(self) -> None:
        # The daemon is its own state: only how things stand is asked of it.
        self.monitor = Monitor(self, SETTINGS, (), now=lambda: NOW, rng=Random(0))  # type: ignore[arg-type]
        self.monitor._alarms.adopt(Alarm(AlarmKind.CLOCK, NOW, NOW, raised_at=NOW))
        self.routes = health_routes(self.monitor, Metrics(["team"], lambda: NOW))

    async def status(self) -> Status:
        if isinstance(self.standing, StateError):
            raise self.standing
        return self.standing

    def hangs(self) -> None:
        """A loop is overdue from now on."""
        self.monitor.check_in("poller", -MINUTE)


@asynccontextmanager
async def answering(
    listen: TcpAddress | UnixAddress, daemon: Daemon
) -> AsyncIterator[Callable[..., Any]]:
    """Asks a page with a real client."""
    async with serve(listen, daemon.routes) as address:
        if isinstance(listen, UnixAddress):
            connector = aiohttp.UnixConnector(str(listen.path))
            base = "http://localhost"
        else:
            connector = aiohttp.TCPConnector()
            base = f"http://{address}"
        async with aiohttp.ClientSession(connector=connector) as session:
            yield lambda path, method="GET": session.request(method, f"{base}{path}")


@pytest.fixture(params=["tcp", "unix"])
def listen(request: pytest.FixtureRequest, tmp_path: Path) -> TcpAddress | UnixAddress:
    return ANY_PORT if request.param == "tcp" else UnixAddress(PurePosixPath(tmp_path / "web"))


async def test_each_page_answers_over_tcp_and_over_a_unix_socket(
    listen: TcpAddress | UnixAddress,
) -> None:
    async with answering(listen, Daemon()) as get:
        async with get("/livez") as live:
            assert (live.status, await live.text()) == (200, "alive\n")
        async with get("/readyz") as ready:
            assert (ready.status, await ready.text()) == (200, "ready\n")
        async with get("/metrics") as metrics:
            assert metrics.status == 200
            assert metrics.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            text = await metrics.text()
            assert "kie_watcher_last_sweep_age_seconds 1200.0" in text
            assert 'kie_watcher_alarms{alarm="clock"} 1.0' in text


async def test_there_is_nothing_else_and_nothing_to_change() -> None:
    async with answering(ANY_PORT, Daemon()) as get:
        for path in (
            "/",
            "/health",
            "/metrics/",
            "/livez/x",
            "/metrics%2f",
            "/../livez",
            "//livez",
        ):
            async with get(path) as reply:
                assert (reply.status, await reply.text()) in {
                    (404, "404 Not Found\n"),
                    (200, "alive\n") if path == "/../livez" else None,
                }
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            async with get("/livez", method=method) as reply:
                assert reply.status == 405
        async with get("/metrics", method="HEAD") as reply:
            assert (reply.status, await reply.read()) == (200, b"")


async def test_not_ready_says_why_and_alive_stays_alive() -> None:
    daemon = Daemon(replace(GOOD, swept_at=NOW - 61 * MINUTE))
    async with answering(ANY_PORT, daemon) as get:
        async with get("/readyz") as ready:
            assert ready.status == 503
            assert await ready.text() == (
                "the last complete sweep is 61 minutes old, more than 1h\n"
            )
        async with get("/livez") as live:
            assert live.status == 200


async def test_a_stuck_loop_is_neither_alive_nor_ready() -> None:
    daemon = Daemon()
    daemon.hangs()
    async with answering(ANY_PORT, daemon) as get:
        for page in ("/livez", "/readyz"):
            async with get(page) as reply:
                assert (reply.status, await reply.text()) == (503, "poller is stuck\n")


async def test_a_state_that_cannot_be_read_is_not_ready_and_still_counted() -> None:
    daemon = Daemon(StateError(f"/var/lib/{CANARY}: is damaged"))
    async with answering(ANY_PORT, daemon) as get:
        async with get("/readyz") as ready:
            assert (ready.status, await ready.text()) == (503, "the state cannot be read\n")
        async with get("/metrics") as metrics:
            assert "kie_watcher_state_readable 0.0" in await metrics.text()


async def test_no_secret_is_in_any_reply() -> None:
    late = receiver(open=1, dead=1, next_attempt_at=NOW - 60 * MINUTE, oldest_at=NOW - 99 * MINUTE)
    async with answering(ANY_PORT, Daemon(at(late))) as get:
        for page in ("/livez", "/readyz", "/metrics", f"/{CANARY}"):
            async with get(page) as reply:
                everything = f"{dict(reply.headers)}{await reply.text()}"
                assert CANARY not in everything


async def test_an_error_of_ours_is_a_500_that_tells_nothing() -> None:
    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError(CANARY)

    with capture_logs() as lines:
        async with serve(ANY_PORT, [web.get("/livez", broken)]) as address:
            text = await raw(address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"500 Internal Server Error" in text
    assert CANARY.encode() not in text
    assert [line["event"] for line in lines] == ["web.crashed"]


# Strangers


async def raw(address: str, request: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


STRANGE = {
    "no HTTP": b"EVIL<b>\r\n\r\n",
    "TLS": b"\x16\x03\x01\x00\xa5EVIL\x01\x00\r\n\r\n",
    "a bad header": b"GET /livez HTTP/1.1\r\nEVIL header\r\n\r\n",
    "an endless line": b"GET /EVIL" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "an endless header": b"GET /livez HTTP/1.1\r\nX: EVIL" + b"a" * 100_000 + b"\r\n\r\n",
    "many headers": b"GET /livez HTTP/1.1\r\n" + b"X: EVIL\r\n" * 1000 + b"\r\n",
    "an odd expectation": b"GET /EVIL HTTP/1.1\r\nHost: x\r\nExpect: EVIL\r\n\r\n",
    "an odd version": b"GET /livez HTTP/9.9\r\nHost: EVIL\r\n\r\n",
    "an unknown page": b"GET /EVIL?q=EVIL HTTP/1.1\r\nHost: EVIL\r\n\r\n",
    "a smuggled second one": (
        b"POST /EVIL HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
}


@pytest.mark.parametrize("request_", STRANGE.values(), ids=STRANGE.keys())
async def test_what_a_stranger_sends_is_neither_repeated_nor_logged(
    request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with capture_logs() as lines:
        async with serve(ANY_PORT, Daemon().routes) as address:
            reply = await raw(address, request_)
    status = reply.split()[1:2]
    assert status[0][:1] == b"4" if status else True
    assert b"EVIL" not in reply
    assert b"aiohttp" not in reply
    assert lines == []
    assert not [r for r in caplog.records if r.name.startswith(("aiohttp", "watcher"))]


async def test_a_connection_that_says_nothing_is_cut_off() -> None:
    async with serve(ANY_PORT, Daemon().routes, longest=timedelta(seconds=0.05)) as address:
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /livez HTTP/1.1\r\nX-Slow: ")
        async with asyncio.timeout(5):
            assert await gone(reader)
        writer.close()


@asynccontextmanager
async def held(
    address: str, count: int, request: bytes = b""
) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Connections that clients hold open, each after this much of a request."""
    host, _, port = address.rpartition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    for _, writer in opened:
        writer.write(request)
    try:
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize(
    "request_",
    [b"", b"GET /livez HTTP/1.1\r\nX-Slow: ", b"POST /livez HTTP/1.1\r\nContent-Length: 9\r\n\r\nx"],
    ids=["silent", "in the middle of a header", "in the middle of a body"],
)  # fmt: skip
async def test_forty_slow_clients_keep_nobody_from_an_answer(request_: bytes) -> None:
    async with serve(ANY_PORT, Daemon().routes) as address, held(address, 40, request_):
        for _ in range(3):
            reply = await raw(address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert reply.endswith(b"alive\n")


async def test_too_many_connections_are_hung_up_on_the_oldest_first() -> None:
    async with (
        serve(ANY_PORT, Daemon().routes) as address,
        held(address, MOST_CONNECTIONS) as (first, *others),
    ):
        assert (await raw(address, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")).endswith(b"alive\n")
        async with asyncio.timeout(5):
            assert await gone(first)
        assert not any(reader.at_eof() for reader in others)


async def gone(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


# Where it listens


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
async def test_others_can_only_reach_it_where_that_was_asked_for(host: str) -> None:
    with pytest.raises(ListenError, match="allow_remote"):
        async with serve(TcpAddress(host, 0), Daemon().routes):
            pytest.fail("it listens")


async def test_it_listens_everywhere_where_that_was_asked_for() -> None:
    async with serve(TcpAddress("0.0.0.0", 0), Daemon().routes, allow_remote=True) as address:
        port = address.rpartition(":")[2]
        reply = await raw(f"127.0.0.1:{port}", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reply.endswith(b"alive\n")


async def test_an_address_in_use_is_said_in_words() -> None:
    async with serve(ANY_PORT, Daemon().routes) as address:
        taken = TcpAddress("127.0.0.1", int(address.rpartition(":")[2]))
        with pytest.raises(ListenError, match=r"web\.listen: .*in use"):
            async with serve(taken, Daemon().routes):
                pytest.fail("it listens")


async def test_a_socket_is_for_its_group_replaces_a_stale_one_and_goes_at_the_end(
    tmp_path: Path,
) -> None:
    path = tmp_path / "web"
    address = UnixAddress(PurePosixPath(path))
    async with serve(address, Daemon().routes):
        os.link(path, tmp_path / "stale")
    (tmp_path / "stale").rename(path)
    async with serve(address, Daemon().routes) as listening:
        assert listening == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert (await asyncio.to_thread(ask_readiness, address)).ok
    assert not path.exists()


async def test_what_is_served_is_up_to_the_caller() -> None:
    async def price(request: web.Request) -> web.Response:
        return web.Response(text=request.match_info["model"])

    async with (
        serve(ANY_PORT, [*Daemon().routes, web.get("/models/{model}", price)]) as address,
        aiohttp.ClientSession(f"http://{address}") as session,
    ):
        async with session.get("/models/veo-3") as reply:
            assert (reply.status, await reply.text()) == (200, "veo-3")
            assert reply.headers["X-Content-Type-Options"] == "nosniff"
            assert reply.headers["Server"] == "kie-watcher"
        async with session.get("/livez") as reply:
            assert reply.status == 200


async def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(ListenError):
        async with serve(UnixAddress(PurePosixPath(path)), Daemon().routes):
            pytest.fail("it listens")
    assert path.read_text() == "data"


# Readiness

OLD = NOW - timedelta(hours=5)
READY: dict[str, Status] = {
    "all well": GOOD,
    "a sweep just in time": replace(GOOD, swept_at=NOW - 60 * MINUTE),
    "a sweep in the future, by a clock set back": replace(GOOD, swept_at=NOW + 60 * MINUTE),
    "a receiver that fails and is tried": at(
        receiver(waiting=9, open=1, oldest_at=OLD, next_attempt_at=NOW + 10 * MINUTE)
    ),
    "a try that is just due": at(receiver(open=1, oldest_at=OLD, next_attempt_at=NOW - MINUTE)),
    "something that waits for a moment": at(receiver(waiting=1, oldest_at=NOW - 9 * MINUTE)),
    "dead messages": at(receiver(dead=4)),
    "leftovers of a receiver that is gone": at(receiver("gone", waiting=1, oldest_at=OLD)),
}
UNREADY: dict[str, tuple[Status, str]] = {
    "nothing yet": (replace(GOOD, swept_at=None), "no complete sweep"),
    "an old sweep": (replace(GOOD, swept_at=NOW - 61 * MINUTE), "is 61 minutes old"),
    "an overdue try": (
        at(receiver(open=1, oldest_at=OLD, next_attempt_at=NOW - 11 * MINUTE)),
        "the next try at team is overdue",
    ),
    "something that nobody gathers": (
        at(receiver(waiting=1, oldest_at=NOW - 61 * MINUTE)),
        "what waits for team is in no message",
    ),
}


@pytest.mark.parametrize("status", READY.values(), ids=READY.keys())
def test_what_is_ready(status: Status) -> None:
    assert unready_reasons(status, SETTINGS, NOW) == ()


@pytest.mark.parametrize(("status", "why"), UNREADY.values(), ids=UNREADY.keys())
def test_what_is_not_ready_and_why(status: Status, why: str) -> None:
    (reason,) = unready_reasons(status, SETTINGS, NOW)
    assert why in reason


def test_what_is_put_off_on_purpose_is_not_stuck() -> None:
    status, _ = UNREADY["something that nobody gathers"]
    assert unready_reasons(status, SETTINGS, NOW, deferring={"team"}) == ()


# Health


async def test_health_asks_over_tcp_and_over_a_unix_socket(tmp_path: Path) -> None:
    for listen in (ANY_PORT, UnixAddress(PurePosixPath(tmp_path / "web"))):
        daemon = Daemon()
        async with serve(listen, daemon.routes) as address:
            port = int(address.rpartition(":")[2]) if listen is ANY_PORT else 0
            there = TcpAddress("0.0.0.0", port) if port else listen
            good = await asyncio.to_thread(ask_readiness, there)
            daemon.hangs()
            bad = await asyncio.to_thread(ask_readiness, there)
        gone = await asyncio.to_thread(ask_readiness, there)
        assert (good.ok, good.answer) == (True, "ready")
        assert (bad.ok, bad.answer) == (False, "poller is stuck")
        assert gone.ok is False
        assert gone.answer.startswith("no answer (")


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0\r\n", b"HTTP/1.1 200", None])
async def test_health_takes_no_answer_for_a_good_one_that_is_none(reply: bytes | None) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reply is None:
            await reader.read()
        else:
            writer.write(reply)
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        there = TcpAddress("127.0.0.1", server.sockets[0].getsockname()[1])
        found = await asyncio.to_thread(ask_readiness, there, timedelta(seconds=0.2))
    assert not found.ok
    assert found.answer.startswith(("no answer", "answered 200: not"))


async def test_health_knows_when_somebody_else_answers() -> None:
    async with serve(ANY_PORT, []) as address:
        there = TcpAddress("127.0.0.1", int(address.rpartition(":")[2]))
        found = await asyncio.to_thread(ask_readiness, there)
    assert (found.ok, found.answer) == (False, "answered 404: not a kie-watcher?")


def command(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["health", *arguments], prog_name="kie-watcher")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIE_WATCHER_CONFIG", raising=False)
    return tmp_path


async def test_the_command_says_how_it_is_and_ends_accordingly(here: Path) -> None:
    # An operator has not the service's secrets, and need not have them for this.
    (here / "config.yaml").write_text(
        f'receivers: {{team: {{url: "${{NO_SUCH_VARIABLE}}"}}}}\nweb: {{listen: "unix:{here}/web"}}\n'
    )
    daemon = Daemon()
    async with serve(UnixAddress(PurePosixPath(here / "web")), daemon.routes):
        good = await asyncio.to_thread(command)
        daemon.standing = replace(GOOD, swept_at=None)
        bad = await asyncio.to_thread(command)
        elsewhere = await asyncio.to_thread(command, "--listen", f"unix:{here}/nobody")
    assert (good.exit_code, good.stdout) == (0, "ready\n")
    assert bad.exit_code == 1
    assert bad.stdout == "no complete sweep of the catalogue has been made yet\n"
    assert (elsewhere.exit_code, elsewhere.stdout[:11]) == (1, "no answer (")


def test_without_an_address_there_is_nobody_to_ask(here: Path) -> None:
    (here / "config.yaml").write_text("poll: {interval: 5m}\n")
    found = command()
    assert (found.exit_code, found.stdout) == (1, "")
    assert "web.listen" in found.stderr
    bad = command("--listen", "nonsense")
    assert bad.exit_code == 2
    assert "write 127.0.0.1:9178" in bad.stderr
