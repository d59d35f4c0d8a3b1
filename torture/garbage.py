"""Garbage: replies spoiled in every way, read by the real client, and what is announced of them.

Nothing crashes, nothing is announced that no sound row says, and memory stays within bounds. Most
are read without a wire, and some over a real socket, where also HTTP itself goes wrong.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from torture.judge import told
from torture.mutations import Spoiled, spoil
from torture.place import scratch
from torture.shelf import Shelf
from torture.trial import Objection, Trial, World
from torture.truth import as_read
from torture.watch import Clock, Watch
from torture.wire import Manner, RawServer, badly, whole
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, ModelChange
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import open_client
from watcher.kie.responses import Body
from watcher.simulator.catalogue import Catalogue, identity
from watcher.simulator.generator import generate
from watcher.simulator.replies import PageQuery, Replies
from watcher.store.store import open_store

if TYPE_CHECKING:
    from torture.trial import Limits
    from watcher.poller import PollReport
    from watcher.store.store import Store

__all__ = ["GARBAGE", "is_sound"]

REPLIES_EACH = 100
# Of those, over a real socket.
OVER_HTTP = 4
MODELS = 50
TIMEOUT = timedelta(seconds=0.3)
CALLS_OF_A_SWEEP = 5
# From the end of a tenth of it to its end, in MiB.
GROWTH = 48.0
PIECES = (1000, 65536)
_TEXTS = ("modelDescription", "creditUnit")
_LABELS = ("interfaceType", "provider", "anchor")
_AMOUNTS = ("creditPrice", "usdPrice", "falPrice", "discountRate")
# Good polls after which whatever a spoiled reply left must be gone.
SOON = 6


class _Spoiler:
    """Decides which reply is spoiled and how, and remembers what that could seem to say."""

    def __init__(self, rng: Random, replies: Replies) -> None:
        self.rng = rng
        self.spoiled = 0
        self.ways: list[str] = []
        self.seeming: set[str] = set()
        self._replies = replies
        self._wait = -1
        self._lasting = False

    def begin(self) -> None:
        """Spoil one of the next replies, and perhaps all after it."""
        self._wait = self.rng.randrange(CALLS_OF_A_SWEEP)
        self._lasting = self.rng.random() < 0.3
        self.ways.clear()
        self.seeming.clear()

    def end(self) -> None:
        """Spoil nothing more."""
        self._wait, self._lasting = -1, False

    def good(self, payload: Any) -> bytes:
        """The body of a good reply."""
        if payload is None:
            return self._replies.count([])
        return self._replies.page(PageQuery.of(payload), [])

    def due(self) -> bool:
        """Whether the reply to be made now is one to spoil."""
        self._wait -= 1
        return self._wait == -1 or (self._wait < -1 and self._lasting)

    def reply(self, payload: Any) -> Spoiled:
        """The reply to a call, spoiled or not."""
        good = self.good(payload)
        if not self.due():
            return Spoiled(good)
        way, made = spoil(self.rng, good)
        self.note(way)
        self.seeming |= _seems_to_say(made, good)
        return made

    def manner(self, payload: Any) -> Manner:
        """The same over the wire, where HTTP may be what is spoiled."""
        if self.rng.random() < 0.5 or self._wait:
            return whole(self.reply(payload))
        self.due()
        self.note("HTTP")
        return badly(self.rng, self.good(payload))

    def note(self, way: str) -> None:
        self.spoiled += 1
        self.ways.append(way)


class _Shelf(Shelf):
    """Reads what the spoiler has, with everything above the socket the client's own."""

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


