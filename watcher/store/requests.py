"""What commands ask of the state while another process, the daemon, owns it.

A database has one writer. A command that finds the daemon running leaves its request as a file in
a directory beside the state; the daemon reads it, applies it, and then removes the file. A file
may come from another version of the program, or from anybody who may write there: what cannot be
read as a request is renamed, never applied.

Each request carries the time at which it was made and is about what there was by then. So one that
is found again after a crash, and applied twice, changes no more than once.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from watcher.catalog.confirm import HoldReason
from watcher.store.connection import StateError, companion, give_to_owner
from watcher.store.routing_state import add_silence, end_silence
from watcher.store.rows import json_text, read_time, time_text
from watcher.store.values import StoredSilence

if TYPE_CHECKING:
    from datetime import datetime

    import aiosqlite

_LONGEST_FILE = 64 * 1024
_REQUEST, _PART, _REJECTED = ".json", ".part", ".rejected"


@dataclass(frozen=True, slots=True)
class RetryMessages:
    """Try dead messages again.

    `message_ids` and `receiver` narrow it down; with neither it is about every message. The same
    holds for `DiscardMessages` and `ForwardMessages`.
    """

    at: datetime
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class DiscardMessages:
    """Give up messages, open or dead; and, unless `message_ids` names some, what is in none yet."""

    at: datetime
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class ForwardMessages:
    """Send to another receiver what `DiscardMessages` would give up."""

    at: datetime
    to: str
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class AddSilence:
    """Add a silence that begins when the request is made. Its number is not known yet."""

    silence: StoredSilence

    @property
    def at(self) -> datetime:
        """When the request was made."""
        return self.silence.since_at


@dataclass(frozen=True, slots=True)
class EndSilence:
    """End a silence before its time."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class HoldKey:
    """Which hold is meant: of which model, and for what was seen when the request was made."""

    reason: HoldReason
    model_id: int | None
    subject: str


@dataclass(frozen=True, slots=True)
class AcceptHolds:
    """Let the next sweep confirm these holds if it still shows the same; `None`: all there are.

    Accepting the collapse of the catalogue accepts the removals that it holds.
    """

    at: datetime
    holds: tuple[HoldKey, ...] | None = None


