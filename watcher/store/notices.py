"""Notices and to whom each is due, written as a part of one transaction.

Refuses to know what a notice says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.store.rows import json_text, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import aiosqlite

    from watcher.changes import Notice


async def write_notices(
    db: aiosqlite.Connection,
    notices: Iterable[tuple[Notice, tuple[str, ...]]],
    at: datetime,
) -> None:
    """Store each notice with one delivery for each of its receivers, queued at `at`."""
    queued_at = time_text(at)
    for notice, receivers in notices:
        cursor = await db.execute(
            "INSERT INTO notices (at, kind, detail) VALUES (?, ?, ?)",
            (time_text(notice.at), notice.kind.value, json_text(notice.detail)),
        )
        number = cursor.lastrowid
        await db.executemany(
            "INSERT INTO deliveries (receiver, notice_id, queued_at) VALUES (?, ?, ?)",
            [(receiver, number, queued_at) for receiver in receivers],
        )
