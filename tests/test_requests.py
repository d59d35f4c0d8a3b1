from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stored import (
    START,
    commit,
    create_message,
    draft,
    due_to,
    minutes,
    model,
    new,
    receivers_due,
    record,
)
from watcher.catalog.changes import Notice, NoticeKind
from watcher.catalog.confirm import Hold, HoldReason
from watcher.routing.plan import Anchor, Dispatch
from watcher.store import requests
from watcher.store.connection import ConflictError, StateError
from watcher.store.requests import (
    AcceptHolds,
    AddSilence,
    DiscardMessages,
    EndSilence,
    ForwardMessages,
    HoldKey,
    Request,
    RetryMessages,
    StartOver,
)
from watcher.store.store import Store, open_store
from watcher.store.values import StoredSilence

SILENCE = AddSilence(
    at=minutes(1),
    until_at=minutes(61),
    spec={"kinds": ["price"], "model": ["*seedance*"], "min_change": {"up": "5%"}},
    reason="known “sale” 🎉",
    dropping=True,
)
EVERYTHING = DiscardMessages(minutes(5))


def left(path: Path) -> list[str]:
    return sorted(file.name for file in spool(path).iterdir())


def spool(path: Path) -> Path:
    directory = path.with_name("kie-watcher.db.requests")
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def put(path: Path, name: str, content: str) -> None:
    (spool(path) / name).write_text(content)


async def take(path: Path) -> tuple[list[Request], tuple[str, ...]]:
    """The requests that were left, and what was set aside."""

    async def no_change(_: Request) -> int:
        return 0

    taken = await requests.take_requests(path, no_change)
    return [request for request, _ in taken.applied], taken.rejected


async def owe(store: Store) -> None:
    sample = Notice(NoticeKind.SAMPLE, START, {})
    await store.record(commit(baseline=(record(),), notices=((sample, ("team",)),)))


async def test_a_daemon_does_what_a_command_left_and_does_it_once(path: Path) -> None:
    async with open_store(path) as store:
        await owe(store)
        requests.leave_request(path, EVERYTHING)

        taken = await store.take_requests()
        assert taken.applied == ((EVERYTHING, 1),)
        assert await receivers_due(store) == ()
        assert left(path) == []
        assert (await store.take_requests()).applied == ()


@pytest.mark.parametrize(
    "request_",
    [
        RetryMessages(START),
        RetryMessages(minutes(1), message_ids=(3, 1)),
        DiscardMessages(minutes(2), message_ids=(), receiver="my “team”"),
        ForwardMessages(minutes(2), "team", message_ids=(4,)),
        ForwardMessages(minutes(2), "team", receiver="old-team"),
        SILENCE,
        EndSilence(minutes(3), 7),
        AcceptHolds(minutes(4)),
        AcceptHolds(
            minutes(4),
            (
                HoldKey(HoldReason.PRICE, 12, "0.004"),
                HoldKey(HoldReason.COLLAPSE, None, ""),
            ),
        ),
        StartOver(minutes(5)),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_a_request_is_taken_as_it_was_left(path: Path, request_: Request) -> None:
    path.touch()
    file = requests.leave_request(path, request_)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert await take(path) == ([request_], ())
    assert left(path) == []


async def test_requests_are_taken_in_the_order_in_which_they_were_made(path: Path) -> None:
    path.touch()
    made = [RetryMessages(minutes(minute)) for minute in (3, 1, 2)]
    for request in made:
        requests.leave_request(path, request)

    taken, _ = await take(path)
    assert [request.at for request in taken] == [minutes(1), minutes(2), minutes(3)]


async def test_a_state_nobody_asked_anything_of_has_no_requests(path: Path) -> None:
    async with open_store(path) as store:
        assert await store.take_requests() is None


AT = '"at": "2026-11-22T07:30:00Z"'


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        pytest.param("1.json", "", "Invalid JSON", id="empty"),
        pytest.param("1.json", '{"action": "ret', "Invalid JSON", id="half"),
        pytest.param("1.json", "[" * 30000, "Invalid JSON", id="nested"),
        pytest.param("1.json", "[1]", "object", id="a list"),
        pytest.param("1.json", " " * 70000, "longer than 65536 bytes", id="too long"),
        pytest.param("notes.txt", "hello", "no request", id="another file"),
        pytest.param("1.json", f'{{"action": "drop", {AT}}}', "drop", id="an unknown action"),
        pytest.param("1.json", f"{{{AT}}}", "action", id="no action"),
        pytest.param("1.json", '{"action": "retry"}', "retry.at", id="no time"),
        pytest.param(
            "1.json",
            '{"action": "retry", "at": "2026-11-22T07:30:00"}',
            "timezone",
            id="a time without a zone",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "retry", {AT}, "message_ids": [true]}}',
            "message_ids.0",
            id="no number of a message",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "discard", {AT}, "message_ids": [{2**63}]}}',
            "message_ids.0: Input should be less than",
            id="a number of more bits than the database stores",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "end_silence", {AT}, "number": 1{"0" * 400}}}',
            "number",
            id="a number of four hundred digits",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "discard", {AT}, "older_than": "7d"}}',
            "older_than",
            id="a condition that is not known here",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "add_silence", {AT}, "until_at": "2026-11-22T08:30:00Z", "spec": ["*"]}}',
            "spec",
            id="no matcher",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "add_silence", {AT}, "until_at": "soon", "spec": {{}}}}',
            "until_at",
            id="a silence without an end",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "end_silence", {AT}, "number": "1"}}',
            "number",
            id="no number of a silence",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "accept_holds", {AT},'
            ' "holds": [{"reason": "mood", "model_id": 1, "subject": ""}]}',
            "holds.0.reason",
            id="no reason of a hold",
        ),
        pytest.param(
            "1.json",
            f'{{"action": "accept_holds", {AT},'
            f' "holds": [{{"reason": "price", "model_id": {2**64}, "subject": ""}}]}}',
            "holds.0.model_id",
            id="a model's number of more bits than the database stores",
        ),
        pytest.param(
            "1.json",
            '{"action": "retry", "at": "0001-01-01T00:00:00+14:00"}',
            "retry.at: Input should be greater than",
            id="a time before all others",
        ),
    ],
)
async def test_what_is_no_request_is_set_aside_and_stops_nothing(
    path: Path, name: str, content: str, why: str
) -> None:
    async with open_store(path) as store:
        await owe(store)
        put(path, name, content)
        requests.leave_request(path, EVERYTHING)

        taken = await store.take_requests()
        (rejected,) = taken.rejected
        assert rejected.startswith(f"{name}: ")
        assert why in rejected
        assert taken.applied == ((EVERYTHING, 1),)
        assert left(path) == [f"{name}.rejected"]
        assert (await store.take_requests()).rejected == ()