@dataclass(frozen=True, slots=True)
class StartOver:
    """Take the next complete sweep as a new baseline: store what differs, announce none of it."""

    at: datetime


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

    `rejected` names the files that were no requests; they are kept, renamed.
    """

    applied: tuple[tuple[Request, int], ...] = ()
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spool:
    """What the directory held: requests with their files, oldest first, and names of the rest."""

    requests: tuple[tuple[Path, Request], ...]
    rejected: tuple[str, ...]


class _NotARequestError(ValueError):
    """A file that cannot be read as a request."""


def leave_request(state: Path, request: Request) -> Path:
    """Write a request for the daemon that owns the state; the file is there whole or not at all."""
    directory = companion(state, ".requests")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        give_to_owner(directory, state)
        # mkstemp: a name of its own, for its owner alone.
        stamp = f"{time_text(request.at).translate(str.maketrans('', '', '-:.'))}-"
        descriptor, part = tempfile.mkstemp(dir=directory, prefix=stamp, suffix=_PART)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json_text(_request_fields(request)))
            file.flush()
            os.fsync(file.fileno())
        give_to_owner(Path(part), state)
        return Path(part).rename(Path(part).with_suffix(_REQUEST))
    except OSError as error:
        raise StateError(
            f"{directory}: the request cannot be left for the running daemon ({error.strerror}). "
            "Run the command as the user of the daemon"
        ) from error


def read_requests(state: Path) -> Spool:
    """Read what was left; what is no request is renamed, so that it is read only once."""
    directory = companion(state, ".requests")
    requests: list[tuple[Path, Request]] = []
    foreign: list[Path] = []
    try:
        left = sorted(directory.iterdir())
    except FileNotFoundError:
        return Spool((), ())
    except OSError:
        left, foreign = [], [directory]
    for path in left:
        if path.suffix in {_PART, _REJECTED}:
            continue
        try:
            requests.append((path, _read_file(path)))
        except (_NotARequestError, OSError):
            foreign.append(path)
    return Spool(tuple(requests), tuple(path.name for path in foreign if _reject(path)))


def remove_requests(spool: Spool) -> None:
    """Remove the files of the requests, once what they ask for is done and stored."""
    for path, _ in spool.requests:
        # Applying a request again does no harm; a file that stays must not stop the outbox.
        with suppress(OSError):
            path.unlink()


async def apply_request(db: aiosqlite.Connection, request: Request) -> int:
    """Do what was asked; returns how many things it changed, which may be none."""
    match request:
        case RetryMessages():
            return await _retry(db, request)
        case DiscardMessages():
            return await _discard(db, request)
        case ForwardMessages():
            return await _forward(db, request)
        case AddSilence():
            return await add_silence(db, request.silence)
        case EndSilence():
            return await end_silence(db, request.number, request.at)
        case AcceptHolds():
            return await _accept(db, request)
        case StartOver():
            return await _start_over(db, request)
        case _:
            assert_never(request)


# The keys and words of the files. Another version may write or read them, so they stay as they
# are: the kind of a request is called its `wish` there.
def _request_fields(request: Request) -> dict[str, Any]:
    return {"at": time_text(request.at)} | _own_fields(request)


def _own_fields(request: Request) -> dict[str, Any]:
    match request:
        case RetryMessages():
            return {"wish": "retry"} | _target_fields(request)
        case DiscardMessages():
            return {"wish": "discard"} | _target_fields(request)
        case ForwardMessages():
            return {"wish": "forward"} | _target_fields(request) | {"to": request.to}
        case AddSilence(silence):
            return {
                "wish": "silence",
                "match": dict(silence.spec),
                "until": time_text(silence.until_at),
                "reason": silence.reason,
                "drop": silence.dropping,
            }
        case EndSilence():
            return {"wish": "end silence", "number": request.number}
        case AcceptHolds(holds=holds):
            keys = None if holds is None else [_hold_fields(hold) for hold in holds]
            return {"wish": "accept", "holds": keys}
        case StartOver():
            return {"wish": "start over"}
        case _:
            assert_never(request)


def _target_fields(request: RetryMessages | DiscardMessages | ForwardMessages) -> dict[str, Any]:
    return {"messages": request.message_ids, "receiver": request.receiver}


def _hold_fields(hold: HoldKey) -> dict[str, Any]:
    return {"reason": hold.reason.value, "model": hold.model_id, "subject": hold.subject}


def _read_file(path: Path) -> Request:
    if path.suffix != _REQUEST or not stat.S_ISREG(path.lstat().st_mode):
        raise _NotARequestError(path.name)
    with path.open("rb") as file:
        content = file.read(_LONGEST_FILE + 1)
    if len(content) > _LONGEST_FILE:
        raise _NotARequestError(path.name)
    try:
        return _read_request(json.loads(content))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _NotARequestError(path.name) from error


def _reject(path: Path) -> bool:
    """Rename a file; `False` where that is not allowed, so that it is not reported each time."""
    try:
        path.rename(path.with_name(path.name + _REJECTED))
    except OSError:
        return False
    return True


def _read_request(fields: Any) -> Request:
    """The request. Raises `KeyError`, `TypeError` or `ValueError` where the fields are not one."""
    at = _read_time(fields["at"])
    match fields["wish"]:
        case "retry":
            return RetryMessages(at, *_read_target(fields))
        case "discard":
            return DiscardMessages(at, *_read_target(fields))
        case "forward":
            return ForwardMessages(at, _read_text(fields["to"]), *_read_target(fields))
        case "silence":
            return AddSilence(_read_silence(fields, at))
        case "end silence":
            return EndSilence(at, _read_number(fields["number"]))
        case "accept":
            holds = fields["holds"]
            return AcceptHolds(at, None if holds is None else tuple(map(_read_hold, holds)))
        case "start over":
            return StartOver(at)
        case other:
            raise ValueError(f"there is no request {other}")


def _read_target(fields: Any) -> tuple[tuple[int, ...] | None, str | None]:
    """Which messages are meant, and whose."""
    ids, receiver = fields["messages"], fields["receiver"]
    numbers = None if ids is None else tuple(map(_read_number, ids))
    return numbers, None if receiver is None else _read_text(receiver)


def _read_silence(fields: Any, at: datetime) -> StoredSilence:
    spec = fields["match"]
    if not isinstance(spec, dict):
        raise TypeError("a matcher is a mapping")
    return StoredSilence(
        id=0,
        spec=spec,
        since_at=at,
        until_at=_read_time(fields["until"]),
        reason=_read_text(fields["reason"]),
        dropping=fields["drop"] is True,
    )


def _read_hold(fields: Any) -> HoldKey:
    model = fields["model"]
    return HoldKey(
        HoldReason(fields["reason"]),
        None if model is None else _read_number(model),
        _read_text(fields["subject"]),
    )


def _read_time(text: Any) -> datetime:
    at = read_time(_read_text(text))
    if at.tzinfo is None:
        raise ValueError("a time names its time zone")
    return at


def _read_number(value: Any) -> int:
    # Not isinstance: `true` is an int to Python.
    if type(value) is not int:
        raise TypeError("a number is whole")
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is a string")
    return value


async def _retry(db: aiosqlite.Connection, request: RetryMessages) -> int:
    cursor = await db.execute(
        "UPDATE messages SET state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state = 'dead' AND settled_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request),
    )
    return cursor.rowcount


async def _discard(db: aiosqlite.Connection, request: DiscardMessages) -> int:
    messages = await db.execute(
        "UPDATE messages SET state = 'discarded', settled_at = ?1, picture = NULL"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request),
    )
    waiting = await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT id FROM waiting WHERE queued_at <= ?1)"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        _target_columns(request),
    )
    return messages.rowcount + waiting.rowcount


async def _forward(db: aiosqlite.Connection, request: ForwardMessages) -> int:
    """Give messages, and what is in none yet, to another receiver.

    What that receiver was sent already is not sent to it again. The route is dropped: it may have
    a digest that the other receiver does not get.
    """
    target = (*_target_columns(request), request.to)
    messages = await db.execute_fetchall(
        "UPDATE messages SET receiver = ?4, state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1 AND receiver <> ?4"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3) RETURNING id",
        target,
    )
    moved = json_text([number for (number,) in messages])
    deliveries = await db.execute_fetchall(
        "SELECT id FROM waiting WHERE queued_at <= ?1 AND receiver <> ?4"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        target,
    )
    waiting = json_text([number for (number,) in deliveries])
    await db.execute(
        # OR IGNORE: a delivery of the same change to that receiver is there already.
        "UPDATE OR IGNORE deliveries SET receiver = ?1, route = ''"
        " WHERE message_id IN (SELECT value FROM json_each(?2))"
        " OR id IN (SELECT value FROM json_each(?3))",
        (request.to, moved, waiting),
    )
    await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT value FROM json_each(?2)) AND receiver <> ?3",
        (time_text(request.at), waiting, request.to),
    )
    return len(list(messages)) + len(list(deliveries))


def _target_columns(
    request: RetryMessages | DiscardMessages | ForwardMessages,
) -> tuple[str, str | None, str | None]:
    ids = None if request.message_ids is None else json_text(request.message_ids)
    return time_text(request.at), ids, request.receiver


async def _accept(db: aiosqlite.Connection, request: AcceptHolds) -> int:
    """Move the end of holds to the time of the request, so that the next sweep may confirm them.

    A hold that began later is about something that the person has not seen.
    """
    at = time_text(request.at)
    if request.holds is None:
        return await _end_holds(db, at, "1", ())
    ended = 0
    for hold in request.holds:
        if hold.reason is HoldReason.COLLAPSE:
            ended += await _end_holds(db, at, "reason IN ('collapse', 'removal')", ())
        else:
            key = (hold.reason.value, hold.model_id, hold.subject)
            ended += await _end_holds(db, at, "reason = ? AND model_id IS ? AND subject = ?", key)
    return ended


async def _end_holds(
    db: aiosqlite.Connection, at: str, condition: str, parameters: tuple[object, ...]
) -> int:
    cursor = await db.execute(
        f"UPDATE holds SET until_at = min(until_at, ?) WHERE since_at <= ? AND {condition}",  # noqa: S608 - our own words
        (at, at, *parameters),
    )
    return cursor.rowcount


async def _start_over(db: aiosqlite.Connection, request: StartOver) -> int:
    """Mark the state, unless a baseline was taken since the request was made: that fulfils it."""
    cursor = await db.execute(
        "UPDATE sweep SET start_over = 1 WHERE NOT EXISTS"
        " (SELECT 1 FROM notices WHERE kind = 'baseline' AND at > ?)",
        (time_text(request.at),),
    )
    return cursor.rowcount
