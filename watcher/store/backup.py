"""Copies of the state: made while it is in use, checked before they count, restored on purpose.

A backup carries a mark in its header, which no state has. It is written where there is nothing,
or in the place of an older backup: a slip of the keyboard, or somebody who may write to that
directory, costs no other file.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.store.connection import (
    APPLICATION_ID,
    BACKUP_ID,
    HEADER_LENGTH,
    DamagedError,
    NoStateError,
    StateError,
    as_state_error,
    check_soundness,
    companion,
    connect,
    give_to_owner,
    has_state,
    locked,
    make_directory,
    mark_of,
)
from watcher.store.queries import read_everything
from watcher.store.schema import NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_PRIVATE = 0o600
# What SQLite and this program put beside a database, by how the names end.
_LOGS = ("-wal", "-shm", "-journal")
_COMPANIONS = (".lock", ".requests", ".notified")


def back_up(state: Path, target: Path) -> None:
    """Copy the state to `target` while it is in use; it is there at once or not at all.

    The copy is one moment of the state, readable by its owner alone, and checked before it counts.
    Raises `StateError`, and leaves `target` as it was, where anything goes wrong, and where
    something is there that is no backup.
    """
    if not has_state(state, NEWEST):
        raise NoStateError(f"{state}: there is no state yet, so there is nothing to back up")
    if target.name.endswith(_LOGS) or target.name in {state.name + end for end in _COMPANIONS}:
        raise StateError(f"{target}: is a name for what belongs to a state; name another file")
    older = _find_backup(target, state)
    with _replacing(target, first=lambda: _claim(target, state, older)) as part:
        _copy(state, part, BACKUP_ID)
        _check(part)
        part.chmod(_PRIVATE)
        _sync(part)


def restore(state: Path, source: Path, at: datetime) -> Path | None:
    """Put a backup in the place of the state; returns where the old one is kept, if there was one.

    Raises `InUseError` while a daemon runs, and `StateError` where `source` is no sound state of
    a version that can be read; nothing is changed then.
    """
    _require_sound(source)
    make_directory(state)
    kept = _kept_path(state, "before-restore", at)
    with locked(state):
        with _replacing(state, first=lambda: _move_aside(state, kept)) as part:
            _copy(source, part, APPLICATION_ID)
            part.chmod(_PRIVATE)
            give_to_owner(part, state)
            _sync(part)
        return kept if kept.exists() else None


def rebuild(state: Path, at: datetime) -> Path | None:
    """Move the state aside if it is damaged; returns where it is then.

    A sound one is left alone. Checks more closely than every start does.
    """
    try:
        if has_state(state, NEWEST):
            _check(state)
    except DamagedError:
        kept = _kept_path(state, "damaged", at)
        with locked(state):
            _move_aside(state, kept)
        return kept if kept.exists() else None
    return None


def _require_sound(backup: Path) -> None:
    try:
        if not has_state(backup, NEWEST, {APPLICATION_ID, BACKUP_ID}):
            raise StateError(f"{backup}: is empty or missing; name a file that `backup` wrote")
        _check(backup)
    except DamagedError as error:
        # What to do about a damaged state is not what to do about a damaged backup.
        raise StateError(
            f"{backup}: is not a sound backup. Nothing was changed; name another"
        ) from error


def _move_aside(state: Path, kept: Path) -> None:
    """Rename the state and its log together; the log belongs to the file it was written for."""
    for ending in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            companion(state, ending).rename(companion(kept, ending))


def _kept_path(state: Path, why: str, at: datetime) -> Path:
    return companion(state, f".{why}-{at:%Y%m%dT%H%M%SZ}")


def _find_backup(target: Path, state: Path) -> tuple[int, int] | None:
    """Which file the backup at `target` is, by device and inode; `None` where nothing is there.

    Raises `StateError` for anything else. Only an ordinary file is opened: to open a device may do
    something, and a pipe waits.
    """
    try:
        found = target.lstat()
        if os.path.samestat(found, state.stat()):
            raise StateError(f"{target}: is the state itself; name another file")
        if stat.S_ISREG(found.st_mode):
            descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if stat.S_ISREG(found.st_mode) and mark_of(file.read(HEADER_LENGTH)) == BACKUP_ID:
                    return found.st_dev, found.st_ino
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateError(f"{target}: cannot be written here ({error.strerror})") from error
    raise StateError(
        f"{target}: is there, and is no backup that kie-watcher made. It has been left as it is. "
        "Name another file, or remove that one"
    )


def _claim(target: Path, state: Path, older: tuple[int, int] | None) -> None:
    """Make sure that only a backup is about to be replaced, or a file made here and now."""
    if _find_backup(target, state) != older:
        raise StateError(f"{target}: somebody else wrote it meanwhile; try again")
    if older is None:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, _PRIVATE))


def _copy(source: Path, target: Path, mark: int) -> None:
    with as_state_error(source), closing(connect(source, "ro")) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))
    with as_state_error(target), closing(connect(target, "rw")) as connection:
        connection.execute(f"PRAGMA application_id = {mark}")


def _check(path: Path) -> None:
    with as_state_error(path), closing(connect(path, "ro")) as connection:
        check_soundness(path, connection)
        if connection.execute("PRAGMA user_version").fetchone() == (NEWEST,):
            read_everything(connection)


@contextmanager
def _replacing(target: Path, first: Callable[[], None]) -> Iterator[Path]:
    """A new file beside `target` that takes its place once the block is over, after `first`.

    It is in a directory of its own, in which nobody else can read it or put a link in its place.
    """
    try:
        directory = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StateError(f"{target}: cannot be written here ({error.strerror})") from error
    try:
        part = directory / "part"
        yield part
        first()
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StateError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
