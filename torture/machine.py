"""The machine: its name for reports, temporary directories, and the memory that a process uses.

The directories are in memory where the machine has /dev/shm: a trial need not wait for a disk.
"""

from __future__ import annotations

import os
import platform
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["machine", "peak_memory", "resident_memory", "temporary_directory"]

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
