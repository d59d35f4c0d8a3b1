"""The state as a file: who may write it, the open connection to it, and errors a person can act on.

One process at a time writes, and holds a lock file for it; others read beside it. A file that is
not ours, damaged, or of a newer version is refused and left as it is. Whatever goes wrong with the
file or the disk is a `StateError` whose text says what to do.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.store.same_file import SameFile
from watcher.store.schema import find_altered

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

# "kiew" and "kieb" in ASCII: in the header of every state, and of every backup of one.
APPLICATION_ID = 0x6B696577
BACKUP_ID = 0x6B696562

_SQLITE_MAGIC = b"SQLite format 3\x00"
HEADER_LENGTH = 100
_USER_VERSION = slice(60, 64)
_APPLICATION_ID = slice(68, 72)

# How long to wait for a reader that is just opening or closing, in seconds.
_BUSY_TIMEOUT = 5.0
# A first snapshot makes a long write-ahead log; it need not stay that long.
_LOG_SIZE = 4 * 1024 * 1024

_WHAT_TO_DO = (
    "Put a backup in its place with `kie-watcher restore FILE`, or start over with "
    "`kie-watcher run --rebuild`: the damaged file is kept beside it, and the next sweep is a "
    "new baseline"
)

# What SQLite and Python's module say of content that is not as it was written, without a code.
_MEANS_DAMAGE = ("Could not decode to UTF-8", "malformed JSON", "unsupported file format")

T = TypeVar("T")


class StateError(Exception):
    """The state cannot be used; the text says what is wrong and how to fix it."""


class InUseError(StateError):
    """Another process writes this state."""


class UnusableError(StateError):
    """Trying again does not help: it is damaged, another program's, or from a newer version."""


class DamagedError(UnusableError):
    """The state is broken. It is only moved out of the way when a person says so."""


class UnreadableError(ValueError):
    """A row holds what this program never wrote; the text says which."""


class NoStateError(StateError):
    """There is nothing to read yet."""


class ConflictError(StateError):
    """What the caller had read has changed; it may read again and try again."""


