from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stored import (
    KLING,
    PROBE,
    START,
    SUNO,
    VALUE,
    began,
    commit,
    edited,
    minutes,
    model,
    new,
    receivers_due,
    record,
    removed,
)
from torture.checkers import on_sale
from torture.state_checks import query
from watcher.catalog.changes import CreditValueChange, Kind, ModelChange
from watcher.catalog.confirm import Hold, HoldReason
from watcher.store.rows import read_record, record_columns, record_of, time_text
from watcher.store.store import open_store
from watcher.store.values import PollOutcome, StoredSnapshot, snapshot_after

if TYPE_CHECKING:
    from pathlib import Path

    from watcher.store.values import KnownModel


async def test_before_the_first_sweep_nothing_is_believed(path: Path) -> None:
    async with open_store(path) as store:
        assert await store.snapshot() is None
        assert await receivers_due(store) == ()


async def test_a_baseline_is_stored_as_models_without_any_change(path: Path) -> None:
    async with open_store(path) as store:
        await began(store)

    async with open_store(path) as store:
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert [model.record for model in snapshot.models] == [KLING, SUNO]
        assert {model.first_seen_at for model in snapshot.models} == {START}
        assert {model.last_changed_at for model in snapshot.models} == {START}
        assert (snapshot.usd_per_credit, snapshot.probe) == (VALUE, PROBE)
        assert (snapshot.swept_at, snapshot.holds) == (START, ())
        assert await store.changes() == ()


async def test_an_empty_baseline_is_believed_all_the_same(path: Path) -> None:
    async with open_store(path) as store:
        await store.record(commit())

        assert await on_sale(store) == ()


async def test_a_new_model_gets_a_number_that_its_change_carries(path: Path) -> None:
    async with open_store(path) as store:
        await began(store, KLING)
        recorded = await store.record(commit(minutes(5), new(SUNO), new(record("Veo 3"))))

        assert [it.id for it in recorded.changes] == [1, 2]
        assert [known.id for known in recorded.models] == [2, 3]
        assert [it.change.model_id for it in recorded.changes] == [2, 3]  # type: ignore[union-attr]
        assert [known.record for known in recorded.models] == [SUNO, record("Veo 3")]
        change = (await store.changes())[-1].change
        assert isinstance(change, ModelChange)
        assert change == ModelChange((Kind.NEW,), None, model(SUNO), {}, 2)


async def test_a_changed_model_has_its_new_record_and_the_time_of_the_change(path: Path) -> None:
    async with open_store(path) as store:
        kling, _ = await began(store)
        dearer = record(credits=Decimal(96))
        await store.record(commit(minutes(5), edited(kling, dearer)))

        now = (await on_sale(store))[0]
        assert now.record == dearer
        assert (now.first_seen_at, now.last_changed_at) == (START, minutes(5))


async def test_a_removed_model_is_gone_and_can_be_found_by_what_it_was(path: Path) -> None:
    async with open_store(path) as store:
        kling, suno = await began(store)
        await store.record(commit(minutes(5), removed(kling)))

        assert await on_sale(store) == (suno,)
        (gone,) = await store.removed_models({KLING.identity_key, SUNO.identity_key, "never sold"})
        assert (gone.id, gone.record, gone.gone_at) == (kling.id, KLING, minutes(5))
        assert gone.last_changed_at == minutes(5)
        assert query(path, "SELECT count(*) FROM history WHERE valid_to IS NULL") == [(1,)]


async def test_a_returned_model_goes_on_with_its_number_and_its_history(path: Path) -> None:
    back = record(credits=Decimal(70))
    async with open_store(path) as store:
        kling, _ = await began(store)
        await store.record(commit(minutes(5), removed(kling)))
        await store.record(commit(minutes(9), edited(kling, back, Kind.RETURNED, Kind.PRICE_DOWN)))

        now = (await on_sale(store))[0]
        assert (now.id, now.record, now.first_seen_at) == (kling.id, back, START)
        assert await store.removed_models({KLING.identity_key}) == ()
        times = "SELECT valid_from, valid_to FROM history WHERE model_id = 1 ORDER BY id"
        assert query(path, times) == [
            ("2026-11-22T07:30:00.000000Z", "2026-11-22T07:35:00.000000Z"),
            ("2026-11-22T07:39:00.000000Z", None),
        ]


