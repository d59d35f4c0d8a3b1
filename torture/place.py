"""A directory for a state, and what this process takes of memory.

States lie in memory where the machine allows it: here power never fails, and a disk need not be
waited for.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["high_water", "resident", "scratch"]

_IN_MEMORY = Path("/dev/shm")
_KIB_IN_MIB = 1024


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    where = _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None
    with TemporaryDirectory(prefix="kie-watcher-torture-", dir=where) as name:
        yield Path(name)


def resident() -> float:
    """Resident memory of this process now, in MiB."""
    return _memory("VmRSS")


def high_water() -> float:
    """The most resident memory this process ever had, in MiB."""
    return _memory("VmHWM")


def _memory(field: str) -> float:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / _KIB_IN_MIB
    raise LookupError(field)
