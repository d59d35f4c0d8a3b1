"""Many models that move at once: no step takes longer for each of them, none blocks the loop."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from time import process_time

from build import priced
from routing_market import patterns, percent, route
from stored import START, VALUE, commit, removed
from watcher.catalog.changes import RecordedChange
from watcher.catalog.confirm import Before, ConfirmRules, confirm
from watcher.catalog.diff import diff
from watcher.catalog.matching import match
from watcher.catalog.record import Model, Record, Snapshot
from watcher.heavy import MANY, collector_paused, run_heavy
from watcher.render.markup import Markup, Service
from watcher.routing.plan import plan
from watcher.routing.release import Batch, release
from watcher.routing.rules import RoutingRules
from watcher.store.store import Store, open_store
from watcher.wording import Known, MessageForm, word

FEW, MORE = 2_500, 10_000
# Four times as many models take four times as long, sixteen times where every model is compared
# with every other.
MOST_TIMES_LONGER = 7
# What is shorter cannot be measured well.
LEAST_SECONDS = 0.005
FORM = MessageForm(Service("inbox", Markup.TEXT, 10_000, 200, None))
RULES = RoutingRules(
    ("team",),
    (
        route("risen", min_up=percent("5"), continues=True),
        route("all", model=patterns("*")),
    ),
)


@dataclass
class Spent:
    """CPU seconds of this process by step, all its threads."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def by(self, step: str) -> Iterator[None]:
        started = process_time()
        yield
        self.seconds[step] = process_time() - started


def listing(models: int, factor: str = "1") -> list[Record]:
    """Five models a family, each at a price of its own."""
    return [
        priced(f"Reel {n // 5}, {n % 5 + 1}s", str((n % 90 + 1) * Decimal(factor)))
        for n in range(models)
    ]


async def move_all(store: Store, models: int) -> dict[str, float]:
    """CPU by step, from a sweep in which every price rose by a tenth to the message about it."""
    spent, now = Spent(), START + timedelta(hours=1)
    with spent.by("baseline"):
        await store.record(commit(baseline=tuple(listing(models))))
    stored = await store.snapshot()
    assert stored is not None
    known, risen = stored.models, listing(models, "1.1")
    with spent.by("snapshot"):
        snapshot = Snapshot.of(risen, VALUE)
    with spent.by("match"):
        matching = match([it.record for it in known], snapshot.records)
    with spent.by("diff"):
        found = diff(known, [], snapshot, matching, VALUE)
    with spent.by("confirm"):
        changes = confirm(found, Before(models), ConfirmRules(), now).changes
    with spent.by("histories"):
        histories = await store.histories([it.id for it in known], START)
    with spent.by("plan"):
        plans = [plan(it, RULES, now=now, history=histories[it.model_id]) for it in changes]
    due = tuple(zip(changes, (it.dispatches for it in plans), strict=True))
    anchors = tuple(anchor for it in plans for anchor in it.anchors)
    with spent.by("commit"):
        await store.record(replace(commit(now), changes=due, anchors=anchors))
    with spent.by("queued"):
        items = await store.queued("team")
    with spent.by("release"):
        (batch,) = release(items, RULES, receiver="team", now=now).batches
    with spent.by("word"):
        prices = await store.prices(batch.model_ids)
        await word(batch, FORM, Known(prices), alert_id="7k2m9q", now=now)
    on_sale = [Model(it.record, VALUE) for it in known]
    gone = Batch((), tuple(RecordedChange(it.id, now, removed(it)) for it in known))
    with spent.by("word what is gone"):
        await word(gone, FORM, Known({}, on_sale), alert_id="7k2m9q", now=now)
    assert len(batch.contents) == models
    return spent.seconds


async def steps_that_grow(folder: Path) -> set[str]:
    """The steps that take much more than four times as long for four times as many models."""
    spent = []
    for models in (FEW, MORE):
        async with open_store(folder / f"{models}.db") as store:
            with collector_paused():
                spent.append(await move_all(store, models))
    few, more = spent
    most = {step: MOST_TIMES_LONGER * max(few[step], LEAST_SECONDS) for step in few}
    return {step for step in few if more[step] > most[step]}


async def test_four_times_as_many_models_take_about_four_times_as_long(tmp_path: Path) -> None:
    growing = set[str]()
    for attempt in range(3):
        (folder := tmp_path / str(attempt)).mkdir()
        found = await steps_that_grow(folder)
        # Other work on the machine makes one step longer, but hardly the same one again.
        growing = found if not attempt else growing & found
        if not growing:
            return
    assert not growing


async def test_work_on_many_things_does_not_stop_the_loop() -> None:
    loop_went_on = threading.Event()
    asyncio.get_running_loop().call_soon(loop_went_on.set)
    assert await run_heavy(MANY, loop_went_on.wait, 30)


async def test_work_on_few_things_needs_no_thread() -> None:
    assert await run_heavy(MANY - 1, threading.current_thread) is threading.current_thread()


def test_the_collector_runs_again_whichever_of_two_pauses_ends_first() -> None:
    for first, second in ((0, 1), (1, 0)):
        pauses = [collector_paused(), collector_paused()]
        for pause in pauses:
            pause.__enter__()
        assert not gc.isenabled()
        for ended in (first, second):
            pauses[ended].__exit__(None, None, None)
        assert gc.isenabled()


def test_a_pause_does_not_start_a_collector_that_was_stopped_before() -> None:
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
