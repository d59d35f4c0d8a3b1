"""What operators have been told of the watch itself, and are still to be told the end of.

Refuses to know what an alarm is: the book comes in and goes out as plain JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.store.database import Questions
from watcher.store.notices import write_notices
from watcher.store.rows import json_text, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import aiosqlite

    from watcher.changes import Notice


class AlarmsTable(Questions):
    """The one question and the one mark of whoever looks out."""

    async def alarms(self) -> Mapping[str, Any]:
        """What was kept last; empty where nothing was."""
        rows = await self._database.rows("SELECT raised FROM alarms")
        return read_json(rows[0][0]) if rows else {}

    async def keep_alarms(
        self,
        alarms: Mapping[str, Any],
        notices: Sequence[tuple[Notice, tuple[str, ...]]],
        at: datetime,
    ) -> None:
        """Keep the alarms in place of the last, and queue the notices, in one transaction."""

        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(
                "INSERT INTO alarms (id, raised) VALUES (1, ?)"
                " ON CONFLICT (id) DO UPDATE SET raised = excluded.raised",
                (json_text(alarms),),
            )
            await write_notices(db, notices, at)

        await self._database.write(work)
