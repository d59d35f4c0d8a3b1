from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stored import START, commit, create_message, draft, edited, minutes, new, receivers_due, record
from torture.checkers import on_sale
from watcher.catalog.changes import Notice, NoticeKind, RecordedChange
from watcher.store.connection import ConflictError
from watcher.store.requests import DiscardMessages, RetryMessages
from watcher.store.store import Store, open_store
from watcher.store.values import MessageState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from watcher.store.values import StoredMessage

BASELINE = Notice(NoticeKind.BASELINE, START, {"models": 1, "categories": {"video": 1}})


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    """A watched catalogue of one model; the team has been sent nothing yet."""
    async with open_store(path) as store:
        await store.record(commit(baseline=(record(),), notices=((BASELINE, ("team",)),)))
        yield store


async def dearer(store: Store, minute: float, *receivers: str) -> None:
    (known,) = await on_sale(store)
    assert known.record.credits is not None
    after = record(credits=known.record.credits + 1)
    await store.record(commit(minutes(minute), (edited(known, after), receivers)))


async def fixed(store: Store, minute: float = 1, alert_id: str = "7KQ2M9XA") -> StoredMessage:
    deliveries = [item.delivery_id for item in await store.queued("team")]
    return await create_message(
        store, "team", draft(alert_id, deliveries=deliveries), minutes(minute)
    )


async def test_what_a_receiver_is_due_gathers_oldest_first(store: Store) -> None:
    await dearer(store, 5, "team", "me")
    await dearer(store, 9, "team")

    items = await store.queued("team")
    assert items[0].content == BASELINE
    changes = [item.content for item in items[1:]]
    assert tuple(changes) == await store.changes(newest_first=False)
    assert len(await store.queued("me")) == 1
    assert await receivers_due(store) == ("me", "team")


async def test_a_change_due_to_nobody_waits_for_nobody(store: Store) -> None:
    await dearer(store, 5)

    assert await receivers_due(store) == ("team",)
    assert len(await store.changes()) == 1


async def test_a_fixed_message_has_taken_what_it_tells(store: Store) -> None:
    message = await fixed(store)

    assert await store.queued("team") == ()
    assert await store.open_message("team") == message
    assert (message.receiver, message.alert_id, message.items) == ("team", "7KQ2M9XA", 1)
    assert (message.title, message.body, message.markup) == (
        draft().title,
        draft().body,
        draft().markup,
    )
    assert (message.created_at, message.opened_at, message.next_attempt_at) == (minutes(1),) * 3
    assert (message.attempts, message.last_error) == (0, None)


async def test_what_comes_later_gathers_for_the_next_message(store: Store) -> None:
    first = await fixed(store)
    await dearer(store, 5, "team")
    second = await fixed(store, 6, "ZZZZZZZZ")

    assert await store.open_message("team") == first
    await store.mark_sent(first.id, minutes(7))
    assert await store.open_message("team") == second
    await store.mark_sent(second.id, minutes(7))
    assert await store.open_message("team") is None
    assert await receivers_due(store) == ()


async def test_a_failure_keeps_the_text_and_says_when_to_try_again(store: Store) -> None:
    message = await fixed(store)
    await store.mark_failed(message.id, "status 503 \udc80", minutes(2), minutes(3))
    await store.mark_failed(message.id, "status 502", minutes(3), minutes(5))

    again = await store.open_message("team")
    assert again is not None
    assert (again.alert_id, again.body) == (message.alert_id, message.body)
    assert (again.attempts, again.last_error) == (2, "status 502")
    assert (again.planned_at, again.next_attempt_at) == (minutes(3), minutes(5))


async def test_a_dead_letter_keeps_what_it_tells_and_lets_the_next_pass(store: Store) -> None:
    message = await fixed(store)
    await store.mark_dead(message.id, "status 404", minutes(2))
    await dearer(store, 5, "team")

    assert await store.open_message("team") is None
    assert len(await store.queued("team")) == 1
    (dead,) = (await store.outbox()).messages
    assert (dead.state, dead.last_error, dead.items) == (MessageState.DEAD, "status 404", 1)


