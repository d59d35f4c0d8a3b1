"""Checks at the end of a trial: the database is sound, and receivers have what was due.

They read the database directly, not through the store.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from torture.trial import BrokenPromise
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torture.inboxes import Inbox

__all__ = ["check_deliveries", "check_integrity", "check_order", "query"]

_DUE = (
    "SELECT deliveries.id, change_id, alert_id, state, body, discarded_at, netted_at"
    " FROM deliveries LEFT JOIN messages ON messages.id = message_id"
    " WHERE deliveries.receiver = ? ORDER BY deliveries.id"
)


def query(path: Path, sql: str, *parameters: Any) -> list[Any]:
    """The rows of a query."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(sql, parameters).fetchall()


def check_integrity(path: Path) -> None:
    """Have SQLite check every page and every reference."""
    for pragma in ("integrity_check", "foreign_key_check"):
        found = query(path, f"PRAGMA {pragma}")
        if found not in ([("ok",)], []):
            raise BrokenPromise(f"the state is damaged: {found[:5]}")


def check_deliveries(path: Path, inboxes: Iterable[Inbox]) -> None:
    """Every receiver has everything announced by default, queued in order, each under one id.

    A message came again only for a reason, and was identical.
    """
    changes = query(path, "SELECT id, kinds FROM changes ORDER BY id")
    due = [number for number, kinds in changes if ANNOUNCED_BY_DEFAULT & set(json.loads(kinds))]
    for inbox in inboxes:
        rows = query(path, _DUE, inbox.name)
        queued = [row[1] for row in rows if row[1] is not None]
        if queued != due:
            raise BrokenPromise(f"{inbox.name}: not all was queued: {set(due) ^ set(queued)}")
        _check_received(inbox, rows)
        if (repeat := inbox.unjustified_repeat()) is not None:
            raise BrokenPromise(repeat)


def check_order(path: Path, inboxes: Iterable[Inbox]) -> None:
    """Every receiver got its messages in the order in which they were queued.

    A dead message that a person retries comes later: not for trials that do that.
    """
    for inbox in inboxes:
        first_received = dict.fromkeys(it.alert_id for it in inbox.received)
        queued = dict.fromkeys(row[2] for row in query(path, _DUE, inbox.name) if row[2])
        if list(first_received) != list(queued):
            raise BrokenPromise(f"{inbox.name}: messages came out of order")


def _check_received(inbox: Inbox, rows: Iterable[tuple[Any, ...]]) -> None:
    texts = {it.alert_id: it.text for it in inbox.received}
    ids: set[str] = set()
    for number, _, alert_id, state, body, discarded_at, netted_at in rows:
        if netted_at is not None and alert_id is None:
            continue
        case = f"{inbox.name}: delivery {number}"
        if state != "sent" or discarded_at is not None:
            raise BrokenPromise(f"{case} is {state or 'waiting'}, message {alert_id}")
        if alert_id not in texts:
            raise BrokenPromise(f"{case}: {alert_id} was never received")
        if not _contains(texts[alert_id], body):
            raise BrokenPromise(f"{case}: another text came with {alert_id}")
        ids.add(alert_id)
    if invented := set(texts) - ids:
        raise BrokenPromise(f"{inbox.name}: got messages that the state has not: {invented}")


def _contains(text: str, body: str) -> bool:
    """Whether a received text contains a stored body, as it is or written in JSON."""
    return (
        body in text
        or json.dumps(body)[1:-1] in text
        or json.dumps(body, ensure_ascii=False)[1:-1] in text
    )
