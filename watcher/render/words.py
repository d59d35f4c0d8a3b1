"""How many of each kind, in words: `3 up, 1 gone`. Refuses to know of which models.

What operators are told of the watch itself, in words: each alarm, and that it is over.

Knows how each kind of alarm is said and what to do about it. Refuses to know when one is raised.
What the API or a service said is a stranger's text here as everywhere.

What happened, in words: one change of a model as phrases, weightiest first, and each notice.

Knows how each kind is said. Refuses to know what is said beside it, how much room there is in all,
and in which markup it will stand.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

from watcher.catalog.changes import Cause, CreditValueChange, Kind, ModelChange, Notice, NoticeKind
from watcher.monitor.alarms import AlarmKind
from watcher.render.figures import (
    MINUS,
    against_fal,
    counted,
    fal_price,
    lasting,
    moment,
    money,
    money_pair,
    percent,
    price,
    price_move,
    read_moment,
    usd_move,
)
from watcher.render.markup import LONGEST_NAME, harmless, shortened, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from watcher.catalog.record import Model, Record

# In the order in which they are counted.
_COUNTED = {
    Kind.PRICE_UP: ("{} up", "{} up"),
    Kind.PRICE_DOWN: ("{} down", "{} down"),
    Kind.NEW: ("{} new", "{} new"),
    Kind.REMOVED: ("{} gone", "{} gone"),
    Kind.RETURNED: ("{} back", "{} back"),
    Kind.UNIT: ("{} unit changed", "{} units changed"),
    Kind.RENAMED: ("{} renamed", "{} renamed"),
    Kind.DISCOUNT_UP: ("{} discount up", "{} discounts up"),
    Kind.DISCOUNT_DOWN: ("{} discount down", "{} discounts down"),
    Kind.PROMOTION_STARTED: ("{} promotion started", "{} promotions started"),
    Kind.PROMOTION_ENDED: ("{} promotion ended", "{} promotions ended"),
    Kind.FAL_UP: ("{} up at Fal", "{} up at Fal"),
    Kind.FAL_DOWN: ("{} down at Fal", "{} down at Fal"),
    Kind.CORRECTED: ("{} corrected", "{} corrected"),
    Kind.RELABELLED: ("{} relabelled", "{} relabelled"),
    Kind.CREDIT_VALUE: ("{} new credit value", "{} new credit values"),
}


def counts_in_words(counts: Mapping[Kind, int], another: Kind | None = None) -> Iterator[str]:
    """Each kind there is any of, what moved money first; `1 more up` of the kind of `another`."""
    for kind, words in _COUNTED.items():
        if count := counts.get(kind):
            number = f"{count:,} more" if kind is another else f"{count:,}"
            yield words[count > 1].format(number)


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


MOST_CATEGORIES = 12
LONGEST_WORD = 40

_PRICE = {Kind.PRICE_UP, Kind.PRICE_DOWN}
_DISCOUNT = {Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN}
_FAL = {Kind.FAL_UP, Kind.FAL_DOWN}
_TIDIED = {Kind.CORRECTED, Kind.RELABELLED}
_BECAUSE = {
    Cause.PRICE: "because Kie's price moved",
    Cause.COMPETITOR: "because Fal's price moved",
    Cause.LISTING: "only the listed rate moved",
}


def phrases(change: ModelChange, longest_name: int) -> tuple[str, ...]:
    """All there is to say about a change; the first phrase alone is the news."""
    before, after = change.before, change.after
    if before is None and after is not None:
        return tuple(_said(f"new, {price(after)}", _discount_now(after)))
    if after is None:
        assert before is not None, "a change has a before or an after"  # noqa: S101
        return (f"gone, last price {price(before)}",)
    assert before is not None, "told apart above"  # noqa: S101
    return tuple(_moved(change, before, after, longest_name))


def announcement(content: Notice | CreditValueChange) -> str:
    """What there is to say about the catalogue as a whole, in a sentence or a few."""
    if isinstance(content, CreditValueChange):
        return f"{brief_announcement(content)}: every USD price moves by {value_move(content)}"
    match content.kind:
        case NoticeKind.BASELINE:
            return (
                f"Watching {catalogue_words(content.detail)}{_categories(content.detail)}. "
                "From now on you hear what changes."
            )
        case NoticeKind.COLLAPSE:
            return (
                f"{missing_words(content.detail)}. Nothing is announced as removed yet. "
                f"If they are still missing at {_until(content.detail)}, it will be believed and "
                "announced; if they come back, nothing happened."
            )
        case NoticeKind.RECOVERED:
            return (
                f"{brief_announcement(content)} The warning is over; "
                "what changed meanwhile is told as usual."
            )
        case NoticeKind.SAMPLE:
            return f"{brief_announcement(content)} A price rise will look like this:"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return alarm(content)
        case _:
            assert_never(content.kind)


def brief_announcement(content: Notice | CreditValueChange) -> str:
    """The same for a service that takes no more than a text message."""
    if isinstance(content, CreditValueChange):
        old, new = money_pair(content.before, content.after)
        return f"One credit is now worth {new} (was {old})"
    match content.kind:
        case NoticeKind.BASELINE:
            return f"Watching {catalogue_words(content.detail)}."
        case NoticeKind.COLLAPSE:
            return f"{missing_words(content.detail)}. Waiting until {_until(content.detail)}."
        case NoticeKind.RECOVERED:
            return f"The catalogue looks right again: {catalogue_words(content.detail)}."
        case NoticeKind.SAMPLE:
            return "This is a test: no price has moved."
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return brief_alarm(content)
        case _:
            assert_never(content.kind)


def value_move(change: CreditValueChange) -> str:
    return percent((change.after / change.before - 1) * 100)


def catalogue_words(detail: Mapping[str, Any]) -> str:
    return counted(_count(detail.get("models")), "model", "models")


def _moved(change: ModelChange, before: Model, after: Model, longest_name: int) -> Iterator[str]:
    """What moved about a model that was there before and is there now."""
    kinds = set(change.kinds)
    old_name = shortened(harmless(before.record.description), longest_name)
    moved = [price_move(change, before, after)] if kinds & (_PRICE | {Kind.UNIT}) else []
    now = [] if moved else [price(after)]
    if Kind.RETURNED in kinds:
        yield f"back, {(moved or now)[0]}"
    else:
        yield from moved
    if moved:
        yield from _said(usd_move(before, after))
    if Kind.RENAMED in kinds:
        yield f"renamed, was “{old_name}”"
    yield from _discount_move(change, before, after)
    yield from _fal_move(change, before, after)
    yield from _promotion(kinds)
    yield from _listing(before, after, kinds)
    # What stands as it was closes the line: people decide by it.
    if not kinds & _DISCOUNT and not kinds <= _TIDIED:
        yield from _said(against_fal(before, after))
    if now and Kind.RETURNED not in kinds:
        yield f"price {now[0]}"


def _discount_move(change: ModelChange, before: Model, after: Model) -> Iterator[str]:
    if set(change.kinds) & _DISCOUNT:
        yield against_fal(before, after) + because(change)


def because(change: ModelChange) -> str:
    """`, because Kie's price moved`: who moved the discount, where that is known."""
    causes = [change.causes[kind] for kind in change.kinds if kind in change.causes]
    return f", {_BECAUSE[causes[0]]}" if causes else ""


def _fal_move(change: ModelChange, before: Model, after: Model) -> Iterator[str]:
    told = set(change.kinds) & _FAL or Cause.COMPETITOR in change.causes.values()
    if told and before.record.fal != after.record.fal:
        yield f"Fal's price {fal_price(before.record)} → {fal_price(after.record)}"


def _promotion(kinds: set[Kind]) -> Iterator[str]:
    if Kind.PROMOTION_STARTED in kinds:
        yield "promotion started"
    if Kind.PROMOTION_ENDED in kinds:
        yield "promotion ended"


def _listing(before: Model, after: Model, kinds: set[Kind]) -> Iterator[str]:
    if Kind.CORRECTED in kinds:
        mended = ", ".join(_corrections(before.record, after.record)) or "the listed price"
        yield f"listing corrected, {mended}"
    if Kind.RELABELLED in kinds:
        mended = ", ".join(_labels(before.record, after.record)) or "a label"
        yield f"relabelled, {mended}"


def _corrections(before: Record, after: Record) -> Iterator[str]:
    if before.credits != after.credits:
        yield f"credits {_or_none(before.credits, '')} → {_or_none(after.credits, '')}"
    if before.usd_listed != after.usd_listed:
        yield f"USD {_or_none(before.usd_listed, '$')} → {_or_none(after.usd_listed, '$')}"
    if before.rate != after.rate:
        old, new = (_or_none(record.rate, "", " %") for record in (before, after))
        yield f"discount {old} → {new}"


def _labels(before: Record, after: Record) -> Iterator[str]:
    pairs = {
        "provider": (before.provider, after.provider),
        "category": (before.interface, after.interface),
        "unit": (before.unit.label, after.unit.label),
        "spelling": (before.description, after.description),
    }
    for what, (old, new) in pairs.items():
        if old != new:
            yield f"{what} {_quoted(old)} → {_quoted(new)}"
    if before.anchor != after.anchor:
        yield (
            "link changed"
            if before.anchor and after.anchor
            else ("link added" if after.anchor else "link removed")
        )


def _quoted(text: str) -> str:
    return f"“{shortened(harmless(text), LONGEST_WORD)}”" if text.strip() else "none"


def _or_none(value: Any, sign: str, unit: str = "") -> str:
    if value is None:
        return "none"
    plain = money(abs(value)).removeprefix("$")
    return f"{MINUS if value < 0 else ''}{sign}{plain}{unit}"


def _discount_now(model: Model) -> str | None:
    return against_fal(model, model) or None


def _said(*maybe: str | None) -> Iterator[str]:
    return (phrase for phrase in maybe if phrase)


def _categories(detail: Mapping[str, Any]) -> str:
    counts = sorted(
        (
            (_count(count), str(name))
            for name, count in dict(detail.get("categories") or {}).items()
        ),
        key=lambda category: (-category[0], category[1]),
    )
    said = [f"{count:,} {_category(name)}" for count, name in counts[:MOST_CATEGORIES]]
    if len(counts) > MOST_CATEGORIES:
        more = sum(count for count, _ in counts[MOST_CATEGORIES:])
        said.append(f"{more:,} of other categories")
    return f": {', '.join(said)}" if said else ""


def _category(name: str) -> str:
    return shortened(harmless(name), LONGEST_WORD) if name.strip() else "of no category"


def missing_words(detail: Mapping[str, Any]) -> str:
    missing = f"{_count(detail.get('missing')):,} of {catalogue_words(detail)}"
    return f"The catalogue looks wrong: {missing} are missing"


def _until(detail: Mapping[str, Any]) -> str:
    until = read_moment(detail.get("until"))
    return "a later check" if until is None else moment(until)


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
