"""The heartbeat, against a monitor on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from logs import capture_logs
from torture.loopback import serve_http
from watcher.catalog.changes import Notice, NoticeKind
from watcher.monitor.heartbeat import Heartbeat, Signal, open_heartbeat, ping_url
from watcher.observer import Observer, PollReport
from watcher.store.values import PollOutcome

AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CANARY = "c4n4ry-t0k3n-9d8f7a6b"
NO_PAUSES = (timedelta(0), timedelta(0))
MOMENT = timedelta(seconds=0.01)


class Diary(list[str]):
    """What happened, in order, for those who wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def append(self, line: str) -> None:
        super().append(line)
        self._news.set()

    async def reaches(self, count: int) -> None:
        await self.fits(lambda: len(self) >= count)

    async def fits(self, wanted: Callable[[], bool], patience: float = 5) -> None:
        async with asyncio.timeout(patience):
            while not wanted():
                self._news.clear()
                await self._news.wait()


@dataclass
class Counting(Observer):
    """Writes down how pings ended."""

    outcomes: Diary

    def pinged(self, outcome: str) -> None:
        self.outcomes.append(outcome)


@dataclass
class Listener:
    """A monitor that writes down what it is asked, and answers as told, the last way for good."""

    answers: list[int] = field(default_factory=lambda: [200])
    asked: Diary = field(default_factory=Diary)
    url: str = ""
    location: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=status, headers=headers)


@asynccontextmanager
async def listening(*answers: int) -> AsyncIterator[Listener]:
    listener = Listener(list(answers) or [200])
    async with serve_http(listener.answer) as host:
        listener.url = f"http://{host}"
        yield listener


@asynccontextmanager
async def beating(
    url: str,
    every: timedelta | None = None,
    outcomes: Diary | None = None,
    patience: timedelta = timedelta(seconds=5),
) -> AsyncIterator[Heartbeat]:
    stop = asyncio.Event()
    observer = Counting(Diary() if outcomes is None else outcomes)
    async with open_heartbeat(
        url, every=every, ping_timeout=patience, retry_pauses=NO_PAUSES, observer=observer
    ) as heartbeat:
        running = asyncio.create_task(heartbeat.run(stop))
        try:
            yield heartbeat
        finally:
            stop.set()
            async with asyncio.timeout(5):
                await running


ADDRESSES = {
    "hc-ping.com": (
        "https://hc-ping.com/uuid",
        "https://hc-ping.com/uuid",
        "https://hc-ping.com/uuid/fail",
    ),
    "hc-ping.com, by name": (
        "https://hc-ping.com/key/kie-watcher?create=1",
        "https://hc-ping.com/key/kie-watcher?create=1",
        "https://hc-ping.com/key/kie-watcher/fail?create=1",
    ),
    "healthchecks at home": (
        "http://hc.example/ping/uuid/",
        "http://hc.example/ping/uuid/",
        "http://hc.example/ping/uuid/fail",
    ),
    "uptime kuma, as it is copied": (
        "https://kuma.example/api/push/tok?status=up&msg=OK&ping=",
        "https://kuma.example/api/push/tok?status=up&msg=all+well&ping=",
        "https://kuma.example/api/push/tok?status=down&msg=all+well&ping=",
    ),
    "uptime kuma, bare": (
        "https://kuma.example/api/push/tok",
        "https://kuma.example/api/push/tok?status=up&msg=all+well",
        "https://kuma.example/api/push/tok?status=down&msg=all+well",
    ),
    "another service": ("https://other.example/x?y=1", "https://other.example/x?y=1", None),
    "a name that only looks like one": (
        "https://hc-ping.com.other.example/x",
        "https://hc-ping.com.other.example/x",
        None,
    ),
}


