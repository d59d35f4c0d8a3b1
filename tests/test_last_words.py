"""A state that trying again cannot fix: how the program ends, and who is told before it does."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from command_line import PATIENCE, Place, ended
from stored import START, commit, minutes, record
from torture.inboxes import HttpInbox
from watcher.monitor.alarms import AlarmRules
from watcher.monitor.direct import say_last_words, withdraw_last_words
from watcher.notify.outcome import Outcome, Verdict
from watcher.render.markup import Markup, Service
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.backup import back_up
from watcher.store.connection import StateError, UnusableError
from watcher.store.store import open_store

DAMAGED = StateError("state.db: the database is damaged (page 3). It has been left as it is.")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwrite(path: Path) -> None:
    path.write_bytes(b"not a database, but a page of a diary" * 1000)


def make_foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (title TEXT)")
        db.commit()


def make_newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 4711")
        db.commit()


SPOILT = [cut, overwrite, make_foreign, make_newer]


# How it ends


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_state_that_cannot_be_used_ends_a_command_with_78_and_one_line(
    place: Place, spoil: Callable[[Path], None]
) -> None:
    asyncio.run(a_state(place))
    spoil(place.state)

    ended = place.run("status")

    assert ended.exit_code == 78
    assert ended.stderr.startswith("kie-watcher: ")
    assert "kie-watcher.db: " in ended.stderr
    assert ended.stderr.count("\n") == 1


async def a_state(place: Place) -> None:
    await fill(place.state)


async def fill(path: Path) -> None:
    async with open_store(path) as store:
        await store.record(commit(baseline=tuple(record(f"A {n}") for n in range(50))))


async def test_what_does_the_work_ends_so_too(place: Place) -> None:
    await a_state(place)
    make_newer(place.state)
    async with Simulator(generate(seed=1, size=20)) as simulator:
        place.watch(simulator)
        check = await place.run_aside("check")
    assert (check.exit_code, check.stderr.count("\n")) == (78, 1)
    assert "Upgrade kie-watcher" in check.stderr


async def test_an_address_that_cannot_be_listened_at_ends_with_2_and_one_line(
    place: Place,
) -> None:
    async with Simulator(generate(seed=1, size=20)) as simulator:
        port = simulator.url.split(":")[2].split("/")[0]
        place.watch(simulator, f"web: {{listen: 127.0.0.1:{port}}}\nlog: {{level: error}}")
        run = await ended(await place.start("run"))
    assert run.exit_code == 2
    assert run.stderr.startswith("kie-watcher: web.listen: the address cannot be listened at (")
    assert run.stderr.count("\n") == 1


# A state that is taken away


def remove(path: Path) -> None:
    path.unlink()


def rename_older(path: Path) -> None:
    older = path.with_name("older.db")
    asyncio.run(fill(older))
    older.rename(path)


def copy_older(path: Path) -> None:
    older = path.with_name("older.db")
    asyncio.run(fill(older))
    path.write_bytes(older.read_bytes())


def restore_by_hand(path: Path) -> None:
    copy = path.with_name("copy.db")
    back_up(path, copy)
    path.write_bytes(copy.read_bytes())


def is_at_rest(path: Path) -> bool:
    """Whether the last commit is in the database itself: that the message was sent."""
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db,
    ):
        return db.execute("SELECT state FROM messages").fetchall() == [("sent",)]
    return False


TAKEN = [remove, rename_older, copy_older, restore_by_hand, cut, overwrite]


@pytest.mark.parametrize("take", TAKEN, ids=lambda take: take.__name__)
async def test_a_state_taken_from_a_running_daemon_ends_it_in_words(
    place: Place, take: Callable[[Path], None]
) -> None:
    async with Simulator(generate(seed=1, size=20)) as simulator, HttpInbox("me") as me:
        begun = asyncio.Event()
        me.on_message = begun.set
        place.configure(
            f'source: {{url: "{simulator.url}"}}\nreceivers: {{me: {{url: "{me.url}"}}}}\n'
            "operator: [me]\nlog: {level: error}\n"
        )
        process = await place.start("run")
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            # What is written over it in the moment of a commit is mixed with that.
            while not is_at_rest(place.state):  # noqa: ASYNC110 - another process, no event
                await asyncio.sleep(0)
        await asyncio.to_thread(take, place.state)
        taken = place.state.read_bytes() if place.state.exists() else b""
        run = await ended(process)

    assert (run.exit_code, run.stdout) == (78, "")
    assert "Traceback" not in run.stderr
    assert ("was removed" if take is remove else "was replaced") in run.stderr.splitlines()[-1]
    assert "kie-watcher restore FILE" in run.stderr.splitlines()[-1]
    assert sum("The state" in it.text or "state" in it.text for it in me.received) == 1
    assert not any(" is gone" in it.text for it in me.received)
    assert (place.state.read_bytes() if place.state.exists() else b"") == taken


async def test_what_lies_where_the_state_was_is_what_the_next_start_finds(place: Place) -> None:
    async with open_store(place.state) as store:
        await store.record(commit(baseline=(record("A 1"), record("A 2"))))
        await asyncio.to_thread(rename_older, place.state)
        with pytest.raises(UnusableError, match="was replaced"):
            await store.snapshot()
        with pytest.raises(UnusableError, match="was replaced"):
            await store.watch(asyncio.Event())

    async with open_store(place.state) as store:
        snapshot = await store.snapshot()
    assert snapshot is not None
    assert len(snapshot.models) == 50


async def test_a_reader_at_the_wrong_moment_hides_nothing(place: Place) -> None:
    async with open_store(place.state) as store:
        await store.record(commit(baseline=(record("A 1"),)))
        older = place.state.read_bytes()
        with closing(sqlite3.connect(place.state, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM models").fetchall()
            await store.record(commit(minutes(1)))
        assert await store.snapshot() is not None
        place.state.write_bytes(older)
        with pytest.raises(UnusableError, match="was replaced"):
            await store.snapshot()
    assert place.state.read_bytes() == older


async def test_a_state_that_is_only_touched_goes_on(place: Place) -> None:
    async with open_store(place.state) as store:
        await store.record(commit(baseline=(record("A 1"),)))
        os.utime(place.state, (1, 1))
        assert await store.snapshot() is not None
        await store.record(commit(minutes(1)))


async def test_a_state_that_cannot_be_looked_at_now_is_not_given_up(place: Place) -> None:
    directory = place.path / "mounted"
    directory.mkdir()
    async with open_store(directory / "state.db") as store:
        await store.record(commit(baseline=(record("A 1"),)))
        directory.rename(place.path / "away")
        directory.symlink_to(directory)
        with pytest.raises(StateError, match="cannot be used") as failed:
            await store.snapshot()
        assert not isinstance(failed.value, UnusableError)
        directory.unlink()
        (place.path / "away").rename(directory)

        assert await store.snapshot() is not None


# Who is told


async def test_operators_are_told_once_and_of_the_end_as_well(place: Place) -> None:
    async with (
        Simulator(generate(seed=1, size=20)) as simulator,
        HttpInbox("team") as team,
        HttpInbox("me") as me,
    ):
        receivers = f'receivers: {{team: {{url: "{team.url}"}}, me: {{url: "{me.url}"}}}}\n'
        place.watch(simulator, f"{receivers}operator: [me]\nlog: {{level: error}}\n")
        await a_state(place)
        sound = place.state.read_bytes()
        overwrite(place.state)

        for _ in range(2):
            assert (await ended(await place.start("run"))).exit_code == 78

        (message,) = me.received
        assert "state" in message.text
        assert "damaged" in message.text
        marker = place.path / "kie-watcher.db.notified"
        assert marker.stat().st_mode & 0o777 == 0o600

        place.state.write_bytes(sound)
        # As if it had been so for a while: a state is well after ten minutes.
        kept = json.loads(marker.read_text())
        kept["last_at"] = "2020-01-01T00:00:00+00:00"
        marker.write_text(json.dumps(kept))
        over = asyncio.Event()

        def note() -> None:
            if any("can be used again" in it.text for it in me.received):
                over.set()

        me.on_message = note
        process = await place.start("run")
        async with asyncio.timeout(PATIENCE):
            await over.wait()
        process.terminate()
        await ended(process)
    assert not any("state" in it.text for it in team.received)
    assert not marker.exists()


@dataclass
class Operator:
    """A receiver that says whether it accepts, or breaks, and keeps what it was offered."""

    name: str
    accepts: bool = True
    breaks: bool = False
    offered: list[str] = field(default_factory=list)
    service: Service = field(default_factory=lambda: Service("test", Markup.TEXT, 500, 0, None))

    async def send(
        self,
        title: str,
        body: str,
        alert_id: str,
        markup: str | None = None,
        picture: bytes | None = None,
    ) -> Outcome:
        self.offered.append(body)
        if self.breaks:
            raise RuntimeError("broken")
        return Outcome(Verdict.ACCEPTED if self.accepts else Verdict.RETRY, "")


async def say(
    state: Path, *operators: Operator, error: StateError = DAMAGED, at: datetime = START
) -> None:
    names = tuple(operator.name for operator in operators)
    rules = AlarmRules(names, ("team", *names))
    everyone = (Operator("team"), *operators)
    await say_last_words(error, state, everyone, rules=rules, now=at, rng=Random(0))
    assert everyone[0].offered == []


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def test_every_operator_is_told_and_reminded_after_a_day(state: Path) -> None:
    me, mail = Operator("me"), Operator("mail")
    for hours in (0, 1, 23, 25, 26):
        await say(state, me, mail, at=START + timedelta(hours=hours))

    assert (len(me.offered), len(mail.offered)) == (2, 2)
    assert all("the database is damaged" in body for body in me.offered)
    alarm = withdraw_last_words(state)
    assert alarm is not None
    assert (alarm.since_at, alarm.why) == (START, str(DAMAGED))
    assert withdraw_last_words(state) is None


async def test_a_clock_set_back_by_years_does_not_put_the_reminder_off_for_years(
    state: Path,
) -> None:
    me = Operator("me")
    for days in (3650, 0, 0.9, 1.1):
        await say(state, me, at=START + timedelta(days=days))

    assert len(me.offered) == 3


async def test_other_words_are_other_news(state: Path) -> None:
    me = Operator("me")
    await say(state, me)
    await say(state, me, error=StateError("is of another program"))

    assert len(me.offered) == 2


async def test_what_nobody_accepted_is_said_again_at_the_next_start(state: Path) -> None:
    me = Operator("me", accepts=False)
    await say(state, me)
    await say(state, me)

    assert len(me.offered) == 2


async def test_without_operators_nobody_is_told(state: Path) -> None:
    await say(state)

    assert withdraw_last_words(state) is None


@pytest.mark.parametrize("content", ["", "{}", "[" * 100_000, '{"kind": "state", "since_at": 3}'])
async def test_a_note_that_cannot_be_read_is_as_good_as_none(state: Path, content: str) -> None:
    state.with_name("state.db.notified").write_text(content)
    me = Operator("me")
    await say(state, me)

    assert len(me.offered) == 1


async def test_a_place_that_cannot_be_written_ends_no_last_word(tmp_path: Path) -> None:
    me = Operator("me")
    await say(tmp_path / "nowhere" / "state.db", me)

    assert len(me.offered) == 1


async def test_a_receiver_that_breaks_keeps_nobody_else_from_hearing(state: Path) -> None:
    me, mail = Operator("me", breaks=True), Operator("mail")
    await say(state, me, mail)

    assert len(mail.offered) == 1
