"""Wishes to JSON and back, as they stand in the files that commands leave for the daemon.

A file may come from an older version of the program, or from anybody who may write there: whatever
is no wish is an error. Refuses to know where the files are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from watcher.confirm import HoldReason
from watcher.store.rows import read_time, time_text
from watcher.store.values import StoredSilence
from watcher.store.wishes import (
    AcceptHolds,
    AddSilence,
    EndSilence,
    Forward,
    HoldName,
    OutboxRequest,
    Request,
    StartOver,
    Wish,
)

if TYPE_CHECKING:
    from datetime import datetime

__all__ = ["read_request", "request_fields"]


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
