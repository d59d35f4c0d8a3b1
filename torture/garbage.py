"""Garbage: replies spoiled in every way, read by the real client.

The daemon never crashes, announces nothing that no sound row says, and does not use ever more
memory. Most replies are read without a network, some over a real socket, where HTTP itself is
broken too.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from torture.checkers import describe
from torture.client import InMemoryClient
from torture.daemon import Clock, SimulatedDaemon
from torture.ledger import parse_catalogue
from torture.machine import temporary_directory
from torture.mutations import SpoiledReply, spoil
from torture.raw_server import RawReply, RawServer, broken_http, correct_http
from torture.trial import BrokenPromise, Tally, Trial
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, ModelChange
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.kie.responses import Body
from watcher.simulator.catalogue import Catalogue, identity_key
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.store.store import open_store

if TYPE_CHECKING:
    from torture.trial import Budget
    from watcher.observer import PollReport
    from watcher.store.store import Store

__all__ = ["GARBAGE", "is_sound"]

REPLIES_EACH = 100
# Of those, over a real socket.
OVER_HTTP = 4
MODELS = 50
TIMEOUT = timedelta(seconds=0.3)
CALLS_OF_A_SWEEP = 5
# The most that memory may grow from a tenth of the trial to its end, in MiB.
GROWTH = 48.0
PIECES = (1000, 65536)
_TEXTS = ("modelDescription", "creditUnit")
_LABELS = ("interfaceType", "provider", "anchor")
_AMOUNTS = ("creditPrice", "usdPrice", "falPrice", "discountRate")
# After so many good polls nothing of a spoiled reply may be left.
POLLS_TO_RECOVER = 6


class _Spoiler:
    """Decides which reply is spoiled and how; notes the models of which it could seem to speak."""

    def __init__(self, rng: Random, replies: Replies) -> None:
        self.rng = rng
        self.spoiled = 0
        self.mutations: list[str] = []
        self.claimed: set[str] = set()
        self._replies = replies
        self._calls_left = -1
        self._goes_on = False

    def begin(self) -> None:
        """Spoil one of the next replies, and perhaps all that follow."""
        self._calls_left = self.rng.randrange(CALLS_OF_A_SWEEP)
        self._goes_on = self.rng.random() < 0.3
        self.mutations.clear()
        self.claimed.clear()

    def end(self) -> None:
        """Spoil no more replies."""
        self._calls_left, self._goes_on = -1, False

    def good(self, payload: Any) -> bytes:
        """The body of a good reply."""
        if payload is None:
            return self._replies.count([])
        return self._replies.page(PageQuery.of(payload), [])

    def is_due(self) -> bool:
        """Whether the reply to be made now is one to spoil. Counts the call."""
        self._calls_left -= 1
        return self._calls_left == -1 or (self._calls_left < -1 and self._goes_on)

    def reply(self, payload: Any) -> SpoiledReply:
        """The reply to a call, spoiled or not."""
        good = self.good(payload)
        if not self.is_due():
            return SpoiledReply(good)
        mutation, made = spoil(self.rng, good)
        self.note(mutation)
        self.claimed |= _claimed_by(made, good)
        return made

    def raw_reply(self, payload: Any) -> RawReply:
        """The same over a socket, where HTTP may be broken instead."""
        if self.rng.random() < 0.5 or self._calls_left:
            return correct_http(self.reply(payload))
        self.is_due()
        self.note("HTTP")
        return broken_http(self.rng, self.good(payload))

    def note(self, mutation: str) -> None:
        self.spoiled += 1
        self.mutations.append(mutation)


class _SpoiledClient(InMemoryClient):
    """Gets the spoiler's replies; everything above the socket is the real client's."""

    def __init__(self, catalogue: Catalogue, source: SourceSettings, spoiler: _Spoiler) -> None:
        super().__init__(catalogue, source, spoiler.rng)
        self._spoiler = spoiler

    async def _exchange(self, call: Any) -> tuple[str, timedelta | None]:
        made = self._spoiler.reply(call.payload)
        body = Body(call.name, made.encoding)
        piece = self._spoiler.rng.choice(PIECES)
        for at in range(0, len(made.body), piece):
            body.feed(made.body[at : at + piece])
        return body.text(), None


class _GarbageWorld:
    def __init__(self, seed: int, store: Store) -> None:
        self.rng = Random(seed)
        self.store = store
        self.catalogue = Catalogue(generate(seed, size=MODELS))
        self.truth = set(parse_catalogue(self.catalogue))
        self.spoiler = _Spoiler(self.rng, Replies(self.catalogue))
        self.source = SourceSettings(page_size=20, probe_size=10, timeout=TIMEOUT)
        self.clock = Clock()
        self.announced = 0
        self.refused = 0
        self.unannounced = 0

    def daemon(self, client: Any) -> SimulatedDaemon:
        return SimulatedDaemon(self.store, client, (), clock=self.clock, rng=self.rng)

    async def read_spoiled(self, daemon: SimulatedDaemon, count: int) -> None:
        """Let the daemon read so many spoiled replies, one or several in a poll."""
        enough = self.spoiler.spoiled + count
        while self.spoiler.spoiled < enough:
            await self._poll_and_recover(daemon)

    async def _poll_and_recover(self, daemon: SimulatedDaemon) -> None:
        self.clock.passed += timedelta(minutes=31 if self.rng.random() < 0.7 else 5)
        self.spoiler.begin()
        report = await daemon.poll()
        self.spoiler.end()
        self._check(report)
        self.refused += not report.outcome.is_good
        for _ in range(POLLS_TO_RECOVER):
            if report.outcome.is_good and not report.holds and await self._stores_the_truth():
                return
            self.clock.passed += timedelta(minutes=31)
            report = await daemon.poll()
            self._check(report)
        raise BrokenPromise(
            f"{self.spoiler.mutations}: not over after {POLLS_TO_RECOVER} good polls: {report}"
        )

    def _check(self, report: PollReport) -> None:
        """Check that every announced change was in some sound row."""
        mutations = self.spoiler.mutations
        if report.reason == "bug":
            raise BrokenPromise(f"{mutations}: crashed: {report.why}")
        for recorded in report.changes:
            change = recorded.change
            if not isinstance(change, ModelChange):
                raise BrokenPromise(f"{mutations}: the value of a credit never changed: {change}")
            sides = [side for side in (change.before, change.after) if side is not None]
            if not ANNOUNCED_BY_DEFAULT & set(change.kinds):
                self.unannounced += 1
                continue
            keys = {identity_key(side.record.description) for side in sides}
            if not keys & self.spoiler.claimed:
                raise BrokenPromise(
                    f"{mutations}: announced, and no sound row said so: {describe(change)}"
                )
            self.announced += 1

    async def _stores_the_truth(self) -> bool:
        stored = await self.store.snapshot()
        return stored is not None and {it.record for it in stored.models} == self.truth


def is_sound(row: object) -> bool:
    """Whether a row is as the API documents it: what is announced is there, with the right type.

    Amounts may be numbers or texts, as in the real listing; what is only a label may be missing.
    """
    if not isinstance(row, dict):
        return False
    return (
        all(isinstance(row.get(field), str) for field in _TEXTS)
        and all(isinstance(row.get(field, ""), str) for field in _LABELS)
        and all(_is_amount(row.get(field)) for field in _AMOUNTS)
        and isinstance(row.get("discountPrice"), bool)
        and bool(row["modelDescription"].strip())
    )


def _is_amount(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _claimed_by(made: SpoiledReply, good: bytes) -> set[str]:
    """The identity keys of sound rows in a spoiled reply that are not in the good one.

    A flipped bit can make another price of a price; no reader can recognise that.
    """
    if made.encoding:
        return set()
    try:
        rows = json.loads(made.body.decode("utf-8-sig"))["data"]["records"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return set()
    if not isinstance(rows, list):
        return set()
    before = json.loads(good)["data"]["records"]
    return {
        identity_key(row["modelDescription"]) for row in rows if row not in before and is_sound(row)
    }


async def _run_seed(seed: int, _budget: Budget) -> Tally:
    with temporary_directory() as place:
        async with open_store(place / "state.db") as store, AsyncExitStack() as stack:
            world = _GarbageWorld(seed, store)
            daemon = world.daemon(_SpoiledClient(world.catalogue, world.source, world.spoiler))
            await daemon.poll()
            await world.read_spoiled(daemon, REPLIES_EACH - OVER_HTTP)
            server = await stack.enter_async_context(RawServer(world.spoiler.raw_reply))
            source = world.source.model_copy(update={"url": server.url})

            async def no_pause(_: timedelta) -> None:
                return

            client = await stack.enter_async_context(open_client(source, PollSettings(), no_pause))
            await world.read_spoiled(world.daemon(client), OVER_HTTP)
    figures = {
        "polls refused": world.refused,
        "changes recorded, not announced by default": world.unannounced,
        "changes announced that a spoiled row stated soundly": world.announced,
    }
    return Tally(world.spoiler.spoiled, figures)


GARBAGE = Trial("garbage", "spoiled replies", 10_000, 2, _run_seed, growth=GROWTH)
