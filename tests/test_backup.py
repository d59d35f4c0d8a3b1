"""Copies of the state: made beside a running daemon, checked before they count, put back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from stored import START, commit, minutes, record, removed
from watcher.store.backup import back_up, rebuild, restore
from watcher.store.connection import InUseError, NoStateError, StateError, UnusableError
from watcher.store.queries import open_reader
from watcher.store.store import open_store
from watcher.store.values import PollOutcome


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


async def store_models(state: Path, *names: str) -> None:
    async with open_store(state) as store:
        await store.record(commit(baseline=tuple(map(record, names))))


async def names(state: Path) -> list[str]:
    async with open_reader(state) as views:
        return [known.record.description for known, _ in (await views.models()).models]


async def test_a_backup_is_one_moment_of_a_state_in_use(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with open_store(state) as store:
        await store.record(commit(baseline=(record("Reel"),)))
        back_up(state, copy)
        await store.note_poll(minutes(1), PollOutcome.QUIET)

    assert await names(copy) == ["Reel"]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert sorted(it.name for it in tmp_path.iterdir() if it.name.startswith(".")) == []


async def test_a_backup_replaces_the_one_before_only_when_it_is_whole(
    state: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)
    before = copy.read_bytes()
    with state.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(StateError, match="damaged"):
        back_up(state, copy)

    assert copy.read_bytes() == before


def _configuration(target: Path) -> None:
    target.write_text("receivers: {}\n")


def _link_to_a_file(target: Path) -> None:
    precious = target.with_name("precious")
    precious.write_text("precious")
    target.symlink_to(precious)


def _link_to_a_backup(target: Path) -> None:
    copy = target.with_name("copy.db")
    back_up(target.with_name("state.db"), copy)
    target.symlink_to(copy)


def _state_of_another(target: Path) -> None:
    restore(target, target.with_name("state.db"), START)


def _database_of_another_program(target: Path) -> None:
    with closing(sqlite3.connect(target)) as other:
        other.execute("CREATE TABLE theirs (a)")


def _device(target: Path) -> None:
    try:
        os.mknod(target, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes a device")


THINGS: dict[str, Callable[[Path], None]] = {
    "a configuration": _configuration,
    "an empty file": Path.touch,
    "a pipe": os.mkfifo,
    "a device": _device,
    "a directory": Path.mkdir,
    "a link to a file": _link_to_a_file,
    "a link to nothing": lambda target: target.symlink_to("nowhere"),
    "a link to a backup": _link_to_a_backup,
    "another state": _state_of_another,
    "another program's database": _database_of_another_program,
}


@pytest.mark.parametrize("make", THINGS.values(), ids=THINGS)
async def test_a_backup_replaces_nothing_but_a_backup(
    state: Path, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    target = tmp_path / "target"
    await store_models(state, "Reel")
    make(target)
    before, content = target.lstat(), target.read_bytes() if target.is_file() else b""

    with pytest.raises(StateError, match="is no backup that kie-watcher made"):
        back_up(state, target)

    after = target.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime) == (
        *(before.st_ino, before.st_mode, before.st_mtime),
    )
    assert not target.is_file() or target.read_bytes() == content
    assert [it for it in tmp_path.iterdir() if it.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["state.db-wal", "other.db-shm", "state.db.lock", "state.db"])
async def test_a_backup_is_never_written_to_what_belongs_to_a_state(
    state: Path, tmp_path: Path, name: str
) -> None:
    async with open_store(state) as store:
        await store.record(commit(baseline=(record("Reel"),)))
        with pytest.raises(StateError, match="name another file"):
            back_up(state, tmp_path / name)

        assert len((await store.models()).models) == 1
    assert await names(state) == ["Reel"]


async def test_what_appears_while_a_backup_is_made_is_left_alone(
    state: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    await store_models(state, "Reel")

    class Watching(type(target)):  # type: ignore[misc]
        """A path of which somebody else makes a file as soon as the copy is made."""

        def lstat(self) -> os.stat_result:
            if any(it.name.startswith(".target.") for it in tmp_path.iterdir()):
                target.write_text("precious")
            return super().lstat()  # type: ignore[no-any-return]

    with pytest.raises(StateError):
        back_up(state, Watching(target))

    assert target.read_text() == "precious"


async def test_nobody_else_can_read_a_backup_while_it_is_made(state: Path, tmp_path: Path) -> None:
    await store_models(state, *(f"Reel {number}" for number in range(500)))
    before, modes = os.umask(0), set[int]()
    done = asyncio.create_task(asyncio.to_thread(back_up, state, tmp_path / "copy.db"))
    try:
        while not done.done():
            await asyncio.sleep(0)
            for part in tmp_path.glob(".copy.db.*"):
                with suppress(FileNotFoundError):
                    modes.add(stat.S_IMODE(part.stat().st_mode) & 0o077)
        await done
    finally:
        os.umask(before)

    assert modes == {0}


async def test_a_backup_is_not_written_to_and_says_how_to_use_it(
    state: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)

    with pytest.raises(UnusableError, match=r"is a backup.*kie-watcher restore"):
        async with open_store(copy):
            pass

    assert restore(copy, copy, START) is not None
    await store_models(copy)


@pytest.mark.parametrize(
    "target", ["missing/copy.db", "state.db"], ids=["nowhere to write", "the state itself"]
)
async def test_a_backup_that_cannot_be_made_says_why(
    state: Path, tmp_path: Path, target: str
) -> None:
    await store_models(state, "Reel")

    with pytest.raises(StateError, match=r"cannot be written|is the state itself"):
        back_up(state, tmp_path / target)


def test_without_a_state_there_is_nothing_to_back_up(state: Path, tmp_path: Path) -> None:
    with pytest.raises(NoStateError):
        back_up(state, tmp_path / "copy.db")


async def test_a_restored_backup_is_the_state_and_the_old_one_is_kept(
    state: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)
    async with open_store(state) as store:
        known = (await store.snapshot()).models[0]  # type: ignore[union-attr]
        await store.record(commit(minutes(1), removed(known)))

    kept = restore(state, copy, START)

    assert await names(state) == ["Reel"]
    assert kept is not None
    assert await names(kept) == []


async def test_a_restored_state_goes_on_where_it_was(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)
    restore(state, copy, START)

    async with open_store(state) as store:
        await store.record(commit(minutes(5)))
        snapshot = await store.snapshot()

    assert snapshot is not None
    assert snapshot.swept_at == minutes(5)


async def test_nothing_is_restored_while_a_daemon_runs(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)

    async with open_store(state):
        with pytest.raises(InUseError):
            restore(state, copy, START)


@pytest.mark.parametrize(
    "broken", [b"", b"not a database", None], ids=["empty", "foreign", "damaged"]
)
async def test_what_is_no_sound_backup_is_not_restored(
    state: Path, tmp_path: Path, broken: bytes | None
) -> None:
    copy = tmp_path / "copy.db"
    await store_models(state, "Reel")
    back_up(state, copy)
    content = copy.read_bytes()
    copy.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096) if broken is None else broken)

    with pytest.raises(StateError):
        restore(state, copy, START)

    assert await names(state) == ["Reel"]


async def test_a_damaged_state_is_moved_aside_with_its_log(state: Path) -> None:
    await store_models(state, "Reel")
    state.write_bytes(b"broken")

    kept = rebuild(state, START)

    assert kept is not None
    assert kept.read_bytes() == b"broken"
    await store_models(state, "Aria")
    assert await names(state) == ["Aria"]


async def test_backups_and_commits_do_not_disturb_each_other(state: Path, tmp_path: Path) -> None:
    async with open_store(state) as store:
        await store.record(commit(baseline=tuple(record(f"Reel {n}") for n in range(200))))
        copies = [asyncio.to_thread(back_up, state, tmp_path / f"{n}.db") for n in range(3)]
        notes = [store.note_poll(minutes(n), PollOutcome.QUIET) for n in range(30)]
        await asyncio.gather(*copies, *notes)

    assert [len(await names(tmp_path / f"{n}.db")) for n in range(3)] == [200] * 3
