from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from remembering import START, commit, minutes, record
from watcher.changes import Notice, NoticeKind
from watcher.store import OutboxRequest, StateError, Store, Wish, open_store, requests

EVERYTHING = OutboxRequest(Wish.DISCARD, minutes(5))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kie-watcher.db"


def left(path: Path) -> list[str]:
    return sorted(file.name for file in spool(path).iterdir())


def spool(path: Path) -> Path:
    directory = path.with_name("kie-watcher.db.requests")
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def put(path: Path, name: str, content: str) -> None:
    (spool(path) / name).write_text(content)


async def owe(store: Store) -> None:
    sample = Notice(NoticeKind.SAMPLE, START, {})
    await store.record(commit(baseline=(record(),), notices=((sample, ("team",)),)))


async def test_a_daemon_does_what_a_command_left_and_does_it_once(path: Path) -> None:
    async with open_store(path) as store:
        await owe(store)
        requests.leave(path, EVERYTHING)

        taken = await store.take_requests()
        assert taken.applied == ((EVERYTHING, 1),)
        assert await store.waiting_receivers() == ()
        assert left(path) == []
        assert (await store.take_requests()).applied == ()


@pytest.mark.parametrize(
    "request_",
    [
        OutboxRequest(Wish.RETRY, START),
        OutboxRequest(Wish.RETRY, minutes(1), message_ids=(3, 1)),
        OutboxRequest(Wish.DISCARD, minutes(2), message_ids=(), receiver="my “team”"),
    ],
)
def test_a_request_is_taken_as_it_was_left(path: Path, request_: OutboxRequest) -> None:
    path.touch()
    file = requests.leave(path, request_)

    assert requests.look(path).requests == ((file, request_),)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_requests_are_taken_in_the_order_in_which_they_were_made(path: Path) -> None:
    path.touch()
    made = [OutboxRequest(Wish.RETRY, minutes(minute)) for minute in (3, 1, 2)]
    for request in made:
        requests.leave(path, request)

    taken = [request for _, request in requests.look(path).requests]
    assert [request.at for request in taken] == [minutes(1), minutes(2), minutes(3)]


async def test_a_state_nobody_asked_anything_of_has_no_requests(path: Path) -> None:
    async with open_store(path) as store:
        taken = await store.take_requests()

    assert (taken.applied, taken.set_aside) == ((), ())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("1.json", "", id="empty"),
        pytest.param("1.json", '{"wish": "ret', id="half"),
        pytest.param("1.json", "[" * 30000, id="nested"),
        pytest.param("1.json", "[1]", id="a list"),
        pytest.param("1.json", " " * 70000, id="too long"),
        pytest.param("notes.txt", "hello", id="another file"),
        pytest.param(
            "1.json",
            '{"wish": "drop", "at": "2026-11-22T07:30:00Z", "messages": null, "receiver": null}',
            id="an unknown wish",
        ),
        pytest.param(
            "1.json",
            '{"wish": "retry", "at": "2026-11-22T07:30:00", "messages": null, "receiver": null}',
            id="a time without a zone",
        ),
        pytest.param(
            "1.json",
            '{"wish": "retry", "at": "2026-11-22T07:30:00Z", "messages": [true], "receiver": null}',
            id="no number of a message",
        ),
    ],
)
async def test_what_is_no_request_is_set_aside_and_stops_nothing(
    path: Path, name: str, content: str
) -> None:
    async with open_store(path) as store:
        await owe(store)
        put(path, name, content)
        requests.leave(path, EVERYTHING)

        taken = await store.take_requests()
        assert taken.set_aside == (name,)
        assert taken.applied == ((EVERYTHING, 1),)
        assert left(path) == [f"{name}.rejected"]
        assert (await store.take_requests()).set_aside == ()


def test_a_pipe_or_a_link_among_the_requests_is_not_opened(path: Path) -> None:
    os.mkfifo(spool(path) / "1.json")
    (spool(path) / "2.json").symlink_to("/dev/zero")

    assert requests.look(path).set_aside == ("1.json", "2.json")


def test_a_request_still_being_written_is_left_alone(path: Path) -> None:
    put(path, "1.part", '{"wish"')

    assert requests.look(path) == requests.Spool((), ())
    assert left(path) == ["1.part"]


def test_a_file_in_place_of_the_directory_is_set_aside(path: Path) -> None:
    directory = path.with_name("kie-watcher.db.requests")
    directory.touch()

    assert requests.look(path).set_aside == (directory.name,)
    assert requests.look(path).set_aside == ()


def test_a_request_that_cannot_be_left_is_said(path: Path) -> None:
    path.with_name("kie-watcher.db.requests").touch()

    with pytest.raises(StateError, match="cannot be left"):
        requests.leave(path, EVERYTHING)


async def test_a_request_done_again_after_a_crash_does_nothing_more(path: Path) -> None:
    async with open_store(path) as store:
        await owe(store)
        assert await store.apply(EVERYTHING) == 1
        sample = Notice(NoticeKind.SAMPLE, minutes(9), {})
        await store.record(commit(minutes(9), notices=((sample, ("team",)),)))

        assert await store.apply(EVERYTHING) == 0
        assert await store.waiting_receivers() == ("team",)
