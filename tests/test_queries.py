from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from stored import (
    START,
    VALUE,
    commit,
    create_message,
    draft,
    edited,
    minutes,
    new,
    record,
    removed,
)
from watcher.catalog.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
    public_fields,
)
from watcher.catalog.confirm import Hold, HoldReason
from watcher.catalog.record import Model, RecordFilter
from watcher.store.connection import NoStateError
from watcher.store.store import Store, open_store
from watcher.store.values import (
    OpenHold,
    PollOutcome,
    PollStatus,
    ReceiverStatus,
    WaitingDeliveries,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KLING = record("Kling 2.6, text-to-video", provider="Kling")
VEO = record("Google Veo 3, text-to-video", provider="Google")
SUNO = record("Suno v5", interface="music", provider="Suno")


@pytest.fixture
async def store(path: Path) -> AsyncIterator[Store]:
    async with open_store(path) as store:
        yield store


async def live(store: Store) -> None:
    """A baseline of three, then a price, a rename, a removal and a new worth of the credit."""
    kling, veo, suno = (await store.record(commit(baseline=(KLING, VEO, SUNO)))).models
    dearer = edited(kling, replace(KLING, credits=Decimal(96)), Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    await store.record(
        commit(minutes(5), replace(dearer, causes={Kind.DISCOUNT_DOWN: Cause.PRICE}))
    )
    renamed = record("Veo 3.1, text-to-video", provider="Google")
    await store.record(commit(minutes(10), edited(veo, renamed, Kind.RENAMED)))
    worth = CreditValueChange(VALUE, Decimal("0.006"))
    await store.record(commit(minutes(15), removed(suno), worth, usd_per_credit=Decimal("0.006")))


async def test_before_the_first_sweep_there_are_no_models_and_that_is_said(store: Store) -> None:
    with pytest.raises(NoStateError, match="no sweep"):
        await store.models()
    assert await store.changes() == ()


async def test_models_are_those_on_sale_at_what_a_credit_is_worth_now(store: Store) -> None:
    await live(store)

    catalogue = await store.models()
    assert [model.fields()["description"] for _, model in catalogue.models] == [
        "Kling 2.6, text-to-video",
        "Veo 3.1, text-to-video",
    ]
    known, kling = catalogue.models[0]
    assert catalogue.usd_per_credit == Decimal("0.006")
    assert (known.first_seen_at, known.last_changed_at) == (START, minutes(5))
    assert (kling.fields()["credits"], kling.fields()["usd"]) == ("96", "0.576")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"interface": "MUSIC"}, ["Suno v5"], id="interface, case aside"),
        pytest.param({"provider": "google"}, [VEO.description], id="provider, case aside"),
        pytest.param({"search": "TEXT 2.6"}, [KLING.description], id="all words, any order"),
        pytest.param({"family": "suno V5"}, ["Suno v5"], id="family"),
        pytest.param({"model": "suno*"}, ["Suno v5"], id="model"),
        pytest.param({"search": "goog veo"}, [VEO.description], id="words of the provider too"),
        pytest.param({"interface": "video", "provider": "Suno"}, [], id="both must fit"),
    ],
)
async def test_models_are_narrowed_down(
    store: Store, asked: dict[str, Any], found: list[str]
) -> None:
    await store.record(commit(baseline=(KLING, VEO, SUNO)))

    catalogue = await store.models(RecordFilter(**asked))
    assert [known.record.description for known, _ in catalogue.models] == found


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        pytest.param({}, (4, 3, 2, 1), id="newest first"),
        pytest.param({"newest_first": False}, (1, 2, 3, 4), id="oldest first"),
        pytest.param({"since": minutes(10)}, (4, 3, 2), id="since a time, that included"),
        pytest.param({"kinds": [Kind.DISCOUNT_DOWN]}, (1,), id="a kind among others"),
        pytest.param({"kinds": ["removed", "credit_value"]}, (4, 3), id="either of two kinds"),
        pytest.param({"kinds": ["price"]}, (), id="no part of a kind"),
        pytest.param({"only": RecordFilter(model="KLING*")}, (1,), id="a model, case aside"),
        pytest.param(
            {"only": RecordFilter(model="google*")}, (2,), id="a model by its former name"
        ),
        pytest.param(
            {"only": RecordFilter(model="veo 3.1*")}, (2,), id="a model by its present name"
        ),
        pytest.param(
            {"only": RecordFilter(model="*")}, (3, 2, 1), id="any model, so no credit value"
        ),
        pytest.param({"since": minutes(6), "kinds": ["price_up"]}, (), id="all must fit"),
    ],
)
async def test_changes_are_narrowed_down(
    store: Store, asked: dict[str, Any], ids: tuple[int, ...]
) -> None:
    await live(store)

    assert tuple(change.id for change in await store.changes(**asked)) == ids


