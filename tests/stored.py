"""Builders of what the store takes, so that a case shows only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import Kind, ModelChange
from watcher.catalog.pricing import parse_unit
from watcher.catalog.record import Model, Record, fold
from watcher.kie.completeness import Probe
from watcher.routing.plan import Dispatch
from watcher.routing.rules import DEFAULT_ROUTE
from watcher.store.values import Commit, Draft, KnownModel, MessageState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.store.store import Store
    from watcher.store.values import StoredMessage

START = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
VALUE = Decimal("0.005")
PROBE: dict[str, Any] = Probe({"all": 3}, 3, ("a",), "b").to_json()


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def record(description: str = "Kling 2.6, text-to-video", **differences: Any) -> Record:
    fields: dict[str, Any] = {
        "description": description,
        "identity_key": fold(description),
        "interface": "video",
        "provider": "Kling",
        "credits": Decimal(84),
        "unit": parse_unit("per 2 videos"),
        "usd_listed": Decimal("0.42"),
        "reference": None,
        "rate": Decimal("-12.5"),
        "anchor": "https://kie.ai/kling",
        "promotion": False,
    }
    return Record(**{**fields, **differences})


KLING = record()
SUNO = record("Suno v5", interface="music", provider="Suno", credits=None)


async def began(store: Store, *records: Record) -> tuple[KnownModel, ...]:
    """The models of a baseline: of these records, or of two."""
    return (await store.record(commit(baseline=records or (KLING, SUNO)))).models


def model(of: Record, value: Decimal = VALUE) -> Model:
    return Model(of, value)


def new(of: Record) -> ModelChange:
    return ModelChange((Kind.NEW,), None, model(of))


def edited(known: KnownModel, after: Record, *kinds: Kind) -> ModelChange:
    return ModelChange(kinds or (Kind.PRICE_UP,), model(known.record), model(after), {}, known.id)


def removed(known: KnownModel) -> ModelChange:
    return ModelChange((Kind.REMOVED,), model(known.record), None, {}, known.id)


def commit(at: datetime = START, *changes: Any, **more: Any) -> Commit:
    """A commit of changes due to no receiver; of `(change, receivers)` pairs, due to those."""
    pairs = (change if isinstance(change, tuple) else (change, ()) for change in changes)
    due = tuple((change, due_to(*receivers)) for change, receivers in pairs)
    return Commit(**{"at": at, "usd_per_credit": VALUE, "probe": PROBE, "changes": due, **more})


def due_to(*receivers: str) -> tuple[Dispatch, ...]:
    return tuple(Dispatch(receiver, DEFAULT_ROUTE) for receiver in receivers)


async def receivers_due(store: Store) -> tuple[str, ...]:
    """Those that have an open message, or something that is in no message yet."""
    found = await store.outbox()
    open_ = {one.receiver for one in found.messages if one.state is MessageState.OPEN}
    return tuple(sorted(open_ | {waiting.receiver for waiting in found.waiting}))


def draft(alert_id: str = "7KQ2M9XA", deliveries: Iterable[int] = ()) -> Draft:
    return Draft(alert_id, "1 change", "Kling 2.6: 84 → 96", "markdown", tuple(deliveries))


async def create_message(store: Store, receiver: str, text: Draft, at: datetime) -> StoredMessage:
    (message,) = await store.create_messages(receiver, [text], at)
    return message