class Database:
    """An open connection, in a thread of its own: whatever it waits for, the event loop does not.

    Work is a function of the connection. One thread does it all, so nothing comes between the
    statements of one transaction. `unusable` is what has made the state unusable since it was
    opened.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor
    ) -> None:
        self.path = path
        self.unusable: UnusableError | None = None
        self._connection = connection
        self._thread = thread
        self._same_file: SameFile | None = None

    async def guard(self) -> None:
        """From now on notice when the file is replaced or removed: `UnusableError` then."""
        await self._to_completion(self._begin_to_guard)

    def end_guard(self) -> None:
        """Notice nothing more: nothing is read or written any more."""
        if self._same_file is not None:
            self._same_file.close()
            self._same_file = None

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do all of the work or none of it; raises `StateError` where it cannot be stored.

        A caller that is cancelled meanwhile gets the cancellation after the transaction has ended.
        """
        return await self._to_completion(partial(self._transaction, "IMMEDIATE", work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Answer from one state of the database, whatever is written meanwhile."""
        return await self._to_completion(partial(self._transaction, "DEFERRED", work))

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """The rows of one query."""
        return await self.read(lambda db: db.execute(sql, tuple(parameters)).fetchall())

    async def values(
        self, read: Callable[[Any], T], sql: str, parameters: Iterable[Any] = ()
    ) -> tuple[T, ...]:
        """What `read` makes of the rows of one query."""
        return await self.read(lambda db: tuple(map(read, db.execute(sql, tuple(parameters)))))

    async def execute(self, sql: str, parameters: Iterable[Any] = ()) -> int:
        """Write with one statement; returns how many rows it changed."""
        return await self.write(lambda db: db.execute(sql, tuple(parameters)).rowcount)

    def _transaction(self, kind: str, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with as_state_error(self.path):
                return self._do(kind, work)
        except UnusableError as error:
            if self.unusable is None:
                self.unusable = self._cause(error)
            raise self.unusable  # noqa: B904 - it may be the error itself

    def _do(self, kind: str, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connection
        self._require_same_file()
        db.execute(f"BEGIN {kind}")
        try:
            result = work(db)
            if kind == "IMMEDIATE" and self._same_file is not None:
                self._same_file.commit()
            else:
                db.execute("COMMIT")
        finally:
            # Nothing to do after a commit, nor where SQLite has rolled back by itself (a full
            # disk, say).
            db.rollback()
        return result

    def _cause(self, error: UnusableError) -> UnusableError:
        """What looks damaged may be another file by now, which is another error."""
        try:
            with as_state_error(self.path):
                self._require_same_file()
        except UnusableError as replaced:
            return replaced
        except StateError:
            return error
        return error

    def _begin_to_guard(self) -> None:
        with as_state_error(self.path):
            _value(self._connection, "PRAGMA wal_autocheckpoint = 0")
            self._same_file = SameFile(self.path, self._connection, lambda: _open(self.path, "ro"))

    def _require_same_file(self) -> None:
        if self._same_file is None:
            return
        if self.unusable is not None:
            raise self.unusable
        try:
            why = self._same_file.why_not()
        except OSError as error:
            raise _file_error(self.path, error) from error
        if why is not None:
            raise UnusableError(f"{self.path}: {why}")

    async def _to_completion(self, work: Callable[[], T]) -> T:
        """Await work to its end even if the caller is cancelled; the cancellation comes after."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait({future})
            except asyncio.CancelledError as request:
                cancelled = request
        if cancelled is None:
            return future.result()
        future.exception()  # retrieved, so that asyncio does not report it as never retrieved
        raise cancelled


@contextmanager
def open_writing(
    path: Path, newest: int, check: Callable[[sqlite3.Connection], None] = lambda _: None
) -> Iterator[Database]:
    """Open as the only writer; creates what is missing, refuses what is not sound.

    `check` reads what the program reads, and raises `UnreadableError` where it cannot.
    """
    make_directory(path)
    # Before the lock too: no lock file is to appear beside a file that is not ours.
    has_state(path, newest)
    with locked(path):
        _create_file(path)
        if has_state(path, newest):
            # Only reading, until it is known to be sound, and no newer than its header says.
            with as_state_error(path), closing(connect(path, "ro")) as connection:
                version = _refuse_newer(path, connection, newest)
                check_soundness(path, connection)
                if version == newest:
                    check(connection)
        with closing(connect(path, "rw")) as connection:
            with as_state_error(path):
                _configure(path, connection)
            with ThreadPoolExecutor(1, "state") as thread:
                database = Database(path, connection, thread)
                try:
                    yield database
                finally:
                    database.end_guard()


@contextmanager
def open_reading(path: Path, newest: int) -> Iterator[Database]:
    """Open for reading, beside a writer or without one; never writes to the database."""
    nothing = NoStateError(
        f"{path}: there is no state yet. `kie-watcher run` or `kie-watcher check` makes it; "
        "if it should be elsewhere, check state.path"
    )
    if not has_state(path, newest, {APPLICATION_ID, BACKUP_ID}):
        raise nothing
    with closing(connect(path, "ro")) as connection:
        with as_state_error(path):
            version = _refuse_newer(path, connection, newest)
            _refuse_altered(path, connection)
        if version == 0:
            raise nothing
        if version < newest:
            raise StateError(
                f"{path}: was written by an older kie-watcher (format {version}, this one reads "
                f"{newest}). Starting `kie-watcher run` or `kie-watcher check` brings it up to date"
            )
        with ThreadPoolExecutor(1, "state") as thread:
            yield Database(path, connection, thread)


def companion(path: Path, suffix: str) -> Path:
    """The file of that suffix beside the database: `kie-watcher.db.lock`, say."""
    return path.with_name(path.name + suffix)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection to a database that is there; `mode` is `ro` or `rw`."""
    with as_state_error(path):
        return _open(path, mode)


def check_soundness(path: Path, connection: sqlite3.Connection) -> None:
    """Check every definition, page, index and reference; raises `DamagedError`."""
    _refuse_altered(path, connection)
    result = str(_value(connection, "PRAGMA integrity_check(1)"))
    if result != "ok":
        raise _damaged_error(path, " ".join(result.split()))
    if broken := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise _damaged_error(path, f"a row of {broken[0]} names one of {broken[2]} that is missing")


def make_directory(path: Path) -> None:
    """Create the directory of the state, where it is missing, for its owner alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"{path.parent}: the directory of the state cannot be made ({error.strerror}). "
            "Make it writable, or set another state.path"
        ) from error


def has_state(path: Path, newest: int, marks: Collection[int] = (APPLICATION_ID,)) -> bool:
    """Whether there is a database of ours; `False` for no file, and for an empty one.

    `marks` says whether a backup counts. Raises `StateError` for anything else there, having only
    read. Needs no lock: the first write to a database of ours puts our mark into its header.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StateError(f"{path}: is not a file. Set state.path to a file")
        with path.open("rb") as file:
            header = file.read(HEADER_LENGTH)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _file_error(path, error) from error
    if not header:
        return False
    _require_ours(path, header, newest, marks)
    return True


def mark_of(header: bytes) -> int:
    """Which program a database says that it is of; 0 where it does not say, or is none."""
    return int.from_bytes(header[_APPLICATION_ID]) if header.startswith(_SQLITE_MAGIC) else 0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the one writer of this state for as long as the block lasts.

    The lock file stays behind: removing it would let two processes each lock a file of that name.
    """
    lock = companion(path, ".lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _file_error(lock, error) from error
    try:
        _acquire(descriptor, path, lock)
        yield
    finally:
        os.close(descriptor)


def give_to_owner(path: Path, state: Path) -> None:
    """Give a file that root made to the owner of the state, so that the daemon can open it."""
    if os.geteuid() == 0:
        owner = (state if state.exists() else state.parent).stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def as_state_error(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file and the disk into a `StateError`; raise others unchanged.

    A commit that failed has left nothing behind, and the connection remains usable.
    """
    try:
        yield
    except UnreadableError as error:
        raise _damaged_error(path, str(error)) from error
    except UnicodeDecodeError as error:
        # SQLite's own text about what it found quotes it.
        raise _damaged_error(path, "a text in it is not UTF-8") from error
    except sqlite3.DatabaseError as error:
        explained = _explained(path, error)
        if explained is None:
            raise
        raise explained from error


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=_BUSY_TIMEOUT,
        # One thread at a time uses it, which SQLite allows.
        check_same_thread=False,
    )


def _damaged_error(path: Path, why: str) -> DamagedError:
    """The error for a database that is ours and broken."""
    return DamagedError(
        f"{path}: the database is damaged ({why}). It has been left as it is. {_WHAT_TO_DO}"
    )


def _newer_error(path: Path, version: int, newest: int) -> UnusableError:
    """The error for a database that a later version of this program wrote."""
    return UnusableError(
        f"{path}: was written by a newer kie-watcher (format {version}, this one knows up to "
        f"{newest}). It has been left as it is. Upgrade kie-watcher, or set another state.path"
    )


def _file_error(path: Path, error: OSError) -> StateError:
    return StateError(
        f"{path}: cannot be used ({error.strerror}). Check its owner and permissions and those of "
        "its directory, or set another state.path"
    )


def _explained(path: Path, error: sqlite3.DatabaseError) -> StateError | None:
    # Errors that Python's module raises by itself have no such attribute.
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return _damaged_error(path, str(error))
    if str(error).startswith(_MEANS_DAMAGE):
        return _damaged_error(path, str(error).partition(" with text ")[0])
    if name.startswith("SQLITE_FULL"):
        return StateError(
            f"{path}: the disk is full. Nothing stored is lost, and nothing of this step was "
            "stored. Make space; kie-watcher then goes on by itself"
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return StateError(
            f"{path}: cannot be opened or written ({error}). Check its owner and permissions and "
            "those of its directory"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StateError(f"{path}: another program has locked it. Close that program")
    if name.startswith("SQLITE_IOERR"):
        return StateError(f"{path}: the disk failed ({name}). Check the disk and its free space")
    return None


def _require_ours(path: Path, header: bytes, newest: int, marks: Collection[int]) -> None:
    if len(header) < HEADER_LENGTH or not header.startswith(_SQLITE_MAGIC):
        raise DamagedError(
            f"{path}: is not a database of kie-watcher, or its beginning is damaged. It has been "
            f"left as it is. Set another state.path, if this one is wrong. {_WHAT_TO_DO}"
        )
    if mark_of(header) not in marks:
        if mark_of(header) == BACKUP_ID:
            raise UnusableError(
                f"{path}: is a backup, which nothing writes to. Put it in the place of the state "
                f"with `kie-watcher restore {path}`, or set another state.path"
            )
        raise UnusableError(
            f"{path}: is a database of another program. It has been left as it is. "
            "Set another state.path"
        )
    version = int.from_bytes(header[_USER_VERSION])
    if version > newest:
        raise _newer_error(path, version, newest)


def _acquire(descriptor: int, path: Path, lock: Path) -> None:
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
        raise _file_error(lock, error) from error


def _create_file(path: Path) -> None:
    """Create an empty file for its owner alone; what SQLite puts beside it inherits that."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise _file_error(path, error) from error


def _refuse_newer(path: Path, connection: sqlite3.Connection, newest: int) -> int:
    """The version of the format, unless it is newer than this program knows."""
    version = int(_value(connection, "PRAGMA user_version"))
    if version > newest:
        raise _newer_error(path, version, newest)
    return version


def _refuse_altered(path: Path, connection: sqlite3.Connection) -> None:
    if (altered := find_altered(connection)) is not None:
        raise _damaged_error(path, f"{altered} is not as it was written")


def _configure(path: Path, connection: sqlite3.Connection) -> None:
    if _value(connection, "PRAGMA page_count") == 0:
        # Before anything else is written: an unfinished first start must be known as ours.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if _value(connection, "PRAGMA journal_mode = WAL") != "wal":
        raise StateError(
            f"{path}: its file system cannot hold a write-ahead log. Set state.path to a local disk"
        )
    # NORMAL may lose the last commits when the power fails, and with them the marks of what was
    # sent: people would get the same message twice.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    # Each commit is moved into the database at once, so that the next one overwrites it in the
    # log: noting a quiet poll then never makes either of them longer. `SameFile` does it itself.
    _value(connection, "PRAGMA wal_autocheckpoint = 1")
    _value(connection, f"PRAGMA journal_size_limit = {_LOG_SIZE}")


def _value(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]
