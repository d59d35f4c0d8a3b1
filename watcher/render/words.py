"""The words for each kind of change, notice and alarm, and which kind of change comes first.

A change of one model becomes phrases, the first of which is the news; a notice or an alarm becomes
a sentence or a few. What the API or a service said is untrusted text here as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from watcher.catalog.changes import (
    DISCOUNT_KINDS,
    PRICE_KINDS,
    REFERENCE_KINDS,
    Cause,
    CreditValueChange,
    Kind,
    ModelChange,
    Notice,
    NoticeKind,
)
from watcher.catalog.floods import Flood
from watcher.monitor.alarms import AlarmKind
from watcher.render.figures import (
    MINUS,
    against_reference,
    amount,
    compared_with,
    counted,
    duration_words,
    money,
    money_pair,
    monthly,
    parse_time,
    percent,
    price,
    price_move,
    reference_name,
    reference_price,
    seller,
    usd_move,
    utc_time,
)
from watcher.render.markup import LONGEST_NAME, harmless, shortened, width

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from watcher.catalog.record import Model, Record
    from watcher.render.enrichment import MessageItem

MOST_CATEGORIES = 12
LONGEST_WORD = 40
# With what stands around it, still within the smallest message that is no text message.
LONGEST_REASON = 200
LONGEST_BRIEF_REASON = 40
LONGEST_NAME_OF_A_RECEIVER = 32

# One of a kind and several of it, in the order in which they are listed: what moved money first.
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
    Kind.REFERENCE_UP: ("{} reference price up", "{} reference prices up"),
    Kind.REFERENCE_DOWN: ("{} reference price down", "{} reference prices down"),
    Kind.CORRECTED: ("{} corrected", "{} corrected"),
    Kind.RELABELLED: ("{} relabelled", "{} relabelled"),
    Kind.CREDIT_VALUE: ("{} new credit value", "{} with another price in USD"),
}
# What is said of a model whose change is the only one in a message, and of who sells the same.
_SINGLE_CHANGE = {
    Kind.NEW: "is new",
    Kind.REMOVED: "is gone",
    Kind.RETURNED: "is back",
    Kind.UNIT: "has another unit",
    Kind.RENAMED: "is renamed",
    Kind.DISCOUNT_UP: "is cheaper against {compared_with}",
    Kind.DISCOUNT_DOWN: "is less cheap against {compared_with}",
    Kind.PROMOTION_STARTED: "is in promotion",
    Kind.PROMOTION_ENDED: "is no longer in promotion",
    Kind.REFERENCE_UP: "costs more at {seller}",
    Kind.REFERENCE_DOWN: "costs less at {seller}",
    Kind.CORRECTED: "is corrected",
    Kind.RELABELLED: "is relabelled",
    Kind.CREDIT_VALUE: "has another price in USD",
}
# Where a change stands in a message: the smaller, the earlier.
KIND_WEIGHT = {
    Kind.REMOVED: 0,
    Kind.PRICE_UP: 1,
    Kind.PRICE_DOWN: 2,
    Kind.NEW: 3,
    Kind.RETURNED: 4,
    Kind.DISCOUNT_UP: 5,
    Kind.DISCOUNT_DOWN: 5,
    Kind.UNIT: 6,
    Kind.RENAMED: 7,
    Kind.PROMOTION_STARTED: 8,
    Kind.PROMOTION_ENDED: 8,
    Kind.REFERENCE_UP: 9,
    Kind.REFERENCE_DOWN: 9,
    Kind.CORRECTED: 10,
    Kind.RELABELLED: 11,
    Kind.CREDIT_VALUE: 12,
}
GOES_BACK_AND_FORTH = "goes back and forth"
MORE_LATER = "flapping: more is told once it stands still"
_CAUSE_WORDS = {
    Cause.PRICE: "because Kie's price moved",
    Cause.REFERENCE: "because {reference} moved",
    Cause.LISTING: "only the listed rate moved",
}


# What changed of so many models at once.
_FLOOD_WORDS: Mapping[str, str] = {
    Flood.NAMES: "The names of {} changed",
    Flood.PRICE: "The prices of {} moved implausibly",
    Flood.UNIT: "The units of {} changed",
    Flood.PROMOTION: "The promotions of {} started or ended",
    Flood.REFERENCE: "The reference prices of {} changed",
    Flood.DISCOUNT: "The listed discounts of {} changed",
    Flood.LISTING: "The listed prices of {} were corrected",
    Flood.LABELS: "The labels of {} changed",
}


def counts_in_words(counts: Mapping[Kind, int], another: Kind | None = None) -> Iterator[str]:
    """`3 up, 1 gone`, each kind by itself; of the kind `another` it says `1 more up`."""
    for kind, (singular, plural) in _COUNTED.items():
        if count := counts.get(kind):
            number = f"{count:,} more" if kind is another else f"{count:,}"
            yield (plural if count > 1 else singular).format(number)


def single_change(kind: Kind, change: ModelChange) -> str:
    """What happened to the only model in a message: `is gone`, `costs more at Fal`."""
    record = change.model.record
    if kind in REFERENCE_KINDS and record.reference is None:
        return f"is no longer compared with {compared_with(record)}"
    if kind in REFERENCE_KINDS and change.before and change.before.record.reference is None:
        return f"is now compared with {compared_with(record)}"
    return _SINGLE_CHANGE[kind].format(compared_with=compared_with(record), seller=seller(record))


def phrases(change: ModelChange, longest_name: int) -> tuple[str, ...]:
    """All there is to say about a change; the first phrase alone is the news."""
    before, after = change.before, change.after
    if before is None and after is not None:
        return tuple(filter(None, (f"new, {price(after)}", against_reference(after, after))))
    if after is None:
        assert before is not None, "a change has a before or an after"  # noqa: S101
        return (f"gone, last price {price(before)}",)
    assert before is not None, "a new model returns above"  # noqa: S101
    return tuple(_differences(change, before, after, longest_name))


def _differences(
    change: ModelChange, before: Model, after: Model, longest_name: int
) -> Iterator[str]:
    """What differs about a model that was there before and is there now."""
    kinds = set(change.kinds)
    old, new = before.record, after.record
    yield from _price_phrases(change, before, after)
    if Kind.CREDIT_VALUE in kinds and (in_usd := usd_move(before, after)):
        yield f"{in_usd}, because the value of a credit moved"
    if Kind.RENAMED in kinds:
        yield f"renamed, was “{shortened(harmless(old.description), longest_name)}”"
    if kinds & DISCOUNT_KINDS:
        yield against_reference(before, after) + cause_phrase(change)
    if kinds & REFERENCE_KINDS:
        yield f"{reference_name(new)} {reference_price(old)} → {reference_price(new)}"
    yield from _listing_changes(kinds, old, new)
    # What did not move closes the line: people decide by it.
    if not kinds & DISCOUNT_KINDS and not kinds <= {Kind.CORRECTED, Kind.RELABELLED}:
        yield from filter(None, [against_reference(before, after)])
    if kinds.isdisjoint(PRICE_KINDS | {Kind.UNIT, Kind.RETURNED}):
        yield f"price {price(after)}"


def _price_phrases(change: ModelChange, before: Model, after: Model) -> Iterator[str]:
    """The move of the price where it moved, and that a model is back."""
    kinds = set(change.kinds)
    moved = bool(kinds & (PRICE_KINDS | {Kind.UNIT}))
    words = price_move(change, before, after) if moved else price(after)
    if Kind.RETURNED in kinds:
        yield f"back, {words}"
    elif moved:
        yield words
    if moved and (in_usd := usd_move(before, after)):
        yield in_usd


def _listing_changes(kinds: set[Kind], old: Record, new: Record) -> Iterator[str]:
    if Kind.PROMOTION_STARTED in kinds:
        yield "promotion started"
    if Kind.PROMOTION_ENDED in kinds:
        yield "promotion ended"
    if Kind.CORRECTED in kinds:
        yield f"listing corrected, {', '.join(_corrections(old, new)) or 'the listed price'}"
    if Kind.RELABELLED in kinds:
        yield f"relabelled, {', '.join(_new_labels(old, new)) or 'a label'}"


def cause_phrase(change: ModelChange) -> str:
    """`, because Kie's price moved`: who moved the discount; empty where that is not known."""
    causes = [change.causes[kind] for kind in change.kinds if kind in change.causes]
    if not causes:
        return ""
    words = _CAUSE_WORDS[causes[0]].format(reference=reference_name(change.model.record))
    return f", {words}"


def _corrections(before: Record, after: Record) -> Iterator[str]:
    if before.credits != after.credits:
        yield f"credits {_or_none(before.credits, '')} → {_or_none(after.credits, '')}"
    if before.usd_listed != after.usd_listed:
        yield f"USD {_or_none(before.usd_listed, '$')} → {_or_none(after.usd_listed, '$')}"
    if before.rate != after.rate:
        old, new = (_or_none(record.rate, "", " %") for record in (before, after))
        yield f"discount {old} → {new}"


def _new_labels(before: Record, after: Record) -> Iterator[str]:
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
        if before.anchor and after.anchor:
            yield "link changed"
        else:
            yield "link added" if after.anchor else "link removed"


def _quoted(text: str) -> str:
    return f"“{shortened(harmless(text), LONGEST_WORD)}”" if text.strip() else "none"


def _or_none(value: Any, sign: str, unit: str = "") -> str:
    if value is None:
        return "none"
    plain = money(abs(value)).removeprefix("$")
    return f"{MINUS if value < 0 else ''}{sign}{plain}{unit}"


def announcement(content: Notice | CreditValueChange) -> str:
    """What there is to say about the catalogue or the watcher itself, in a sentence or a few."""
    if isinstance(content, CreditValueChange):
        moved = credit_value_percent(content)
        cost = content.monthly_cost_usd
        yours = f", {monthly(cost)} for you" if cost is not None and round(cost, 2) else ""
        return f"{brief_announcement(content)}: every USD price moves by {moved}{yours}"
    match content.kind:
        case NoticeKind.BASELINE:
            return (
                f"Watching {model_count(content.detail)}{_categories(content.detail)}. "
                "From now on you hear what changes."
            )
        case NoticeKind.COLLAPSE if "what" in content.detail:
            return (
                f"{collapse_words(content.detail)}. Nothing of that is announced yet. "
                f"If it is still so at {_until(content.detail)}, it will be believed and "
                "announced; if it is taken back, nothing happened."
            )
        case NoticeKind.COLLAPSE:
            return (
                f"{collapse_words(content.detail)}. Nothing is announced as removed yet. "
                f"If they are still missing at {_until(content.detail)}, it will be believed and "
                "announced; if they come back, nothing happened."
            )
        case NoticeKind.REDENOMINATED:
            return (
                f"{brief_announcement(content)} What was watched so far is converted, and "
                "prices are compared as before."
            )
        case NoticeKind.RECOVERED:
            return (
                f"{brief_announcement(content)} The warning is over; "
                "what changed meanwhile is told as usual."
            )
        case NoticeKind.SAMPLE:
            return f"{brief_announcement(content)} A price rise will look like this:"
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return _alarm_text(content)
        case _:
            assert_never(content.kind)


def flapping_note(item: MessageItem) -> str:
    """What follows the announcement of a credit's value that goes back and forth."""
    flaps = item.facts is not None and item.facts.flapping
    return f" · {GOES_BACK_AND_FORTH} · {MORE_LATER}" if flaps else ""


