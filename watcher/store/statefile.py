"""The state as a file: where it may be, whose it is, and who may write it.

Knows directories, permissions, the lock file and the first hundred bytes of a database. Refuses to
know SQL and what is inside.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# "kiew" in ASCII, in the header of every database of ours.
APPLICATION_ID = 0x6B696577

_MENDING = (
    "Put a backup in its place with `kie-watcher restore FILE`, or move it away and start anew "
    "with `kie-watcher run --rebuild`: the damaged one is kept beside, and the next sweep is a "
    "new baseline"
)
_SQLITE_MAGIC = b"SQLite format 3\x00"
_HEADER_LENGTH = 100
_USER_VERSION = slice(60, 64)
_APPLICATION_ID = slice(68, 72)


class StateError(Exception):
    """The state cannot be used; the text says what is wrong and how to mend it."""


class InUseError(StateError):
    """Another process writes this state."""


class UnusableError(StateError):
    """No use trying again: it is damaged, another program's, or from a newer version."""


class DamagedError(UnusableError):
    """The state is broken. It is only moved out of the way when a person says so."""


class NoStateError(StateError):
    """There is nothing to read yet."""


class ConflictError(StateError):
    """What the caller had read is no longer so; reading again and trying again will do."""


def beside(path: Path, suffix: str) -> Path:
    """The file of that suffix next to the database: `kie-watcher.db.lock`, say."""
    return path.with_name(path.name + suffix)


def damaged(path: Path, why: str) -> DamagedError:
    """The error for a database that is ours and broken."""
    return DamagedError(
        f"{path}: the database is damaged ({why}). It has been left as it is. {_MENDING}"
    )


def newer(path: Path, version: int, newest: int) -> UnusableError:
    """The error for a database that a later version of this program wrote."""
    return UnusableError(
        f"{path}: was written by a newer kie-watcher (format {version}, this one knows up to "
        f"{newest}). It has been left as it is. Upgrade kie-watcher, or set another state.path"
    )


def make_place(path: Path) -> None:
    """Make the directory of the state, where it is missing, for its owner alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{path.parent}: the directory of the state cannot be made ({error.strerror}). "
            "Make it writable, or set another state.path"
        ) from error


def holds_something(path: Path, newest: int) -> bool:
    """Whether there is a database of ours; `False` for no file, and for one of no bytes.

    Raises `StateError` for anything else there, having only read. Needs no lock: the first write
    to a database of ours puts our mark in.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StateError(f"{path}: is not a file. Let state.path name a file")
        with path.open("rb") as file:
            header = file.read(_HEADER_LENGTH)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(path, error) from error
    if not header:
        return False
    _require_ours(path, header, newest)
    return True


def create(path: Path) -> None:
    """Make an empty file for its owner alone; what SQLite puts beside it inherits that."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise _unusable(path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the one writer of this state for as long as the block lasts.

    The lock file stays behind: removing it would let two processes each lock a file of that name.
    """
    lock = beside(path, ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(lock, error) from error
    try:
        _take(descriptor, path, lock)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, lock: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        raise InUseError(
            f"{path}: is in use by another kie-watcher"
            f"{f' (process {holder})' if holder.isdecimal() else ''}. "
            "Stop that one, or set another state.path"
        ) from error
    except OSError as error:
        raise _unusable(lock, error) from error


def _require_ours(path: Path, header: bytes, newest: int) -> None:
    if len(header) < _HEADER_LENGTH or not header.startswith(_SQLITE_MAGIC):
        raise DamagedError(
            f"{path}: is not a database of kie-watcher, or its beginning is damaged. It has been "
            f"left as it is. Set another state.path, if that is wrong. {_MENDING}"
        )
    if int.from_bytes(header[_APPLICATION_ID], "big") != APPLICATION_ID:
        raise UnusableError(
            f"{path}: is a database of another program. It has been left as it is. "
            "Set another state.path"
        )
    version = int.from_bytes(header[_USER_VERSION], "big")
    if version > newest:
        raise newer(path, version, newest)


def _unusable(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path}: cannot be used ({error.strerror}). Check its owner and permissions and those of "
        "its directory, or set another state.path"
    )
