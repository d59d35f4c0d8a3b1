"""Whether the file at the path of the state is still the one that this process opened and wrote.

SQLite does not notice when its database is removed, renamed, or written over with an older copy:
it goes on with a file that nobody else sees, or with pages of two states. So each commit is counted
in the database, and before each transaction the file is looked at: which one it is, and whether
somebody else wrote it. Only then is the count read again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from secrets import token_hex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Only what no reader still needs as it was.
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"
_NOT_NOW = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
# A backup has the last commit too, but on other pages.
_STAMP = "SELECT * FROM writer, pragma_application_id, pragma_page_count"
_WHAT_TO_DO = (
    "Put a backup in its place with `kie-watcher restore FILE`, or start kie-watcher again"
)


_OF_NOBODY = (-1, -1)


class SameFile:
    """Recognises the database by its inode and by the count of commits that is in it.

    `connect` opens another connection to whatever is at the path.
    """

    def __init__(
        self, path: Path, own: sqlite3.Connection, connect: Callable[[], sqlite3.Connection]
    ) -> None:
        """`own` is the connection that writes; this is the beginning of its count."""
        self._path = path
        self._own = own
        self._connect = connect
        own.execute(
            "INSERT INTO writer (id, opened, commits) VALUES (1, ?, 0)"
            " ON CONFLICT (id) DO UPDATE SET opened = excluded.opened, commits = 0",
            (token_hex(8),),
        )
        file = path.stat()
        self._inode = (file.st_dev, file.st_ino)
        # Size and time of the last write, as our last commit left them; `None`: that is unknown.
        self._written: tuple[int, int] | None = None
        # Whether a reader keeps something of the log from being moved.
        self._is_in_log = False
        self._move()
        # Open, because SQLite itself removes the log where it finds an empty database beside it.
        self._log = os.open(path.with_name(path.name + "-wal"), os.O_RDWR | os.O_CLOEXEC)

    def close(self) -> None:
        """Forget the file."""
        os.close(self._log)

    def why_not(self) -> str | None:
        """What happened to the file, and what to do; `None` where it is the same.

        Raises `OSError` or `sqlite3.OperationalError` where that cannot be known now.
        """
        try:
            file = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._drop_log()
            return (
                "was removed while kie-watcher ran, with everything that it knew. "
                f"{_WHAT_TO_DO}: the next sweep is then a new baseline"
            )
        if (file.st_dev, file.st_ino) == self._inode:
            if self._written is None:
                self._move_again()
                if self._written is None:
                    return None
                file = self._path.stat()
            written = (file.st_size, file.st_mtime_ns)
            if written == self._written:
                if self._is_in_log:
                    self._move()
                return None
            # From the log it would be read in any case.
            if not self._is_in_log and self._has_our_stamp():
                self._written = written
                return None
        self._drop_log()
        return (
            "was replaced while kie-watcher ran, by another file or an older copy. It has been "
            f"left as it is. {_WHAT_TO_DO} to go on with what is there now"
        )

    def commit(self) -> None:
        """Count and commit a transaction, and move it from the log into the database.

        Until it is moved the database is as our last commit left it, or somebody else wrote it:
        then it stays in the log, and the next look finds out. So a copy that is being written is
        not mixed with pages of ours, but in the moment in which those are written.
        """
        self._own.execute("UPDATE writer SET commits = commits + 1")
        self._own.execute("COMMIT")
        with suppress(OSError, sqlite3.OperationalError):
            file = self._path.stat()
            is_same = (file.st_dev, file.st_ino) == self._inode
            if is_same and self._written in {None, (file.st_size, file.st_mtime_ns)}:
                self._move()

    def _move(self) -> None:
        """Move the log into the database, and remember it as it is then, if that is ours."""
        # Should the disk be full, say, a part of it may be moved.
        self._written = None
        _, all_, moved = self._own.execute(_CHECKPOINT).fetchone()
        self._is_in_log = all_ != moved
        self._stamp = self._own.execute(_STAMP).fetchone()
        file = self._path.stat()
        written = (file.st_size, file.st_mtime_ns)
        self._written = written if self._has_our_stamp() else _OF_NOBODY

    def _move_again(self) -> None:
        """Move what could not be moved, if that is possible now."""
        try:
            self._move()
        except sqlite3.OperationalError:
            return
        except sqlite3.DatabaseError:
            # Whatever the file is now, nothing of ours may be mixed with it.
            self._drop_log()
            raise

    def _has_our_stamp(self) -> bool:
        """Whether the last commit is in the file: somebody only touched it."""
        try:
            with closing(self._connect()) as other:
                return bool(other.execute(_STAMP).fetchone() == self._stamp)
        except sqlite3.DatabaseError as error:
            # It cannot be opened or read now, which says nothing of what is in it.
            name = error.sqlite_errorname
            if name.startswith(_NOT_NOW) and name != "SQLITE_IOERR_SHORT_READ":
                raise
            return False

    def _drop_log(self) -> None:
        """Empty and remove our log: what is in it is of another file than is there now.

        SQLite moves what is left of it into the database when it closes, and when it opens next.
        """
        log = self._path.with_name(self._path.name + "-wal")
        with suppress(OSError):
            os.ftruncate(self._log, 0)
            if os.path.samestat(log.stat(), os.fstat(self._log)):
                log.unlink()
                self._path.with_name(self._path.name + "-shm").unlink()
