"""The sender's process and its forks: bounded whatever receivers do, and gone when it is let go."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest
from aiohttp import web

from logs import capture_logs
from torture.bad_receivers import NEVER_LEAVES, NO_NAME, SORTS, bad_receivers, sort_of
from torture.loopback import serve_http
from torture.machine import ProcessTree, below, process_tree, until_gone
from watcher.notify.client import MOST_LATE, Sender, SenderError
from watcher.notify.job import Departure
from watcher.notify.outcome import Outcome, Verdict
from watcher.notify.receiver import ServiceReceiver, open_receiver
from watcher.notify.sender import LONGEST, BrokenFrameError, pack, unpack

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")

BRIEF, PATIENCE = timedelta(seconds=1), timedelta(seconds=5)
# For a machine with other work.
SOON = 20.0


@pytest.fixture
async def service() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """A good service: the host and port, and the headers of what it gets."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(text="{}")

    async with serve_http(answer) as host:
        yield host, seen


@asynccontextmanager
async def a_hanging_service() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """One that never answers: its URL, and whether a message came."""
    came, over, tasks = asyncio.Event(), asyncio.Event(), set[asyncio.Task[None] | None]()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        came.set()
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"json://127.0.0.1:{server.sockets[0].getsockname()[1]}/?rto=20", came
    finally:
        over.set()
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None))


async def send(receiver: ServiceReceiver) -> Outcome:
    return await receiver.send("1 price moved", "Veo 3: 60 → 80", "k3m9", "text")


# Whatever a receiver does


@dataclass(frozen=True)
class Tried:
    """What came of one send to a receiver of each sort, all at once, and what that took."""

    outcomes: dict[str, Outcome]
    took: dict[str, float]
    before: ProcessTree
    most: ProcessTree
    left: list[int]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Tried:
    return asyncio.run(try_all(tmp_path_factory.mktemp("bad")))


async def try_all(place: Path) -> Tried:
    outcomes, took = dict[str, Outcome](), dict[str, float]()
    async with bad_receivers(len(SORTS), place) as bad, Sender(within=PATIENCE) as sender:
        receivers = {
            sort_of(name): await open_receiver(sender, name, url)
            for name, url in bad.urls.items()
            # It would be looked up in the network that is there.
            if sort_of(name) != NO_NAME
        }
        assert sender.pid is not None
        most = before = process_tree(sender.pid)

        async def one(sort: str) -> None:
            began = monotonic()
            outcomes[sort] = await send(receivers[sort])
            took[sort] = monotonic() - began

        sending = asyncio.gather(*map(one, receivers))
        while not sending.done():
            most = most.most(await asyncio.to_thread(process_tree, sender.pid))
        await sending
        # Whoever has replied is reaped a moment later.
        with suppress(TimeoutError):
            await until_gone(*below(sender.pid), within=SOON)
        return Tried(outcomes, took, before, most, below(sender.pid))


async def test_whatever_receivers_do_their_sends_end_in_time_and_in_little_memory(
    tried: Tried,
) -> None:
    assert max(tried.took.values()) < SOON
    assert tried.most.processes <= len(tried.outcomes) + 1
    assert tried.most.memory - tried.before.memory < 40 * len(tried.outcomes)
    assert tried.left == []


@pytest.mark.parametrize("sort", [it for it in SORTS if it != NO_NAME])
def test_whatever_a_receiver_does_it_is_known_whether_the_message_may_have_arrived(
    tried: Tried, sort: str
) -> None:
    outcome = tried.outcomes[sort]
    if sort in NEVER_LEAVES:
        assert outcome.verdict is Verdict.RETRY
        assert not outcome.ambiguous
        assert "arrived" not in outcome.reason
    elif sort in {"drips its body", "answers without end", "sends a bomb"}:
        # Its status says it all, and the rest is not read.
        assert outcome == Outcome(Verdict.ACCEPTED, "")
    else:
        assert outcome.verdict is Verdict.RETRY
        assert outcome.ambiguous


