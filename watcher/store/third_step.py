"""The third step of the format: nothing is said twice any more, and there is a log of polls.

Knows the tables as the second step left them. Refuses to know what reads them.
"""

from __future__ import annotations

__all__ = ["THIRD"]

# The interval of a model that says the same, from `{side}` of a change; only where one does.
_SAME = """(
    SELECT history.id FROM history
    WHERE history.model_id = wordy.model_id AND history.record = wordy.{side} AND {when}
    ORDER BY history.id DESC LIMIT 1
)"""
_BEFORE = _SAME.format(side="before", when="history.to_at <= wordy.at")
_AFTER = _SAME.format(side="after", when="history.from_at = wordy.at")

# A record is a list of thirteen: what seldom changes of it, in three pieces, and what does.
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

THIRD: tuple[str, ...] = (
    # A change used to repeat both records that stand in `history`: two thirds of a state that keeps
    # everything. Now it names the intervals that ended and began, and repeats a record only where
    # none says the same. No index by time: numbers go by time, and all are soon looked through.
    # Whoever deletes intervals looks who names them; declared, each deletion would search them all.
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
    # An interval used to repeat what a price does not change: now a label says it, once for all the
    # intervals of a model that share it.
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
    # Every poll that was not quiet: those leave no trace but in `poll`.
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
    # What is over and done with, found by its age: see `watcher.store.pruning`.
    """
    CREATE INDEX messages_done ON messages (settled_at) WHERE state IN ('sent', 'discarded')
    """,
    """
    CREATE INDEX deliveries_done ON deliveries (coalesce(discarded_at, netted_at))
    WHERE message_id IS NULL AND (discarded_at IS NOT NULL OR netted_at IS NOT NULL)
    """,
)
