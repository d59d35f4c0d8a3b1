"""The commands `backup` and `restore`, and `--rebuild`: the state copied, put back, or begun again."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from command_line import Place
from stored import began, record
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.store import open_store


@pytest.fixture
def place(place: Place) -> Place:
    remember(place, "Reel")
    return place


def remember(place: Place, name: str) -> None:
    place.ask(lambda store: began(store, record(name)))


def known(place: Place) -> list[str]:
    return [model["description"] for model in place.json("models")]


def damage(state: Path) -> None:
    whole = state.read_bytes()
    state.write_bytes(whole[: 2 * 4096] + b"\xa5" * (len(whole) - 2 * 4096))


def test_a_backup_can_be_put_back_and_the_old_memory_is_kept(place: Place) -> None:
    said = place.run_ok("backup", "copy.db")
    copy = place.path / "copy.db"
    assert f"Backed up {place.state} to copy.db (0.2 MB)." in said
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600

    place.state.unlink()
    remember(place, "Aria")
    restored, kept = place.run_ok("restore", "copy.db").splitlines()
    assert restored == f"Restored {place.state} from copy.db."
    assert known(place) == ["Reel"]
    assert kept.startswith(f"What was there is kept as {place.state}.before-restore-")
    assert Path(kept.split()[-1]).exists()


async def test_a_backup_is_made_beside_a_running_daemon_and_not_put_back(place: Place) -> None:
    async with open_store(place.state):
        await asyncio.to_thread(place.run_ok, "backup", "copy.db")
        result = await asyncio.to_thread(place.run, "restore", "copy.db")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "is in use by another kie-watcher" in result.stderr


@pytest.mark.parametrize("content", [b"", b"a shopping list" * 100], ids=["empty", "foreign"])
def test_what_is_no_backup_is_refused_and_changes_nothing(place: Place, content: bytes) -> None:
    (place.path / "copy.db").write_bytes(content)
    before = place.state.read_bytes()

    result = place.run("restore", "copy.db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "copy.db: is " in result.stderr
    assert "--rebuild" not in result.stderr
    assert place.state.read_bytes() == before


def test_a_damaged_backup_is_refused_and_changes_nothing(place: Place) -> None:
    place.run_ok("backup", "copy.db")
    damage(place.path / "copy.db")

    assert "is not a sound backup. Nothing was changed" in place.run("restore", "copy.db").stderr
    assert known(place) == ["Reel"]


def test_a_backup_that_cannot_be_written_ends_in_one_line(place: Place) -> None:
    result = place.run("backup", "no/such/place.db")

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "cannot be written here" in result.stderr


async def checked(place: Place, *options: str) -> tuple[int, str, str]:
    async with Simulator(generate(seed=3, size=20)) as simulator:
        place.watch(simulator)
        result = await place.run_aside("check", *options)
    return result.exit_code, result.stdout, result.stderr


async def test_damage_is_refused_until_a_person_says_to_begin_anew(place: Place) -> None:
    damage(place.state)
    broken = place.state.read_bytes()

    code, said, complaint = await checked(place)
    assert (code, said) == (78, "")
    assert "kie-watcher run --rebuild" in complaint
    assert place.state.read_bytes() == broken

    code, said, complaint = await checked(place, "--rebuild")
    assert code == 0
    assert "Watching 20 models" in said
    (kept,) = place.path.glob("kie-watcher.db.damaged-*Z")
    assert f"was damaged and is now {kept}" in complaint
    assert kept.read_bytes() == broken


async def test_a_sound_memory_is_never_rebuilt(place: Place) -> None:
    code, _, complaint = await checked(place, "--rebuild")

    assert (code, complaint) == (0, "")
    assert list(place.path.glob("kie-watcher.db.damaged-*")) == []


async def test_where_there_is_no_memory_yet_there_is_nothing_to_rebuild(place: Place) -> None:
    place.state.unlink()

    code, said, complaint = await checked(place, "--rebuild")
    assert (code, complaint) == (0, "")
    assert "Watching 20 models" in said