async def test_those_that_hang_leave_places_for_the_others(
    service: tuple[str, list[dict[str, str]]],
) -> None:
    async with a_hanging_service() as (url, _), Sender(within=BRIEF) as sender:
        hanging = [await open_receiver(sender, f"bad{n}", url) for n in range(2 * MOST_LATE)]
        good = await open_receiver(sender, "good", f"json://{service[0]}/")
        await asyncio.gather(*map(send, hanging))
        again = [asyncio.create_task(send(it)) for it in hanging]
        await asyncio.sleep(0)
        assert (await send(good)).verdict is Verdict.ACCEPTED
        assert sender.pid is not None
        # Those that have just replied are reaped a moment later.
        assert len(below(sender.pid)) < len(hanging) - MOST_LATE // 2
        outcomes = await asyncio.gather(*again)
        assert {it.reason for it in outcomes} == {"no answer within 1 seconds; it may have arrived"}


# Whatever becomes of the process


async def test_it_is_started_for_the_first_job_and_gone_after_the_last(
    service: tuple[str, list[dict[str, str]]],
) -> None:
    async with Sender(idle=timedelta(0)) as sender:
        assert sender.pid is None
        receiver = await open_receiver(sender, "team", f"json://{service[0]}/")
        first = sender.pid
        assert first is not None
        await until_gone(first, within=SOON)
        assert sender.pid is None
        assert (await send(receiver)).verdict is Verdict.ACCEPTED


async def test_one_that_is_killed_may_have_sent_and_the_next_job_has_another() -> None:
    async with a_hanging_service() as (url, came), Sender(within=BRIEF) as sender:
        receiver = await open_receiver(sender, "team", url)
        sending = asyncio.create_task(send(receiver))
        await came.wait()
        assert sender.pid is not None
        first, forks = sender.pid, below(sender.pid)
        with capture_logs() as logs:
            os.kill(first, signal.SIGKILL)
            outcome = await sending
        assert outcome == Outcome(
            Verdict.RETRY, "the send was ended; it may have arrived", ambiguous=True
        )
        assert [it["event"] for it in logs] == ["sender.died"]
        await until_gone(first, *forks, within=SOON)
        assert (await send(receiver)).reason == "no answer within 1 seconds; it may have arrived"
        assert sender.pid != first


async def test_a_fork_that_is_killed_is_the_end_of_its_send_alone(
    service: tuple[str, list[dict[str, str]]],
) -> None:
    async with a_hanging_service() as (url, came), Sender() as sender:
        receiver = await open_receiver(sender, "team", url)
        sending = asyncio.create_task(send(receiver))
        await came.wait()
        assert sender.pid is not None
        (fork,) = below(sender.pid)
        os.kill(fork, signal.SIGKILL)
        assert (await sending).ambiguous
        other = await open_receiver(sender, "other", f"json://{service[0]}/")
        assert (await send(other)).verdict is Verdict.ACCEPTED


async def test_letting_it_go_waits_for_nobody_that_hangs_and_leaves_nothing_behind() -> None:
    async with a_hanging_service() as (url, came):
        async with Sender() as sender:
            receiver = await open_receiver(sender, "team", url)
            sending = asyncio.create_task(send(receiver))
            await came.wait()
            assert sender.pid is not None
            pids, began = [sender.pid, *below(sender.pid)], monotonic()
        assert monotonic() - began < SOON
        await until_gone(*pids, within=SOON)
        assert (await sending).verdict is Verdict.RETRY


async def test_it_ends_with_the_watcher_however_that_ends() -> None:
    program = """
import asyncio, sys
from watcher.notify.client import Sender
from watcher.notify.receiver import open_receiver

async def main():
    async with Sender() as sender:
        receiver = await open_receiver(sender, "team", sys.argv[1])
        sending = asyncio.create_task(receiver.send("t", "b", "k3m9", "text"))
        print(sender.pid, flush=True)
        await sending

asyncio.run(main())
"""
    async with a_hanging_service() as (url, came):
        watcher = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, url), stdout=subprocess.PIPE
        )
        assert watcher.stdout is not None
        pid = int(await watcher.stdout.readline())
        await came.wait()
        pids = [pid, *below(pid)]
        assert len(pids) == 2
        watcher.kill()
        await watcher.wait()
        await until_gone(*pids, within=SOON)


async def test_signals_are_for_the_watcher(service: tuple[str, list[dict[str, str]]]) -> None:
    async with Sender() as sender:
        receiver = await open_receiver(sender, "team", f"json://{service[0]}/")
        assert sender.pid is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(sender.pid, number)
        assert (await send(receiver)).verdict is Verdict.ACCEPTED


