"""The format of the database, as the list of migrations that led to it.

Append one; never edit one that was released. Each runs once, in one transaction with the version
number that says so.

Times are TEXT, ISO 8601 in UTC with six decimals: a person can read them in any SQLite tool, and
being of one width they sort and compare as the times they are. Money is TEXT of a plain decimal,
never a REAL. Records are JSON; so is everything that is a list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiosqlite

    from watcher.store.connection import Database

Step = tuple[str, ...]

_FIRST: Step = (
    # What is or was on sale. The record itself is in `history`; these are for searching.
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
    # A model's record from one time to another; `to_at` is null for the current one.
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
    # The last accepted sweep: one row. Apart from `poll`, which changes more often and is smaller.
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
    # A message to one receiver. `opened_at`: since when it has been tried.
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
    # One thing that one receiver is to get. `message_id` is null until it is in a message.
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

# Routes, and what defers: see `watcher.routing`. No window and no schedule is stored, only what a
# delivery needs to be decided when it is released.
_SECOND: Step = (
    "ALTER TABLE deliveries ADD COLUMN route TEXT NOT NULL DEFAULT ''",
    # The model as the route last announced it, where the route has a threshold.
    "ALTER TABLE deliveries ADD COLUMN since TEXT",
    "ALTER TABLE deliveries ADD COLUMN since_usd_per_credit TEXT",
    "ALTER TABLE deliveries ADD COLUMN silence_id INTEGER",
    "ALTER TABLE deliveries ADD COLUMN flap TEXT NOT NULL DEFAULT ''",
    # When deferred changes cancelled out, so that none is to be sent.
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
    # The model as a route with a threshold last announced it: the next move is measured from it.
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
    # When a route's digest was last sent to a receiver.
    """
    CREATE TABLE digests (
        route TEXT NOT NULL,
        receiver TEXT NOT NULL,
        at TEXT NOT NULL,
        PRIMARY KEY (route, receiver)
    ) STRICT, WITHOUT ROWID
    """,
    # The alarms that are raised: one row.
    """
    CREATE TABLE alarms (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        raised TEXT NOT NULL
    ) STRICT
    """,
    # The sweep that first showed a change that had to be confirmed.
    "ALTER TABLE changes ADD COLUMN first_seen_at TEXT",
    # A person asked that the next sweep become a new baseline.
    "ALTER TABLE sweep ADD COLUMN start_over INTEGER NOT NULL DEFAULT 0",
)

# The interval of a model that shows the same record as `{side}` of a change, where there is one.
_SAME = """(
    SELECT history.id FROM history
    WHERE history.model_id = wordy.model_id AND history.record = wordy.{side} AND {when}
    ORDER BY history.id DESC LIMIT 1
)"""
_BEFORE = _SAME.format(side="before", when="history.to_at <= wordy.at")
_AFTER = _SAME.format(side="after", when="history.from_at = wordy.at")

# A record is a list of thirteen: what seldom changes, in three columns, and what does.
_PIECES = """
    SELECT id, model_id, from_at, to_at,
        rtrim(json_extract(record, '$[0]', '$[1]', '$[2]', '$[3]'), ']') AS head,
        trim(json_extract(record, '$[5]', '$[6]', '$[7]'), '[]') AS unit,
        json_quote(json_extract(record, '$[11]')) AS anchor,
        json_quote(json_extract(record, '$[4]')) AS credits,
        trim(json_extract(record, '$[8]', '$[9]', '$[10]'), '[]') AS listed,
        iif(json_extract(record, '$[12]'), 'true', 'false') AS promotion
    FROM history