async def test_a_pipe_or_a_link_among_the_requests_is_not_opened(path: Path) -> None:
    os.mkfifo(spool(path) / "1.json")
    (spool(path) / "2.json").symlink_to("/dev/zero")
    (spool(path) / "3.json").mkdir()

    _, rejected = await take(path)
    assert [one.partition(":")[0] for one in rejected] == ["1.json", "2.json", "3.json"]


async def test_a_request_still_being_written_is_left_alone(path: Path) -> None:
    put(path, "1.part", '{"action"')

    assert await take(path) == ([], ())
    assert left(path) == ["1.part"]


async def test_a_file_in_place_of_the_directory_is_set_aside(path: Path) -> None:
    directory = path.with_name("kie-watcher.db.requests")
    directory.touch()

    assert (await take(path))[1] == (f"{directory.name}: no request",)
    assert (await take(path))[1] == ()


async def test_a_request_that_cannot_be_done_is_set_aside_and_stops_nothing(path: Path) -> None:
    path.touch()
    for minute in (1, 2):
        requests.leave_request(path, RetryMessages(minutes(minute)))

    async def breaks_at_the_first(request: Request) -> int:
        if request.at == minutes(1):
            raise OverflowError("a bug of ours")
        return 1

    taken = await requests.take_requests(path, breaks_at_the_first)
    assert taken.applied == ((RetryMessages(minutes(2)), 1),)
    (rejected,) = taken.rejected
    assert rejected.endswith(": cannot be done (OverflowError)")
    (kept,) = left(path)
    assert kept.endswith(".json.rejected")


async def test_requests_that_the_state_cannot_take_now_are_left_for_the_next_time(
    path: Path,
) -> None:
    path.touch()
    for minute in (1, 2, 3):
        requests.leave_request(path, RetryMessages(minutes(minute)))

    async def one_fits(request: Request) -> int:
        if request.at > minutes(1):
            raise StateError("the disk is full")
        return 1

    taken = await requests.take_requests(path, one_fits)
    assert taken.applied == ((RetryMessages(minutes(1)), 1),)
    with pytest.raises(StateError, match="the disk is full"):
        await requests.take_requests(path, one_fits)
    assert (await take(path))[0] == [RetryMessages(minutes(2)), RetryMessages(minutes(3))]


def test_a_request_that_cannot_be_left_is_said(path: Path) -> None:
    path.with_name("kie-watcher.db.requests").touch()

    with pytest.raises(StateError, match="cannot be left"):
        requests.leave_request(path, EVERYTHING)


