"""The memory of the watcher: what it believes, what happened, and what is still to be told.

The way in to the state: whoever writes it opens a `Store`, whoever only looks opens `Views`.
Knows no network and no clock; the time comes in with what is stored.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import Model
from watcher.store import requests
from watcher.store.anchors import RoutesTable
from watcher.store.backup import back_up
from watcher.store.connection import beside, open_reading, open_writing
from watcher.store.deliveries import AlarmsTable, OutboxTable
from watcher.store.queries import ON_SALE, PollTable, Views
from watcher.store.record import record
from watcher.store.requests import TakenRequests
from watcher.store.retention import MOST_AT_ONCE, prune
from watcher.store.rows import json_text, read_hold, read_json, read_known, read_time
from watcher.store.schema import NEWEST, migrate
from watcher.store.values import Believed, Commit, Keep, KnownModel, Pruned, Recorded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from datetime import datetime
    from pathlib import Path

    import aiosqlite


class Store(Views, OutboxTable, RoutesTable, AlarmsTable, PollTable):
    """All that is remembered. Every method is one transaction, whole or not at all."""

    async def believed(self) -> Believed | None:
        """The catalogue as last believed; `None` before the first complete sweep."""

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], ...]:
            sweep = await db.execute_fetchall(
                "SELECT at, usd_per_credit, sighting, start_over FROM sweep"
            )
            holds = await db.execute_fetchall(
                "SELECT reason, model_id, subject, since_at, until_at FROM holds ORDER BY id"
            )
            return list(sweep), list(holds), list(await db.execute_fetchall(ON_SALE))

        sweep, holds, models = await self._database.read(ask)
        if not sweep:
            return None
        at, usd_per_credit, sighting, start_over = sweep[0]
        return Believed(
            models=tuple(map(read_known, models)),
            usd_per_credit=Decimal(usd_per_credit),
            sighting=read_json(sighting),
            swept_at=read_time(at),
            holds=tuple(map(read_hold, holds)),
            start_over=bool(start_over),
        )

    async def on_sale(self) -> tuple[Model, ...]:
        """Every model on sale as last believed, at what a credit is worth."""

        async def ask(db: aiosqlite.Connection) -> tuple[list[Any], list[Any]]:
            values = await db.execute_fetchall("SELECT usd_per_credit FROM sweep")
            return list(values), list(await db.execute_fetchall(ON_SALE))

        values, rows = await self._database.read(ask)
        return tuple(Model(read_known(row).record, Decimal(values[0][0])) for row in rows)

    async def gone(self, folded: Collection[str]) -> tuple[KnownModel, ...]:
        """Models once sold under one of these identities and gone now, as they were last seen."""
        rows = await self._database.rows(
            "SELECT models.id, first_seen_at, last_changed_at, gone_at, record FROM models"
            " JOIN history ON history.id ="
            " (SELECT max(id) FROM intervals WHERE model_id = models.id)"
            " WHERE gone_at IS NOT NULL AND folded IN (SELECT value FROM json_each(?))"
            " ORDER BY models.id",
            (json_text(list(folded)),),
        )
        return tuple(map(read_known, rows))

    async def record(self, commit: Commit) -> Recorded:
        """Store what an accepted sweep leaves behind, with what is to be told of it."""

        async def work(db: aiosqlite.Connection) -> Recorded:
            return await record(db, commit)

        return await self._database.write(work)

    async def prune(self, keep: Keep, now: datetime, most: int = MOST_AT_ONCE) -> Pruned:
        """Remove a little of what is older than is kept; nothing that is still needed.

        Short transactions of at most `most` rows of each sort: a commit waits for one of them.
        """
        return await prune(self._database, keep, now, most)

    async def take_requests(self) -> TakenRequests:
        """Do what commands asked while this process held the state."""
        spool = requests.look(self._database.path)
        asked = [request for _, request in spool.requests]
        if not asked:
            return TakenRequests(set_aside=spool.set_aside)
        done = await self.apply_all(asked)
        requests.forget(spool)
        return TakenRequests(tuple(zip(asked, done, strict=True)), spool.set_aside)


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """Open the state for writing; raises `InUseError` while another process does.

    Makes what is missing and brings an older format up to date. Raises `StateError`, and leaves
    the file alone, where it is not ours, damaged, or newer.
    """
    async with open_writing(path, NEWEST) as database:
        version = (await database.rows("PRAGMA user_version"))[0][0]
        if 0 < version < NEWEST:
            # A step that went wrong in a way its transaction cannot undo must not be the end.
            back_up(path, beside(path, f".before-format-{NEWEST}"))
        await migrate(database)
        yield Store(database)


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[Views]:
    """Open the state for reading, whether a daemon runs or not; raises `NoStateError` for none."""
    async with open_reading(path, NEWEST) as database:
        yield Views(database)
