"""What systemd gets to hear, read from the sockets it would read; and when the watchdog starves."""

from __future__ import annotations

import asyncio
import io
import os
import re
import socket
import time
from contextlib import closing
from datetime import timedelta
from secrets import token_hex
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import MIN_ATTEMPTS, open_client
from watcher.log import configure
from watcher.monitor.systemd import Supervisor, Watchdog
from watcher.notify.client import LONGEST_SEND
from watcher.outbox import LONGEST_ROUND
from watcher.safe_text import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINUTE = timedelta(minutes=1)


class Ear:
    """The supervisor's end: a datagram socket, as systemd has one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        self.socket.settimeout(5)

    def hears(self) -> str:
        return self.socket.recv(65_536).decode()

    def heard(self) -> list[str]:
        """All that waits to be read."""
        self.socket.setblocking(False)
        messages = []
        while True:
            try:
                messages.append(self.hears())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ear]:
    # A name of its own: the abstract ones are the whole machine's.
    names = {"path": str(tmp_path / "notify"), "abstract": f"@kie-watcher-{token_hex(8)}"}
    ear = Ear(names[request.param])
    with closing(ear.socket):
        yield ear


@pytest.fixture
def supervisor(ear: Ear) -> Supervisor:
    return Supervisor.from_environment({"NOTIFY_SOCKET": ear.name})


@pytest.fixture
def said() -> io.StringIO:
    """The log, as far as it is about supervisors and watchdogs."""
    stream = io.StringIO()
    configure("debug", "readable", Redactor([]), stream)
    return stream


def fill(connection: socket.socket) -> None:
    while True:
        connection.send(b"noise")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, duration: timedelta) -> None:
        self.now += duration.total_seconds()


# Telling


def test_each_state_is_told_in_systemds_words(supervisor: Supervisor, ear: Ear) -> None:
    supervisor.ready()
    supervisor.status("last poll 07:30, quiet")
    supervisor.ping_watchdog()
    supervisor.stopping()
    assert ear.heard() == ["READY=1", "STATUS=last poll 07:30, quiet", "WATCHDOG=1", "STOPPING=1"]


def test_reloading_is_told_with_the_time_of_systemds_own_clock(
    supervisor: Supervisor, ear: Ear
) -> None:
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    supervisor.reloading()
    after = time.clock_gettime(time.CLOCK_MONOTONIC)
    state, stamp = ear.hears().split("\n")
    assert state == "RELOADING=1"
    assert (found := re.fullmatch(r"MONOTONIC_USEC=(\d+)", stamp))
    assert before - 1e-5 <= int(found[1]) / 1e6 <= after


def test_a_status_cannot_smuggle_in_a_state(supervisor: Supervisor, ear: Ear) -> None:
    supervisor.status("blind: \nMAINPID=1\r\nSTOPPING=1 \x1b[2J \ud800")
    assert ear.hears() == "STATUS=blind: \\nMAINPID=1\\r\\nSTOPPING=1 \\x1b[2J \\ud800"


def test_a_long_status_is_cut_to_what_systemd_takes(supervisor: Supervisor, ear: Ear) -> None:
    supervisor.status("🔺" * 100_000)
    assert len(ear.hears().encode()) < 4096


@pytest.mark.parametrize(
    "environment",
    [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}, {"NOTIFY_SOCKET": "relative"}],
    ids=str,
)
def test_without_a_socket_nothing_is_told(
    environment: dict[str, str], said: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ear = Ear("relative")
    with closing(ear.socket):
        supervisor = Supervisor.from_environment(environment)
        supervisor.ready()
        supervisor.reloading()
        assert (ear.heard(), supervisor.address, said.getvalue()) == ([], None, "")


@pytest.mark.parametrize("address", ["/nowhere/at/all", "/" + "x" * 200, "/a\0b", "@", "@nobody"])
def test_a_socket_that_nobody_reads_ends_nothing(address: str, said: io.StringIO) -> None:
    Supervisor(address).ready()
    assert "supervisor.unreachable" in said.getvalue()


def test_a_supervisor_that_stopped_reading_holds_up_only_for_a_moment(
    supervisor: Supervisor, ear: Ear, said: io.StringIO
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
        flood.connect(ear.socket.getsockname())
        flood.setblocking(False)
        with pytest.raises(BlockingIOError):
            fill(flood)
    began, worked = time.monotonic(), time.process_time()
    supervisor.ready()
    assert time.monotonic() - began < 2
    assert time.process_time() - worked < 0.1
    assert "supervisor.unreachable" in said.getvalue()


# Progress


def watchdog_at(clock: Clock) -> Watchdog:
    return Watchdog(Supervisor(), MINUTE, clock)


def test_who_signs_in_time_is_not_silent() -> None:
    clock = Clock()
    watchdog = watchdog_at(clock)
    watchdog.check_in("poller", MINUTE)
    watchdog.check_in("outbox", 2 * MINUTE)
    clock.passes(MINUTE)
    assert watchdog.overdue == {}
    clock.passes(timedelta(seconds=0.5))
    assert watchdog.overdue == {"poller": timedelta(seconds=60.5)}
    watchdog.check_in("poller", MINUTE)
    clock.passes(MINUTE)
    assert watchdog.overdue == {"outbox": timedelta(seconds=120.5)}


def test_who_rests_or_never_came_is_not_awaited() -> None:
    clock = Clock()
    watchdog = watchdog_at(clock)
    assert watchdog.overdue == {}
    watchdog.check_in("outbox", MINUTE)
    watchdog.check_in("outbox", None)
    clock.passes(timedelta(days=9000))
    assert watchdog.overdue == {}


@given(
    signs=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0.001, 1e5)), min_size=1),
    later=st.floats(0, 1e6),
)
def test_only_the_last_sign_counts(signs: list[tuple[float, float]], later: float) -> None:
    clock = Clock()
    watchdog = watchdog_at(clock)
    for at, within in signs:
        clock.now = at
        watchdog.check_in("poller", timedelta(seconds=within))
    at, within = signs[-1]
    clock.now = at + later
    assert bool(watchdog.overdue) is (clock.now > at + timedelta(seconds=within).total_seconds())


# How long work may take


async def longest_poll(source: SourceSettings, poll: PollSettings) -> timedelta:
    async def pause(_: timedelta) -> None:
        """Nothing is read here."""

    async with open_client(source, poll, pause) as client:
        return client.longest_poll


async def test_a_poll_may_take_as_long_as_its_slowest_replies() -> None:
    longest = await longest_poll(SourceSettings(), PollSettings())
    assert longest == timedelta(minutes=28, seconds=46)


@pytest.mark.parametrize("page_size", [1, 20, 100])
@pytest.mark.parametrize("concurrency", [1, 8])
async def test_no_poll_of_todays_catalogue_can_take_longer(
    page_size: int, concurrency: int
) -> None:
    source = SourceSettings(page_size=page_size, concurrency=concurrency)
    poll = PollSettings(sweep_attempts=1)
    rounds = -(-574 // page_size) // concurrency + 2
    # Before and after the pages of each attempt the counts are asked for; the probe asks twice.
    worst = MIN_ATTEMPTS * ((rounds + 2) * source.timeout + poll.settle_delay) + 2 * source.timeout
    assert await longest_poll(source, poll) > worst


def test_a_round_of_the_outbox_has_room_for_its_longest_send() -> None:
    # A message and its picture, and a minute for what is before and after them.
    assert 2 * LONGEST_SEND + MINUTE < LONGEST_ROUND


# The watchdog


@pytest.mark.parametrize(
    ("environment", "every"),
    [
        ({"WATCHDOG_USEC": "120000000"}, timedelta(seconds=60)),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=60)),
        ({"WATCHDOG_USEC": "120000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "9" * 400}, None),
        ({}, None),
    ],
    ids=["asked", "of this process", "of another", "0", "negative", "a word", "too long", "not"],
)
async def test_it_pings_twice_in_the_time_it_is_given_if_it_is_meant(
    environment: dict[str, str], every: timedelta | None
) -> None:
    assert Watchdog.from_environment(Supervisor(), environment)._every == every


def test_it_pings_while_all_get_somewhere_and_says_once_who_does_not(
    supervisor: Supervisor, ear: Ear, said: io.StringIO
) -> None:
    clock = Clock()
    watchdog = Watchdog(supervisor, MINUTE, clock)
    watchdog.check_in("poller", 6 * MINUTE)
    watchdog.check_in("outbox", 3 * MINUTE)
    assert watchdog.ping()
    clock.passes(4 * MINUTE)
    assert [watchdog.ping(), watchdog.ping()] == [False, False]
    assert ear.heard() == ["WATCHDOG=1"]
    assert said.getvalue().count("watchdog.stalled") == 1
    assert "outbox" in said.getvalue()
    assert "poller" not in said.getvalue()

    watchdog.check_in("outbox", 3 * MINUTE)
    assert watchdog.ping()
    assert ear.heard() == ["WATCHDOG=1"]
    assert said.getvalue().count("watchdog.recovered") == 1


def test_a_receiver_that_left_the_configuration_starves_nobody() -> None:
    clock = Clock()
    watchdog = Watchdog(Supervisor(), MINUTE, clock)
    watchdog.check_in("outbox:team", MINUTE)
    watchdog.check_in("outbox:team", None)
    clock.passes(timedelta(days=900))
    assert watchdog.ping()


async def test_it_pings_from_the_event_loop_until_it_is_stopped(
    supervisor: Supervisor, ear: Ear
) -> None:
    stop = asyncio.Event()
    watchdog = Watchdog(supervisor, timedelta(milliseconds=5))
    running = asyncio.create_task(watchdog.run(stop))
    ear.socket.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        for _ in range(3):
            assert await loop.sock_recv(ear.socket, 100) == b"WATCHDOG=1"
        stop.set()
        await running


async def test_where_nobody_waits_for_it_it_only_waits_for_the_end(
    supervisor: Supervisor, ear: Ear
) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(Watchdog(supervisor, None).run(stop))
    await asyncio.sleep(0)
    assert not running.done()
    stop.set()
    async with asyncio.timeout(5):
        await running
    assert ear.heard() == []
