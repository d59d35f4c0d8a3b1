"""The sender as the watcher sees it: a process that is there while there is something to send.

It is started for the first job, and let go when it had nothing to do for a minute. So many jobs at
most are under way at once, and those of receivers whose last send did not end in time take only a
part of these places: however many hang, the others are sent to at once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from watcher.log import log
from watcher.notify.addresses import Inspected
from watcher.notify.sender import BrokenFrameError, pack, unpack

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping

    from watcher.notify.remembered import Address

# How long a job may take once it has begun.
WITHIN = timedelta(seconds=25)
# How long a job may wait for its turn. Where so many hang, another try comes later.
LONGEST_WAIT = timedelta(seconds=60)
# How long the process is kept without one.
IDLE = timedelta(minutes=1)
# Jobs under way at once, and how many of these for receivers whose last send was late.
MOST_AT_ONCE = 64
MOST_LATE = 16

# A send that took this long held a place that others may need.
_LATE = timedelta(seconds=10)
# The sender kills a fork two seconds after its time. Where it does not, it is itself killed.
_PATIENCE = timedelta(seconds=20)
# All of it together.
LONGEST_SEND = LONGEST_WAIT + WITHIN + _PATIENCE
_READ_SIZE = 2**16
# What the sender gets of the environment: how to reach others, and how to find files.
_PASSED_ON = (
    "ALL_PROXY",
    "CURL_CA_BUNDLE",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LD_LIBRARY_PATH",
    "NO_PROXY",
    "PATH",
    "PYTHONDONTWRITEBYTECODE",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


class SenderError(Exception):
    """The sender cannot be asked; the text says why, in words that may be shown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a job: what it gave (`content`), or why it gave nothing (`ended`).

    `left`: a message may have left this machine.
    """

    content: Mapping[str, Any] | None = None
    ended: str = ""
    left: bool = False


@dataclass(slots=True)
class _Job:
    reply: asyncio.Future[Reply]
    left: bool = False


class Sender:
    """The sender, for as long as the `async with` lasts; what is under way at its end is killed.

    `environment` is the watcher's own. A job may take `within`, and after `idle` the process ends.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        within: timedelta = WITHIN,
        idle: timedelta = IDLE,
    ) -> None:
        self.within = within
        self._idle = idle
        self._environment = environment
        self._numbers = count(1)
        self._places = asyncio.Semaphore(MOST_AT_ONCE)
        self._late_places = asyncio.Semaphore(MOST_LATE)
        self._late: set[str] = set()
        self._starting = asyncio.Lock()
        self._running: _SenderProcess | None = None
        self._under_way = 0
        self._leave: asyncio.TimerHandle | None = None
        # What addresses were found to be: each is asked about once.
        self.known: dict[Address, Inspected] = {}

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._leave is not None:
            self._leave.cancel()
        if self._running is not None:
            await self._running.kill()

    @property
    def pid(self) -> int | None:
        """The process's number; `None` where there is none now."""
        return None if self._running is None or self._running.ended else self._running.pid

    async def inspect(self, url: str, format: str) -> Inspected:  # noqa: A002 - as in the configuration
        """What a receiver's URL is, or what is wrong with it. Raises `SenderError`.

        What was found once is remembered.
        """
        if (url, format) not in self.known:
            reply = await self.ask({"what": "inspect", "url": url, "format": format})
            if reply.content is None:
                raise SenderError(f"the address cannot be checked now ({reply.ended})")
            self.known[url, format] = Inspected.from_json(reply.content)
        return self.known[url, format]

    def check_url(self, url: str, format: str) -> list[str]:  # noqa: A002
        """What is wrong with a URL. Blocks: for a thread beside that of the event loop."""
        asked = asyncio.run_coroutine_threadsafe(self.inspect(url, format), self._loop)
        return list(asked.result().problems)

    async def send(self, receiver: str, request: Mapping[str, Any]) -> Reply:
        """Send for a receiver: a message, or the picture that goes with one."""
        async with AsyncExitStack() as places:
            try:
                async with asyncio.timeout(LONGEST_WAIT.total_seconds()):
                    if receiver in self._late:
                        await places.enter_async_context(self._late_places)
                    await places.enter_async_context(self._places)
            except TimeoutError:
                return Reply(ended="busy")
            began = monotonic()
            reply = await self.ask(request)
        if reply.ended == "late" or monotonic() - began > _LATE.total_seconds():
            self._late.add(receiver)
        else:
            self._late.discard(receiver)
        return reply

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """Have a job done, at once."""
        self._under_way += 1
        if self._leave is not None:
            self._leave.cancel()
        try:
            process = await self._started()
            if process is None:
                return Reply(ended="unstarted")
            within = self.within.total_seconds()
            return await process.ask({**request, "job": next(self._numbers), "within": within})
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._leave = self._loop.call_later(self._idle.total_seconds(), self._let_go)

    async def _started(self) -> _SenderProcess | None:
        """The process; a new one where there is none. `None` where none can be started."""
        async with self._starting:
            if self._running is None or self._running.ended:
                try:
                    self._running = await _start(self._environment)
                except OSError as error:
                    log.warning("sender.unstarted", why=error.strerror)
                    return None
            return self._running

    def _let_go(self) -> None:
        """Let the process end; the next job starts another."""
        if self._running is not None:
            self._running.close()


