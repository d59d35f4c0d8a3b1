"""Processes: the programs to measure, their CPU time and memory as the operating system has them.

It reads /proc, so it runs on Linux only. Programs are installed in virtual environments under
build/, which git ignores and `make clean` removes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from torture.machine import peak_memory, resident_memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

__all__ = ["ROOT", "Daemon", "Usage", "kie_watcher", "run_to_end", "running", "urlwatch"]

ROOT = Path(__file__).resolve().parent.parent
NANOSECONDS = 1e9
SHOWN_OF_LOG = 2000


def kie_watcher() -> Path:
    """The bin directory of an environment with kie-watcher and without test tools.

    Apprise loads optional libraries that it finds, and the test tools install some of them.
    """
    return _environment("operators", "--editable", str(ROOT))


def urlwatch() -> Path:
    """The bin directory of an environment with urlwatch."""
    return _environment("urlwatch", "urlwatch")


def _environment(name: str, *requirements: str) -> Path:
    """An environment; made where it is missing, and again where pyproject.toml is newer.

    Raises `RuntimeError` where it cannot be made.
    """
    environment = ROOT / "build" / "bench" / name
    done, programs = environment.with_suffix(".made"), environment / "bin"
    if done.exists() and done.stat().st_mtime > (ROOT / "pyproject.toml").stat().st_mtime:
        return programs
    shutil.rmtree(environment, ignore_errors=True)
    print(f"  once: an environment for {name} …", file=sys.stderr, flush=True)
    pip = [str(programs / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for step in ([sys.executable, "-m", "venv", environment], [*pip, "install", *requirements]):
        if subprocess.run(step, capture_output=True, check=False).returncode:
            raise RuntimeError(f"{requirements[-1]} could not be installed in {environment}")
    done.touch()
    return programs


def _usual() -> dict[str, str]:
    """The environment as operators have it: without variables by which Python keeps no bytecode."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) and output of a process that has ended."""

    cpu: float
    output: str


async def run_to_end(
    *command: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None
) -> Usage:
    """Run a command and wait for its end. Raises `RuntimeError` where it failed."""
    with TemporaryFile() as output:
        process = subprocess.Popen(  # noqa: ASYNC220 - waited for in a thread, for its resource usage
            command, cwd=cwd, env=environment or _usual(), stdout=output, stderr=output
        )
        _, status, used = await asyncio.to_thread(os.wait4, process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode(errors="replace")
    if process.returncode:
        name, end = Path(command[0]).name, text[-SHOWN_OF_LOG:]
        raise RuntimeError(f"{name}: exit {process.returncode}: {end}")
    return Usage(used.ru_utime + used.ru_stime, text)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running process, and what it has used."""

    pid: int

    def cpu(self) -> float:
        """CPU seconds so far, of all its threads."""
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        spent = (int((each / "schedstat").read_text().split()[0]) for each in threads)
        return sum(spent) / NANOSECONDS

    def started(self) -> list[Daemon]:
        """The processes that its first thread has started and that are still there."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [Daemon(int(pid)) for pid in children.split()]

    def resident(self) -> float:
        """Resident memory now, in MiB."""
        return resident_memory(self.pid)

    def peak(self) -> float:
        """The most resident memory of its whole life, in MiB."""
        return peak_memory(self.pid)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It does nothing for as long as the block lasts."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)


@asynccontextmanager
async def running(*command: str | Path, place: Path) -> AsyncIterator[Daemon]:
    """Run a daemon for as long as the block lasts. Raises `RuntimeError` where it ends before.

    It is started in the root of the tree, and its log goes to a file in `place`.
    """
    log = place / "daemon.log"
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, env=_usual(), stdout=stream, stderr=stream
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
            process.terminate()
            await process.wait()
