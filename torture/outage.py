"""Outage: something that the daemon needs is missing for days of simulated time, and comes back.

The API, its name, the receivers, the clock, the disk, the state and its lock. After each of them
every change is announced and every message sent.
"""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, ExitStack, closing
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from torture.disks import no_larger_files, small_disk
from torture.failures import FAILURES, Resolver, client_with_resolver
from torture.inboxes import Answer, HttpInbox
from torture.machine import temporary_directory
from torture.outage_world import DAY, HOUR, OutageWorld
from torture.trial import BrokenPromise, Tally, Trial
from watcher.config.settings import PollSettings, Settings
from watcher.notify.client import Sender
from watcher.notify.receiver import open_receiver
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.connection import InUseError, StateError
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from torture.daemon import SimulatedDaemon
    from torture.trial import Budget

__all__ = ["OUTAGE", "SCENARIOS"]

MODELS = 40
# For scenarios that are not about polls.
RARE_POLLS = Settings(poll=PollSettings(interval=timedelta(minutes=30)))
JUMPS = (timedelta(minutes=7), 3 * HOUR, 2 * DAY, 6 * DAY, 60 * DAY, 366 * DAY, 3653 * DAY)
CLOCK_ANSWERS = (Answer.ACCEPTS, Answer.FAILS, Answer.RECEIVES_AND_HANGS_UP)
# Three at once, one after six hours, and one every twelve hours of the seven days.
MOST_COPIES = 18


Scenario: TypeAlias = "Callable[[OutageWorld], Awaitable[None]]"


async def _api_down(world: OutageWorld) -> None:
    """The API is down for one to four days, in every way."""
    async with world.process() as (store, daemon):
        await world.pass_time(daemon, 6 * HOUR)
        until = world.clock.passed + world.rng.randint(1, 4) * DAY
        while world.clock.passed < until:
            world.api.failure = world.rng.choice(FAILURES)
            await world.pass_time(daemon, world.rng.randint(1, 8) * HOUR)
        world.api.failure = None
        await world.come_to_rest(store, daemon)
        await world.check(store)


async def _no_name(world: OutageWorld) -> None:
    """The API's name cannot be resolved for one to four days; the rest is a real socket."""
    resolver = Resolver()
    async with Simulator(world.ledger.catalogue.rows) as simulator:
        world.ledger.catalogue = simulator.catalogue
        async with (
            client_with_resolver(simulator, resolver) as world.client,
            world.process() as (store, daemon),
        ):
            await world.pass_time(daemon, 3 * HOUR)
            resolver.broken, requests = True, resolver.requests
            await world.pass_time(daemon, world.rng.randint(1, 4) * DAY)
            if resolver.requests == requests:
                raise BrokenPromise("the name was never resolved")
            world.check_failed_for("transport")
            resolver.broken = False
            await world.come_to_rest(store, daemon)
            await world.check(store)


async def _receivers_down(world: OutageWorld) -> None:
    """Both receivers fail for days, in every way in turn; a person retries dead messages."""
    world.settings = RARE_POLLS
    async with AsyncExitStack() as stack:
        inboxes = [await stack.enter_async_context(HttpInbox(name)) for name in ("team", "rough")]
        world.inboxes = inboxes
        sender = await stack.enter_async_context(Sender())
        world.receivers = [await open_receiver(sender, it.name, it.url) for it in inboxes]
        async with world.process() as (store, daemon):
            await world.pass_time(daemon, 2 * HOUR)
            bad = [answer for answer in Answer if answer is not Answer.ACCEPTS]
            world.rng.shuffle(bad)
            for answer in bad:
                world.rng.choice(inboxes).next_answer = partial(_always, answer)
                await world.pass_time(daemon, world.rng.randint(3, 12) * HOUR)
            for inbox in inboxes:
                inbox.next_answer = partial(_always, Answer.ACCEPTS)
            await world.pass_time(daemon, DAY)
            await world.retry_dead_messages(store, daemon)
            await world.come_to_rest(store, daemon)
            await world.check(store)


def _always(answer: Answer) -> Answer:
    return answer


async def _clock_jumps(world: OutageWorld) -> None:
    """The wall clock is set forward and back, by minutes and by years, whatever fails then.

    Nothing is given up: no message is tried for as long as that takes.
    """
    world.settings = RARE_POLLS
    async with world.process() as (store, daemon):
        for _ in range(world.rng.randint(4, 10)):
            await world.pass_time(daemon, world.rng.randint(1, 12) * HOUR)
            world.api.failure = world.rng.choice([None, None, FAILURES[0]])
            for inbox in world.inboxes:
                answer = world.rng.choice(CLOCK_ANSWERS)
                inbox.next_answer = partial(_always, answer)
            await world.pass_time(daemon, world.rng.randint(1, 6) * HOUR)
            world.clock.ahead += world.rng.choice(JUMPS) * world.rng.choice([-1, 1])
        world.api.failure = None
        for inbox in world.inboxes:
            inbox.next_answer = partial(_always, Answer.ACCEPTS)
        await daemon.run(DAY)
        await world.come_to_rest(store, daemon)
        await world.check(store)


