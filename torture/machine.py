"""The machine: its name for reports, temporary directories, and what this process and others use.

The directories are in memory where the machine has /dev/shm: a trial need not wait for a disk.
"""

from __future__ import annotations

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
    "machine",
    "peak_memory",
    "process_tree",
    "resident_memory",
    "temporary_directory",
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
    found, todo = ProcessTree(), [pid]
    while todo:
        process = Path(f"/proc/{todo.pop()}")
        with suppress(OSError, ValueError, LookupError):
            tasks = list((process / "task").iterdir())
            for task in tasks:
                todo += map(int, (task / "children").read_text("ascii").split())
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
