"""How values are written as columns of the database, and read back.

Times are text of one width, amounts plain decimals, lists JSON. What decides what is announced, and
what is sent, has a checksum: SQLite does not notice when a disk gives back another letter. Every
row is read by a function here, which raises `UnreadableError` for one that was never written.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

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
from watcher.store.connection import UnreadableError
from watcher.store.values import (
    KnownModel,
    MessageState,
    PollOutcome,
    PollStatus,
    ReceiverStatus,
    StoredMessage,
    StoredSilence,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from watcher.catalog.changes import Change
    from watcher.store.values import Draft

T = TypeVar("T")

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_decode = json.JSONDecoder().decode

# A record's own columns of `history`, in the order of `record_columns`.
RECORD_COLUMNS = (
    *("description", "identity_key", "interface", "provider", "credits"),
    *(
        "unit",
        "unit_quantity",
        "base_unit",
        "usd_listed",
        "reference",
        "rate",
        "anchor",
        "promotion",
    ),
    "checksum",
)
_WIDTH = len(RECORD_COLUMNS)
# At one a second, thirty years.
_MOST_TRIES = 10**9
_LONGEST_WAIT_MS = timedelta.max // timedelta(milliseconds=1)
_LAST_OF_TIME = len("2026-11-22T07:30:00.000000")


def record_of(table: str) -> str:
    """The columns that `read_record` reads, of `history` under this name."""
    return ", ".join(f"{table}.{column}" for column in RECORD_COLUMNS)


# The columns that the functions of the same names read, and the tables they are of.
KNOWN_MODEL_COLUMNS = f"models.id, first_seen_at, last_changed_at, gone_at, {record_of('history')}"
HOLD_COLUMNS = "reason, model_id, subject, since_at, until_at, quiet_since_at"
SWEEP_COLUMNS = "usd_per_credit, probe, checksum"
MESSAGE_COLUMNS = (
    "id, alert_id, title, body, markup, checksum, receiver, created_at, opened_at, attempts,"
    " planned_at, next_attempt_at, waited_ms,"
    " coalesce((SELECT tries FROM unanswered WHERE receiver = messages.receiver), 0),"
    " last_error, state, (SELECT count(*) FROM deliveries WHERE message_id = messages.id)"
)
CHANGE_COLUMNS = (
    "changes.id, changes.at, changes.model_id, kinds, causes, changes.first_seen_at,"
    f" before_usd_per_credit, {record_of('before')}, after_usd_per_credit, {record_of('after')}"
)
CHANGE_WIDTH = 6 + 2 * (1 + _WIDTH)
SIDES_OF_CHANGE = (
    "LEFT JOIN history AS before ON before.id = before_id"
    " LEFT JOIN history AS after ON after.id = after_id"
)


def named(what: str) -> Callable[[Callable[[Any], T]], Callable[[Any], T]]:
    """Have a function that reads a row name the row that it cannot read, by its first column."""

    def decorate(read: Callable[[Any], T]) -> Callable[[Any], T]:
        @wraps(read)
        def read_or_name(row: Any) -> T:
            try:
                return read(row)
            except UnreadableError as error:
                raise UnreadableError(f"{what}{_first(row)}: {error}") from error
            # Whatever bytes can be made to mean: no number, no word of ours, no list.
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                raise UnreadableError(f"{what}{_first(row)} cannot be read") from error

        return read_or_name

    return decorate


def _first(row: Sequence[Any]) -> str:
    return f" {row[0]!r:.60}" if row else ""


def read_number(number: int, least: int = 0, most: int = _MOST_TRIES) -> int:
    """Raise `UnreadableError` unless it is between these."""
    if not least <= number <= most:
        raise UnreadableError(f"the number {number} was never written")
    return number


def checked(values: Sequence[Any], checksum: object) -> None:
    """Raise `UnreadableError` unless the values are those that were written."""
    if checksum != checksum_of(values):
        raise UnreadableError("it is not as it was written (its checksum is another)")


def checksum_of(values: Sequence[Any]) -> int:
    """Of texts and numbers, as a row has them."""
    return crc32("\0".join(map(str, values)).encode())


def time_text(at: datetime) -> str:
    """`2026-11-22T07:30:00.000000Z`: always of this width, so that text sorts as time does."""
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def read_time(text: str) -> datetime:
    if str(text)[_LAST_OF_TIME:] == "Z":
        with suppress(ValueError):
            return datetime.fromisoformat(text)
    raise UnreadableError(f"the time {text!r:.60} cannot be read")


def read_time_or_none(text: str | None) -> datetime | None:
    return None if text is None else read_time(text)


def encodable(text: str | None) -> str | None:
    """Text from outside, with what UTF-8 cannot encode replaced: SQLite would refuse it."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def json_text(value: Mapping[str, Any] | Sequence[Any]) -> str:
    return _encode(value)


