"""The format of the database, as the steps that led to it.

Append a step; never edit one that was released. Each runs once, in one transaction with the number
that says so. Refuses to know what the tables are used for.

Times are TEXT, ISO 8601 in UTC with six decimals: a person can read them in any SQLite tool, and
being of one width they sort and compare as the times they are. Money is TEXT of a plain decimal,
never a REAL. Records are JSON; so is everything that is a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.store.third_step import THIRD

if TYPE_CHECKING:
    import aiosqlite

    from watcher.store.database import Database

Step = tuple[str, ...]

_FIRST: Step = (
    # What is or was on sale. The record itself is in `history`; these are its handles.
    """
    CREATE TABLE models (
        id INTEGER PRIMARY KEY,
        folded TEXT NOT NULL,
        description TEXT NOT NULL,
        interface TEXT NOT NULL,
        provider TEXT NOT NULL,
        first_seen_at TEXT NOT NULL,
        last_changed_at TEXT NOT NULL,
        gone_at TEXT
    ) STRICT
    """,
    "CREATE INDEX models_gone ON models (folded) WHERE gone_at IS NOT NULL",
    # A model's record from one time to another; `to_at` is null for the one that holds now.
    """
    CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models (id),
        from_at TEXT NOT NULL,
        to_at TEXT,
        record TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX history_now ON history (model_id) WHERE to_at IS NULL",
    "CREATE INDEX history_of_model ON history (model_id, id)",
    # USD per credit from this time to the next row's.
    """
    CREATE TABLE credit_values (
        id INTEGER PRIMARY KEY,
        from_at TEXT NOT NULL,
        usd_per_credit TEXT NOT NULL
    ) STRICT
    """,
    # A change of a model has a record on either side or both; one of the credit value has none.
    """
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        model_id INTEGER REFERENCES models (id),
        kinds TEXT NOT NULL,
        causes TEXT NOT NULL,
        before TEXT,
        before_usd_per_credit TEXT,
        after TEXT,
        after_usd_per_credit TEXT,
        CHECK ((model_id IS NULL) = (before IS NULL AND after IS NULL))
    ) STRICT
    """,
    "CREATE INDEX changes_at ON changes (at)",
    "CREATE INDEX changes_of_model ON changes (model_id, id) WHERE model_id IS NOT NULL",
    """
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE holds (
        id INTEGER PRIMARY KEY,
        reason TEXT NOT NULL,
        model_id INTEGER REFERENCES models (id),
        subject TEXT NOT NULL,
        since_at TEXT NOT NULL,
        until_at TEXT NOT NULL
    ) STRICT
    """,
    # The last complete sweep: one row. Apart from `poll`, which changes oftener and is smaller.
    """
    CREATE TABLE sweep (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at TEXT NOT NULL,
        usd_per_credit TEXT NOT NULL,
        sighting TEXT NOT NULL
    ) STRICT
    """,
    # The last poll: one row.
    """
    CREATE TABLE poll (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at TEXT NOT NULL,
        outcome TEXT NOT NULL,
        reason TEXT,
        last_success_at TEXT,
        failures INTEGER NOT NULL
    ) STRICT
    """,
    # A text fixed for one receiver. `opened_at`: since when it has been tried.
    """
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        alert_id TEXT NOT NULL UNIQUE,
        receiver TEXT NOT NULL,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        markup TEXT NOT NULL,
        created_at TEXT NOT NULL,
        opened_at TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_attempt_at TEXT,
        next_attempt_at TEXT NOT NULL,
        last_error TEXT,
        state TEXT NOT NULL DEFAULT 'open'
            CHECK (state IN ('open', 'sent', 'dead', 'discarded')),
        settled_at TEXT,
        CHECK ((state = 'open') = (settled_at IS NULL))
    ) STRICT
    """,
    "CREATE INDEX messages_open ON messages (receiver, id) WHERE state = 'open'",
    "CREATE INDEX messages_dead ON messages (receiver, id) WHERE state = 'dead'",
    # That one receiver is to be told one thing. `message_id` is null until it is gathered.
    """
    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY,
        receiver TEXT NOT NULL,
        change_id INTEGER REFERENCES changes (id),
        notice_id INTEGER REFERENCES notices (id),
        message_id INTEGER REFERENCES messages (id),
        queued_at TEXT NOT NULL,
        discarded_at TEXT,
        CHECK ((change_id IS NULL) <> (notice_id IS NULL))
    ) STRICT
    """,
    """
    CREATE UNIQUE INDEX deliveries_of_change ON deliveries (change_id, receiver)
    WHERE change_id IS NOT NULL
    """,
    """
    CREATE UNIQUE INDEX deliveries_of_notice ON deliveries (notice_id, receiver)
    WHERE notice_id IS NOT NULL
    """,
    """
    CREATE INDEX deliveries_waiting ON deliveries (receiver, id)
    WHERE message_id IS NULL AND discarded_at IS NULL
    """,
    """
    CREATE INDEX deliveries_of_message ON deliveries (message_id)
    WHERE message_id IS NOT NULL
    """,
)

