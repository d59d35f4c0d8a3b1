"""A crash at every step from fetch to sent: nothing is lost, and nothing is told under two names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from shutil import copy
from typing import Any, TypeAlias, cast

import pytest

from build import row
from logs import capture_logs
from torture.checkers import describe
from torture.client import InMemoryClient
from torture.inboxes import MemoryInbox
from torture.ledger import parse_row
from torture.state_checks import query
from watcher.catalog.changes import ModelChange, RecordedChange
from watcher.catalog.confirm import ConfirmRules
from watcher.config.rules import parse_silence
from watcher.config.settings import PollSettings, SourceSettings
from watcher.outbox import Batcher, MessageRules, Outbox
from watcher.poller import Poller, PollRules
from watcher.routing.rules import RoutingRules
from watcher.simulator.catalogue import Catalogue, Edit, Insert, Promotion, Remove, Rename, Reprice
from watcher.store.store import Store, open_store
from watcher.store.values import StoredSnapshot

START = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
SOURCE = SourceSettings(page_size=10, probe_size=2)
ROUTING = RoutingRules(("team",))
RULES = PollRules(ConfirmRules(), ROUTING, parse_silence)
TELLING = MessageRules(ROUTING, parse_silence)
# No further: a fuse this long outlives every scene.
FOREVER = 10**9


def rows() -> list[dict[str, Any]]:
    return [row(f"Reel {letter}, lip sync", provider=letter) for letter in "ABCDEF"]


# At which minute the watcher looks, what has happened by then, and what it must tell.
Scene: TypeAlias = tuple[float, tuple[Edit, ...], tuple[str, ...]]
SCENES: tuple[Scene, ...] = (
    (0, (), ()),
    (
        5,
        (Reprice("Reel A, lip sync", Decimal(50)), Remove("Reel B, lip sync")),
        ("price_up+discount_down reel a, lip sync",),
    ),
    (10, (Insert(row("Aria 4k, lip sync"), at=3),), ("new aria 4k, lip sync",)),
    (
        20,
        (Rename("Reel C, lip sync", "Reel C, lpi sync"), Promotion("Reel D, lip sync", True)),
        ("promotion_started reel d, lip sync", "removed reel b, lip sync"),
    ),
    (
        25,
        (Insert(row("Reel B, lip sync", provider="B"), at=0),),
        ("returned reel b, lip sync",),
    ),
    (40, (), ("renamed reel c, lip sync → reel c, lpi sync",)),
)


class Crash(BaseException):
    """The process is gone: nobody catches this."""


@dataclass
class Fuse:
    """Burns down a step at a time; the last one is the end of the process."""

    length: int
    burnt: int = 0
    ended_at: str = ""

    def burn(self, step: str) -> None:
        self.burnt += 1
        if self.burnt >= self.length:
            self.ended_at = self.ended_at or step
            raise Crash(step)


# What takes effect outside of the watcher's memory. A crash anywhere between two of these leaves
# the same world behind, so before and after each is everywhere.
LASTING = {"record", "note_poll", "create_messages", "send", "mark_sent"}
FETCHING = {"probe", "sweep"}


class Fused:
    """A part of the watcher that burns the fuse before it does anything that counts, and after."""

    def __init__(self, part: Any, fuse: Fuse) -> None:
        self._part = part
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._part, name)
        if name not in LASTING | FETCHING:
            return attribute

        async def step(*arguments: Any, **named: Any) -> Any:
            self._fuse.burn(f"before {name}")
            result = await attribute(*arguments, **named)
            self._fuse.burn(f"after {name}")
            return result

        return step


@dataclass
class Play:
    """The scenes, played to a watcher that starts again whenever its fuse has burnt down."""

    path: Path
    fuses: Callable[[], Fuse]
    catalogue: Catalogue = field(default_factory=lambda: Catalogue(rows()))
    inbox: MemoryInbox = field(default_factory=MemoryInbox)
    ends: list[str] = field(default_factory=list)
    minute: float = -1
    changes: tuple[RecordedChange, ...] = ()
    snapshot: StoredSnapshot | None = None

    async def perform(self) -> None:
        scenes = [*SCENES]
        while scenes:
            self._fuse = self.fuses()
            async with open_store(self.path) as store:
                # This is about crashes of the process; the power stays on, and the disk at ease.
                store._database._connection.execute("PRAGMA synchronous = OFF")
                try:
                    await self._live(store, scenes)
                except* Crash:
                    self.ends.append(self._fuse.ended_at)
                self.changes = await store.changes(newest_first=False)
                self.snapshot = await store.snapshot()

    async def _live(self, store: Store, scenes: list[Scene]) -> None:
        """A poll and a round of delivery for each scene left, if the fuse is long enough."""
        client = InMemoryClient(self.catalogue, SOURCE, Random(0))
        parts: tuple[Any, ...] = (store, client, self.inbox)
        known, source, inbox = (cast("Any", Fused(part, self._fuse)) for part in parts)
        clock: dict[str, Any] = {"now": self._now, "rng": Random(len(self.ends))}
        poller = Poller(source, known, PollSettings(), RULES, **clock)
        batcher = Batcher(known, TELLING, **clock)
        outbox = Outbox(known, [inbox], batcher, give_up_after=timedelta(days=7), **clock)
        while scenes:
            self._set(scenes[0])
            await poller.poll()
            while (await outbox.deliver(inbox))[0] is not None:
                pass
            scenes.pop(0)

    def _set(self, scene: Scene) -> None:
        """Let happen what the scene is about, unless it has happened to an earlier watcher."""
        if self.minute >= scene[0]:
            self.minute += 0.1
            return
        self.minute = scene[0]
        for edit in scene[1]:
            edit.apply(self.catalogue)

    def _now(self) -> datetime:
        return START + timedelta(minutes=self.minute)


def must_have_gone_well(play: Play) -> None:
    case = f"ended {', then '.join(play.ends)}"
    changes = Counter(
        describe(it.change) for it in play.changes if isinstance(it.change, ModelChange)
    )
    snapshot = play.snapshot
    assert snapshot is not None, case
    assert changes == Counter(it for *_, scene in SCENES for it in scene), case
    assert {it.record for it in snapshot.models} == set(map(parse_row, play.catalogue.rows)), case
    assert not snapshot.holds, case
    assert query(play.path, "PRAGMA integrity_check") == [("ok",)], case
    everything_arrived(play, case)
    nothing_came_twice_but_for_a_reason(play, case)


def everything_arrived(play: Play, case: str) -> None:
    due = query(
        play.path,
        "SELECT alert_id, state FROM deliveries LEFT JOIN messages ON messages.id = message_id",
    )
    accepted = [message.alert_id for message in play.inbox.received]
    assert len(due) == 1 + sum(len(scene) for *_, scene in SCENES), case
    assert all(state == "sent" and alert_id in accepted for alert_id, state in due), case
    texts = "\n".join(message.text for message in play.inbox.received)
    for name in ("Reel A", "Reel B", "Reel C", "Reel D", "Aria 4k", "6 models"):
        assert name in texts, f"{case}: {name} is in no message:\n{texts}"


def nothing_came_twice_but_for_a_reason(play: Play, case: str) -> None:
    """A repeated message has the same id and text, and the crash fell between accept and mark."""
    distinct = {(message.alert_id, message.text) for message in play.inbox.received}
    ids, texts = ({each[part] for each in distinct} for part in (0, 1))
    assert len(ids) == len(texts) == len(distinct), case
    between = {"after send", "before mark_sent"}
    assert play.inbox.repeated == sum(end in between for end in play.ends), case


def fuses(*lengths: int) -> Callable[[], Fuse]:
    left = [*lengths]
    return lambda: Fuse(left.pop(0) if left else FOREVER)


@pytest.fixture
async def blank(tmp_path: Path) -> Path:
    """A state in which nothing has happened yet: making one takes the disk a while."""
    async with open_store(tmp_path / "blank.db"):
        return tmp_path / "blank.db"


async def test_a_crash_at_any_step_loses_nothing(blank: Path) -> None:
    step, crashed = 0, True
    seen: set[str] = set()
    with capture_logs():
        while crashed:
            step += 1
            play = Play(Path(copy(blank, blank.with_name(f"{step}.db"))), fuses(step))
            await play.perform()
            must_have_gone_well(play)
            crashed = bool(play.ends)
            seen.update(play.ends)

    steps = LASTING | FETCHING
    assert seen == {f"{when} {step}" for when in ("before", "after") for step in steps}


@pytest.mark.parametrize("seed", range(8))
async def test_crash_after_crash_loses_nothing(blank: Path, seed: int) -> None:
    rng = Random(seed)
    with capture_logs():
        play = Play(blank, lambda: Fuse(rng.randint(1, 25)))
        await play.perform()
        must_have_gone_well(play)

    assert len(play.ends) > 3