def brief_announcement(content: Notice | CreditValueChange) -> str:
    """The same for a service that takes no more than a text message."""
    if isinstance(content, CreditValueChange):
        old, new = money_pair(content.before, content.after)
        return f"One credit is now worth {new} (was {old})"
    match content.kind:
        case NoticeKind.BASELINE:
            return f"Watching {model_count(content.detail)}."
        case NoticeKind.COLLAPSE:
            looks = _what_looks_wrong if "what" in content.detail else collapse_words
            return f"{looks(content.detail)}. Waiting until {_until(content.detail)}."
        case NoticeKind.REDENOMINATED:
            return (
                f"{_capitalized(redenomination_words(content.detail))}. Nobody pays another price."
            )
        case NoticeKind.RECOVERED:
            return f"The catalogue looks right again: {model_count(content.detail)}."
        case NoticeKind.SAMPLE:
            return "This is a test: no price has moved."
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return _brief_alarm_text(content)
        case _:
            assert_never(content.kind)


def redenomination_words(detail: Mapping[str, Any]) -> str:
    """`credits are counted anew: 10 for 1 of before, each worth $0.0005 (was $0.005)`."""
    factor, before, after = (Decimal(str(detail.get(it) or 1)) for it in _REDENOMINATION)
    old, new = money_pair(before, after)
    one = f"{amount(factor)} for 1" if factor >= 1 else f"1 for {amount(1 / factor)}"
    return f"credits are counted in another unit, {one} of before, each worth {new} (was {old})"


