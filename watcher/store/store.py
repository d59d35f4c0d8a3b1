"""The way in to the state: `open_store` for the process that writes, `open_reader` for the others.

There is no clock here; the time comes in with what is stored.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import Model
from watcher.store.backup import back_up
from watcher.store.connection import companion, open_reading, open_writing
from watcher.store.deliveries import AlarmQueries, OutboxQueries
from watcher.store.queries import ON_SALE, PollQueries, StateReader
from watcher.store.record import write_commit
from watcher.store.requests import TakenRequests, read_requests, remove_requests
from watcher.store.retention import ROWS_PER_STEP, prune
from watcher.store.routing_state import RoutingQueries
from watcher.store.rows import json_text, read_hold, read_json, read_known_model, read_time
from watcher.store.schema import NEWEST, migrate
from watcher.store.values import Commit, KnownModel, Pruned, Recorded, Retention, StoredSnapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from datetime import datetime
    from pathlib import Path

    import aiosqlite


class Store(StateReader, OutboxQueries, RoutingQueries, AlarmQueries, PollQueries):
    """The state, open for writing. Every method is one transaction, whole or not at all."""

    async def snapshot(self) -> StoredSnapshot | None:
        """The catalogue as of the last accepted sweep; `None` before the first one."""

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
        at, usd_per_credit, probe, start_over = sweep[0]
        return StoredSnapshot(
            models=tuple(map(read_known_model, models)),
            usd_per_credit=Decimal(usd_per_credit),
            probe=read_json(probe),
            swept_at=read_time(at),
            holds=tuple(map(read_hold, holds)),
            start_over=bool(start_over),
        )

    async def on_sale(self) -> tuple[Model, ...]:
        """Every model on sale as of the last accepted sweep, with what a credit is worth."""
        usd_per_credit, known = await self._on_sale()
        if usd_per_credit is None:
            return ()
        return tuple(Model(model.record, usd_per_credit) for model in known)

    async def removed_models(self, identity_keys: Collection[str]) -> tuple[KnownModel, ...]:
        """Models that are no longer on sale and had one of these keys, as they were last seen."""
        rows = await self._database.rows(
            "SELECT models.id, first_seen_at, last_changed_at, gone_at, record FROM models"
            " JOIN history ON history.id ="
            " (SELECT max(id) FROM intervals WHERE model_id = models.id)"
            " WHERE gone_at IS NOT NULL AND folded IN (SELECT value FROM json_each(?))"
            " ORDER BY models.id",
            (json_text(list(identity_keys)),),
        )
        return tuple(map(read_known_model, rows))

    async def record(self, commit: Commit) -> Recorded:
        """Store what an accepted sweep changes, with the deliveries that it makes."""

        async def work(db: aiosqlite.Connection) -> Recorded:
            return await write_commit(db, commit)

        return await self._database.write(work)

    async def prune(self, retention: Retention, now: datetime, most: int = ROWS_PER_STEP) -> Pruned:
        """Remove a little of what is older than is kept; nothing that is still needed.

        Short transactions of at most `most` rows of each sort: a commit waits for one of them.
        """
        return await prune(self._database, retention, now, most)

    async def take_requests(self) -> TakenRequests:
        """Apply the requests that commands left while this process owned the state."""
        spool = read_requests(self._database.path)
        found = [request for _, request in spool.requests]
        if not found:
            return TakenRequests(rejected=spool.rejected)
        counts = await self.apply_all(found)
        remove_requests(spool)
        return TakenRequests(tuple(zip(found, counts, strict=True)), spool.rejected)


@asynccontextmanager
async def open_store(path: Path) -> AsyncIterator[Store]:
    """Open the state for writing; raises `InUseError` while another process does.

    Creates what is missing and brings an older format up to date. Raises `StateError`, and leaves
    the file alone, where it is not ours, damaged, or newer.
    """
    async with open_writing(path, NEWEST) as database:
        version = (await database.rows("PRAGMA user_version"))[0][0]
        if 0 < version < NEWEST:
            # A migration may go wrong in a way that its transaction cannot undo.
            back_up(path, companion(path, f".before-format-{NEWEST}"))
        await migrate(database)
        yield Store(database)


@asynccontextmanager
async def open_reader(path: Path) -> AsyncIterator[StateReader]:
    """Open the state for reading, beside a daemon or without one. Raises `NoStateError`."""
    async with open_reading(path, NEWEST) as database:
        yield StateReader(database)
