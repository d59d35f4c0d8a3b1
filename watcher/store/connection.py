"""The state as a file: where it may be, whose it is, and who may write it.

Knows directories, permissions, the lock file and the first hundred bytes of a database. Refuses to
know SQL and what is inside.

One SQLite database held open: transactions that nothing cuts in half, and errors in words.

Knows SQLite's and aiosqlite's traps. Refuses to know what is stored.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import stat
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
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


T = TypeVar("T")

# How long to wait for a reader that is just opening or closing, in seconds.
_PATIENCE = 5.0
# A first snapshot makes a long log; it need not stay that long.
_LOG_SIZE = 4 * 1024 * 1024


class Database:
    """An open connection. Work is a function of it that runs as one transaction."""

    def __init__(self, path: Path, connection: aiosqlite.Connection) -> None:
        self.path = path
        self._connection = connection
        # Tasks that share a connection would otherwise be inside each other's transactions.
        self._turn = asyncio.Lock()

    async def write(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Do all of the work or none of it; raises `StateError` where the disk says no.

        A caller cancelled meanwhile learns so when the transaction is over.
        """
        return await _to_the_end(self._transaction("BEGIN IMMEDIATE", work))

    async def read(self, work: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        """Answer from one state of the database, whatever is written meanwhile."""
        return await _to_the_end(self._transaction("BEGIN", work))

    async def rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[Any]:
        """The rows that one question gives."""

        async def ask(connection: aiosqlite.Connection) -> list[Any]:
            return list(await connection.execute_fetchall(sql, parameters))

        return await self.read(ask)

    async def _transaction(
        self, begin: str, work: Callable[[aiosqlite.Connection], Awaitable[T]]
    ) -> T:
        async with self._turn:
            with in_words(self.path):
                try:
                    await self._connection.execute(begin)
                    result = await work(self._connection)
                    await self._connection.commit()
                finally:
                    # Whatever happened, a BEGIN that may still be queued included. Nothing to do
                    # after a commit, nor where SQLite has rolled back by itself (disk full).
                    with suppress(sqlite3.OperationalError):
                        await self._connection.rollback()
                return result


class Questions:
    """A group of questions that one database answers."""

    def __init__(self, database: Database) -> None:
        self._database = database


@asynccontextmanager
async def open_writing(path: Path, newest: int) -> AsyncIterator[Database]:
    """Open for writing, as the only one; makes what is missing, refuses what is not sound."""
    make_place(path)
    holds_something(path, newest)
    with locked(path):
        create(path)
        if holds_something(path, newest):
            await _inspect(path, newest)
        async with _connected(path, "rw") as connection:
            with in_words(path):
                await _settle_in(path, connection)
            yield Database(path, connection)


@asynccontextmanager
async def open_reading(path: Path, newest: int) -> AsyncIterator[Database]:
    """Open for reading, beside a writer or without one; never writes to the database."""
    nothing = NoStateError(
        f"{path}: there is no state yet. `kie-watcher run` or `kie-watcher check` makes it; "
        "if it should be elsewhere, check state.path"
    )
    if not holds_something(path, newest):
        raise nothing
    async with _connected(path, "ro") as connection:
        with in_words(path):
            version = await _value(connection, "PRAGMA user_version")
        if version == 0:
            raise nothing
        if version > newest:
            raise newer(path, version, newest)
        if version < newest:
            raise StateError(
                f"{path}: was written by an older kie-watcher (format {version}, this one reads "
                f"{newest}). Starting `kie-watcher run` or `kie-watcher check` brings it up to date"
            )
        yield Database(path, connection)


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the disk into a `StateError`; mistakes of ours stay as they are.

    A commit that failed has left nothing behind, and the connection remains good.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        explained = _explained(path, error)
        if explained is None:
            raise
        raise explained from error


def _explained(path: Path, error: sqlite3.DatabaseError) -> StateError | None:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return damaged(path, str(error))
    if name.startswith("SQLITE_FULL"):
        return StateError(
            f"{path}: the disk is full. Nothing stored is lost, and nothing of this step was "
            "stored. Make space: it then goes on by itself"
        )
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return StateError(
            f"{path}: cannot be opened or written ({error}). Check its owner and permissions and "
            "those of its directory"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StateError(f"{path}: another program holds it locked. Close that program")
    if name.startswith("SQLITE_IOERR"):
        return StateError(f"{path}: the disk failed ({name}). Check the disk and its free space")
    return None


@asynccontextmanager
async def _connected(path: Path, mode: str) -> AsyncIterator[aiosqlite.Connection]:
    # A connection that is not closed keeps its thread, and that keeps the process from ending.
    connection = aiosqlite.connect(
        _address(path, mode), uri=True, isolation_level=None, timeout=_PATIENCE
    )
    with in_words(path):
        await connection
    try:
        yield connection
    finally:
        await _to_the_end(connection.close())


async def _inspect(path: Path, newest: int) -> None:
    """Refuse a database that is damaged, or newer than its header says, having only read."""
    async with _connected(path, "ro") as connection:
        with in_words(path):
            version = await _value(connection, "PRAGMA user_version")
            verdict = str(await _value(connection, "PRAGMA quick_check(1)"))
    if version > newest:
        raise newer(path, version, newest)
    if verdict != "ok":
        raise damaged(path, " ".join(verdict.split()))


async def _settle_in(path: Path, connection: aiosqlite.Connection) -> None:
    if await _value(connection, "PRAGMA page_count") == 0:
        # First of all, and before there is a log: an unfinished first start must be known as ours.
        await connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if await _value(connection, "PRAGMA journal_mode = WAL") != "wal":
        raise StateError(
            f"{path}: its file system cannot hold a write-ahead log. Set state.path to a local disk"
        )
    # NORMAL may lose the last commits when the power fails, and with them the marks of what was
    # sent: people would be told twice.
    await connection.execute("PRAGMA synchronous = FULL")
    await connection.execute("PRAGMA foreign_keys = ON")
    # Move each commit into the database at once, so that the next one overwrites it in the log:
    # noting a quiet poll then never makes either of them longer.
    await connection.execute_fetchall("PRAGMA wal_autocheckpoint = 1")
    await connection.execute_fetchall(f"PRAGMA journal_size_limit = {_LOG_SIZE}")


def _address(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


async def _value(connection: aiosqlite.Connection, question: str) -> Any:
    return next(iter(await connection.execute_fetchall(question)))[0]


async def _to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await work to its end though the caller be cancelled; the cancellation comes after it."""
    task = asyncio.create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as request:
            cancelled = request
    if cancelled is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # looked at, so that it is not reported as never retrieved
    raise cancelled
