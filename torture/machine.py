"""The machine: its name for reports, temporary directories, and what this process and others use.

The directories are in memory where the machine has /dev/shm: a trial need not wait for a disk.
"""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ProcessTree",
    "below",
    "machine",
    "peak_memory",
    "process_tree",
    "resident_memory",
    "temporary_directory",
    "until_gone",
]

_IN_MEMORY = Path("/dev/shm")
_KIB_IN_MIB = 1024


def machine() -> str:
    """The processors, the operating system, and the versions of what matters most."""
    versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {versions}"


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that is removed afterwards."""
    where = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="kie-watcher-torture-", dir=where) as name:
        yield Path(name)


def resident_memory(pid: int | str = "self") -> float:
    """Resident memory of a process now, in MiB."""
    return _memory("VmRSS", pid)


def peak_memory(pid: int | str = "self") -> float:
    """The most resident memory that a process ever had, in MiB."""
    return _memory("VmHWM", pid)


def _memory(field: str, pid: int | str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB_IN_MIB
    raise LookupError(field)


@dataclass(frozen=True, slots=True)
class ProcessTree:
    """A process and all below it: how many there are, their threads, sockets and memory (MiB).

    Memory that several share is counted once.
    """

    processes: int = 0
    threads: int = 0
    sockets: int = 0
    memory: float = 0

    def most(self, other: ProcessTree) -> ProcessTree:
        """The larger of each."""
        return ProcessTree(
            max(self.processes, other.processes),
            max(self.threads, other.threads),
            max(self.sockets, other.sockets),
            max(self.memory, other.memory),
        )

    def figures(self) -> dict[str, float]:
        """For a tally."""
        return {
            "most processes at once": self.processes,
            "most threads of all of them": self.threads,
            "most open sockets": self.sockets,
            "most memory of all of them, MiB": self.memory,
        }


def process_tree(pid: int) -> ProcessTree:
    """What a process and all below it use now; nothing of those that end meanwhile."""
    found = ProcessTree()
    for each in (pid, *below(pid)):
        process = Path(f"/proc/{each}")
        with suppress(OSError, ValueError, LookupError):
            tasks = list((process / "task").iterdir())
            rollup = (process / "smaps_rollup").read_text("ascii")
            memory = int(rollup.split("\nPss:")[1].split()[0]) / _KIB_IN_MIB
            links = [str(it.readlink()) for it in (process / "fd").iterdir()]
            sockets = sum(link.startswith("socket:") for link in links)
            found = ProcessTree(
                found.processes + 1,
                found.threads + len(tasks),
                found.sockets + sockets,
                found.memory + memory,
            )
    return found


def below(pid: int) -> list[int]:
    """The numbers of all processes that a process has started, and those have, and so on."""
    found, todo = list[int](), [pid]
    while todo:
        with suppress(OSError):
            for task in Path(f"/proc/{todo.pop()}/task").iterdir():
                children = [int(it) for it in (task / "children").read_text("ascii").split()]
                found += children
                todo += children
    return found


async def until_gone(*pids: int, within: float) -> None:
    """Wait until no process with one of these numbers does anything. Raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while any(map(_is_alive, pids)):  # noqa: ASYNC110 - another process, no event
            await asyncio.sleep(0.005)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
