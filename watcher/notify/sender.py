"""The sender: a process that sends, with a fork for each job. `python -m watcher.notify.sender`.

Receivers are strangers: one that hangs, drips its reply or answers without end must cost the others
nothing. So each job is done by a fork, which limits its own memory and time, and is killed if it
does not end. This process has one thread, opens no connection and reads no reply of a service:
nothing can hang it. It loads what jobs need, so that a fork takes milliseconds, and ends with its
stdin. The watcher, this process and its forks talk in frames: a length, then an object as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import signal
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What a job may take beside what is loaded: a picture, a mail, TLS, the beginning of a reply.
MEMORY = 32 * 2**20
# Seconds of processor time; a send takes some hundredths. A reply without end would take all.
CPU_TIME = 3
# How long after its time a fork is killed: its own alarm does not interrupt the look-up of a name.
KILL_AFTER = 2.0
# Of a frame: several times the largest message with its picture. Whoever announces more is broken.
LONGEST = 16 * 2**20

_STDIN, _STDOUT, _STDERR = 0, 1, 2
_READ_SIZE = 2**16
# Of the sender: a pipe for each fork, and some more.
_MOST_FILES = 1024
# Where memory runs out, the kernel ends forks first, and the watcher last.
_FIRST_TO_END = "1000"
_LENGTH = struct.Struct("!I")


class BrokenFrameError(ValueError):
    """These bytes are no frames: whoever wrote them is not to be trusted with more."""


def pack(content: Mapping[str, Any]) -> bytes:
    """An object as one frame."""
    body = json.dumps(content).encode()
    return _LENGTH.pack(len(body)) + body


def unpack(received: bytearray) -> Iterator[dict[str, Any]]:
    """Take every whole frame from the beginning of what was received. Raises `BrokenFrameError`."""
    while len(received) >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(received)
        if length > LONGEST:
            raise BrokenFrameError
        end = _LENGTH.size + length
        if len(received) < end:
            return
        body = bytes(received[_LENGTH.size : end])
        del received[:end]
        try:
            content = json.loads(body)
        except ValueError:
            raise BrokenFrameError from None
        if not isinstance(content, dict):
            raise BrokenFrameError
        yield content


@dataclass(slots=True)
class _Fork:
    """A job under way. Times are seconds of a clock that nobody sets."""

    job: int
    pid: int
    kill_at: float
    reports: bytearray = field(default_factory=bytearray)
    replied: bool = False


class _Sender:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(_STDIN, selectors.EVENT_READ)
        self._requests = bytearray()
        # By the pipe on which each reports.
        self._forks: dict[int, _Fork] = {}

    def run(self) -> None:
        """Serve until stdin ends. Raises `BrokenPipeError` where nobody listens any more."""
        while True:
            for key, _ in self._selector.select(self._time_until_kill()):
                if key.fd == _STDIN and not self._read_requests():
                    return
                if key.fd in self._forks and not self._pass_on(key.fd):
                    self._end(key.fd, "died")
            now = monotonic()
            for pipe in [pipe for pipe, fork in self._forks.items() if fork.kill_at <= now]:
                self._end(pipe, "late")

    def kill_all(self) -> None:
        """Kill what is under way; nobody hears of it."""
        for fork in self._forks.values():
            os.kill(fork.pid, signal.SIGKILL)

    def _time_until_kill(self) -> float | None:
        times = [fork.kill_at for fork in self._forks.values()]
        return max(min(times) - monotonic(), 0) if times else None

    def _read_requests(self) -> bool:
        """Start what is asked for; whether there may be more."""
        piece = os.read(_STDIN, _READ_SIZE)
        self._requests += piece
        for request in unpack(self._requests):
            self._start(request)
        return bool(piece)

    def _start(self, request: Mapping[str, Any]) -> None:
        try:
            # Imported here, once: every later fork has it.
            from watcher.notify import job  # noqa: PLC0415

            job.load(request["url"])
            # Without this a collection in the fork would copy all of the memory that they share.
            gc.freeze()
            read, write = os.pipe()
            try:
                pid = os.fork()
            except OSError:
                os.close(read)
                os.close(write)
                raise
        except Exception:  # noqa: BLE001 - whatever it is, only this job ends with it
            self._tell({"job": request["job"], "ended": "unstarted"})
            return
        if pid == 0:
            _be_fork(write, request)
        os.close(write)
        os.set_blocking(read, False)
        kill_at = monotonic() + request["within"] + KILL_AFTER
        self._forks[read] = _Fork(request["job"], pid, kill_at)
        self._selector.register(read, selectors.EVENT_READ)

    def _pass_on(self, pipe: int) -> bool:
        """Pass on what a fork reports; whether there may be more."""
        fork = self._forks[pipe]
        try:
            while piece := os.read(pipe, _READ_SIZE):
                fork.reports += piece
                for report in unpack(fork.reports):
                    fork.replied = fork.replied or "reply" in report
                    self._tell({**report, "job": fork.job})
        except BlockingIOError:
            return True
        except BrokenFrameError:
            return False
        return False

    def _end(self, pipe: int, why: str) -> None:
        """Make sure that a fork is gone, and say so where it has not replied."""
        fork = self._forks[pipe]
        os.kill(fork.pid, signal.SIGKILL)
        os.waitpid(fork.pid, 0)
        self._pass_on(pipe)
        self._selector.unregister(pipe)
        os.close(pipe)
        del self._forks[pipe]
        if not fork.replied:
            self._tell({"job": fork.job, "ended": why})

    def _tell(self, report: Mapping[str, Any]) -> None:
        sys.stdout.buffer.write(pack(report))
        sys.stdout.buffer.flush()


def _be_fork(reports: int, request: Mapping[str, Any]) -> NoReturn:
    """Do one job in a process of its own, and end."""
    try:
        _close_all_but(reports)
        _limit_this_process()
        from watcher.notify.job import run  # noqa: PLC0415 - loaded by now

        run(request, lambda report: _write(reports, pack(report)))
    finally:
        # Nothing that the sender would do at its end.
        os._exit(0)


def _close_all_but(kept: int) -> None:
    """No fork can read requests, nor write to the watcher or to another's pipe."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (_STDIN, _STDOUT, _STDERR):
        os.dup2(nothing, standard)
    os.closerange(_STDERR + 1, kept)
    os.closerange(kept + 1, _MOST_FILES)


def _limit_this_process() -> None:
    """Limit processor time and, where the system tells its size, address space, for good."""
    with suppress(OSError, ValueError):
        # The first ends the job with an alarm, the second kills.
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_TIME, 2 * CPU_TIME))
    with suppress(OSError, ValueError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_END, "ascii")
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _write(pipe: int, report: bytes) -> None:
    while report:
        report = report[os.write(pipe, report) :]


def main() -> int:
    """Send until stdin ends, and only until then: a signal is for the watcher, which then stops."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sender = _Sender()
    try:
        sender.run()
    except (BrokenPipeError, BrokenFrameError):
        # The watcher is gone, or no watcher.
        return 1
    finally:
        sender.kill_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