async def test_a_renamed_model_keeps_number_and_history_under_the_new_name(path: Path) -> None:
    renamed = record("Kling 2.6 Pro, text-to-video")
    async with open_store(path) as store:
        kling, _ = await began(store)
        await store.record(commit(minutes(5), edited(kling, renamed, Kind.RENAMED)))
        await store.record(commit(minutes(6), removed((await on_sale(store))[0])))

        (gone,) = await store.removed_models({renamed.identity_key})
        assert (gone.id, gone.record, gone.first_seen_at) == (kling.id, renamed, START)
        assert await store.removed_models({KLING.identity_key}) == ()


async def test_a_silent_mend_changes_the_record_and_is_no_change(path: Path) -> None:
    updated = record(anchor="https://kie.ai/kling-2-6")
    async with open_store(path) as store:
        kling, _ = await began(store)
        recorded = await store.record(commit(minutes(5), updates=((kling.id, updated),)))

        now = (await on_sale(store))[0]
        assert recorded.models == (now,)
        assert (now.record, now.last_changed_at) == (updated, START)
        assert await store.changes() == ()
        assert len(query(path, "SELECT 1 FROM history WHERE model_id = ?", kling.id)) == 2


async def test_holds_outlive_a_restart_and_are_replaced_by_the_next_sweep(path: Path) -> None:
    holds = (
        Hold(HoldReason.PRICE, 1, "900", START, minutes(30)),
        Hold(HoldReason.COLLAPSE, None, "", START, minutes(360)),
    )
    async with open_store(path) as store:
        await store.record(commit(baseline=(KLING,), holds=holds))
    async with open_store(path) as store:
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert snapshot.holds == holds

        await store.record(commit(minutes(5), holds=holds[:1]))
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert snapshot.holds == holds[:1]


async def test_the_worth_of_a_credit_is_remembered_with_its_history(path: Path) -> None:
    worth = Decimal("0.006")
    async with open_store(path) as store:
        await began(store)
        await store.record(commit(minutes(5)))
        moved = commit(minutes(9), CreditValueChange(VALUE, worth), usd_per_credit=worth)
        await store.record(moved)

        assert [recorded.change for recorded in await store.changes()] == [
            CreditValueChange(VALUE, worth)
        ]
        assert query(path, "SELECT valid_from, usd_per_credit FROM credit_values ORDER BY id") == [
            ("2026-11-22T07:30:00.000000Z", "0.005"),
            ("2026-11-22T07:39:00.000000Z", "0.006"),
        ]


async def test_what_touches_a_model_that_is_not_there_is_refused_whole(path: Path) -> None:
    async with open_store(path) as store:
        (kling,) = await began(store, KLING)
        await store.record(commit(minutes(5), removed(kling)))
        with pytest.raises(LookupError):
            await store.record(commit(minutes(6), new(SUNO), removed(kling)))

        assert await on_sale(store) == ()
        assert len(await store.changes()) == 1


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(record(credits=None, usd_listed=None, rate=None), id="nothing known"),
        pytest.param(record(credits=Decimal(0), promotion=True), id="free and on promotion"),
        pytest.param(record(credits=Decimal("0.0000001")), id="tiny"),
        pytest.param(record("視頻 “quoted” \x85 é", provider="", anchor=""), id="any text"),
    ],
)
def test_a_record_is_read_back_as_it_was(odd: Any) -> None:
    assert read_record(record_columns(odd)) == odd
    assert repr(read_record(record_columns(odd))) == repr(odd)


def test_a_time_without_a_zone_is_never_stored() -> None:
    with pytest.raises(ValueError, match="time zone"):
        time_text(datetime(2026, 11, 22))  # noqa: DTZ001


