"""Opening the state: what is made, what is refused, and that refusing touches nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from stored import START, VALUE, commit, record
from torture.state_checks import query
from watcher.store.connection import InUseError, NoStateError, StateError, open_reading
from watcher.store.queries import open_reader
from watcher.store.schema import NEWEST
from watcher.store.store import open_store
from watcher.store.values import PollOutcome


async def fill(path: Path, models: int = 400) -> None:
    async with open_store(path) as store:
        await store.record(commit(baseline=tuple(record(f"model {n}") for n in range(models))))


def content(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", *arguments]
    return subprocess.run(command, timeout=20, check=False, capture_output=True, text=True)


async def refusal(path: Path) -> str:
    """What the writer says to this file, having left it alone."""
    before = content(path)
    with pytest.raises(StateError) as refused:
        async with open_store(path):
            pass
    assert content(path) == before
    return str(refused.value)


async def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there" / "kie-watcher.db"
    async with open_store(path):
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert set(modes.values()) == {0o600}
    assert {"kie-watcher.db", "kie-watcher.db.lock", "kie-watcher.db-wal"} <= set(modes)


async def test_a_file_of_no_bytes_is_a_fresh_start(path: Path) -> None:
    put(path, b"")
    await fill(path)

    assert query(path, "SELECT count(*) FROM models") == [(400,)]


async def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    put(path, b"receivers: {}\n" * 20)

    assert "not a database of kie-watcher" in await refusal(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_database_of_another_program_is_refused_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE theirs (a)")
        other.commit()

    assert "database of another program" in await refusal(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_database_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    await fill(path)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {NEWEST + 1}")

    assert "newer kie-watcher" in await refusal(path)
    with pytest.raises(StateError, match="newer kie-watcher"):
        async with open_reader(path):
            pass


async def test_a_newer_version_that_stands_only_in_the_log_is_seen(path: Path) -> None:
    await fill(path)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA wal_autocheckpoint = 0")
        newer.execute(f"PRAGMA user_version = {NEWEST + 1}")
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")

    assert "newer kie-watcher" in await refusal(copy)


@pytest.mark.parametrize("how", ["a page overwritten", "half of it gone"])
async def test_a_damaged_database_is_refused_untouched_with_what_to_do(
    path: Path, how: str
) -> None:
    await fill(path)
    whole = content(path)
    if how == "half of it gone":
        put(path, whole[: len(whole) // 2])
    else:
        put(path, whole[: 2 * 4096] + b"\xa5" * (len(whole) - 2 * 4096))

    said = await refusal(path)
    assert "damaged" in said
    assert "kie-watcher restore FILE" in said
    assert "kie-watcher run --rebuild" in said


async def test_damage_met_while_reading_is_said_in_words(path: Path) -> None:
    await fill(path)
    whole = content(path)
    put(path, whole[:4096] + b"\xa5" * (len(whole) - 4096))

    with pytest.raises(StateError, match="damaged"):
        async with open_reader(path) as reader:
            await reader.status()


async def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is not a file"):
        async with open_store(tmp_path):
            pass


async def test_a_pipe_in_place_of_the_file_is_refused_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StateError, match="is not a file"):
        async with open_store(path):
            pass


async def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be made"):
        async with open_store(tmp_path / "file" / "kie-watcher.db"):
            pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no such directory here")
async def test_a_directory_that_may_not_be_written_is_said() -> None:
    with pytest.raises(StateError, match="Check its owner and permissions"):
        async with open_store(Path("/proc/kie-watcher.db")):
            pass


async def test_a_lock_file_that_points_elsewhere_is_not_followed(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.with_name("kie-watcher.db.lock").symlink_to(victim)

    with pytest.raises(StateError, match="cannot be used"):
        async with open_store(path):
            pass
    assert victim.read_text() == "precious"


async def test_a_second_writer_is_refused_and_told_who_the_first_is(path: Path) -> None:
    async with open_store(path):
        with pytest.raises(InUseError, match=rf"process {os.getpid()}\)"):
            async with open_store(path):
                pass
    async with open_store(path):
        pass


OPENS_AND_ENDS = """
import asyncio, sys
from pathlib import Path
from watcher.store.store import open_store

async def main(how):
    async with open_store(Path(sys.argv[1])) as store:
        match how:
            case "refused": await store.mark_sent(1, None)
            case "sys.exit": sys.exit(3)
            case "cancelled": asyncio.current_task().cancel(); await asyncio.sleep(9)
            case "second": await nested(store)

async def nested(store):
    async with open_store(Path(sys.argv[1])):
        pass

asyncio.run(main(sys.argv[2]))
"""


@pytest.mark.parametrize("how", ["well", "refused", "sys.exit", "cancelled", "second"])
def test_the_process_ends_whatever_happens_while_the_state_is_open(path: Path, how: str) -> None:
    ended = run_python(OPENS_AND_ENDS, str(path), how)

    assert ended.returncode == {"well": 0, "sys.exit": 3}.get(how, 1)
    assert "never retrieved" not in ended.stderr
    assert "ResourceWarning" not in ended.stderr


async def test_a_state_whose_writer_was_killed_is_whole_for_reader_and_next_writer(
    path: Path,
) -> None:
    script = (
        "import asyncio, os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from stored import commit, record\n"
        "from watcher.store.store import open_store\n"
        "async def main():\n"
        "    async with open_store(Path(sys.argv[1])) as store:\n"
        "        await store.record(commit(baseline=(record(),)))\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    assert run_python(script, str(path), str(Path(__file__).parent)).returncode == -9

    async with open_reader(path) as reader:
        assert len((await reader.models()).models) == 1
    async with open_store(path) as store:
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert snapshot.usd_per_credit == VALUE


async def test_a_reader_sees_what_a_running_writer_has_stored(path: Path) -> None:
    async with open_store(path) as store:
        await store.record(commit(baseline=(record(),)))
        async with open_reader(path) as reader:
            assert len((await reader.models()).models) == 1
            await store.note_poll(START, PollOutcome.QUIET)
            poll = (await reader.status()).poll
            assert poll is not None
            assert poll.at == START


async def test_a_reader_needs_no_writer_and_does_not_keep_one_out(path: Path) -> None:
    await fill(path, models=1)

    async with open_reader(path) as reader, open_store(path) as store:
        await store.note_poll(START, PollOutcome.QUIET)
        assert (await reader.status()).poll is not None


async def test_a_reader_cannot_write(path: Path) -> None:
    await fill(path, models=1)
    with (
        open_reading(path, NEWEST) as database,
        pytest.raises(StateError, match="cannot be opened or written"),
    ):
        await database.execute("DELETE FROM holds")


@pytest.mark.parametrize("there", ["nothing", "no bytes"])
async def test_a_reader_says_when_there_is_no_state_yet(path: Path, there: str) -> None:
    if there == "no bytes":
        put(path, b"")
    with pytest.raises(NoStateError, match=r"no state yet.*kie-watcher run"):
        async with open_reader(path):
            pass


async def test_a_reader_says_when_the_format_is_an_older_one(path: Path) -> None:
    await fill(path, models=1)
    with pytest.raises(StateError, match="older kie-watcher"), open_reading(path, NEWEST + 1):
        pass
