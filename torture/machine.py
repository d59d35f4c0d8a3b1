"""Temporary directories for states, and the memory that this process uses.

The directories are in memory where the machine has /dev/shm: a trial need not wait for a disk.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["peak_memory", "resident_memory", "temporary_directory"]

_IN_MEMORY = Path("/dev/shm")
_KIB_IN_MIB = 1024


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A directory that is removed afterwards."""
    where = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="kie-watcher-torture-", dir=where) as name:
        yield Path(name)


def resident_memory() -> float:
    """Resident memory of this process now, in MiB."""
    return _memory("VmRSS")


def peak_memory() -> float:
    """The most resident memory this process ever had, in MiB."""
    return _memory("VmHWM")


def _memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB_IN_MIB
    raise LookupError(field)