async def test_a_request_done_again_after_a_crash_does_nothing_more(path: Path) -> None:
    async with open_store(path) as store:
        await owe(store)
        assert await store.apply(EVERYTHING) == 1
        sample = Notice(NoticeKind.SAMPLE, minutes(9), {})
        await store.record(commit(minutes(9), notices=((sample, ("team",)),)))

        assert await store.apply(EVERYTHING) == 0
        assert await receivers_due(store) == ("team",)


async def test_a_request_can_be_written_by_hand(path: Path) -> None:
    put(path, "1.json", '{"action": "retry", "at": "2026-11-22T08:31+01:00", "message_ids": [4]}')

    assert await take(path) == ([RetryMessages(minutes(1), message_ids=(4,))], ())


async def test_a_silence_asked_for_twice_is_one_and_ends_once(path: Path) -> None:
    async with open_store(path) as store:
        assert await store.apply(SILENCE) == 1
        assert await store.apply(SILENCE) == 0
        (stored,) = await store.silences()
        assert stored == StoredSilence(
            1, SILENCE.spec, SILENCE.at, SILENCE.until_at, SILENCE.reason, dropping=True
        )

        assert await store.apply(EndSilence(minutes(9), 1)) == 1
        assert await store.apply(EndSilence(minutes(10), 1)) == 0
        (ended,) = await store.silences()
        assert ended.ended_at == minutes(9)


async def test_a_silence_that_is_over_or_was_never_there_cannot_be_ended(path: Path) -> None:
    async with open_store(path) as store:
        await store.apply(SILENCE)

        assert await store.apply(EndSilence(minutes(61), 1)) == 0
        assert await store.apply(EndSilence(minutes(2), 2)) == 0


def holds() -> tuple[Hold, ...]:
    """A collapse with the two removals it holds, and a price."""
    return (
        Hold(HoldReason.COLLAPSE, None, "", START, minutes(360)),
        Hold(HoldReason.REMOVAL, 1, "", START, minutes(360)),
        Hold(HoldReason.REMOVAL, 2, "", minutes(3), minutes(360)),
        Hold(HoldReason.PRICE, 3, "0.1", START, minutes(30)),
    )


async def held(store: Store) -> list[tuple[str, int | None, float]]:
    """What is on hold, and in which minute it ends."""
    await store.record(commit(baseline=tuple(record(name) for name in "abc"), holds=holds()))
    return await ends(store)


async def ends(store: Store) -> list[tuple[str, int | None, float]]:
    snapshot = await store.snapshot()
    assert snapshot is not None
    return [
        (hold.reason.value, hold.model_id, (hold.until_at - START).total_seconds() / 60)
        for hold in snapshot.holds
    ]


ONE = HoldKey(HoldReason.REMOVAL, 1, "")
ALL_OF_IT = HoldKey(HoldReason.COLLAPSE, None, "")


@pytest.mark.parametrize(
    ("names", "count", "end"),
    [
        pytest.param((ONE,), 1, [360, 5, 360, 30], id="one"),
        pytest.param((ALL_OF_IT,), 3, [5, 5, 5, 30], id="the collapse takes its removals along"),
        pytest.param(None, 4, [5, 5, 5, 5], id="all"),
        pytest.param(
            (HoldKey(HoldReason.PRICE, 3, "0.2"),), 0, [360, 360, 360, 30], id="another price"
        ),
        pytest.param(
            (HoldKey(HoldReason.PRICE, 9, "0.1"),), 0, [360, 360, 360, 30], id="another model"
        ),
    ],
)
async def test_what_is_accepted_ends_with_the_request(
    path: Path, names: tuple[HoldKey, ...] | None, count: int, end: list[float]
) -> None:
    async with open_store(path) as store:
        await held(store)

        assert await store.apply(AcceptHolds(minutes(5), names)) == count
        assert [minute for _, _, minute in await ends(store)] == end


async def test_accepting_again_later_changes_nothing_and_what_came_later_is_not_accepted(
    path: Path,
) -> None:
    async with open_store(path) as store:
        await held(store)
        await store.apply(AcceptHolds(minutes(2)))

        assert [minute for _, _, minute in await ends(store)] == [2, 2, 360, 2]
        await store.apply(AcceptHolds(minutes(2)))
        assert [minute for _, _, minute in await ends(store)] == [2, 2, 360, 2]


async def test_a_sweep_judged_before_something_was_accepted_is_not_stored(path: Path) -> None:
    async with open_store(path) as store:
        await held(store)
        await store.apply(AcceptHolds(minutes(5), (ONE,)))

        with pytest.raises(ConflictError):
            await store.record(commit(minutes(5), holds=holds(), expected_holds=holds()))

        assert ("removal", 1, 5) in await ends(store)
        snapshot = await store.snapshot()
        assert snapshot is not None
        await store.record(commit(minutes(6), expected_holds=snapshot.holds))
        assert await ends(store) == []


