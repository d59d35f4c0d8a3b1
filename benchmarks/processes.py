"""Processes: their CPU time, memory and end, as the operating system reports them.

It reads /proc, so it runs on Linux only.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

__all__ = ["ROOT", "Daemon", "Usage", "cpu_of", "kie_watcher", "python", "run_to_end", "running"]

ROOT = Path(__file__).resolve().parent.parent
KIB_IN_MIB = 1024
NANOSECONDS = 1e9
SHOWN_OF_LOG = 2000


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) and output of a process that has ended."""

    cpu: float
    output: str


def kie_watcher(*arguments: str | Path) -> list[str]:
    """The command that is installed with this Python."""
    return [str(Path(sys.executable).with_name("kie-watcher")), *map(str, arguments)]


def python(
    module: str, *arguments: str | Path, interpreter: str | Path = sys.executable
) -> list[str]:
    """A module run by this Python, or by another."""
    return [str(interpreter), "-m", module, *map(str, arguments)]


async def run_to_end(
    command: Sequence[str], place: Path, environment: dict[str, str] | None = None
) -> Usage:
    """Run a command in `place` and wait for its end. Raises `RuntimeError` where it failed."""
    with TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - waited for in a thread, for its resource usage
            command, cwd=place, env=environment, stdout=output, stderr=output
        )
        _, status, used = await asyncio.to_thread(os.wait4, process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        raise RuntimeError(
            f"{Path(command[0]).name}: exit {process.returncode}: {text[-SHOWN_OF_LOG:]}"
        )
    return Usage(used.ru_utime + used.ru_stime, text)


async def cpu_of(
    command: Sequence[str], place: Path, times: int, environment: dict[str, str] | None = None
) -> float:
    """The median CPU seconds of a command run several times."""
    return median([(await run_to_end(command, place, environment)).cpu for _ in range(times)])


class Daemon:
    """The resource usage of a running process; pid `self` is this one."""

    def __init__(self, pid: int | str) -> None:
        self._proc = Path(f"/proc/{pid}")

    def cpu(self) -> float:
        """CPU seconds so far, of all its threads."""
        threads = (self._proc / "task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / (
            NANOSECONDS
        )

    def resident(self) -> float:
        """Resident memory now, in MiB."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """The most resident memory of its whole life, in MiB."""
        return self._status("VmHWM")

    def _status(self, field: str) -> float:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / KIB_IN_MIB
        raise LookupError(field)


@asynccontextmanager
async def running(command: Sequence[str], place: Path) -> AsyncIterator[Daemon]:
    """Run a daemon for as long as the block lasts. Raises `RuntimeError` where it ends before.

    It is started in the root of the tree, and its log goes to a file.
    """
    log = place / "daemon.log"
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=stream, stderr=stream
        )
    block = asyncio.current_task()
    end = asyncio.create_task(process.wait())
    if block is not None:
        end.add_done_callback(lambda ended: ended.cancelled() or block.cancel())
    try:
        yield Daemon(process.pid)
    except asyncio.CancelledError:
        if process.returncode is None:
            raise
        why = log.read_text(errors="replace")[-SHOWN_OF_LOG:]
        raise RuntimeError(f"the daemon ended by itself: {why}") from None
    finally:
        end.cancel()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()