async def test_a_change_is_read_back_as_it_was_recorded(store: Store) -> None:
    await live(store)

    recorded = (await store.changes(newest_first=False))[0]
    after = replace(KLING, credits=Decimal(96))
    change = recorded.change
    assert isinstance(change, ModelChange)
    assert recorded.at == minutes(5)
    assert change.kinds == (Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    assert change.causes == {Kind.DISCOUNT_DOWN: Cause.PRICE}
    assert change.before is not None
    assert change.after is not None
    assert (change.before.record, change.after.record) == (KLING, after)
    assert public_fields(recorded)["change_percent"] == "14.29"


async def test_the_outbox_shows_what_waits_even_for_a_receiver_that_is_no_more(
    store: Store,
) -> None:
    sample = Notice(NoticeKind.SAMPLE, START, {})
    await store.record(commit(baseline=(KLING,), notices=((sample, ("team", "former")),)))
    (item,) = await store.queued("team")
    message = await create_message(store, "team", draft(deliveries=[item.delivery_id]), minutes(1))
    await store.record(commit(minutes(5), (new(VEO), ("team", "former"))))

    outbox = await store.outbox()
    assert outbox.messages == (message,)
    assert outbox.waiting == (
        WaitingDeliveries("former", 2, START),
        WaitingDeliveries("team", 1, minutes(5)),
    )


async def test_status_of_a_fresh_state_says_that_nothing_has_happened(store: Store) -> None:
    status = await store.status()

    assert (status.poll, status.swept_at, status.usd_per_credit) == (None, None, None)
    assert (status.models, status.holds, status.receivers) == ({}, (), ())


async def test_status_is_how_everything_stands(store: Store) -> None:
    hold = Hold(HoldReason.REMOVAL, 1, "", START, minutes(10))
    collapse = Hold(HoldReason.COLLAPSE, None, "", START, minutes(360))
    await live(store)
    await store.record(commit(minutes(20), holds=(collapse, hold)))
    await store.note_poll(minutes(20), PollOutcome.UNCHANGED)
    await store.note_poll(minutes(25), PollOutcome.FAILED, "count: status 503")

    status = await store.status()
    assert status.poll == PollStatus(
        minutes(25), PollOutcome.FAILED, "count: status 503", minutes(20), 1
    )
    assert (status.swept_at, status.usd_per_credit) == (minutes(20), VALUE)
    assert status.models == {"video": 2}
    assert status.holds == (OpenHold(hold, KLING.description), OpenHold(collapse, None))


async def test_status_says_of_each_receiver_what_is_pending_and_what_died(store: Store) -> None:
    await store.record(commit(baseline=(KLING,)))
    for minute, alert in enumerate(("AAAAAAAA", "BBBBBBBB", "CCCCCCCC"), start=1):
        await store.record(commit(minutes(minute), (new(record(f"m {minute}")), ("team", "me"))))
        (item,) = await store.queued("team")
        await create_message(
            store, "team", draft(alert, deliveries=[item.delivery_id]), minutes(minute)
        )
    await store.mark_dead(1, "status 404", minutes(4))
    await store.mark_failed(2, "status 503", minutes(5), minutes(9))
    await store.mark_failed(3, "status 502", minutes(5), minutes(8))
    await store.mark_sent(3, minutes(8))

    assert (await store.status()).receivers == (
        ReceiverStatus("me", 3, 0, 0, minutes(1), None, None),
        ReceiverStatus("team", 0, 1, 1, minutes(2), minutes(9), "status 503"),
    )


def test_every_change_has_the_same_fields_for_programs() -> None:
    worth = RecordedChange(1, START, CreditValueChange(Decimal("0.005"), Decimal("0.006")))
    price = RecordedChange(2, START, ModelChange((Kind.NEW,), None, Model(KLING, VALUE)))

    both = set(public_fields(worth)), set(public_fields(price))

    assert both[0] == both[1] | {"usd_per_credit_before", "usd_per_credit_after"}
