"""Whether the file at the path of the state is still the one that this process opened and wrote.

SQLite does not notice when its database is removed, renamed, or written over with an older copy:
it goes on with a file that nobody else sees, or with pages of two states. So each commit is counted
in the database, and before each transaction the file is looked at: which one it is, and whether
somebody else wrote it. Only then is the count read again.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_STAMP = "SELECT opened, commits FROM writer"
_WHAT_TO_DO = (
    "Put a backup in its place with `kie-watcher restore FILE`, or start kie-watcher again"
)


class SameFile:
    """Recognises the database by its inode and by the count of commits that is in it.

    `connect` opens another connection to whatever is at the path.
    """

    def __init__(
        self, path: Path, own: sqlite3.Connection, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        """`own` is the connection that writes; this is the beginning of its count."""
        self._path = path
        self._connect = connect
        own.execute(
            "INSERT INTO writer (id, opened, commits) VALUES (1, ?, 0)"
            " ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, commits = 0",
            (token_hex(8),),
        )
        self._stamp = own.execute(_STAMP).fetchone()
        file = path.stat()
        self._inode = (file.st_dev, file.st_ino)
        self._written = (file.st_size, file.st_mtime_ns)
        self._log = path.with_name(path.name + "-wal")
        self._log_inode = self._log.stat().st_ino

    def count(self, own: sqlite3.Connection) -> None:
        """Count a commit that is about to be made."""
        own.execute("UPDATE writer SET commits = commits + 1")

    def note(self, own: sqlite3.Connection) -> None:
        """Remember the file as it is after a commit of ours."""
        self._stamp = own.execute(_STAMP).fetchone()
        with suppress(OSError):
            file = self._path.stat()
            self._written = (file.st_size, file.st_mtime_ns)

    def why_not(self) -> str | None:
        """What happened to the file, and what to do; `None` where it is the same.

        Raises `OSError` where that cannot be known now.
        """
        try:
            file = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._remove_log()
            return (
                "was removed while kie-watcher ran, with everything that it knew. "
                f"{_WHAT_TO_DO}: the next sweep is then a new baseline"
            )
        is_moved = (file.st_dev, file.st_ino) != self._inode
        if not is_moved and (file.st_size, file.st_mtime_ns) == self._written:
            return None
        if is_moved:
            self._remove_log()
        elif self._has_our_stamp():
            return None
        return (
            "was replaced while kie-watcher ran, by another file or an older copy. It has been "
            f"left as it is. {_WHAT_TO_DO} to go on with what is there now"
        )

    def _has_our_stamp(self) -> bool:
        """Whether the file has the last commit: it was only touched, or moved to another disk."""
        try:
            with closing(self._connect()) as other:
                return bool(other.execute(_STAMP).fetchone() == self._stamp)
        except sqlite3.DatabaseError:
            return False

    def _remove_log(self) -> None:
        """Remove our log, which SQLite would take for that of the file which is there now."""
        with suppress(OSError):
            if self._log.stat().st_ino == self._log_inode:
                self._log.unlink()
                self._path.with_name(self._path.name + "-shm").unlink()