def read_json(text: str) -> Any:
    return _decode(text)


def money_text(amount: Decimal | None) -> str | None:
    """A decimal in plain digits, all of those it has."""
    return None if amount is None else f"{amount:f}"


def record_columns(record: Record) -> tuple[Any, ...]:
    """To the columns named in `RECORD_COLUMNS`."""
    unit = record.unit
    columns = (
        record.description,
        record.identity_key,
        record.interface,
        record.provider,
        money_text(record.credits),
        unit.label,
        money_text(unit.quantity),
        unit.base,
        money_text(record.usd_listed),
        money_text(record.reference),
        money_text(record.rate),
        record.anchor,
        int(record.promotion),
    )
    return (*columns, checksum_of(columns))


@named("the record")
def read_record(columns: Sequence[Any]) -> Record:
    """From the columns named in `RECORD_COLUMNS`."""
    description, identity_key, interface, provider, credits_, unit, quantity, base = columns[:8]
    usd_listed, reference, rate, anchor, promotion, checksum = columns[8:]
    checked(columns[:-1], checksum)
    return Record(
        description,
        identity_key,
        interface,
        provider,
        _read_money(credits_),
        _read_unit(unit, quantity, base),
        _read_money(usd_listed),
        _read_money(reference),
        _read_money(rate),
        anchor,
        bool(promotion),
    )


def read_model(columns: Sequence[Any]) -> Model | None:
    """From what a credit is worth and the columns of a record; `None` where they are null."""
    usd_per_credit, *record = columns
    if usd_per_credit is None or record[0] is None:
        return None
    return Model(read_record(record), _read_credit_value(usd_per_credit))


@named("model")
def read_known_model(row: Sequence[Any]) -> KnownModel:
    number, first_seen_at, last_changed_at, gone_at = row[:4]
    return KnownModel(
        number,
        read_record(row[4:]),
        read_time(first_seen_at),
        read_time(last_changed_at),
        read_time_or_none(gone_at),
    )


def kinds_text(kinds: Iterable[Kind]) -> str:
    return json_text([kind.value for kind in kinds])


def read_kinds(text: str) -> tuple[Kind, ...]:
    return tuple(Kind(kind) for kind in _decode(text))


@named("what flaps in delivery")
def read_flapping(row: Sequence[Any]) -> tuple[Kind, ...]:
    return read_kinds(row[1])


@named("change")
def read_change(row: Sequence[Any]) -> RecordedChange:
    number, at, model_id, kinds, causes, seen_at = row[:6]
    before, after = row[6 : 7 + _WIDTH], row[7 + _WIDTH :]
    change: Change
    if model_id is None:
        change = CreditValueChange(_read_credit_value(before[0]), _read_credit_value(after[0]))
    else:
        change = ModelChange(
            kinds=read_kinds(kinds),
            before=read_model(before),
            after=read_model(after),
            causes={Kind(kind): Cause(cause) for kind, cause in _decode(causes).items()},
            model_id=model_id,
            first_seen_at=read_time_or_none(seen_at),
        )
    return RecordedChange(number, read_time(at), change)


@named("notice")
def read_notice(row: Sequence[Any]) -> Notice:
    """From the columns kind, at, detail."""
    kind, at, detail = row
    return Notice(NoticeKind(kind), read_time(at), _decode(detail))


def hold_columns(hold: Hold) -> tuple[Any, ...]:
    quiet_since = hold.quiet_since_at and time_text(hold.quiet_since_at)
    times = (time_text(hold.since_at), time_text(hold.until_at), quiet_since)
    return (hold.reason.value, hold.model_id, hold.subject, *times)


@named("what is held for")
def read_hold(row: Sequence[Any]) -> Hold:
    reason, model_id, subject, since_at, until_at, quiet_since_at = row
    times = (read_time(since_at), read_time(until_at), read_time_or_none(quiet_since_at))
    return Hold(HoldReason(reason), model_id, subject, *times)


def message_columns(draft: Draft) -> tuple[Any, ...]:
    """To alert_id, title, body, markup, checksum."""
    columns = (draft.alert_id, draft.title, draft.body, draft.markup)
    return (*columns, checksum_of(columns))


@named("digest")
def read_digest(row: Sequence[Any]) -> tuple[str, datetime]:
    """From the columns route, at."""
    route, at = row
    return route, read_time(at)