async def test_where_no_process_can_be_started_a_message_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, service: tuple[str, list[dict[str, str]]]
) -> None:
    async with Sender(idle=timedelta(0)) as sender:
        receiver = await open_receiver(sender, "team", f"json://{service[0]}/")
        assert sender.pid is not None
        await until_gone(sender.pid, within=SOON)
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        assert await send(receiver) == Outcome(
            Verdict.RETRY, "this machine could not start a process for it"
        )
        with pytest.raises(SenderError, match="cannot be checked now"):
            await open_receiver(sender, "other", "json://localhost/other")


# What it knows


@pytest.mark.parametrize("url", ["json://{}/in", "gotify://{}/AbCdEf.12345678"])
async def test_a_netrc_is_not_read(
    tmp_path: Path, service: tuple[str, list[dict[str, str]]], url: str
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary\n")
    variables = {**os.environ, "HOME": str(tmp_path), "NETRC": str(tmp_path / ".netrc")}
    async with Sender(variables) as sender:
        receiver = await open_receiver(sender, "team", url.format(service[0]))
        assert (await send(receiver)).verdict is Verdict.ACCEPTED
    assert "authorization" not in service[1][0]


async def test_it_gets_nothing_secret_of_the_environment(
    service: tuple[str, list[dict[str, str]]],
) -> None:
    variables = {"TOKEN": "c4n4ry", "NOTIFY_SOCKET": "/run/c4n4ry", "HTTPS_PROXY": "http://proxy"}
    async with Sender({**os.environ, **variables}) as sender:
        await open_receiver(sender, "team", f"json://{service[0]}/c4n4ry")
        place = Path(f"/proc/{sender.pid}")
        assert b"HTTPS_PROXY=http://proxy" in (place / "environ").read_bytes()
        for file in ("environ", "cmdline"):
            assert b"c4n4ry" not in (place / file).read_bytes()


# Whether a message left


REQUEST, CONNECT = b"POST /in HTTP/1.1\r\n", b"CONNECT discord.com:443 HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("events", "left"),
    [
        ([], False),
        ([("socket.connect", b"127.0.0.1")], False),
        ([("http.client.send", CONNECT)], False),
        ([("http.client.send", CONNECT), ("http.client.send", REQUEST)], True),
        ([("http.client.send", REQUEST)], True),
        ([("smtplib.send", b"ehlo me\r\n"), ("smtplib.send", b"data\r\n")], False),
        ([("smtplib.send", b"data\r\n"), ("smtplib.send", b"Subject: Veo 3")], True),
    ],
    ids=["nothing", "connected", "proxy", "past the proxy", "http", "before the text", "mail"],
)
def test_a_message_has_left_once_its_service_can_have_it(
    events: list[tuple[str, bytes]], left: bool
) -> None:
    told = list[bool]()
    departure = Departure(lambda: told.append(True))
    for event, sent in events:
        departure.observe(event, (None, sent))
    assert (departure.left, told) == (left, [True] * left)


# Frames


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_frames_come_out_as_they_went_in_however_they_are_cut(size: int) -> None:
    contents = [{"job": 1}, {"body": "é\n" * 500, "left": True}, {}]
    sent = b"".join(map(pack, contents))
    received, found = bytearray(), list[object]()
    for at in range(0, len(sent), size):
        received += sent[at : at + size]
        found += unpack(received)
    assert (found, received) == (contents, b"")


@pytest.mark.parametrize(
    "sent",
    [(LONGEST + 1).to_bytes(4, "big"), b"\0\0\0\2{]", b"\0\0\0\2[]", b"\0\0\0\1\xff"],
    ids=["too long", "no JSON", "no object", "no text"],
)
def test_what_is_no_frame_is_not_read_as_one(sent: bytes) -> None:
    with pytest.raises(BrokenFrameError):
        list(unpack(bytearray(sent)))


async def test_a_url_is_checked_from_another_thread() -> None:
    async with Sender() as sender:
        problems = await asyncio.to_thread(sender.check_url, "nosuch://x", "auto")
        assert problems == ["is not an address that Apprise understands"]
        assert await asyncio.to_thread(sender.check_url, "json://localhost", "auto") == []
        assert json.dumps(problems)
