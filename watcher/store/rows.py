"""How values are written as columns of the database, and read back.

Times are text of one width, amounts plain decimals, lists and records JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from watcher.catalog.changes import (
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
    RecordedChange,
)
from watcher.catalog.confirm import Hold, HoldReason
from watcher.catalog.pricing import Unit
from watcher.catalog.record import Model, Record
from watcher.store.values import KnownModel, MessageState, StoredMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.catalog.changes import Change
    from watcher.routing.plan import Dispatch

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode

# A side of a change is the record of the interval that it names, or a record of its own.
_SIDE = "coalesce({0}, (SELECT side.record FROM history AS side WHERE side.id = {0}_id))"
_BEFORE, _AFTER = _SIDE.format("before"), _SIDE.format("after")
CHANGE_COLUMNS = (
    f"changes.id, changes.at, model_id, kinds, causes, {_BEFORE}, before_usd_per_credit,"
    f" {_AFTER}, after_usd_per_credit, first_seen_at"
)


def time_text(at: datetime) -> str:
    """`2026-11-22T07:30:00.000000Z`: always of this width, so that text sorts as time does."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def read_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def read_time_or_none(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def encodable(text: str | None) -> str | None:
    """Text from outside, with what UTF-8 cannot encode replaced: SQLite would refuse it."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return _encode(value)


def read_json(text: str) -> Any:
    return _decode(text)


def record_text(record: Record) -> str:
    """A record as a JSON list of its fields in their order, the unit as three of them.

    A list, not an object: half the size, and half the time to read a hundred thousand of them at
    each start. New fields go to the end. The view `history` builds the same text.
    """
    head, unit, anchor = label_columns(record)
    credits_, listed, promotion = price_columns(record)
    return f"{head},{credits_},{unit},{listed},{anchor},{promotion}]"


def label_columns(record: Record) -> tuple[str, str, str]:
    """The parts of a record's text that seldom change: head, unit, anchor."""
    unit = record.unit
    return (
        _encode((record.description, record.identity_key, record.interface, record.provider))[:-1],
        _encode((unit.label, money_text(unit.quantity), unit.base))[1:-1],
        _encode(record.anchor),
    )


def price_columns(record: Record) -> tuple[str, str, str]:
    """The parts of a record's text that change with the price: credits, listed, promotion."""
    listed = (record.usd_listed, record.fal, record.rate)
    return (
        _encode(money_text(record.credits)),
        _encode(tuple(map(money_text, listed)))[1:-1],
        _encode(record.promotion),
    )


def read_record(text: str) -> Record:
    fields = _decode(text)
    description, identity_key, interface, provider, price, label, quantity, base = fields[:8]
    usd_listed, fal, rate, anchor, promotion = fields[8:]
    return Record(
        description,
        identity_key,
        interface,
        provider,
        _read_money(price),
        _read_unit(label, quantity, base),
        _read_money(usd_listed),
        _read_money(fal),
        _read_money(rate),
        anchor,
        promotion,
    )


def money_text(amount: Decimal | None) -> str | None:
    """A decimal in plain digits, all of those it has."""
    return None if amount is None else f"{amount:f}"


def read_known_model(row: Sequence[Any]) -> KnownModel:
    """From the columns id, first_seen_at, last_changed_at, gone_at, record."""
    number, first_seen_at, last_changed_at, gone_at, record = row
    return KnownModel(
        number,
        read_record(record),
        datetime.fromisoformat(first_seen_at),
        datetime.fromisoformat(last_changed_at),
        None if gone_at is None else datetime.fromisoformat(gone_at),
    )


def change_row(recorded: RecordedChange) -> tuple[Any, ...]:
    """To the columns that `read_change` reads, each side as a record of its own."""
    change = recorded.change
    start = (recorded.id, time_text(recorded.at))
    kinds = json_text([kind.value for kind in change.kinds])
    if isinstance(change, CreditValueChange):
        values = (None, money_text(change.before), None, money_text(change.after))
        return (*start, None, kinds, "{}", *values, None)
    causes = json_text({kind.value: cause.value for kind, cause in change.causes.items()})
    sides = (*model_columns(change.before), *model_columns(change.after))
    seen_at = change.first_seen_at
    return (
        *start,
        change.model_id,
        kinds,
        causes,
        *sides,
        None if seen_at is None else time_text(seen_at),
    )


def read_change(row: Sequence[Any]) -> RecordedChange:
    """From the columns in `CHANGE_COLUMNS`."""
    number, at, model_id, kinds, causes, before, before_value, after, after_value, seen_at = row
    change: Change
    if model_id is None:
        change = CreditValueChange(Decimal(before_value), Decimal(after_value))
    else:
        change = ModelChange(
            kinds=tuple(Kind(kind) for kind in _decode(kinds)),
            before=read_model(before, before_value),
            after=read_model(after, after_value),
            causes={Kind(kind): Cause(cause) for kind, cause in _decode(causes).items()},
            model_id=model_id,
            first_seen_at=read_time_or_none(seen_at),
        )
    return RecordedChange(number, read_time(at), change)


def dispatch_columns(dispatch: Dispatch) -> tuple[Any, ...]:
    """To the columns route, silence_id, flap, since, since_usd_per_credit."""
    silence = dispatch.silence_id
    return (dispatch.route, silence, dispatch.flap.value, *model_columns(dispatch.since))


def read_notice(row: Sequence[Any]) -> Notice:
    """From the columns kind, at, detail."""
    kind, at, detail = row
    return Notice(NoticeKind(kind), read_time(at), _decode(detail))


def hold_row(hold: Hold) -> tuple[Any, ...]:
    """To the columns that `read_hold` reads."""
    times = (time_text(hold.since_at), time_text(hold.until_at))
    return (hold.reason.value, hold.model_id, hold.subject, *times)


def read_hold(row: Sequence[Any]) -> Hold:
    """From the columns reason, model_id, subject, since_at, until_at."""
    reason, model_id, subject, since_at, until_at = row
    return Hold(HoldReason(reason), model_id, subject, read_time(since_at), read_time(until_at))


def read_message(row: Sequence[Any]) -> StoredMessage:
    """From the columns in the order of the fields of `StoredMessage`."""
    number, alert_id, receiver, title, body, markup = row[:6]
    created_at, opened_at, attempts, last_at, next_at, last_error, state, items = row[6:]
    return StoredMessage(
        id=number,
        alert_id=alert_id,
        receiver=receiver,
        title=title,
        body=body,
        markup=markup,
        created_at=read_time(created_at),
        opened_at=read_time(opened_at),
        attempts=attempts,
        last_attempt_at=read_time_or_none(last_at),
        next_attempt_at=read_time(next_at),
        last_error=last_error,
        state=MessageState(state),
        items=items,
    )


def model_columns(model: Model | None) -> tuple[str | None, str | None]:
    if model is None:
        return None, None
    return record_text(model.record), money_text(model.usd_per_credit)


def read_model(record: str | None, usd_per_credit: str | None) -> Model | None:
    if record is None or usd_per_credit is None:
        return None
    return Model(read_record(record), Decimal(usd_per_credit))


# Prices and units repeat across a catalogue: parsing each once is faster and takes less memory.
@lru_cache(maxsize=8192)
def _read_money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@lru_cache(maxsize=1024)
def _read_unit(label: str, quantity: str, base: str) -> Unit:
    return Unit(label, Decimal(quantity), base)
