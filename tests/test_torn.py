"""Sweeps of a catalogue that moves while it is read: nothing false is ever announced.

The real client, poller and store; only the network is left out, and between any two replies the
catalogue may be edited. All random choices follow from the seed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from torture.torn import TornWorld
from watcher.catalog.changes import RecordedChange
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome

WORLDS = 34
TORN_SWEEPS = 60
FIRST_SNAPSHOTS = 20


def without_sync(store: Store) -> Store:
    """The power stays on in these tests, so that no commit need wait for the disk."""
    store._database._connection.execute("PRAGMA synchronous = OFF")
    return store


@pytest.mark.parametrize("seed", range(WORLDS))
async def test_nothing_false_is_announced_and_nothing_true_is_missed_in_a_moving_catalogue(
    tmp_path: Path, seed: int
) -> None:
    with capture_logs():
        async with open_store(tmp_path / "state.db") as store:
            world = TornWorld(seed, without_sync(store))

            await world.poll_torn(TORN_SWEEPS)
            await world.poll_to_rest()

            snapshot = await store.snapshot()
            changes = await store.changes(newest_first=False)
            waiting = [item.content for item in await store.queued("team")]
            queued = [it.id for it in waiting if isinstance(it, RecordedChange)]
    assert snapshot is not None
    world.checker.check_end((it.record for it in snapshot.models), world.ledger.catalogue)
    assert queued == [it.id for it in changes], "not all is queued"
    assert world.checker.checked == len(changes) > 0, "no change was announced"


@pytest.mark.parametrize("seed", range(FIRST_SNAPSHOTS))
async def test_a_first_snapshot_of_a_moving_catalogue_misses_nothing(
    tmp_path: Path, seed: int
) -> None:
    with capture_logs():
        async with open_store(tmp_path / "state.db") as store:
            world = TornWorld(seed, without_sync(store))
            world.client.before_reply = partial(world.market.replace_far_away_at_random, 0.08)
            while (await world.poll()).outcome is not PollOutcome.BASELINE:
                pass
            world.client.before_reply = lambda: None

            # What was missed would now be announced as new.
            world.minutes += 45
            assert (await world.poll()).outcome.is_good