def credit_value_percent(change: CreditValueChange) -> str:
    return percent((change.after / change.before - 1) * 100)


def model_count(detail: Mapping[str, Any]) -> str:
    return counted(_count(detail.get("models")), "model", "models")


def collapse_words(detail: Mapping[str, Any]) -> str:
    """`The catalogue looks wrong: 410 of 574 models are missing`."""
    return f"The catalogue looks wrong: {_lower_first(_what_looks_wrong(detail))}"


def _what_looks_wrong(detail: Mapping[str, Any]) -> str:
    if (what := _FLOOD_WORDS.get(str(detail.get("what")))) is not None:
        count = f"{_count(detail.get('count')):,} of {model_count(detail)}"
        return f"{what.format(count)} at once"
    return f"{_count(detail.get('missing')):,} of {model_count(detail)} are missing"


def _lower_first(words: str) -> str:
    return words[:1].lower() + words[1:]


def _until(detail: Mapping[str, Any]) -> str:
    until = parse_time(detail.get("until"))
    return "a later check" if until is None else utc_time(until)


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


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class _AlarmWords:
    """An alarm and its end: a headline for the title, and what follows it in the body."""

    headline: str
    details: str
    end_headline: str
    end_details: str = ""


_REDENOMINATION = ("factor", "before", "after")
_ALARM_WORDS: Mapping[str, _AlarmWords] = {
    AlarmKind.BLIND: _AlarmWords(
        "blind since {since}",
        " ({lasted}): the catalogue could not be read{because}. What changes meanwhile is told "
        "once it can be read again.",
        "the catalogue can be read again",
        ", after {lasted} without. What changed meanwhile is told as usual.",
    ),
    AlarmKind.UNSEEN: _AlarmWords(
        "nothing seen of Kie.ai since {since}",
        ". What changes meanwhile is told once its prices can be read again.",
        "Kie.ai's prices can be read again",
        ", after {lasted}. What changed meanwhile is told as usual.",
    ),
    AlarmKind.SHAPE: _AlarmWords(
        "the API's answers have another shape",
        "{because}. They are not believed, so nothing is watched until they can be understood; a "
        "newer kie-watcher may know them.",
        "the API's answers can be understood again",
        ", after {lasted}.",
    ),
    AlarmKind.REFUSED: _AlarmWords(
        "the API refuses to serve this watcher",
        "{because}. Nothing is watched until it does; the region it is asked from may be the "
        "reason.",
        "the API serves this watcher again",
        ", after {lasted}.",
    ),
    AlarmKind.UNREADABLE: _AlarmWords(
        "{rows} of the catalogue cannot be read",
        ", for {lasted}{because}. Nothing is concluded from what is not understood; a newer "
        "kie-watcher may know it.",
        "the whole catalogue can be read again",
        ", after {lasted}.",
    ),
    AlarmKind.COLLAPSE: _AlarmWords(
        "the catalogue looks wrong and is not believed yet",
        ".",
        "the catalogue is believed again as it is",
        ": {models} on sale. What stayed missing for {lasted} is announced as removed.",
    ),
    AlarmKind.RECEIVER: _AlarmWords(
        "receiver {about} fails",
        " since {since} ({lasted}){because}. What is due to it is kept and tried again{rarely}.",
        "receiver {about} no longer fails",
        "{because}, after {lasted}.",
    ),
    AlarmKind.DEAD_LETTER: _AlarmWords(
        "{messages} to {about} given up",
        "{because}. What it said is kept: kie-watcher outbox shows it and sends it again.",
        "nothing given up is left at {about}",
        ".",
    ),
    AlarmKind.STATE: _AlarmWords(
        "the state cannot be used",
        "{because}. Until it can, nothing is announced: what is not remembered is not told.",
        "the state can be used again",
        ", after {lasted}.",
    ),
    AlarmKind.RELOAD: _AlarmWords(
        "the new configuration is refused",
        ", the old one stays in use{because}. kie-watcher validate lists all that is wrong.",
        "the configuration in use is good again",
        ".",
    ),
    AlarmKind.CLOCK: _AlarmWords(
        "the clock jumped {jump}",
        ". Times told and remembered may be off; check the time of this machine.",
        "the clock is back where it was",
        ", after {lasted}.",
    ),
}
# A kind that a later version wrote.
_UNKNOWN_ALARM = _AlarmWords(
    "something is wrong with the watch", "{because}.", "a warning is over", "."
)