"""

_THIRD: Step = (
    # A change used to repeat both records that are in `history`: two thirds of a state that keeps
    # everything. Now it names the intervals that ended and began, and repeats a record only where
    # none shows the same. No index by time: numbers are in order of time, and reading all is quick.
    # No foreign keys to intervals: each deletion would search every change. Pruning checks instead.
    "PRAGMA defer_foreign_keys = ON",
    "CREATE TABLE wordy AS SELECT * FROM changes",
    "DROP TABLE changes",
    """
    CREATE TABLE changes (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        model_id INTEGER REFERENCES models (id),
        kinds TEXT NOT NULL,
        causes TEXT NOT NULL,
        before_id INTEGER,
        before TEXT,
        before_usd_per_credit TEXT,
        after_id INTEGER,
        after TEXT,
        after_usd_per_credit TEXT,
        first_seen_at TEXT,
        CHECK (before_id IS NULL OR before IS NULL),
        CHECK (after_id IS NULL OR after IS NULL),
        CHECK ((model_id IS NULL) = (coalesce(before_id, before, after_id, after) IS NULL))
    ) STRICT
    """,
    f"""
    INSERT INTO changes
    SELECT id, at, model_id, kinds, causes,
        before_id, iif(before_id IS NULL, before, NULL), before_usd_per_credit,
        after_id, iif(after_id IS NULL, after, NULL), after_usd_per_credit, first_seen_at
    FROM (SELECT wordy.*, {_BEFORE} AS before_id, {_AFTER} AS after_id FROM wordy) ORDER BY id
    """,  # noqa: S608 - our own words
    "DROP TABLE wordy",
    "CREATE INDEX changes_of_model ON changes (model_id, id) WHERE model_id IS NOT NULL",
    # An interval used to repeat what a price does not change: now that is a label, stored once for
    # all the intervals of a model that share it.
    """
    CREATE TABLE labels (
        id INTEGER PRIMARY KEY,
        head TEXT NOT NULL,
        unit TEXT NOT NULL,
        anchor TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE intervals (
        id INTEGER PRIMARY KEY,
        model_id INTEGER NOT NULL REFERENCES models (id),
        from_at TEXT NOT NULL,
        to_at TEXT,
        label_id INTEGER NOT NULL,
        credits TEXT NOT NULL,
        listed TEXT NOT NULL,
        promotion TEXT NOT NULL
    ) STRICT
    """,
    f"CREATE TABLE pieces AS {_PIECES}",
    """
    INSERT INTO labels (id, head, unit, anchor)
    SELECT min(id), head, unit, anchor FROM pieces GROUP BY model_id, head, unit, anchor
    """,
    """
    INSERT INTO intervals SELECT id, model_id, from_at, to_at,
        min(id) OVER (PARTITION BY model_id, head, unit, anchor), credits, listed, promotion
    FROM pieces ORDER BY id
    """,
    "DROP TABLE pieces",
    "DROP TABLE history",
    "CREATE UNIQUE INDEX intervals_now ON intervals (model_id) WHERE to_at IS NULL",
    "CREATE INDEX intervals_of_model ON intervals (model_id, id)",
    # CROSS: from the interval to its label, and never the other way.
    """
    CREATE VIEW history AS
    SELECT intervals.id AS id, model_id, from_at, to_at,
        head || ',' || credits || ',' || unit || ',' || listed || ',' || anchor || ',' || promotion
        || ']' AS record
    FROM intervals CROSS JOIN labels ON labels.id = label_id
    """,
    # The log of polls. Quiet polls are not in it, only in `poll`.
    """
    CREATE TABLE polls (
        id INTEGER PRIMARY KEY,
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
    # What may be removed, found by its age: see `watcher.store.retention`.
    """
    CREATE INDEX messages_done ON messages (settled_at) WHERE state IN ('sent', 'discarded')
    """,
    """
    CREATE INDEX deliveries_done ON deliveries (coalesce(discarded_at, netted_at))
    WHERE message_id IS NULL AND (discarded_at IS NOT NULL OR netted_at IS NOT NULL)
    """,
)

_FOURTH: Step = (
    # The chart that goes with a message, until the message was accepted.
    "ALTER TABLE messages ADD COLUMN picture BLOB",
)

MIGRATIONS: tuple[Step, ...] = (_FIRST, _SECOND, _THIRD, _FOURTH)
NEWEST = len(MIGRATIONS)


async def migrate(database: Database, migrations: tuple[Step, ...] = MIGRATIONS) -> None:
    """Bring the database up to date; a migration that fails leaves it at the one before."""
    for number, statements in enumerate(migrations, start=1):

        async def step(
            connection: aiosqlite.Connection,
            number: int = number,
            statements: Step = statements,
        ) -> None:
            version = await connection.execute_fetchall("PRAGMA user_version")
            if next(iter(version))[0] >= number:
                return
            # One by one: executescript() would commit first, and a failed step be half done.
            for statement in statements:
                await connection.execute(statement)
            await connection.execute(f"PRAGMA user_version = {number}")

        await database.write(step)
