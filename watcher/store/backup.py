"""Copies of the state: made while it is in use, checked before they count, put back on purpose.

Knows files and SQLite's own way to copy itself. Refuses to know what is stored.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.store.connection import (
    DamagedError,
    NoStateError,
    StateError,
    beside,
    damaged,
    holds_something,
    in_words,
    locked,
    make_place,
)
from watcher.store.schema import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

_PRIVATE = 0o600
_BUSY_SECONDS = 10.0


def back_up(state: Path, target: Path) -> None:
    """Copy the state to `target` while it is in use; what was there is replaced at once or not.

    The copy is one moment of the state, for its owner's eyes alone, and checked before it counts.
    Raises `StateError`, and leaves `target` as it was, where anything goes wrong.
    """
    if not holds_something(state, NEWEST):
        raise NoStateError(f"{state}: there is no state yet, so there is nothing to back up")
    if target.exists() and target.samefile(state):
        raise StateError(f"{target}: is the state itself; name another file")
    with _new_file(target) as part:
        with in_words(state), closing(_connected(state)) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        _check(part)
        part.chmod(_PRIVATE)
        _write_through(part)


def restore(state: Path, source: Path, at: datetime) -> Path | None:
    """Put a backup in the place of the state; returns where the old one is kept, if there was one.

    Raises `InUseError` while a daemon runs, and `StateError` where `source` is no sound state of
    a version that can be read; nothing is changed then.
    """
    _require_sound(source)
    make_place(state)
    with locked(state):
        with _new_file(state, keep=lambda: _aside(state, "before-restore", at)) as part:
            with in_words(source), closing(_connected(source)) as connection:
                connection.execute("VACUUM INTO ?", (str(part),))
            part.chmod(_PRIVATE)
            _give_to_owner(part, state)
            _write_through(part)
        kept = _aside_name(state, "before-restore", at)
        return kept if kept.exists() else None


def rebuild(state: Path, at: datetime) -> Path | None:
    """Move the state out of the way if it is damaged; returns where it is then.

    A sound one is left alone. Looks more closely than every start does.
    """
    try:
        if holds_something(state, NEWEST):
            _check(state)
    except DamagedError:
        return move_aside(state, at)
    return None


def move_aside(state: Path, at: datetime) -> Path | None:
    """Move a damaged state out of the way, with its log; returns where it is, if there was one."""
    with locked(state):
        _aside(state, "damaged", at)
    kept = _aside_name(state, "damaged", at)
    return kept if kept.exists() else None


def _require_sound(backup: Path) -> None:
    try:
        if not holds_something(backup, NEWEST):
            raise StateError(f"{backup}: is empty or missing; name a file that `backup` wrote")
        _check(backup)
    except DamagedError as error:
        # What to do about a damaged state is not what to do about a damaged backup.
        raise StateError(
            f"{backup}: is not a sound backup. Nothing was changed; name another"
        ) from error


def _give_to_owner(part: Path, state: Path) -> None:
    """What root puts in place of the state, the daemon must be able to open."""
    if os.geteuid() == 0:
        owner = (state if state.exists() else state.parent).stat()
        os.chown(part, owner.st_uid, owner.st_gid)


def _aside(state: Path, why: str, at: datetime) -> None:
    """Rename the state and its log together; the log belongs to the file it was written for."""
    kept = _aside_name(state, why, at)
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            beside(state, ending).rename(beside(kept, ending))


def _aside_name(state: Path, why: str, at: datetime) -> Path:
    return beside(state, f".{why}-{at:%Y%m%dT%H%M%SZ}")


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


def _check(path: Path) -> None:
    with in_words(path), closing(_connected(path)) as connection:
        verdict = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    if verdict != "ok":
        raise damaged(path, " ".join(verdict.split()))


@contextmanager
def _new_file(target: Path, keep: object = None) -> Iterator[Path]:
    """A new name beside `target` that takes its place once the block is through."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        part = Path(name)
        # SQLite copies into a file that is not there; the name is ours by now.
        part.unlink()
    except OSError as error:
        raise StateError(f"{target}: cannot be written here ({error.strerror})") from error
    try:
        yield part
        if callable(keep):
            keep()
        part.replace(target)
        _write_through(target.parent)
    except OSError as error:
        raise StateError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _write_through(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