# A small market: each step says for each of four models whether it is sold, and for how much.
PRICES = st.lists(
    st.lists(st.one_of(st.none(), st.integers(1, 3)), min_size=4, max_size=4),
    min_size=1,
    max_size=6,
)


def steps(
    snapshot: StoredSnapshot, gone: dict[str, KnownModel], prices: list[int | None]
) -> list[Any]:
    """The changes from what is stored to the next prices."""
    known = {model.record.description: model for model in snapshot.models}
    changes: list[Any] = []
    for number, price in enumerate(prices):
        name = f"model {number}"
        after = None if price is None else record(name, credits=Decimal(price))
        if name not in known and after is not None:
            back = gone.get(name)
            changes.append(new(after) if back is None else edited(back, after, Kind.RETURNED))
        elif name in known and after is None:
            changes.append(removed(known[name]))
        elif name in known and after is not None and after != known[name].record:
            changes.append(edited(known[name], after))
    return changes


async def live_through(path: Path, market: list[list[int | None]]) -> list[dict[str, Decimal]]:
    snapshots = []
    gone: dict[str, KnownModel] = {}
    async with open_store(path) as store:
        start = commit()
        snapshot = snapshot_after(None, start, await store.record(start))
        for step, prices in enumerate(market, start=1):
            sweep = commit(minutes(step), *steps(snapshot, gone, prices))
            recorded = await store.record(sweep)
            gone.update({m.record.description: m for m in recorded.models if m.gone_at})
            snapshot = snapshot_after(snapshot, sweep, recorded)
            assert snapshot == await store.snapshot()
            snapshots.append({m.record.description: m.record.credits for m in snapshot.models})
    return snapshots


@given(market=PRICES)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_replaying_the_history_gives_every_snapshot_and_none_has_to_be_read_again(
    tmp_path_factory: pytest.TempPathFactory, market: list[list[int | None]]
) -> None:
    path = tmp_path_factory.mktemp("history") / "x.db"

    snapshots = asyncio.run(live_through(path, market))

    for step, snapshot in enumerate(snapshots, start=1):
        held = query(
            path,
            f"SELECT {record_of('history')} FROM history"
            " WHERE valid_from <= ?1 AND (valid_to IS NULL OR valid_to > ?1)",
            time_text(minutes(step)),
        )
        records = list(map(read_record, held))
        assert {found.description: found.credits for found in records} == snapshot


async def test_history_grows_with_changes_and_not_with_sweeps(path: Path) -> None:
    async with open_store(path) as store:
        await began(store)
        for minute in range(20):
            await store.record(commit(minutes(minute)))

        assert query(path, "SELECT count(*) FROM history") == [(2,)]


async def test_a_quiet_poll_makes_no_file_longer(path: Path) -> None:
    async with open_store(path) as store:
        await began(store)
        await store.note_poll(START, PollOutcome.QUIET)
        before = {file.name: file.stat().st_size for file in path.parent.iterdir()}
        for minute in range(300):
            await store.note_poll(minutes(minute), PollOutcome.QUIET)

        assert {file.name: file.stat().st_size for file in path.parent.iterdir()} == before


async def test_polls_that_fail_are_counted_until_one_succeeds(path: Path) -> None:
    async with open_store(path) as store:
        await store.note_poll(START, PollOutcome.UNCHANGED)
        await store.note_poll(minutes(5), PollOutcome.FAILED, "count: status 503 \udc80")
        await store.note_poll(minutes(9), PollOutcome.INCONCLUSIVE, "torn")
        poll = (await store.status()).poll
        assert poll is not None
        assert (poll.outcome, poll.why, poll.failures) == (PollOutcome.INCONCLUSIVE, "torn", 2)
        assert (poll.at, poll.last_success_at) == (minutes(9), START)

        await store.note_poll(minutes(10), PollOutcome.QUIET)
        poll = (await store.status()).poll
        assert poll is not None
        assert (poll.failures, poll.why, poll.last_success_at) == (0, None, minutes(10))
