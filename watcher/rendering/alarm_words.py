"""What operators are told of the watch itself, in words: each alarm, and that it is over.

Knows how each kind of alarm is said and what to do about it. Refuses to know when one is raised.
What the API or a service said is a stranger's text here as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.alarms import AlarmKind
from watcher.changes import NoticeKind
from watcher.rendering.harmless import LONGEST_NAME, harmless, shortened, width
from watcher.rendering.moments import lasting, moment, read_moment
from watcher.rendering.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.changes import Notice

__all__ = ["alarm", "alarm_gist", "brief_alarm"]

# With what stands around it, still within the smallest message that is no text message.
LONGEST_REASON = 200
LONGEST_BRIEF_REASON = 40
LONGEST_NAME_OF_A_RECEIVER = 32


@dataclass(frozen=True, slots=True)
class _Saying:
    """How an alarm and its end are said: the gist for a title, and what follows it in a body."""

    gist: str
    more: str
    over: str
    over_more: str = ""


_SAYINGS = {
    AlarmKind.BLIND: _Saying(
        "blind since {since}",
        " ({lasted}): the catalogue could not be read{because}. What changes meanwhile is told "
        "once it can be read again.",
        "the catalogue can be read again",
        ", after {lasted} without. What changed meanwhile is told as usual.",
    ),
    AlarmKind.SHAPE: _Saying(
        "the API's answers have another shape",
        "{because}. They are not believed, so nothing is watched until they can be understood; a "
        "newer kie-watcher may know them.",
        "the API's answers can be understood again",
        ", after {lasted}.",
    ),
    AlarmKind.REFUSED: _Saying(
        "the API refuses to serve this watcher",
        "{because}. Nothing is watched until it does; the region it is asked from may be the "
        "reason.",
        "the API serves this watcher again",
        ", after {lasted}.",
    ),
    AlarmKind.COLLAPSE: _Saying(
        "the catalogue looks wrong and is not believed yet",
        ".",
        "the catalogue is believed again as it is",
        ": {models} on sale. What stayed missing for {lasted} is announced as removed.",
    ),
    AlarmKind.RECEIVER: _Saying(
        "receiver {about} fails",
        " since {since} ({lasted}){because}. What is due to it is kept and tried again.",
        "receiver {about} no longer fails",
        "{because}, after {lasted}.",
    ),
    AlarmKind.DEAD_LETTER: _Saying(
        "{messages} to {about} given up",
        "{because}. What it said is kept: kie-watcher outbox shows it and sends it again.",
        "nothing given up is left at {about}",
        ".",
    ),
    AlarmKind.STATE: _Saying(
        "the state cannot be used",
        "{because}. Until it can, nothing is announced: what is not remembered is not told.",
        "the state can be used again",
        ", after {lasted}.",
    ),
    AlarmKind.RELOAD: _Saying(
        "the new configuration is refused",
        ", the old one stays in use{because}. kie-watcher validate lists all that is wrong.",
        "the configuration in use is good again",
        ".",
    ),
    AlarmKind.CLOCK: _Saying(
        "the clock jumped {jump}",
        ". Times told and remembered may be off; check the time of this machine.",
        "the clock is back where it was",
        ", after {lasted}.",
    ),
}
# A kind that a later version wrote.
_UNKNOWN = _Saying("something is wrong with the watch", "{because}.", "a warning is over", ".")


def alarm(notice: Notice) -> str:
    """The whole of it, in a sentence or a few."""
    return _capital(f"{alarm_gist(notice)}{_filled(_parts(notice)[1], notice, LONGEST_REASON)}")


def brief_alarm(notice: Notice) -> str:
    """The same for a service that takes no more than a text message."""
    reason = ""
    if notice.kind is NoticeKind.ALARM:
        reason = _because(notice, LONGEST_BRIEF_REASON)
    return f"{_capital(alarm_gist(notice))}{reason}".rstrip("….") + "."


def alarm_gist(notice: Notice) -> str:
    """The same as a part of a title, beginning small."""
    return _filled(_parts(notice)[0], notice, LONGEST_BRIEF_REASON)


def _parts(notice: Notice) -> tuple[str, str]:
    said = str(notice.detail.get("alarm"))
    saying = _SAYINGS[AlarmKind(said)] if said in set(AlarmKind) else _UNKNOWN
    if notice.kind is NoticeKind.ALARM_OVER:
        return saying.over, saying.over_more
    return saying.gist, saying.more


def _filled(template: str, notice: Notice, longest_reason: int) -> str:
    since = read_moment(notice.detail.get("since")) or notice.at
    count = notice.detail.get("count")
    number = count if isinstance(count, int) else 0
    return template.format(
        since=moment(since),
        lasted=lasting(notice.at - since),
        about=shortened(harmless(str(notice.detail.get("about"))), LONGEST_NAME_OF_A_RECEIVER),
        because=_because(notice, longest_reason),
        messages="a message" if number <= 1 else f"{number:,} messages",
        models=counted(number, "model", "models"),
        jump=_jump(timedelta(seconds=number)),
    )


def _because(notice: Notice, longest: int) -> str:
    why = str(notice.detail.get("why") or "").strip().rstrip(".")
    return f": {shortened(' '.join(_harmless_pieces(why)), longest)}" if why else ""


def _harmless_pieces(text: str) -> Iterator[str]:
    """A reason is longer than a name may be, so it is made harmless piece by piece."""
    piece = ""
    for word in text[: 2 * LONGEST_REASON].split():
        if piece and width(f"{piece} {word}") > LONGEST_NAME // 2:
            yield harmless(piece)
            piece = ""
        piece = f"{piece} {word}".strip()
    if piece:
        yield harmless(piece)


def _jump(by: timedelta) -> str:
    return f"{'back' if by < timedelta(0) else 'ahead'} by {lasting(abs(by))}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