# Routes, and what defers: see `watcher.routing`. Nothing of a window or a schedule is stored, only
# what a delivery needs for its own case to be decided when it is gathered.
_SECOND: Step = (
    "ALTER TABLE deliveries ADD COLUMN route TEXT NOT NULL DEFAULT ''",
    # The model as the route last told of it, where it is told only of moves beyond a threshold.
    "ALTER TABLE deliveries ADD COLUMN since TEXT",
    "ALTER TABLE deliveries ADD COLUMN since_usd_per_credit TEXT",
    "ALTER TABLE deliveries ADD COLUMN silence_id INTEGER",
    "ALTER TABLE deliveries ADD COLUMN flap TEXT NOT NULL DEFAULT ''",
    # Deferred, and undone before it was told.
    "ALTER TABLE deliveries ADD COLUMN netted_at TEXT",
    "DROP INDEX deliveries_of_change",
    """
    CREATE UNIQUE INDEX deliveries_of_change ON deliveries (change_id, receiver, route)
    WHERE change_id IS NOT NULL
    """,
    "DROP INDEX deliveries_waiting",
    """
    CREATE INDEX deliveries_waiting ON deliveries (receiver, id)
    WHERE message_id IS NULL AND discarded_at IS NULL AND netted_at IS NULL
    """,
    """
    CREATE VIEW waiting AS SELECT * FROM deliveries
    WHERE message_id IS NULL AND discarded_at IS NULL AND netted_at IS NULL
    """,
    # What a route with a threshold last told of a model: what the next move is measured from.
    """
    CREATE TABLE anchors (
        model_id INTEGER NOT NULL REFERENCES models (id),
        route TEXT NOT NULL,
        receiver TEXT NOT NULL,
        at TEXT NOT NULL,
        record TEXT NOT NULL,
        usd_per_credit TEXT NOT NULL,
        PRIMARY KEY (model_id, route, receiver)
    ) STRICT, WITHOUT ROWID
    """,
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
    # When a route's digest last went to a receiver.
    """
    CREATE TABLE digests (
        route TEXT NOT NULL,
        receiver TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (route, receiver)
    ) STRICT, WITHOUT ROWID
    """,
    # What the operator has been told and not yet been told to be over: one row.
    """
    CREATE TABLE alarms (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        raised TEXT NOT NULL
    ) STRICT
    """,
    # The sweep that first showed a change that had to be seen again.
    "ALTER TABLE changes ADD COLUMN first_seen_at TEXT",
    # That the next sweep is to be taken as it is, on purpose.
    "ALTER TABLE sweep ADD COLUMN start_over INTEGER NOT NULL DEFAULT 0",
)

_FOURTH: Step = (
    # The chart that goes with a message, for as long as that waits to be accepted.
    "ALTER TABLE messages ADD COLUMN picture BLOB",
)

MIGRATIONS: tuple[Step, ...] = (_FIRST, _SECOND, THIRD, _FOURTH)
NEWEST = len(MIGRATIONS)


async def migrate(database: Database, migrations: tuple[Step, ...] = MIGRATIONS) -> None:
    """Bring the database up to date; a step that fails leaves it at the one before."""
    for number, statements in enumerate(migrations, start=1):

        async def step(
            connection: aiosqlite.Connection,
            number: int = number,
            statements: Step = statements,
        ) -> None:
            version = await connection.execute_fetchall("PRAGMA user_version")
            if next(iter(version))[0] >= number:
                return
            # One by one: executescript() would commit first, and the step be no longer whole.
            for statement in statements:
                await connection.execute(statement)
            await connection.execute(f"PRAGMA user_version = {number}")

        await database.write(step)
