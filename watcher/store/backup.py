"""Copies of the state: made while it is in use, checked before they count, restored on purpose."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watcher.store.connection import (
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
)
from watcher.store.schema import NEWEST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

_PRIVATE = 0o600


def back_up(state: Path, target: Path) -> None:
    """Copy the state to `target` while it is in use; replaces `target` at once or not at all.

    The copy is one moment of the state, readable by its owner alone, and checked before it counts.
    Raises `StateError`, and leaves `target` as it was, where anything goes wrong.
    """
    if not has_state(state, NEWEST):
        raise NoStateError(f"{state}: there is no state yet, so there is nothing to back up")
    if target.exists() and target.samefile(state):
        raise StateError(f"{target}: is the state itself; name another file")
    with _replacing(target) as part:
        _copy(state, part)
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
            _copy(source, part)
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
        if not has_state(backup, NEWEST):
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


def _copy(source: Path, target: Path) -> None:
    with as_state_error(source), closing(connect(source, "ro")) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def _check(path: Path) -> None:
    with as_state_error(path), closing(connect(path, "ro")) as connection:
        check_soundness(path, connection, "integrity_check")


@contextmanager
def _replacing(target: Path, first: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """A new file beside `target` that takes its place once the block is over, after `first`."""
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        os.close(descriptor)
        part = Path(name)
        # SQLite copies only into a file that does not exist; the name is reserved by now.
        part.unlink()
    except OSError as error:
        raise StateError(f"{target}: cannot be written here ({error.strerror})") from error
    try:
        yield part
        first()
        part.replace(target)
        _sync(target.parent)
    except OSError as error:
        raise StateError(f"{target}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
