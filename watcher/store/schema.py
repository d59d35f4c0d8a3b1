"""The format of the database, as the list of steps that lead to it.

Append one; never edit one that was released. Each runs once, in one transaction with the version
number that says so. What a table is for stands in its own text, which SQLite keeps: `.schema` in
any SQLite tool shows it.

Times are TEXT, ISO 8601 in UTC with six decimals: a person can read them, and being of one width
they sort and compare as the times they are. Money is TEXT of a plain decimal, never a REAL. What is
a list is JSON. People note numbers, so none is given twice: tables whose last row may be removed
have AUTOINCREMENT.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.store.connection import Database

Step = tuple[str, ...]

_FIRST: Step = (
    """
    CREATE TABLE models (
        -- What is or was on sale; what it is called and costs is in history. gone_at is null while
        -- it is on sale. Before complete_since, rows of its history may have been removed by age.
        id INTEGER PRIMARY KEY,
        identity_key TEXT NOT NULL,
        first_seen_at TEXT NOT NULL,
        last_changed_at TEXT NOT NULL,
        gone_at TEXT,
        complete_since TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX models_gone ON models (identity_key) WHERE gone_at IS NOT NULL",
    """
    CREATE TABLE history (
        -- A model as it was listed from one time to another; valid_to is null in its current row.
        -- Prices are for one unit, as listed: credits in Kie credits, usd_listed and reference
        -- (what Fal asks, for chat the vendor) in USD, rate in percent below the reference. Null
        -- is what the listing leaves empty.
        id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models (id),
        valid_from TEXT NOT NULL,
        valid_to TEXT,
        description TEXT NOT NULL,
        identity_key TEXT NOT NULL,
        interface TEXT NOT NULL,
        provider TEXT NOT NULL,
        credits TEXT,
        unit TEXT NOT NULL,
        unit_quantity TEXT NOT NULL,
        base_unit TEXT NOT NULL,
        usd_listed TEXT,
        reference TEXT,
        rate TEXT,
        anchor TEXT NOT NULL,
        promotion INTEGER NOT NULL,
        -- Of all from description on: a bit that flips on the disk must not be news.
        checksum INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TRIGGER history_pruned AFTER DELETE ON history BEGIN
        UPDATE models SET complete_since = max(complete_since, OLD.valid_to)
        WHERE id = OLD.model_id;
    END
    """,
    "CREATE UNIQUE INDEX history_now ON history (model_id) WHERE valid_to IS NULL",
    "CREATE INDEX history_of_model ON history (model_id, id)",
    """
    CREATE TABLE credit_values (
        -- What a credit is worth, from this time to the next row's.
        id INTEGER PRIMARY KEY,
        valid_from TEXT NOT NULL,
        usd_per_credit TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE changes (
        -- What a sweep showed to be different about a model: the rows of its history that ended
        -- and began. A change of the credit value is about no model. first_seen_at is the sweep
        -- that first showed what had to be confirmed. Numbers are in the order of time.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        model_id INTEGER REFERENCES models (id),
        kinds TEXT NOT NULL,
        causes TEXT NOT NULL,
        before_id INTEGER REFERENCES history (id),
        before_usd_per_credit TEXT,
        after_id INTEGER REFERENCES history (id),
        after_usd_per_credit TEXT,
        first_seen_at TEXT,
        CHECK ((model_id IS NULL) = (before_id IS NULL AND after_id IS NULL))
    ) STRICT
    """,
    "CREATE INDEX changes_of_model ON changes (model_id, id) WHERE model_id IS NOT NULL",
    "CREATE INDEX changes_of_credit_value ON changes (at) WHERE model_id IS NULL",
    "CREATE INDEX changes_from ON changes (before_id) WHERE before_id IS NOT NULL",
    "CREATE INDEX changes_to ON changes (after_id) WHERE after_id IS NOT NULL",
    """
    CREATE TABLE notices (
        -- What is reported besides changes: about the catalogue, and about the watcher itself.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE holds (
        -- What waits for confirmation. model_id is null where it is about the whole catalogue.
        -- quiet_since_at is the first of the sweeps since that do not show it.
        id INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        model_id INTEGER REFERENCES models (id),
        subject TEXT NOT NULL,
        since_at TEXT NOT NULL,
        until_at TEXT NOT NULL,
        quiet_since_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE sweep (
        -- The last accepted sweep: one row. start_over: the next one becomes a new baseline.
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at TEXT NOT NULL,
        usd_per_credit TEXT NOT NULL,
        probe TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        start_over INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    """
    CREATE TABLE poll (
        -- The last poll: one row, apart from sweep because it changes more often.
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at TEXT NOT NULL,
        outcome TEXT NOT NULL,
        why TEXT,
        last_success_at TEXT,
        failures INTEGER NOT NULL,
        -- What the log has said of the listing and what still holds, as JSON: once is enough.
        doubts TEXT NOT NULL DEFAULT '[]'
    ) STRICT
    """,
    """
    CREATE TABLE polls (
        -- The log of polls. Quiet ones are not in it, only in poll.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        at TEXT NOT NULL,
        outcome TEXT NOT NULL,
        why TEXT,
        requests INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        changes INTEGER NOT NULL,
        holds INTEGER NOT NULL,
        took_ms INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE messages (
        -- A message to one receiver. opened_at: since when it has been tried. planned_at: when the
        -- next attempt was planned, by the clock of that moment. waited_ms: how much of the waits
        -- before attempts counts until it is given up. The chart that goes with it is kept until
        -- it was accepted.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        alert_id TEXT NOT NULL UNIQUE,
        receiver TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        markup TEXT NOT NULL,
        checksum INTEGER NOT NULL,
        picture BLOB,
        created_at TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        planned_at TEXT NOT NULL,
        next_attempt_at TEXT NOT NULL,
        waited_ms INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        state TEXT NOT NULL DEFAULT 'open'
            CHECK (state IN ('open', 'sent', 'dead', 'discarded')),
        settled_at TEXT,
        CHECK ((state = 'open') = (settled_at IS NULL))
    ) STRICT
    """,
    "CREATE INDEX messages_open ON messages (receiver, id) WHERE state = 'open'",
    "CREATE INDEX messages_dead ON messages (receiver, id) WHERE state = 'dead'",
    "CREATE INDEX messages_done ON messages (settled_at) WHERE state IN ('sent', 'discarded')",
    """
    CREATE TABLE unanswered (
        -- How many tries of a receiver were ambiguous since it last accepted a message.
        receiver TEXT PRIMARY KEY,
        tries INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE deliveries (
        -- One thing that one receiver is to get. message_id is null until it is in a message,
        -- which is never where it was discarded, or where deferred changes cancelled out
        -- (netted_at). since_id is the model as a route with a threshold last announced it. flap
        -- says whether it announces that something flaps or is held because it does; flapping are
        -- the kinds of the change that do.
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        receiver TEXT NOT NULL,
        route TEXT NOT NULL DEFAULT '',
        change_id INTEGER REFERENCES changes (id),
        notice_id INTEGER REFERENCES notices (id),
        message_id INTEGER REFERENCES messages (id),
        queued_at TEXT NOT NULL,
        discarded_at TEXT,
        netted_at TEXT,
        since_id INTEGER REFERENCES history (id),
        since_usd_per_credit TEXT,
        silence_id INTEGER,
        flap TEXT NOT NULL DEFAULT '',
        flapping TEXT NOT NULL DEFAULT '[]',
        CHECK ((change_id IS NULL) <> (notice_id IS NULL)),
        CHECK ((since_id IS NULL) = (since_usd_per_credit IS NULL))
    ) STRICT
    """,
    """
    CREATE UNIQUE INDEX deliveries_of_change ON deliveries (change_id, receiver, route)
    WHERE change_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX deliveries_of_notice ON deliveries (notice_id, receiver)
    WHERE notice_id IS NOT NULL
    """,
    """
    CREATE INDEX deliveries_waiting ON deliveries (receiver, id)
    WHERE message_id IS NULL AND discarded_at IS NULL AND netted_at IS NULL
    """,
    """
    CREATE INDEX deliveries_of_message ON deliveries (message_id)
    WHERE message_id IS NOT NULL
    """,
    """
    CREATE INDEX deliveries_done ON deliveries (coalesce(discarded_at, netted_at))
    WHERE message_id IS NULL AND (discarded_at IS NOT NULL OR netted_at IS NOT NULL)
    """,
    "CREATE INDEX deliveries_since ON deliveries (since_id) WHERE since_id IS NOT NULL",
    """
    CREATE VIEW waiting AS SELECT * FROM deliveries
    WHERE message_id IS NULL AND discarded_at IS NULL AND netted_at IS NULL
    """,
    """
    CREATE TABLE anchors (
        -- The model as a route with a threshold last announced it: the next move is measured
        -- from there.
        model_id INTEGER NOT NULL REFERENCES models (id),
        route TEXT NOT NULL,
        receiver TEXT NOT NULL,
        at TEXT NOT NULL,
        history_id INTEGER NOT NULL REFERENCES history (id),
        usd_per_credit TEXT NOT NULL,
        PRIMARY KEY (model_id, route, receiver)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX anchors_at ON anchors (history_id)",
    """
    CREATE TABLE silences (
        id INTEGER PRIMARY KEY,
        matcher TEXT NOT NULL,
        since_at TEXT NOT NULL,
        until_at TEXT NOT NULL,
        reason TEXT NOT NULL,
        dropping INTEGER NOT NULL,
        caught INTEGER NOT NULL DEFAULT 0,
        ended_at TEXT
    ) STRICT
    """,
    """
    CREATE TABLE digests (
        -- Up to when a route's digest was sent to a receiver.
        route TEXT NOT NULL,
        receiver TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (route, receiver)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE writer (
        -- Which process opened the state for writing last, and how many commits it made: one row.
        id INTEGER PRIMARY KEY CHECK (id = 1),
        opened TEXT NOT NULL,
        commits INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE alarms (
        -- The alarms that are raised: one row.
        id INTEGER PRIMARY KEY CHECK (id = 1),
        raised TEXT NOT NULL
    ) STRICT
    """,
)

MIGRATIONS: tuple[Step, ...] = (_FIRST,)
NEWEST = len(MIGRATIONS)


_DEFINITIONS = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql IS NOT NULL"


def find_altered(db: sqlite3.Connection) -> str | None:
    """What of the tables is not as `MIGRATIONS` make it; `None` where all is, or in another format.

    Their definitions are text in the file, which SQLite takes as it is.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    found = set(db.execute(_DEFINITIONS))
    if version == 0 and found:
        return "the version in its header"
    if version != NEWEST:
        return None
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statement in chain.from_iterable(MIGRATIONS):
            fresh.execute(statement)
        missing = set(fresh.execute(_DEFINITIONS)) - found
    return min((f"the definition of {name}" for _, name, *_ in missing), default=None)


async def migrate(database: Database, migrations: tuple[Step, ...] = MIGRATIONS) -> None:
    """Bring the database up to date; a step that fails leaves it at the one before."""
    for number, step in enumerate(migrations, start=1):
        await database.write(partial(_apply, number=number, step=step))


def _apply(db: sqlite3.Connection, number: int, step: Step) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version >= number:
        return
    # One by one: executescript() would commit first, and a failed step be half done.
    for statement in step:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {number}")
