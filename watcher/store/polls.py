"""The log of polls: one row for each that was not quiet, and the last one of all.

Refuses to know what a poll is and how it is told.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from watcher.store.database import Questions
from watcher.store.rows import read_time, storable, time_text
from watcher.store.values import LoggedPoll, PollCost

if TYPE_CHECKING:
    from datetime import datetime

    import aiosqlite

__all__ = ["FAILED", "INCONCLUSIVE", "PollLog", "PollTable"]

# The outcomes of a poll that count as failures; any other word is a success.
FAILED = "failed"
INCONCLUSIVE = "inconclusive"

# A cause repeats something of a stranger's answer; what is kept of it is bounded here.
LONGEST_WHY = 500
_MILLISECOND = timedelta(milliseconds=1)


class PollLog(Questions):
    """What may be asked of it."""

    async def polls(self, since: datetime) -> tuple[LoggedPoll, ...]:
        """Every poll from then on that was not quiet and is still kept, oldest first."""
        rows = await self._database.rows(
            "SELECT at, outcome, why, requests, bytes, changes, holds, took_ms FROM polls"
            " WHERE at >= ? ORDER BY id",
            (time_text(since),),
        )
        return tuple(map(_read_logged, rows))


class PollTable(PollLog):
    """The one mark of whoever polls."""

    async def note_poll(
        self,
        at: datetime,
        outcome: str,
        reason: str | None = None,
        cost: PollCost | None = None,
    ) -> None:
        """Keep when the last poll was and how it went, over what was kept of the one before.

        `FAILED` and `INCONCLUSIVE` count as failures, everything else as a success. With its
        `cost` it goes on record, too; a quiet poll, which comes every few minutes, should not.
        """
        failed = outcome in {FAILED, INCONCLUSIVE}
        moment, why = time_text(at), _short(reason)

        async def work(db: aiosqlite.Connection) -> None:
            await db.execute(
                "INSERT INTO poll (id, at, outcome, reason, last_success_at, failures)"
                " VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
                " at = excluded.at, outcome = excluded.outcome, reason = excluded.reason,"
                " last_success_at = coalesce(excluded.last_success_at, last_success_at),"
                " failures = iif(excluded.failures, failures + 1, 0)",
                (moment, outcome, why, None if failed else moment, int(failed)),
            )
            if cost is not None:
                await db.execute(
                    "INSERT INTO polls (at, outcome, why, requests, bytes, changes, holds, took_ms)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (moment, outcome, why, *_columns(cost)),
                )

        await self._database.write(work)


def _short(text: str | None) -> str | None:
    return storable(None if text is None else text[:LONGEST_WHY])


def _columns(cost: PollCost) -> tuple[int, ...]:
    took = cost.took // _MILLISECOND
    return cost.requests, cost.bytes, cost.changes, cost.holds, took


def _read_logged(row: Any) -> LoggedPoll:
    at, outcome, why, requests, received, changes, holds, took = row
    cost = PollCost(requests, received, changes, holds, took * _MILLISECOND)
    return LoggedPoll(read_time(at), outcome, why, cost)