async def _no_answers(world: OutageWorld) -> None:
    """Both receivers take every message for nine days and never answer; then they do."""
    world.settings = RARE_POLLS
    for inbox in world.inboxes:
        inbox.next_answer = partial(_always, Answer.RECEIVES_AND_HANGS_UP)
    for _ in range(3):
        async with world.process() as (_, daemon):
            await world.pass_time(daemon, 3 * DAY)
    for inbox in world.inboxes:
        if inbox.most_copies > MOST_COPIES:
            raise BrokenPromise(f"{inbox.name}: one message came {inbox.most_copies} times")
        if inbox.repeated > MOST_COPIES + 2 * 2:
            raise BrokenPromise(f"{inbox.name}: {inbox.repeated} repeats in nine days")
        inbox.next_answer = partial(_always, Answer.ACCEPTS)
    async with world.process() as (store, daemon):
        await world.pass_time(daemon, DAY)
        await world.retry_dead_messages(store, daemon)
        await world.come_to_rest(store, daemon)
        await world.check(store)


async def _disk_full(world: OutageWorld) -> None:
    """A small disk is full for a day, from a moment at which a message is being sent."""
    with small_disk(world.path.parent / "disk") as disk:
        if disk is None:
            await _disk_fails(world)
            return
        world.path = disk.where / "state.db"
        async with world.process() as (store, daemon):
            await world.pass_time(daemon, 3 * HOUR)
            world.inboxes[0].on_message = disk.fill
            await world.pass_time(daemon, DAY)
            world.inboxes[0].on_message = lambda: None
            disk.free()
            world.check_failed_for("state")
            await world.come_to_rest(store, daemon)
            await world.check(store)


async def _disk_fails(world: OutageWorld) -> None:
    """No file can grow, or none be written, from a moment at which a message is being sent."""
    with ExitStack() as quota:

        def fail() -> None:
            world.inboxes[0].on_message = lambda: None
            size = world.path.stat().st_size if world.rng.random() < 0.5 else 0
            quota.enter_context(no_larger_files(size))

        async with world.process() as (store, daemon):
            await world.pass_time(daemon, 3 * HOUR)
            world.inboxes[0].on_message = fail
            await world.pass_time(daemon, DAY)
            quota.close()
            world.inboxes[0].on_message = lambda: None
            world.check_failed_for("state")
            await world.come_to_rest(store, daemon)
            await world.check(store)


async def _read_only(world: OutageWorld) -> None:
    """The state cannot be written when the daemon starts: it is refused, and works afterwards."""
    with small_disk(world.path.parent / "disk") as disk:
        if disk is not None:
            world.path = disk.where / "state.db"
        async with world.process() as (_, daemon):
            await world.pass_time(daemon, 6 * HOUR)
        world.market.edit_at_random(0.9)
        if disk is not None:
            disk.remount("ro")
            await _check_refusal(world, StateError)
            disk.remount("rw")
        async with world.process() as (store, daemon):
            await world.pass_time(daemon, 6 * HOUR)
            await world.come_to_rest(store, daemon)
            await world.check(store)


async def _lock_held(world: OutageWorld) -> None:
    """Another process holds the state's lock, and later a tool the database's, for a while."""
    async with world.process() as (_, daemon):
        await world.pass_time(daemon, 3 * HOUR)
        await _check_refusal(world, InUseError)
        await world.pass_time(daemon, 3 * HOUR)
    async with world.process() as (store, daemon):
        if world.rng.random() < 0.25:
            await _poll_while_locked(world, daemon)
        await world.pass_time(daemon, 3 * HOUR)
        await world.come_to_rest(store, daemon)
        await world.check(store)


async def _poll_while_locked(world: OutageWorld, daemon: SimulatedDaemon) -> None:
    """A tool is in a transaction: a poll waits for it, and then fails."""
    with closing(sqlite3.connect(world.path, isolation_level=None)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        world.market.edit_at_random(0.9)
        report = await daemon.poll()
        tool.execute("ROLLBACK")
    if report.outcome not in {PollOutcome.FAILED, PollOutcome.QUIET}:
        raise BrokenPromise(f"a locked database was written: {report.outcome}")


async def _check_refusal(world: OutageWorld, error: type[StateError]) -> None:
    try:
        async with open_store(world.path):
            pass
    except error:
        return
    raise BrokenPromise(f"the state was opened where {error.__name__} was expected")


SCENARIOS: tuple[Scenario, ...] = (
    _api_down,
    _no_name,
    _receivers_down,
    _clock_jumps,
    _no_answers,
    _disk_full,
    _disk_fails,
    _read_only,
    _lock_held,
)


async def _run_seed(seed: int, _: Budget) -> Tally:
    scenario = SCENARIOS[seed % len(SCENARIOS)]
    with temporary_directory() as place:
        catalogue = Catalogue(generate(seed, size=MODELS))
        world = OutageWorld(seed, place / "state.db", catalogue)
        try:
            await scenario(world)
        except BrokenPromise as broken:
            raise BrokenPromise(f"{scenario.__name__.strip('_')}: {broken}") from broken
    repeated = sum(inbox.repeated for inbox in world.inboxes)
    figures = {
        "simulated days": world.clock.passed / DAY,
        "changes announced": world.checker.checked,
        "messages": sum(len(inbox.received) for inbox in world.inboxes),
        "repeated messages": repeated,
        "most copies of a message": max(inbox.most_copies for inbox in world.inboxes),
        "dead messages retried": world.retried,
    }
    return Tally(1, figures)


OUTAGE = Trial("outage", "outages", 160, 4, _run_seed)
