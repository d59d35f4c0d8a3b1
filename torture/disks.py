"""Disks that are full, read-only or failing: real ones where this process may mount them."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["SmallDisk", "can_mount", "no_larger_files", "small_disk"]

SIZE = "2m"
_BLOCK = bytes(4096)


def can_mount() -> bool:
    """Whether this process may mount, as far as that is known without trying."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


class SmallDisk:
    """A file system of its own, of `SIZE`, in memory."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self._filler = where / "filler"

    def fill(self) -> None:
        """Leave no space at all."""
        with self._filler.open("ab", buffering=0) as file:
            while _write(file.fileno(), _BLOCK):
                pass

    def free(self) -> None:
        """Remove what filled it."""
        self._filler.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        """`ro` or `rw`; nothing may be open for writing."""
        _run("mount", "-o", f"remount,{how}", str(self.where))


@contextmanager
def small_disk(where: Path) -> Iterator[SmallDisk | None]:
    """A small disk at `where`, which is made for it; `None` where none can be mounted."""
    where.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(where))
    except OSError:
        yield None
        return
    try:
        yield SmallDisk(where)
    finally:
        _run("umount", str(where))


@contextmanager
def no_larger_files(size: int) -> Iterator[None]:
    """Let every write of this process fail that goes beyond `size` bytes of a file.

    A quota that needs no permission, and that applies to open files too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _write(descriptor: int, block: bytes) -> bool:
    try:
        return os.write(descriptor, block) > 0
    except OSError:
        return False


def _run(*command: str) -> None:
    """Run a short command. Raises `OSError` where it is missing or fails."""
    if not can_mount():
        raise PermissionError("only root may mount")
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise OSError(done.returncode, f"{command[0]}: {done.stderr.decode(errors='replace')}")