async def _start(environment: Mapping[str, str]) -> _SenderProcess:
    """Start the process. Raises `OSError`."""
    process = await asyncio.create_subprocess_exec(
        # -P: no code is loaded from the current directory.
        *(sys.executable, "-P", "-m", "watcher.notify.sender"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A traceback could show an address.
        stderr=asyncio.subprocess.DEVNULL,
        env=_sender_environment(environment),
        # A group of its own, which is killed as one; and Ctrl-C is for the watcher.
        start_new_session=True,
    )
    return _SenderProcess(process)


def _sender_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    kept = {name: inherited[name] for name in _PASSED_ON if name in inherited}
    return kept | {
        "PYTHONPATH": os.pathsep.join(place for place in sys.path if place),
        "PYTHONUTF8": "1",
        # `requests` would send what stands in ~/.netrc to a receiver on a host that is named there.
        "NETRC": os.devnull,
    }


class _SenderProcess:
    """One process, from its start to its end, and the jobs that it has."""

    def __init__(self, process: Process) -> None:
        assert process.stdin is not None and process.stdout is not None, "piped"  # noqa: PT018, S101
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self._jobs: dict[int, _Job] = {}
        self._killed = False
        self._reading = asyncio.create_task(self._read())

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it takes no more jobs."""
        return self._reading.done() or self._stdin.is_closing()

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """Let it do a job."""
        job = self._jobs[request["job"]] = _Job(asyncio.get_running_loop().create_future())
        limit = timedelta(seconds=request["within"]) + _PATIENCE
        try:
            self._stdin.write(pack(request))
            async with asyncio.timeout(limit.total_seconds()):
                return await job.reply
        except TimeoutError:
            self._kill_group()
            return Reply(ended="late", left=True)
        finally:
            self._jobs.pop(request["job"], None)

    def close(self) -> None:
        """Let it end: it does when there is nothing more to read."""
        self._stdin.close()

    async def kill(self) -> None:
        """Kill it and its forks."""
        self._kill_group()
        await self._process.wait()
        await self._reading
        self._stdin.close()

    def _kill_group(self) -> None:
        self._killed = True
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _read(self) -> None:
        """Take its reports until it ends; what it has not done by then nobody knows."""
        received = bytearray()
        try:
            while piece := await self._stdout.read(_READ_SIZE):
                received += piece
                for report in unpack(received):
                    self._take(report)
        except BrokenFrameError:
            self._kill_group()
        if not self._jobs:
            return
        if not self._killed:
            log.warning("sender.died", jobs=len(self._jobs))
        with suppress(ProcessLookupError, PermissionError):
            # Its forks are still there.
            os.killpg(self._process.pid, signal.SIGKILL)
        for job in self._jobs.values():
            if not job.reply.done():
                job.reply.set_result(Reply(ended="died", left=True))

    def _take(self, report: Mapping[str, Any]) -> None:
        job = self._jobs.get(report["job"])
        if job is None or job.reply.done():
            return
        match report:
            case {"reply": content}:
                job.reply.set_result(Reply(content, left=job.left))
            case {"ended": why}:
                job.reply.set_result(Reply(ended=why, left=job.left))
            case _:
                job.left = True
