"""Outage: whatever the watcher leans on is gone for days of simulated time, and comes back.

The API, its name, the receivers, the clock, the disk, the state and its lock. Each ends with
everything told. Refuses to know how any of it is done in the watcher.
"""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, ExitStack, closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torture.disks import no_larger_files, small_disk
from torture.failing import WAYS_DOWN, Names, client_by_name
from torture.inbox import HttpInbox, Mood
from torture.place import scratch
from torture.stage import DAY, HOUR, Stage
from torture.trial import Objection, Trial, World
from watcher.config.settings import PollSettings, Settings
from watcher.notify.receiver import open_receiver
from watcher.poller import PollOutcome
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.connection import InUseError, StateError
from watcher.store.store import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from torture.trial import Limits
    from torture.watch import Watch

__all__ = ["OUTAGE", "SCENARIOS"]

MODELS = 40
# Where it is not the polls that matter.
SELDOM = Settings(poll=PollSettings(interval=timedelta(minutes=30)))


Scenario: TypeAlias = "Callable[[Stage], Awaitable[None]]"


async def _api_down(stage: Stage) -> None:
    """The API is down for one to four days, in all the ways there are."""
    async with stage.life() as (store, watch):
        await stage.pass_time(watch, 6 * HOUR)
        until = stage.clock.passed + stage.rng.randint(1, 4) * DAY
        while stage.clock.passed < until:
            stage.shelf.way = stage.rng.choice(WAYS_DOWN)
            await stage.pass_time(watch, stage.rng.randint(1, 8) * HOUR)
        stage.shelf.way = None
        await stage.come_to_rest(store, watch)
        await stage.reckon(store)


async def _no_name(stage: Stage) -> None:
    """The API's name cannot be resolved for one to four days; the rest is a real socket."""
    names = Names()
    async with Simulator(stage.ledger.catalogue.rows) as simulator:
        stage.ledger.catalogue = simulator.catalogue
        async with client_by_name(simulator, names) as stage.client, stage.life() as (store, watch):
            await stage.pass_time(watch, 3 * HOUR)
            names.broken, asked = True, names.asked
            await stage.pass_time(watch, stage.rng.randint(1, 4) * DAY)
            if names.asked == asked:
                raise Objection("the name was never asked for")
            stage.must_have_felt("transport")
            names.broken = False
            await stage.come_to_rest(store, watch)
            await stage.reckon(store)


async def _receivers_down(stage: Stage) -> None:
    """Both receivers fail for days, in every way by turns; refused is what a person retries."""
    stage.settings = SELDOM
    async with AsyncExitStack() as stack:
        inboxes = [await stack.enter_async_context(HttpInbox(name)) for name in ("team", "rough")]
        stage.inboxes = inboxes
        stage.receivers = [open_receiver(it.name, it.url) for it in inboxes]
        async with stage.life() as (store, watch):
            await stage.pass_time(watch, 2 * HOUR)
            bad = [mood for mood in Mood if mood is not Mood.ACCEPTS]
            stage.rng.shuffle(bad)
            for mood in bad:
                stage.rng.choice(inboxes).mood = partial(_stay, mood)
                await stage.pass_time(watch, stage.rng.randint(3, 12) * HOUR)
            for inbox in inboxes:
                inbox.mood = partial(_stay, Mood.ACCEPTS)
            await stage.pass_time(watch, DAY)
            await stage.retry_the_dead(store, watch)
            await stage.come_to_rest(store, watch)
            await stage.reckon(store)


def _stay(mood: Mood) -> Mood:
    return mood


async def _clock_jumps(stage: Stage) -> None:
    """The wall clock is set forth and back, by minutes and by days, in good times and in bad."""
    stage.settings = SELDOM
    async with stage.life() as (store, watch):
        for _ in range(stage.rng.randint(4, 10)):
            await stage.pass_time(watch, stage.rng.randint(1, 12) * HOUR)
            stage.shelf.way = stage.rng.choice([None, None, WAYS_DOWN[0]])
            for inbox in stage.inboxes:
                inbox.mood = partial(_stay, stage.rng.choice([Mood.ACCEPTS, Mood.FAILS]))
            await stage.pass_time(watch, stage.rng.randint(1, 6) * HOUR)
            far = stage.rng.choice([timedelta(minutes=7), 3 * HOUR, 2 * DAY, 6 * DAY])
            stage.clock.ahead += far * stage.rng.choice([-1, 1])
        stage.shelf.way = None
        for inbox in stage.inboxes:
            inbox.mood = partial(_stay, Mood.ACCEPTS)
        await watch.run(DAY)
        # Set forth by more than `give_up_after`, the clock makes dead letters of what failed.
        await stage.retry_the_dead(store, watch)
        await stage.come_to_rest(store, watch)
        await stage.reckon(store)