@pytest.mark.parametrize(("url", "well", "ill"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_each_service_is_told_in_its_own_way(url: str, well: str, ill: str | None) -> None:
    assert ping_url(url, Signal.UP, "all well") == well
    assert ping_url(url, Signal.DOWN, "all well") == ill


async def test_it_beats_with_each_sweep_and_says_when_the_watch_fails() -> None:
    outcomes = Diary()
    async with listening() as monitor, beating(f"{monitor.url}/ping/x", outcomes=outcomes) as heart:
        heart.report_up()
        await outcomes.reaches(1)
        heart.report_up()
        await outcomes.reaches(2)
        heart.report_down("blind")
        await outcomes.reaches(3)
        heart.report_up()
        await outcomes.reaches(4)
    assert monitor.asked == ["/ping/x", "/ping/x", "/ping/x/fail", "/ping/x"]
    assert outcomes == ["accepted"] * 4


async def test_only_a_complete_sweep_and_a_failing_watch_are_told() -> None:
    outcomes = Diary()
    async with listening() as monitor, beating(f"{monitor.url}/ping/x", outcomes=outcomes) as heart:
        for outcome in (PollOutcome.QUIET, PollOutcome.FAILED, PollOutcome.INCONCLUSIVE):
            heart.polled(PollReport(outcome))
        for kind, alarm in (
            (NoticeKind.ALARM, "receiver"),
            (NoticeKind.ALARM_OVER, "blind"),
            (NoticeKind.COLLAPSE, None),
        ):
            heart.alarmed(Notice(kind, AT, {"alarm": alarm}))
        for count, outcome in enumerate(PollOutcome, start=1):
            if outcome in {PollOutcome.UNCHANGED, PollOutcome.CHANGED, PollOutcome.BASELINE}:
                heart.polled(PollReport(outcome))
                await outcomes.reaches(count - 1)
        for count, alarm in enumerate(("blind", "shape", "refused", "state"), start=4):
            heart.alarmed(Notice(NoticeKind.ALARM, AT, {"alarm": alarm}))
            await outcomes.reaches(count)
    assert monitor.asked == ["/ping/x"] * 3 + ["/ping/x/fail"] * 4


async def test_at_an_interval_it_beats_by_itself_until_the_watch_fails() -> None:
    outcomes = Diary()
    async with (
        listening() as monitor,
        beating(f"{monitor.url}/ping/x", MOMENT, outcomes) as heart,
    ):
        await monitor.asked.reaches(3)
        heart.report_up()
        heart.report_down("blind")
        await monitor.asked.fits(lambda: monitor.asked[-1].endswith("/fail"))
        beats = len(monitor.asked)
        with suppress(TimeoutError):
            await monitor.asked.fits(lambda: len(monitor.asked) > beats, patience=0.05)
        assert len(monitor.asked) == beats
        heart.report_up()
        await monitor.asked.reaches(beats + 2)
    assert set(monitor.asked) == {"/ping/x", "/ping/x/fail"}
    assert monitor.asked.count("/ping/x/fail") == 1


async def test_a_lost_beat_is_sent_again_and_then_given_up_until_the_next() -> None:
    outcomes = Diary()
    with capture_logs() as lines:
        async with (
            listening(500, 200, 503, 503, 503, 404, 404, 404, 200) as monitor,
            beating(f"{monitor.url}/{CANARY}", outcomes=outcomes) as heart,
        ):
            for count in range(1, 5):
                heart.report_up()
                await outcomes.reaches(count)
    assert outcomes == ["accepted", "failed", "failed", "accepted"]
    assert len(monitor.asked) == 9
    said = [(line["event"], line["log_level"], line.get("why")) for line in lines]
    assert said == [
        ("heartbeat.failed", "warning", "answered 503"),
        ("heartbeat.failed", "debug", "answered 404"),
        ("heartbeat.recovered", "info", None),
    ]
    assert CANARY not in repr(lines)


async def test_no_redirect_is_followed_to_another_host_or_to_this_one() -> None:
    outcomes = Diary()
    async with listening() as elsewhere, listening(302) as monitor:
        monitor.location = f"{elsewhere.url}/{CANARY}"
        async with beating(monitor.url, outcomes=outcomes) as heart:
            heart.report_up()
            await outcomes.reaches(1)
    assert (outcomes, elsewhere.asked) == (["failed"], [])


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def garbled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"\x00\x01nonsense\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("broken", [mute, garbled, None], ids=["mute", "garbled", "gone"])
async def test_a_broken_monitor_harms_nothing_and_its_address_is_never_said(
    broken: object,
) -> None:
    outcomes = Diary()
    server = await asyncio.start_server(broken or mute, "127.0.0.1", 0)  # type: ignore[arg-type]
    port = server.sockets[0].getsockname()[1]
    if broken is None:
        server.close()
        await server.wait_closed()
    with capture_logs() as lines:
        url = f"http://127.0.0.1:{port}/{CANARY}"
        async with beating(url, outcomes=outcomes, patience=5 * MOMENT) as heart:
            heart.report_up()
            await outcomes.reaches(1)
    server.close()
    assert outcomes == ["failed"]
    assert [line["event"] for line in lines] == ["heartbeat.failed"]
    assert CANARY not in repr(lines)
    assert str(port) not in repr(lines)


async def test_an_address_that_is_none_harms_nothing() -> None:
    outcomes = Diary()
    with capture_logs() as lines:
        async with beating(f"http://[::bad/{CANARY}", outcomes=outcomes) as heart:
            for count in (1, 2):
                heart.report_up()
                await outcomes.reaches(count)
    assert outcomes == ["failed", "failed"]
    assert CANARY not in repr(lines)


async def test_it_stops_at_once_while_it_waits_to_try_again() -> None:
    stop = asyncio.Event()
    async with (
        listening(500) as monitor,
        open_heartbeat(monitor.url, retry_pauses=(timedelta(hours=1),)) as heart,
    ):
        running = asyncio.create_task(heart.run(stop))
        heart.report_up()
        await monitor.asked.reaches(1)
        stop.set()
        async with asyncio.timeout(5):
            await running