@named("tries without an answer of")
def read_unanswered(row: Sequence[Any]) -> tuple[str, int]:
    """From the columns receiver, tries."""
    receiver, tries = row
    return receiver, read_number(tries, least=1)


@named("message")
def read_message(row: Sequence[Any]) -> StoredMessage:
    number, alert_id, title, body, markup, checksum, receiver = row[:7]
    created_at, opened_at, attempts, planned_at, next_at, waited_ms, unanswered = row[7:14]
    last_error, state, items = row[14:]
    checked((alert_id, title, body, markup), checksum)
    return StoredMessage(
        id=number,
        alert_id=alert_id,
        receiver=receiver,
        title=title,
        body=body,
        markup=markup,
        created_at=read_time(created_at),
        opened_at=read_time(opened_at),
        attempts=read_number(attempts),
        planned_at=read_time(planned_at),
        next_attempt_at=read_time(next_at),
        waited=timedelta(milliseconds=read_number(waited_ms, most=_LONGEST_WAIT_MS)),
        unanswered=read_number(unanswered),
        last_error=last_error,
        state=MessageState(state),
        items=items,
    )


def sweep_columns(usd_per_credit: Decimal, probe: Mapping[str, Any]) -> tuple[Any, ...]:
    """To the columns named in `SWEEP_COLUMNS`."""
    columns = (money_text(usd_per_credit), json_text(probe))
    return (*columns, checksum_of(columns))


@named("the last sweep")
def read_sweep(row: Sequence[Any]) -> tuple[Decimal, Mapping[str, Any]]:
    """What a credit is worth and the probe, from the columns named in `SWEEP_COLUMNS`."""
    usd_per_credit, probe, checksum = row
    checked((usd_per_credit, probe), checksum)
    return _read_credit_value(usd_per_credit), read_json(probe)


@named("the alarms")
def read_alarms(row: Sequence[Any]) -> Mapping[str, Any]:
    """From the one column of `alarms`."""
    alarms = read_json(row[0])
    if not isinstance(alarms, dict) or not isinstance(alarms.get("alarms", []), list):
        raise TypeError("no list of alarms")
    return alarms


@named("from")
def read_period(row: Sequence[Any]) -> tuple[datetime, datetime | None]:
    """From the columns valid_from, valid_to of `history`."""
    valid_from, valid_to = row
    return read_time(valid_from), read_time_or_none(valid_to)


@named("from")
def read_credit_value(row: Sequence[Any]) -> tuple[datetime, Decimal]:
    """From the columns valid_from, usd_per_credit of `credit_values`."""
    valid_from, usd_per_credit = row
    return read_time(valid_from), _read_credit_value(usd_per_credit)


@named("silence")
def read_silence(row: Sequence[Any]) -> StoredSilence:
    """From the columns in the order of the fields of `StoredSilence`."""
    number, matcher, since_at, until_at, reason, dropping, caught, ended_at = row
    return StoredSilence(
        id=number,
        spec=_decode(matcher),
        since_at=read_time(since_at),
        until_at=read_time(until_at),
        reason=reason,
        dropping=bool(dropping),
        caught=caught,
        ended_at=read_time_or_none(ended_at),
    )


@named("the last poll")
def read_poll(row: Sequence[Any]) -> PollStatus:
    """From the columns at, outcome, why, last_success_at, failures, doubts."""
    at, outcome, why, last_success_at, failures, doubts = row
    times = (read_time(at), read_time_or_none(last_success_at))
    said = frozenset(map(str, _decode(doubts)))
    return PollStatus(times[0], PollOutcome(outcome), why, times[1], failures, said)


@named("receiver")
def read_receiver(row: Sequence[Any]) -> ReceiverStatus:
    """From the columns in the order of the fields of `ReceiverStatus`."""
    receiver, waiting, open_, dead, oldest_at, next_attempt_at, last_error = row
    times = (read_time_or_none(oldest_at), read_time_or_none(next_attempt_at))
    return ReceiverStatus(receiver, waiting, open_, dead, *times, last_error)


def _read_credit_value(text: str) -> Decimal:
    value = Decimal(text)
    if not (value.is_finite() and value > 0):
        raise ValueError(f"a credit is not worth {value}")
    return value


# Prices and units repeat across a catalogue: parsing each once is faster and takes less memory.
@lru_cache(maxsize=8192)
def _read_money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


@lru_cache(maxsize=1024)
def _read_unit(label: str, quantity: str, base: str) -> Unit:
    return Unit(label, Decimal(quantity), base)
