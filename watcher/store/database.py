"""One SQLite database held open: transactions that nothing cuts in half, and errors in words.

Knows SQLite's and aiosqlite's traps. Refuses to know what is stored.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from watcher.store.statefile import (
    APPLICATION_ID,
    NoStateError,
    StateError,
    create,
    damaged,
    holds_something,
    locked,
    make_place,
    newer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
    from pathlib import Path

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
