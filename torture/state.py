"""State: a byte of the database flipped at a random place, or the file taken from a running daemon.

Whatever byte it is, the state is refused in words, or nothing comes of it: no traceback, no change
that did not happen. What is refused as damaged is moved aside by `--rebuild`.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from torture.machine import temporary_directory
from torture.outage_world import HOUR, OutageWorld
from torture.trial import BrokenPromise, Tally, Trial
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.generator import generate
from watcher.store.backup import back_up, rebuild
from watcher.store.connection import DamagedError, StateError, UnusableError, companion
from watcher.store.queries import open_reader
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torture.daemon import SimulatedDaemon
    from torture.trial import Budget

__all__ = ["STATE"]

MODELS = 25
FLIPS = 40
POLLS = 2

Take: TypeAlias = "Callable[[Path, Path], None]"


def _remove(path: Path, _: Path) -> None:
    path.unlink()


def _rename_over(path: Path, older: Path) -> None:
    shutil.copy(older, companion(path, ".older")).rename(path)


def _write_over(path: Path, older: Path) -> None:
    path.write_bytes(older.read_bytes())


def _cut(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


WAYS: tuple[Take, ...] = (_remove, _rename_over, _write_over, _cut)


async def _run_seed(seed: int, budget: Budget) -> Tally:
    with temporary_directory() as place:
        catalogue = Catalogue(generate(seed, size=MODELS))
        world = OutageWorld(seed, place / "state.db", catalogue)
        older = place / "older.db"
        async with world.process() as (store, daemon):
            await world.pass_time(daemon, 6 * HOUR)
            back_up(world.path, older)
            await world.pass_time(daemon, 12 * HOUR)
            await world.come_to_rest(store, daemon)
        sound = world.path.read_bytes()
        refused, flips = 0, min(FLIPS, budget.runs)
        for number in range(flips):
            place_of_byte, bits = world.rng.randrange(len(sound)), world.rng.randint(1, 255)
            spoilt = bytearray(sound)
            spoilt[place_of_byte] ^= bits
            world.path.write_bytes(spoilt)
            try:
                refused += await _is_refused(world)
            except Exception as error:
                where = f"byte {place_of_byte} ^ {bits}, flip {number}"
                raise BrokenPromise(f"{where}: {type(error).__name__}: {error}") from error
        world.path.write_bytes(sound)
        await _take(world, WAYS[seed % len(WAYS)], older)
    return Tally(flips, {"refused": refused, "files taken from a running daemon": 1})


async def _is_refused(world: OutageWorld) -> bool:
    """Whether the state is refused in words; where it is not, nothing may come of the byte."""
    await _ask(world.path)
    try:
        async with world.process() as (store, daemon):
            for _ in range(POLLS):
                await _poll(daemon)
            await daemon.run(HOUR)
            await store.status()
    except DamagedError:
        if rebuild(world.path, world.clock()) is None:
            raise BrokenPromise("--rebuild keeps what is refused as damaged") from None
        async with open_store(world.path) as store:
            if await store.snapshot() is not None:
                raise BrokenPromise("--rebuild leaves a state that knows something") from None
        for kept in world.path.parent.glob("*.damaged-*"):
            kept.unlink()
        return True
    except StateError:
        return True
    return False


async def _poll(daemon: SimulatedDaemon) -> None:
    report = await daemon.poll()
    if report.outcome not in {PollOutcome.QUIET, PollOutcome.UNCHANGED}:
        raise BrokenPromise(f"a byte became {report.outcome}: {report.why} {report.changes}")


async def _ask(path: Path) -> None:
    """Ask what commands ask beside a daemon: answers, or words."""
    with suppress(StateError):
        async with open_reader(path) as reader:
            await reader.status()
            await reader.models()
            await reader.changes()
            await reader.outbox()
            await reader.silences()
            await reader.alarms()


async def _take(world: OutageWorld, take: Take, older: Path) -> None:
    """Take the file from a running daemon: it must notice, and do nothing more with it."""
    async with world.process() as (store, daemon):
        await daemon.poll()
        world.market.edit_at_random(0.9)
        take(world.path, older)
        left = world.path.read_bytes() if world.path.exists() else b""
        report = await daemon.poll()
        # A quiet one has nothing to do with the state.
        if report.outcome not in {PollOutcome.FAILED, PollOutcome.QUIET}:
            raise BrokenPromise(f"{take.__name__}: the poll went on: {report}")
        with suppress(UnusableError):
            await store.status()
            raise BrokenPromise(f"{take.__name__}: it would be ready")
        with suppress(UnusableError):
            await store.watch(asyncio.Event())
            raise BrokenPromise(f"{take.__name__}: it would go on")
    if left != (world.path.read_bytes() if world.path.exists() else b""):
        raise BrokenPromise(f"{take.__name__}: something was written to the file")


STATE = Trial("state", "bytes flipped", 10_000, 2, _run_seed)