async def _disk_full(stage: Stage) -> None:
    """A small disk is full for a day, from a moment on at which a message is being sent."""
    with small_disk(stage.path.parent / "disk") as disk:
        if disk is None:
            await _disk_fails(stage)
            return
        stage.path = disk.where / "state.db"
        async with stage.life() as (store, watch):
            await stage.pass_time(watch, 3 * HOUR)
            stage.inboxes[0].posted = disk.fill
            await stage.pass_time(watch, DAY)
            stage.inboxes[0].posted = lambda: None
            disk.free()
            stage.must_have_felt("state")
            await stage.come_to_rest(store, watch)
            await stage.reckon(store)


async def _disk_fails(stage: Stage) -> None:
    """No file may grow, or none be written at all, from a moment on while a message is sent."""
    with ExitStack() as quota:

        def strike() -> None:
            stage.inboxes[0].posted = lambda: None
            size = stage.path.stat().st_size if stage.rng.random() < 0.5 else 0
            quota.enter_context(no_larger_files(size))

        async with stage.life() as (store, watch):
            await stage.pass_time(watch, 3 * HOUR)
            stage.inboxes[0].posted = strike
            await stage.pass_time(watch, DAY)
            quota.close()
            stage.inboxes[0].posted = lambda: None
            stage.must_have_felt("state")
            await stage.come_to_rest(store, watch)
            await stage.reckon(store)


async def _read_only(stage: Stage) -> None:
    """The state cannot be written when the watcher starts: it says so, and goes on afterwards."""
    with small_disk(stage.path.parent / "disk") as disk:
        if disk is not None:
            stage.path = disk.where / "state.db"
        async with stage.life() as (_, watch):
            await stage.pass_time(watch, 6 * HOUR)
        stage.market.stir(0.9)
        if disk is not None:
            disk.remount("ro")
            await _must_refuse(stage, StateError)
            disk.remount("rw")
        async with stage.life() as (store, watch):
            await stage.pass_time(watch, 6 * HOUR)
            await stage.come_to_rest(store, watch)
            await stage.reckon(store)


async def _lock_held(stage: Stage) -> None:
    """Another process holds the state, and later a tool holds the database, for a while."""
    async with stage.life() as (_, watch):
        await stage.pass_time(watch, 3 * HOUR)
        await _must_refuse(stage, InUseError)
        await stage.pass_time(watch, 3 * HOUR)
    async with stage.life() as (store, watch):
        if stage.rng.random() < 0.25:
            await _poll_beside_a_tool(stage, watch)
        await stage.pass_time(watch, 3 * HOUR)
        await stage.come_to_rest(store, watch)
        await stage.reckon(store)


async def _poll_beside_a_tool(stage: Stage, watch: Watch) -> None:
    """A tool that is in a transaction: whoever writes waits for it, and then says so."""
    with closing(sqlite3.connect(stage.path, isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        stage.market.stir(0.9)
        report = await watch.poll()
        tool.execute("ROLLBACK")
    if report.outcome not in {PollOutcome.FAILED, PollOutcome.QUIET}:
        raise Objection(f"a locked database was written: {report.outcome}")


async def _must_refuse(stage: Stage, error: type[StateError]) -> None:
    try:
        async with open_store(stage.path):
            pass
    except error:
        return
    raise Objection(f"the state was opened where {error.__name__} was due")


SCENARIOS: tuple[Scenario, ...] = (
    _api_down,
    _no_name,
    _receivers_down,
    _clock_jumps,
    _disk_full,
    _disk_fails,
    _read_only,
    _lock_held,
)


async def _world(seed: int, _: Limits) -> World:
    scenario = SCENARIOS[seed % len(SCENARIOS)]
    with scratch() as place:
        catalogue = Catalogue(generate(seed, size=MODELS))
        stage = Stage(seed, place / "state.db", catalogue)
        try:
            await scenario(stage)
        except Objection as objection:
            raise Objection(f"{scenario.__name__.strip('_')}: {objection}") from objection
    repeated = sum(inbox.repeated for inbox in stage.inboxes)
    figures = {
        "simulated days": stage.clock.passed / DAY,
        "changes announced": stage.judge.heard,
        "messages": sum(len(inbox.taken) for inbox in stage.inboxes),
        "of them again": repeated,
        "dead letters retried": stage.retried,
    }
    return World(1, figures)


OUTAGE = Trial("outage", "outages", 160, 4, _world)
