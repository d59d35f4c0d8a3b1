"""Addresses that were found good: asked about again when anything has changed, and not before."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from watcher.app import open_receivers
from watcher.cli.options import GlobalOptions, load_settings_remembering
from watcher.notify import remembered
from watcher.notify.addresses import Inspected
from watcher.notify.client import Sender
from watcher.notify.remembered import recall, remember
from watcher.render.markup import Markup, Service

if TYPE_CHECKING:
    from command_line import Place

SECRET = "c4n4ry-t0k3n"
SERVICE = Service("json", Markup.TEXT, 1_000, 100, None)
GOOD = {
    (f"json://localhost/{SECRET}", "auto"): Inspected((), SERVICE, takes_pictures=True),
    ("ntfy://localhost/topic", "text"): Inspected((), SERVICE),
}
FIRST, SECOND = GOOD


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "kie-watcher.db"


def file_of(state: Path) -> Path:
    return state.with_name("kie-watcher.db.addresses")


def test_what_was_found_good_is_not_asked_about_again(state: Path) -> None:
    assert recall(state, GOOD) == {}
    remember(state, GOOD)
    assert recall(state, GOOD) == GOOD


@pytest.mark.parametrize(
    "changed",
    [
        [FIRST],
        [SECOND, FIRST],
        [*GOOD, ("json://localhost/", "auto")],
        [(f"{FIRST[0]}x", "auto"), SECOND],
        [(FIRST[0], "json"), SECOND],
        [("".join(FIRST), ""), SECOND],
    ],
    ids=["one gone", "another order", "one more", "another address", "another format", "shifted"],
)
def test_any_change_of_the_addresses_is_asked_about(
    state: Path, changed: list[tuple[str, str]]
) -> None:
    remember(state, GOOD)
    assert recall(state, changed) == {}


@pytest.mark.parametrize("changed", ["apprise", "kie-watcher"])
def test_another_version_of_who_judges_them_is_asked(
    state: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    remember(state, GOOD)
    if changed == "apprise":
        monkeypatch.setattr(remembered, "version", lambda _: "99.0")
    else:
        monkeypatch.setattr(remembered, "__version__", "99.0")
    assert recall(state, GOOD) == {}


def test_the_file_reveals_nothing_and_is_its_owner_s_alone(state: Path) -> None:
    remember(state, GOOD)
    first = file_of(state).read_text()
    remember(state, GOOD)
    assert stat.S_IMODE(file_of(state).stat().st_mode) == 0o600
    assert SECRET not in first
    # With a new key each time, nobody can tell that the addresses are the same.
    assert not set(json.loads(first)[:2]) & set(json.loads(file_of(state).read_text())[:2])


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'["00", "00"]', b'["x", "y"]', b"[1, 2]", b"\xff", b"[" * 900, b"null"],
)
def test_a_damaged_file_is_a_question_more(state: Path, content: bytes) -> None:
    file_of(state).write_bytes(content)
    assert recall(state, GOOD) == {}
    remember(state, GOOD)
    assert recall(state, GOOD) == GOOD


def test_a_file_with_another_verdict_is_not_believed(state: Path) -> None:
    remember(state, GOOD)
    changed = file_of(state).read_text().replace("1000", "9000")
    file_of(state).write_text(changed)
    assert recall(state, GOOD) == {}


def test_neither_a_link_nor_a_pipe_nor_a_directory_is_read_or_written(
    state: Path, tmp_path: Path
) -> None:
    remember(state, GOOD)
    elsewhere = tmp_path / "elsewhere"
    file_of(state).rename(elsewhere)
    before = elsewhere.read_text()
    for make in (lambda place: place.symlink_to(elsewhere), os.mkfifo, Path.mkdir):
        make(file_of(state))
        assert recall(state, GOOD) == {}
        remember(state, GOOD)
        if file_of(state).is_dir():
            break
        file_of(state).unlink()
    assert elsewhere.read_text() == before


def test_a_state_that_cannot_be_written_beside_is_no_failure(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "kie-watcher.db"
    remember(nowhere, GOOD)
    assert recall(nowhere, GOOD) == {}


def test_without_addresses_there_is_nothing_to_ask_and_no_file(state: Path) -> None:
    remember(state, GOOD)
    remember(state, {})
    assert recall(state, []) == {}
    assert not file_of(state).exists()


# `check`

CHECKED = f"""
source: {{url: "http://127.0.0.1:1"}}
receivers:
  team: {{url: "json://localhost/{SECRET}"}}
"""


def test_check_finds_a_typing_mistake_before_there_is_anything_to_send(place: Place) -> None:
    place.configure(CHECKED)
    place.run("check")
    assert file_of(place.state).exists()
    place.configure(CHECKED.replace("json://", "jsn://"))
    result = place.run("check")
    assert result.exit_code == 2
    assert "config.yaml:4:15: receivers.team.url: is not an address" in result.stderr
    assert SECRET not in result.stderr


def test_a_mistake_elsewhere_hides_none_in_an_address(place: Place) -> None:
    place.configure(CHECKED.replace("json://", "jsn://") + "poll: {interval: soon}\n")
    result = place.run("check")
    assert "receivers.team.url" in result.stderr
    assert "poll.interval" in result.stderr


def test_a_check_that_has_nothing_to_send_asks_nobody_about_an_address(place: Place) -> None:
    place.configure(CHECKED)
    place.run("check")

    async def open_again() -> tuple[str, int | None]:
        async with Sender() as sender:
            settings = await asyncio.to_thread(load_settings_remembering, GlobalOptions(), sender)
            [receiver] = await open_receivers(settings, sys.stdout, sender)
            return receiver.service.name, sender.pid

    assert asyncio.run(open_again()) == ("json", None)
