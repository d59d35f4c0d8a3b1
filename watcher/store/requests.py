"""What a person can ask of the state from outside: of the outbox, of silences, of what is held.

Each wish is made at a time and is about what there was by then, so that doing it twice does no
more than doing it once. Refuses to know how it reaches the state and what it does there.

Wishes to JSON and back, as they stand in the files that commands leave for the daemon.

A file may come from an older version of the program, or from anybody who may write there: whatever
is no wish is an error. Refuses to know where the files are.

Wishes, left in a directory for the daemon that owns the state to take.

A database has one writer; a command that finds the daemon running leaves a file instead. Knows the
directory. Refuses to know what stands in a file and what a wish does.

What a person's wish does to the state, as a part of one transaction.

Every wish is bounded by its own time: one that was granted, and is found again after a crash, does
nothing more. Refuses to know who asked and how it came here.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from watcher.catalog.confirm import HoldReason
from watcher.store.anchors import add_silence, end_silence
from watcher.store.connection import StateError, beside
from watcher.store.rows import json_text, read_time, time_text
from watcher.store.values import StoredSilence

if TYPE_CHECKING:
    from datetime import datetime

    import aiosqlite


class Wish(StrEnum):
    """What a person can ask of the outbox."""

    RETRY = "retry"
    DISCARD = "discard"


@dataclass(frozen=True, slots=True)
class OutboxRequest:
    """A person's wish about messages.

    `message_ids` and `receiver` narrow it down; with neither it is about everything. Discarding
    by receiver, or everything, includes what has not yet been gathered into a message.
    """

    wish: Wish
    at: datetime
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class Forward:
    """Tell another receiver what was for this one; narrowed down as an `OutboxRequest` is."""

    at: datetime
    to: str
    message_ids: tuple[int, ...] | None = None
    receiver: str | None = None


@dataclass(frozen=True, slots=True)
class AddSilence:
    """Silence what matches; it begins when it is asked for. Its number is not known yet."""

    silence: StoredSilence

    @property
    def at(self) -> datetime:
        """When it was asked for."""
        return self.silence.since_at


@dataclass(frozen=True, slots=True)
class EndSilence:
    """End a silence before its time."""

    at: datetime
    number: int


@dataclass(frozen=True, slots=True)
class HoldName:
    """Which hold is meant: not only whose, but also what was seen when it was asked for."""

    reason: HoldReason
    model_id: int | None
    subject: str


@dataclass(frozen=True, slots=True)
class AcceptHolds:
    """Let the next sweep settle these holds if it still shows the same; `None`: all there are.

    Accepting the collapse of the catalogue accepts the removals that it holds.
    """

    at: datetime
    holds: tuple[HoldName, ...] | None = None


@dataclass(frozen=True, slots=True)
class StartOver:
    """Take the next complete sweep as it is, and tell nobody what is different in it."""

    at: datetime


Request = OutboxRequest | Forward | AddSilence | EndSilence | AcceptHolds | StartOver


@dataclass(frozen=True, slots=True)
class TakenRequests:
    """The requests found: each with how many things it was about, such as messages or holds.

    `set_aside` names the files that were no requests; they are kept beside, renamed.
    """

    applied: tuple[tuple[Request, int], ...] = ()
    set_aside: tuple[str, ...] = ()


def request_fields(request: Request) -> dict[str, Any]:
    """What a file holds."""
    return {"at": time_text(request.at)} | _own_fields(request)


def _own_fields(request: Request) -> dict[str, Any]:
    match request:
        case OutboxRequest():
            return {
                "wish": request.wish.value,
                "messages": request.message_ids,
                "receiver": request.receiver,
            }
        case Forward():
            return {
                "wish": "forward",
                "messages": request.message_ids,
                "receiver": request.receiver,
                "to": request.to,
            }
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
            names = None if holds is None else [_hold_fields(hold) for hold in holds]
            return {"wish": "accept", "holds": names}
        case StartOver():
            return {"wish": "start over"}
        case _:
            assert_never(request)


def read_request(fields: Any) -> Request:
    """Read what a file holds; raises `KeyError`, `TypeError` or `ValueError` where it is none."""
    at = _time(fields["at"])
    match fields["wish"]:
        case "silence":
            return AddSilence(_silence(fields, at))
        case "end silence":
            return EndSilence(at, _number(fields["number"]))
        case "accept":
            holds = fields["holds"]
            return AcceptHolds(at, None if holds is None else tuple(map(_hold, holds)))
        case "start over":
            return StartOver(at)
        case "forward":
            return Forward(at, _text(fields["to"]), *_aim(fields))
        case wish:
            return OutboxRequest(Wish(wish), at, *_aim(fields))


def _aim(fields: Any) -> tuple[tuple[int, ...] | None, str | None]:
    """Which messages are meant, and whose."""
    ids, receiver = fields["messages"], fields["receiver"]
    numbers = None if ids is None else tuple(map(_number, ids))
    return numbers, None if receiver is None else _text(receiver)


def _silence(fields: Any, at: datetime) -> StoredSilence:
    spec = fields["match"]
    if not isinstance(spec, dict):
        raise TypeError("a matcher is a mapping")
    return StoredSilence(
        id=0,
        spec=spec,
        since_at=at,
        until_at=_time(fields["until"]),
        reason=_text(fields["reason"]),
        dropping=fields["drop"] is True,
    )


def _hold(fields: Any) -> HoldName:
    model = fields["model"]
    return HoldName(
        HoldReason(fields["reason"]),
        None if model is None else _number(model),
        _text(fields["subject"]),
    )


def _hold_fields(hold: HoldName) -> dict[str, Any]:
    return {"reason": hold.reason.value, "model": hold.model_id, "subject": hold.subject}


def _time(text: Any) -> datetime:
    at = read_time(_text(text))
    if at.tzinfo is None:
        raise ValueError("a time says its time zone")
    return at


def _number(value: Any) -> int:
    # Not isinstance: `true` is an int to Python.
    if type(value) is not int:
        raise TypeError("a number is whole")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is a text")
    return value


_LONGEST = 64 * 1024
_REQUEST, _PART, _REJECTED = ".json", ".part", ".rejected"


@dataclass(frozen=True, slots=True)
class Spool:
    """What the directory held: requests with their files, oldest first, and what was none."""

    requests: tuple[tuple[Path, Request], ...]
    set_aside: tuple[str, ...]


class _NotARequestError(ValueError):
    """A file that cannot be read as a request."""


def leave(state: Path, request: Request) -> Path:
    """Leave a request for the daemon that owns the state; there whole or not at all."""
    directory = beside(state, ".requests")
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        _give_to_owner(directory, state)
        # mkstemp: a name of its own, for its owner alone.
        stamp = f"{time_text(request.at).translate(str.maketrans('', '', '-:.'))}-"
        descriptor, part = tempfile.mkstemp(dir=directory, prefix=stamp, suffix=_PART)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json_text(request_fields(request)))
            file.flush()
            os.fsync(file.fileno())
        _give_to_owner(Path(part), state)
        return Path(part).rename(Path(part).with_suffix(_REQUEST))
    except OSError as error:
        raise StateError(
            f"{directory}: the request cannot be left for the running daemon ({error.strerror}). "
            "Run the command as the user of the daemon"
        ) from error


def look(state: Path) -> Spool:
    """Read what was left; what is no request is renamed, so that it is looked at once."""
    directory = beside(state, ".requests")
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
            requests.append((path, _read(path)))
        except (_NotARequestError, OSError):
            foreign.append(path)
    return Spool(tuple(requests), tuple(path.name for path in foreign if _set_aside(path)))


def forget(spool: Spool) -> None:
    """Remove the files of the requests, once what they ask for is done and stored."""
    for path, _ in spool.requests:
        # Doing a request again does no harm; a file that stays must not stop the outbox.
        with suppress(OSError):
            path.unlink()


def _read(path: Path) -> Request:
    if path.suffix != _REQUEST or not stat.S_ISREG(path.lstat().st_mode):
        raise _NotARequestError(path.name)
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise _NotARequestError(path.name)
    try:
        return read_request(json.loads(content))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _NotARequestError(path.name) from error


def _set_aside(path: Path) -> bool:
    """Rename it; `False` where that is not allowed, to keep quiet about it on every look."""
    try:
        path.rename(path.with_name(path.name + _REJECTED))
    except OSError:
        return False
    return True


def _give_to_owner(path: Path, state: Path) -> None:
    """What root leaves, the daemon must be able to take."""
    if os.geteuid() == 0:
        owner = state.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


async def grant(db: aiosqlite.Connection, request: Request) -> int:
    """Do what was asked; returns how many things it was about, which may be none."""
    match request:
        case OutboxRequest(wish=Wish.RETRY):
            return await _retry(db, request)
        case OutboxRequest():
            return await _discard(db, request)
        case Forward():
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


async def _retry(db: aiosqlite.Connection, request: OutboxRequest) -> int:
    cursor = await db.execute(
        "UPDATE messages SET state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state = 'dead' AND settled_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _aimed_at(request),
    )
    return cursor.rowcount


async def _discard(db: aiosqlite.Connection, request: OutboxRequest) -> int:
    messages = await db.execute(
        "UPDATE messages SET state = 'discarded', settled_at = ?1, picture = NULL"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3)",
        _aimed_at(request),
    )
    ungathered = await db.execute(
        "UPDATE deliveries SET discarded_at = ?1"
        " WHERE id IN (SELECT id FROM waiting WHERE queued_at <= ?1)"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        _aimed_at(request),
    )
    return messages.rowcount + ungathered.rowcount


async def _forward(db: aiosqlite.Connection, request: Forward) -> int:
    """Give messages, and what is ungathered, to another receiver; what that was told stays told.

    The route stays behind: it may have a digest that the other receiver does not get.
    """
    aim = (*_aimed_at(request), request.to)
    messages = await db.execute_fetchall(
        "UPDATE messages SET receiver = ?4, state = 'open', settled_at = NULL, attempts = 0,"
        " opened_at = ?1, next_attempt_at = ?1"
        " WHERE state IN ('open', 'dead') AND created_at <= ?1 AND receiver <> ?4"
        " AND (?2 IS NULL OR id IN (SELECT value FROM json_each(?2)))"
        " AND (?3 IS NULL OR receiver = ?3) RETURNING id",
        aim,
    )
    moved = json_text([number for (number,) in messages])
    ungathered = await db.execute_fetchall(
        "SELECT id FROM waiting WHERE queued_at <= ?1 AND receiver <> ?4"
        " AND ?2 IS NULL AND (?3 IS NULL OR receiver = ?3)",
        aim,
    )
    waiting = json_text([number for (number,) in ungathered])
    await db.execute(
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
    return len(list(messages)) + len(list(ungathered))


def _aimed_at(request: OutboxRequest | Forward) -> tuple[str, str | None, str | None]:
    ids = None if request.message_ids is None else json_text(request.message_ids)
    return time_text(request.at), ids, request.receiver


async def _accept(db: aiosqlite.Connection, request: AcceptHolds) -> int:
    """Put the end of holds to the time of the wish: the next sweep may settle them.

    A hold that began later is about something that the person has not seen.
    """
    moment = time_text(request.at)
    if request.holds is None:
        return await _settle(db, moment, "1", ())
    settled = 0
    for hold in request.holds:
        if hold.reason is HoldReason.COLLAPSE:
            settled += await _settle(db, moment, "reason IN ('collapse', 'removal')", ())
        else:
            settled += await _settle(
                db, moment, "reason = ? AND model_id IS ? AND subject = ?", _columns(hold)
            )
    return settled


async def _settle(
    db: aiosqlite.Connection, moment: str, which: str, parameters: tuple[object, ...]
) -> int:
    cursor = await db.execute(
        f"UPDATE holds SET until_at = min(until_at, ?) WHERE since_at <= ? AND {which}",  # noqa: S608 - our own words
        (moment, moment, *parameters),
    )
    return cursor.rowcount


def _columns(hold: HoldName) -> tuple[object, ...]:
    return hold.reason.value, hold.model_id, hold.subject


async def _start_over(db: aiosqlite.Connection, request: StartOver) -> int:
    """Mark the memory; a baseline taken since the wish was made has fulfilled it."""
    cursor = await db.execute(
        "UPDATE sweep SET start_over = 1 WHERE NOT EXISTS"
        " (SELECT 1 FROM notices WHERE kind = 'baseline' AND at > ?)",
        (time_text(request.at),),
    )
    return cursor.rowcount