class _World:
    def __init__(self, seed: int, store: Store) -> None:
        self.rng = Random(seed)
        self.store = store
        self.catalogue = Catalogue(generate(seed, size=MODELS))
        self.truth = set(as_read(self.catalogue))
        self.spoiler = _Spoiler(self.rng, Replies(self.catalogue))
        self.source = SourceSettings(page_size=20, probe_size=10, timeout=TIMEOUT)
        self.clock = Clock()
        self.wrong = 0
        self.refused = 0
        self.tidied = 0

    def watch(self, client: Any) -> Watch:
        return Watch(self.store, client, (), clock=self.clock, rng=self.rng)

    async def replies(self, watch: Watch, count: int) -> None:
        """Have so many spoiled replies read, each in a poll of its own or several in one."""
        enough = self.spoiler.spoiled + count
        while self.spoiler.spoiled < enough:
            await self._one(watch)

    async def _one(self, watch: Watch) -> None:
        self.clock.passed += timedelta(minutes=31 if self.rng.random() < 0.7 else 5)
        self.spoiler.begin()
        report = await watch.poll()
        self.spoiler.end()
        self._weigh(report)
        self.refused += not report.outcome.is_good
        seeming, ways = frozenset(self.spoiler.seeming), tuple(self.spoiler.ways)
        for _ in range(SOON):
            if report.outcome.is_good and not report.holds and await self._believes_the_truth():
                return
            self.clock.passed += timedelta(minutes=31)
            report = await watch.poll()
            self._weigh(report, seeming, ways)
        raise Objection(f"{ways}: not over after {SOON} good polls: {report}")

    def _weigh(
        self,
        report: PollReport,
        seeming: frozenset[str] | None = None,
        ways: tuple[str, ...] | None = None,
    ) -> None:
        """Whatever is announced, some sound row must have said."""
        ways = tuple(self.spoiler.ways) if ways is None else ways
        seeming = frozenset(self.spoiler.seeming) if seeming is None else seeming
        if report.reason == "bug":
            raise Objection(f"{ways}: crashed: {report.why}")
        for recorded in report.changes:
            change = recorded.change
            if not isinstance(change, ModelChange):
                raise Objection(f"{ways}: what a credit is worth never moved: {change}")
            sides = [side for side in (change.before, change.after) if side is not None]
            if not ANNOUNCED_BY_DEFAULT & set(change.kinds):
                self.tidied += 1
                continue
            names = {identity(side.record.description) for side in sides}
            if not names & seeming:
                raise Objection(f"{ways}: announced, and no sound row said so: {told(change)}")
            self.wrong += 1

    async def _believes_the_truth(self) -> bool:
        believed = await self.store.believed()
        return believed is not None and {it.record for it in believed.models} == self.truth


def is_sound(row: object) -> bool:
    """Whether a row is what the API documents: what is told of is there, and of its type.

    Amounts may come as numbers or as texts, as they do; what is only a label may be missing.
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


def _seems_to_say(made: Spoiled, good: bytes) -> set[str]:
    """The identities of sound rows in a spoiled reply that are not in the good one.

    What a flipped bit makes of a price is a price like any other; nobody can tell.
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
        identity(row["modelDescription"]) for row in rows if row not in before and is_sound(row)
    }


async def _world(seed: int, _limits: Limits) -> World:
    with scratch() as place:
        async with open_store(place / "state.db") as store, AsyncExitStack() as stack:
            world = _World(seed, store)
            watch = world.watch(_Shelf(world.catalogue, world.source, world.spoiler))
            await watch.poll()
            await world.replies(watch, REPLIES_EACH - OVER_HTTP)
            server = await stack.enter_async_context(RawServer(world.spoiler.manner))
            source = world.source.model_copy(update={"url": server.url})

            async def pause(_: timedelta) -> None:
                return

            client = await stack.enter_async_context(open_client(source, PollSettings(), pause))
            await world.replies(world.watch(client), OVER_HTTP)
    figures = {
        "polls refused": world.refused,
        "changes remembered, told to nobody by default": world.tidied,
        "changes told that a spoiled row stated soundly": world.wrong,
    }
    return World(world.spoiler.spoiled, figures)


GARBAGE = Trial("garbage", "spoiled replies", 10_000, 2, _world, growth=GROWTH)
