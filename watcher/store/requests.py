"""What commands ask of the state while another process, the daemon, owns it.

A database has one writer. A command that finds the daemon running leaves its request as a file in
a directory beside the state; the daemon reads it, applies it, and then removes the file. A file
may come from another version of the program, or from anybody who may write there: what cannot be
read as a request, or cannot be done, is renamed and left.

Each request carries the time at which it was made and is about what there was by then. So one that
is found again after a crash, and applied twice, changes no more than once.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, assert_never

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from watcher.catalog.confirm import HoldReason
from watcher.catalog.floods import Flood
from watcher.store.connection import StateError, companion, give_to_owner
from watcher.store.rows import encodable, json_text, time_text

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Awaitable, Callable

_LONGEST_FILE = 64 * 1024
# What a flood holds model by model, so that accepting it accepts these too.
_HELD_BY_A_FLOOD = MappingProxyType(
    {
        Flood.NAMES.value: (HoldReason.REMOVAL.value, HoldReason.RENAME.value),
        Flood.PRICE.value: (HoldReason.PRICE.value,),
    }
)
_REQUEST, _PART, _REJECTED = ".json", ".part", ".rejected"

# The number of a row, of as many bits as SQLite stores.
Number = Annotated[int, Field(ge=1, lt=2**63)]
# A time that is one in every zone.
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))
]


# What was there when the request was made, at ?1. By a clock that was ahead it may be dated later
# than now, ?4: nobody wants to wait until then.
_WAS_THERE = "({0} <= ?1 OR {0} > ?4)"

# Of a message, at ?1.
_AS_NEVER_TRIED = (
    "state = 'open', settled_at = NULL, attempts = 0, waited_ms = 0,"
    " opened_at = ?1, planned_at = ?1, next_attempt_at = ?1"
)


class _Strict:
    """Nothing is guessed: an unknown key may be what another version narrows the request with."""

    __slots__ = ()
    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class RetryMessages(_Strict):
    """Try dead messages again, and at once those that wait for their next try.

    `message_ids` and `receiver` narrow it down; with neither it is about every message. The same
    holds for `DiscardMessages` and `ForwardMessages`.
    """

    at: Moment
    message_ids: tuple[Number, ...] | None = None
    receiver: str | None = None
    action: Literal["retry"] = "retry"


@dataclass(frozen=True, slots=True)
class DiscardMessages(_Strict):
    """Give up messages, open or dead; and, unless `message_ids` names some, what is in none yet."""

    at: Moment
    message_ids: tuple[Number, ...] | None = None
    receiver: str | None = None
    action: Literal["discard"] = "discard"


@dataclass(frozen=True, slots=True)
class ForwardMessages(_Strict):
    """Send to another receiver what `DiscardMessages` would give up."""

    at: Moment
    to: str
    message_ids: tuple[Number, ...] | None = None
    receiver: str | None = None
    action: Literal["forward"] = "forward"


@dataclass(frozen=True, slots=True)
class AddSilence(_Strict):
    """Add a silence that begins with the request; `spec` is its matcher, as in a configuration."""

    at: Moment
    until_at: Moment
    spec: dict[str, Any]
    reason: str = ""
    dropping: bool = False
    action: Literal["add_silence"] = "add_silence"


@dataclass(frozen=True, slots=True)
class EndSilence(_Strict):
    """End a silence before its time."""

    at: Moment
    number: Number
    action: Literal["end_silence"] = "end_silence"


@dataclass(frozen=True, slots=True)
class HoldKey(_Strict):
    """Which hold is meant: of which model, and for what was seen when the request was made."""

    reason: HoldReason
    model_id: Number | None
    subject: str


@dataclass(frozen=True, slots=True)
class AcceptHolds(_Strict):
    """Let the next sweep confirm these holds if it still shows the same; `None`: all there are.

    Accepting the collapse of the catalogue accepts the removals that it holds.
    """

    at: Moment
    holds: tuple[HoldKey, ...] | None = None
    action: Literal["accept_holds"] = "accept_holds"


@dataclass(frozen=True, slots=True)
class StartOver(_Strict):
    """Take the next complete sweep as a new baseline: store what differs, announce none of it."""

    at: Moment
    action: Literal["start_over"] = "start_over"


Request = (
    RetryMessages
    | DiscardMessages
    | ForwardMessages
    | AddSilence
    | EndSilence
    | AcceptHolds
    | StartOver
)


@dataclass(frozen=True, slots=True)
class TakenRequests:
    """The requests applied, each with how many things it changed, such as messages or holds.

    `rejected` says which files were set aside, and why each: `1.json: no request`.
    """

    applied: tuple[tuple[Request, int], ...] = ()
    rejected: tuple[str, ...] = ()


class _NotARequestError(ValueError):
    """A file that cannot be read as a request; the text says why."""


def leave_request(state: Path, request: Request) -> Path:
    """Write a request for the daemon that owns the state; the file is there whole or not at all."""
    directory = companion(state, ".requests")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        give_to_owner(directory, state)
        # mkstemp: a name of its own, for its owner alone.
        stamp = f"{time_text(request.at).translate(str.maketrans('', '', '-:.'))}-"
        descriptor, part = tempfile.mkstemp(dir=directory, prefix=stamp, suffix=_PART)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_files().dump_json(request))
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(Path(part), state)
        return Path(part).rename(Path(part).with_suffix(_REQUEST))
    except OSError as error:
        raise StateError(
            f"{directory}: the request cannot be left for the running daemon ({error.strerror}). "
            "Run the command as the user of the daemon"
        ) from error


async def take_requests(state: Path, apply: Callable[[Request], Awaitable[int]]) -> TakenRequests:
    """Apply what was left, oldest first, and remove it; set aside what cannot be read or done.

    A `StateError` is no fault of a request: it and the later ones are left for the next time. It
    is raised where it met the first.
    """
    applied: list[tuple[Request, int]] = []
    rejected: list[str] = []
    for path in _left(state):
        try:
            request = _read_file(path)
            applied.append((request, await apply(request)))
        except StateError:
            if applied or rejected:
                break
            raise
        except _NotARequestError as error:
            rejected += _set_aside(path, str(error))
        except Exception as error:  # noqa: BLE001 - a request must not end the daemon, now and at each start
            rejected += _set_aside(path, f"cannot be done ({type(error).__name__})")
        else:
            # Applying it again does no harm; a file that stays must not stop the others.
            with suppress(OSError):
                path.unlink()
    return TakenRequests(tuple(applied), tuple(rejected))


def apply_request(db: sqlite3.Connection, request: Request, now: datetime) -> int:
    """Do what was asked; returns how many things it changed, which may be none.

    It is about what was there when it was made. What is dated later than `now` was there, too.
    """
    match request:
        case RetryMessages():
            return _retry(db, request, now)
        case DiscardMessages():
            return _discard(db, request, now)
        case ForwardMessages():
            return _forward(db, request, now)
        case AddSilence():
            return _add_silence(db, request)
        case EndSilence():
            return _end_silence(db, request)
        case AcceptHolds():
            return _accept(db, request, now)
        case StartOver():
            return _start_over(db, request, now)
        case _:
            assert_never(request)


def _left(state: Path) -> list[Path]:
    """The files that were left, oldest first."""
    directory = companion(state, ".requests")
    try:
        files = sorted(directory.iterdir())
    except FileNotFoundError:
        return []
    except OSError:
        # Not a directory: set aside as a whole, so that there can be one.
        return [directory]
    return [path for path in files if path.suffix not in {_PART, _REJECTED}]


def _read_file(path: Path) -> Request:
    if path.suffix != _REQUEST:
        raise _NotARequestError("no request")
    try:
        # Neither a link is followed nor a pipe waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _NotARequestError("not a file")
            content = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise _NotARequestError(f"cannot be read ({error.strerror})") from error
    if len(content) > _LONGEST_FILE:
        raise _NotARequestError(f"longer than {_LONGEST_FILE} bytes")
    try:
        return _files().validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _NotARequestError(f"{where}: {first['msg']}" if where else first["msg"]) from error


@cache
def _files() -> TypeAdapter[Request]:
    """What reads a file; made for the first one, which is rare."""
    return TypeAdapter(Annotated[Request, Field(discriminator="action")])


def _set_aside(path: Path, why: str) -> tuple[str, ...]:
    """Rename a file; nothing to report where that is not allowed, lest it be reported each time."""
    try:
        path.rename(path.with_name(path.name + _REJECTED))
    except OSError:
        return ()
    return (f"{path.name}: {why}",)


def _retry(db: sqlite3.Connection, request: RetryMessages, now: datetime) -> int:
    return db.execute(
        f"UPDATE messages SET {_AS_NEVER_TRIED}"  # noqa: S608 - our own words
        " WHERE iif(state = 'open', attempts > 0 AND (planned_at < ?1 OR planned_at > ?4),"
        f" state = 'dead' AND {_WAS_THERE.format('settled_at')})"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request, now),
    ).rowcount


def _discard(db: sqlite3.Connection, request: DiscardMessages, now: datetime) -> int:
    messages = db.execute(
        "UPDATE messages SET state = 'discarded', settled_at = ?1, picture = NULL"  # noqa: S608 - our own words
        f" WHERE state IN ('open', 'dead') AND {_WAS_THERE.format('created_at')}"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request, now),
    )
    waiting = db.execute(
        "UPDATE deliveries SET discarded_at = ?1"  # noqa: S608 - our own words
        f" WHERE id IN (SELECT id FROM waiting WHERE {_WAS_THERE.format('queued_at')})"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request, now),
    )
    return messages.rowcount + waiting.rowcount


def _forward(db: sqlite3.Connection, request: ForwardMessages, now: datetime) -> int:
    """Give messages, and what is in none yet, to another receiver.

    What that receiver was sent already is not sent to it again. The route is dropped: it may have
    a digest that the other receiver does not get.
    """
    target = (*_target_columns(request, now), request.to)
    messages = db.execute(
        f"UPDATE messages SET receiver = ?5, {_AS_NEVER_TRIED}"  # noqa: S608 - our own words
        f" WHERE state IN ('open', 'dead') AND {_WAS_THERE.format('created_at')}"
        " AND receiver <> ?5"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3) RETURNING id",
        target,
    ).fetchall()
    moved = json_text([number for (number,) in messages])
    deliveries = db.execute(
        f"SELECT id FROM waiting WHERE {_WAS_THERE.format('queued_at')} AND receiver <> ?5"  # noqa: S608 - our own words
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        target,
    ).fetchall()
    waiting = json_text([number for (number,) in deliveries])
    db.execute(
        # OR IGNORE: a delivery of the same change to that receiver is there already.
        "UPDATE OR IGNORE deliveries SET receiver = ?1, route = ''"
        " WHERE message_id IN (SELECT value FROM json_each(?2))"
        " OR id IN (SELECT value FROM json_each(?3))",
        (request.to, moved, waiting),
    )
    db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT value FROM json_each(?2)) AND receiver <> ?3",
        (time_text(request.at), waiting, request.to),
    )
    return len(messages) + len(deliveries)


def _target_columns(
    request: RetryMessages | DiscardMessages | ForwardMessages, now: datetime
) -> tuple[str, str | None, str | None, str]:
    ids = None if request.message_ids is None else json_text(request.message_ids)
    return time_text(request.at), ids, request.receiver, time_text(now)


def _add_silence(db: sqlite3.Connection, request: AddSilence) -> int:
    at = time_text(request.at)
    return db.execute(
        "INSERT INTO silences (matcher, since_at, until_at, reason, dropping)"
        " SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS"
        " (SELECT 1 FROM silences WHERE matcher = ?1 AND since_at = ?2)",
        (
            *(json_text(request.spec), at, time_text(request.until_at)),
            *(encodable(request.reason), int(request.dropping)),
        ),
    ).rowcount


def _end_silence(db: sqlite3.Connection, request: EndSilence) -> int:
    return db.execute(
        "UPDATE silences SET ended_at = ?1 WHERE id = ?2 AND ended_at IS NULL AND until_at > ?1",
        (time_text(request.at), request.number),
    ).rowcount


def _accept(db: sqlite3.Connection, request: AcceptHolds, now: datetime) -> int:
    """Move the end of holds to the time of the request, so that the next sweep may confirm them.

    A hold that began later is about something that the person has not seen.
    """
    times = (time_text(request.at), time_text(now))
    if request.holds is None:
        return _end_holds(db, times, "1", ())
    ended = 0
    for hold in request.holds:
        if hold.reason is HoldReason.COLLAPSE:
            ended += _end_holds(db, times, "reason IN ('collapse', 'removal')", ())
        else:
            if hold.reason is HoldReason.FLOOD:
                held = json_text(_HELD_BY_A_FLOOD.get(hold.subject, ()))
                ended += _end_holds(
                    db, times, "reason IN (SELECT value FROM json_each(?))", (held,)
                )
            key = (hold.reason.value, hold.model_id, hold.subject)
            ended += _end_holds(db, times, "reason = ? AND model_id IS ? AND subject = ?", key)
    return ended


def _end_holds(
    db: sqlite3.Connection, times: tuple[str, str], condition: str, parameters: tuple[object, ...]
) -> int:
    return db.execute(
        "UPDATE holds SET until_at = min(until_at, ?1)"  # noqa: S608 - our own words
        f" WHERE (since_at <= ?1 OR since_at > ?2) AND {condition}",
        (*times, *parameters),
    ).rowcount


def _start_over(db: sqlite3.Connection, request: StartOver, now: datetime) -> int:
    """Mark the state, unless a baseline was taken since the request was made: that fulfils it."""
    return db.execute(
        "UPDATE sweep SET start_over = 1 WHERE NOT EXISTS"
        " (SELECT 1 FROM notices WHERE kind = 'baseline' AND at > ?1 AND at <= ?2)",
        (time_text(request.at), time_text(now)),
    ).rowcount