async def test_a_retried_dead_letter_is_as_if_never_tried_and_goes_first(store: Store) -> None:
    message = await fixed(store)
    await store.mark_dead(message.id, "status 404", minutes(2))
    await dearer(store, 5, "team")
    await fixed(store, 6, "ZZZZZZZZ")

    assert await store.apply(RetryMessages(minutes(9), (message.id,))) == 1
    again = await store.open_message("team")
    assert again is not None
    assert (again.id, again.state, again.attempts) == (message.id, MessageState.OPEN, 0)
    assert (again.opened_at, again.next_attempt_at) == (minutes(9), minutes(9))
    assert (again.created_at, again.body) == (message.created_at, message.body)


async def test_only_the_dead_are_retried_and_only_those_asked_for(store: Store) -> None:
    message = await fixed(store)
    assert await store.apply(RetryMessages(minutes(9))) == 0

    await store.mark_dead(message.id, "status 404", minutes(2))
    assert await store.apply(RetryMessages(minutes(9), receiver="me")) == 0
    assert await store.apply(RetryMessages(minutes(9), (message.id + 1,))) == 0
    assert await store.apply(RetryMessages(minutes(1))) == 0, (
        "it was not dead at the time of asking"
    )
    assert await store.apply(RetryMessages(minutes(9), receiver="team")) == 1


async def test_what_died_by_a_clock_that_was_ahead_by_years_can_be_retried_and_discarded(
    store: Store,
) -> None:
    ahead = 3653 * 24 * 60
    message = await fixed(store, ahead)
    await store.mark_dead(message.id, "status 404", minutes(ahead + 1))

    assert await store.apply(RetryMessages(minutes(9)), minutes(9)) == 1
    again = await store.open_message("team")
    assert again is not None
    assert again.next_attempt_at == minutes(9)
    assert await store.apply(DiscardMessages(minutes(9), (message.id,)), minutes(9)) == 1


async def test_discarding_a_message_leaves_what_is_ungathered(store: Store) -> None:
    message = await fixed(store)
    await dearer(store, 5, "team")

    assert await store.apply(DiscardMessages(minutes(9), (message.id,))) == 1
    assert await store.open_message("team") is None
    assert len(await store.queued("team")) == 1


async def test_discarding_a_receiver_leaves_the_others(store: Store) -> None:
    await fixed(store)
    await dearer(store, 5, "team", "me")

    assert await store.apply(DiscardMessages(minutes(9), receiver="team")) == 2
    assert await receivers_due(store) == ("me",)
    assert (await store.outbox()).messages == ()


async def test_discarding_everything_spares_what_came_after_the_asking(store: Store) -> None:
    await fixed(store)
    await dearer(store, 5, "team", "me")

    assert await store.apply(DiscardMessages(minutes(3))) == 1
    assert await receivers_due(store) == ("me", "team")


async def test_a_message_discarded_while_it_is_tried_stays_so_unless_it_went_out(
    store: Store,
) -> None:
    message = await fixed(store)
    await store.apply(DiscardMessages(minutes(2), (message.id,)))
    await store.mark_failed(message.id, "status 503", minutes(3), minutes(5))
    await store.mark_dead(message.id, "status 503", minutes(3))
    assert await store.open_message("team") is None
    assert (await store.outbox()).messages == ()

    await store.mark_sent(message.id, minutes(4))
    assert await store.apply(DiscardMessages(minutes(9))) == 0


async def test_a_delivery_is_told_once_however_it_is_asked_for(store: Store) -> None:
    (item,) = await store.queued("team")
    await fixed(store)

    with pytest.raises(ConflictError, match="batch it again"):
        await create_message(
            store, "team", draft("ZZZZZZZZ", deliveries=[item.delivery_id]), minutes(2)
        )
    assert len((await store.outbox()).messages) == 1


async def test_an_alert_id_is_given_once(store: Store) -> None:
    await fixed(store)
    await dearer(store, 5, "team")

    with pytest.raises(ConflictError, match="draw another"):
        await fixed(store, 6)
    assert len(await store.queued("team")) == 1


async def test_a_change_is_found_by_the_alert_that_told_it(store: Store) -> None:
    await dearer(store, 5, "team")
    await fixed(store)
    await store.record(commit(minutes(9), (new(record("Veo 3")), ("team",))))
    await fixed(store, 10, "ZZZZZZZZ")

    (change,) = await store.changes(alert_id="ZZZZZZZZ")
    assert isinstance(change, RecordedChange)
    assert change.id == 2
    assert await store.changes(alert_id="nothing") == ()