def alarm_headline(notice: Notice) -> str:
    """An alarm as a part of a title, beginning with a small letter."""
    return _filled(_alarm_templates(notice)[0], notice, LONGEST_BRIEF_REASON)


def _alarm_text(notice: Notice) -> str:
    details = _filled(_alarm_templates(notice)[1], notice, LONGEST_REASON)
    return _capitalized(f"{alarm_headline(notice)}{details}")


def _brief_alarm_text(notice: Notice) -> str:
    reason = ""
    if notice.kind is NoticeKind.ALARM:
        reason = _because(notice, LONGEST_BRIEF_REASON)
    return f"{_capitalized(alarm_headline(notice))}{reason}".rstrip("….") + "."


def _alarm_templates(notice: Notice) -> tuple[str, str]:
    """The headline and the details, for the alarm or for its end."""
    words = _ALARM_WORDS.get(str(notice.detail.get("alarm")), _UNKNOWN_ALARM)
    if notice.kind is NoticeKind.ALARM_OVER:
        return words.end_headline, words.end_details
    return words.headline, words.details


def _filled(template: str, notice: Notice, longest_reason: int) -> str:
    since = parse_time(notice.detail.get("since")) or notice.at
    number = _count(notice.detail.get("count"))
    return template.format(
        since=utc_time(since),
        lasted=duration_words(notice.at - since),
        about=shortened(harmless(str(notice.detail.get("about"))), LONGEST_NAME_OF_A_RECEIVER),
        because=_because(notice, longest_reason),
        messages="a message" if number <= 1 else f"{number:,} messages",
        rarely=", but as it may have arrived, only after 6 h and then every 12 h" if number else "",
        models=counted(number, "model", "models"),
        rows=counted(number, "row", "rows"),
        jump=f"{'back' if number < 0 else 'ahead'} by "
        + duration_words(timedelta(seconds=abs(number))),
    )


def _because(notice: Notice, longest: int) -> str:
    why = str(notice.detail.get("why") or "").strip().rstrip(".")
    return f": {shortened(' '.join(_harmless_pieces(why)), longest)}" if why else ""


def _harmless_pieces(text: str) -> Iterator[str]:
    """A reason may be longer than a name, so it is made harmless piece by piece."""
    piece = ""
    for word in text[: 2 * LONGEST_REASON].split():
        if piece and width(f"{piece} {word}") > LONGEST_NAME // 2:
            yield harmless(piece)
            piece = ""
        piece = f"{piece} {word}".strip()
    if piece:
        yield harmless(piece)


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]
