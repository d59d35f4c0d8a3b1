"""The reckoning at the end: what the state says was due, and what the receivers have.

Reads the database past the store. Refuses to know how it came to be.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from torture.trial import Objection
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torture.inbox import Inbox

__all__ = ["look", "must_be_sound", "must_have_been_told"]

_DUE = (
    "SELECT deliveries.id, change_id, alert_id, state, body, discarded_at, netted_at"
    " FROM deliveries LEFT JOIN messages ON messages.id = message_id"
    " WHERE deliveries.receiver = ? ORDER BY deliveries.id"
)


def look(path: Path, sql: str, *parameters: Any) -> list[Any]:
    """What the database holds."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def must_be_sound(path: Path) -> None:
    """Have SQLite look at every page, and at every reference."""
    for pragma in ("integrity_check", "foreign_key_check"):
        found = look(path, f"PRAGMA {pragma}")
        if found not in ([("ok",)], []):
            raise Objection(f"the state is damaged: {found[:5]}")


def must_have_been_told(path: Path, inboxes: Iterable[Inbox]) -> None:
    """Everything announced by default was taken by everybody, in order, each under one id.

    What came again came again for a reason, the same to the letter.
    """
    changes = look(path, "SELECT id, kinds FROM changes ORDER BY id")
    due = [number for number, kinds in changes if ANNOUNCED_BY_DEFAULT & set(json.loads(kinds))]
    for inbox in inboxes:
        rows = look(path, _DUE, inbox.name)
        queued = [row[1] for row in rows if row[1] is not None]
        if queued != due:
            raise Objection(f"{inbox.name}: not all was queued: {set(due) ^ set(queued)}")
        _must_have_come(inbox, rows)
        if (unexcused := inbox.unexcused()) is not None:
            raise Objection(unexcused)


def _must_have_come(inbox: Inbox, rows: Iterable[tuple[Any, ...]]) -> None:
    texts = {it.alert_id: it.text for it in inbox.taken}
    ids: set[str] = set()
    for number, _, alert_id, state, body, discarded_at, netted_at in rows:
        if netted_at is not None and alert_id is None:
            continue
        case = f"{inbox.name}: delivery {number}"
        if state != "sent" or discarded_at is not None:
            raise Objection(f"{case} is {state or 'waiting'}, message {alert_id}")
        if alert_id not in texts:
            raise Objection(f"{case}: {alert_id} was never taken")
        if not _holds(texts[alert_id], body):
            raise Objection(f"{case}: another text came under {alert_id}")
        ids.add(alert_id)
    if invented := set(texts) - ids:
        raise Objection(f"{inbox.name}: got what nobody is said to have been sent: {invented}")


def _holds(text: str, body: str) -> bool:
    """Whether a text as it came is that of a stored body, as it is or written in JSON."""
    return (
        body in text
        or json.dumps(body)[1:-1] in text
        or json.dumps(body, ensure_ascii=False)[1:-1] in text
    )