async def test_starting_over_is_asked_for_until_a_baseline_is_taken(path: Path) -> None:
    baseline = Notice(NoticeKind.BASELINE, minutes(4), {})

    async with open_store(path) as store:
        assert await store.apply(StartOver(minutes(1))) == 0
        await store.record(commit(baseline=(record(),)))
        assert await store.apply(StartOver(minutes(2))) == 1
        await store.record(commit(minutes(3)))
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert snapshot.start_over

        await store.record(commit(minutes(4), notices=((baseline, ()),), starts_over=True))
        # The file may be found again after a crash.
        assert await store.apply(StartOver(minutes(2))) == 0
        snapshot = await store.snapshot()
        assert snapshot is not None
        assert not snapshot.start_over
        assert await store.apply(StartOver(minutes(5))) == 1


async def test_starting_over_lets_routes_measure_anew(path: Path) -> None:
    anchor = Anchor("mine", "team", 1, model(record()))

    async with open_store(path) as store:
        await store.record(commit(baseline=(record(),)))
        await store.record(commit(minutes(1), anchors=(anchor,)))
        assert (await store.histories([1], minutes(0)))[1].anchors
        await store.record(commit(minutes(2), starts_over=True))
        assert not (await store.histories([1], minutes(0)))[1].anchors


async def owe_both(store: Store) -> None:
    """To old-team: a dead message of one change, and two more that wait; team knows the last."""
    letter = (Dispatch("old-team", "letter"),)
    names = [new(record(name)) for name in ("Aria", "Reel", "Sora")]
    changes = (
        (names[0], due_to("old-team")),
        (names[1], letter),
        (names[2], due_to("old-team", "team")),
    )
    await store.record(commit(changes=changes))
    first, *_ = await store.queued("old-team")
    message = await create_message(
        store, "old-team", draft(deliveries=[first.delivery_id]), minutes(1)
    )
    await store.mark_dead(message.id, "the address is gone", minutes(2))


async def test_what_was_for_one_receiver_is_forwarded_to_another(path: Path) -> None:
    forward = ForwardMessages(minutes(5), "team", receiver="old-team")

    async with open_store(path) as store:
        await owe_both(store)

        assert await store.apply(forward) == 3
        assert await receivers_due(store) == ("team",)
        message = await store.open_message("team")
        assert message is not None
        assert (message.alert_id, message.items, message.attempts) == ("7KQ2M9XA", 1, 0)
        waiting = await store.queued("team")
        assert [(item.route, item.content.change.model.record.description) for item in waiting] == [  # type: ignore[union-attr]
            ("", "Reel"),
            ("", "Sora"),
        ]

        await store.mark_dead(message.id, "refused", minutes(6))
        assert await store.apply(forward) == 0


async def test_only_the_message_named_is_forwarded(path: Path) -> None:
    async with open_store(path) as store:
        await owe_both(store)

        assert await store.apply(ForwardMessages(minutes(5), "mail", message_ids=(1,))) == 1
        assert await receivers_due(store) == ("mail", "old-team", "team")


YEARS_AGO = minutes(-10 * 365 * 24 * 60)


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        pytest.param(RetryMessages(YEARS_AGO), 1, id="retry"),
        pytest.param(ForwardMessages(YEARS_AGO, "team", receiver="old-team"), 3, id="forward"),
        pytest.param(DiscardMessages(YEARS_AGO, receiver="old-team"), 3, id="discard"),
        pytest.param(AcceptHolds(YEARS_AGO, (ONE,)), 1, id="accept one"),
        pytest.param(AcceptHolds(YEARS_AGO, (ALL_OF_IT,)), 3, id="accept a collapse"),
        pytest.param(AcceptHolds(YEARS_AGO), 4, id="accept all"),
        pytest.param(StartOver(YEARS_AGO), 1, id="start over"),
    ],
)
async def test_what_a_clock_dated_that_was_ahead_by_years_need_not_wait_for_years(
    path: Path, request_: Request, count: int
) -> None:
    baseline = Notice(NoticeKind.BASELINE, START, {})
    async with open_store(path) as store:
        await held(store)
        await store.record(commit(holds=holds(), notices=((baseline, ()),)))
        await owe_both(store)
        await store.record(commit(holds=holds()))

        assert await store.apply(request_, YEARS_AGO) == count


async def test_a_request_that_is_found_again_is_not_about_what_came_later(path: Path) -> None:
    retry = RetryMessages(YEARS_AGO)
    async with open_store(path) as store:
        await owe_both(store)
        assert await store.apply(retry, minutes(-1)) == 1
        await store.mark_dead(1, "refused again", minutes(-1))
        assert await store.apply(retry, minutes(3)) == 0
