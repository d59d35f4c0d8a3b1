"""The words of a notice and of an alarm: a sentence or a few, and a part of a title.

What the API or a service said is untrusted text here as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from watcher.catalog.changes import CreditValueChange, ModelChange, Notice, NoticeKind
from watcher.catalog.floods import Flood
from watcher.monitor.alarms import AlarmKind
from watcher.render.figures import (
    PLAIN_NOTATION,
    Notation,
    amount,
    counted,
    duration_words,
    money_pair,
    parse_time,
    percent,
)
from watcher.render.markup import LONGEST_NAME, harmless, shortened, width
from watcher.render.words import GOES_BACK_AND_FORTH, MORE_LATER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from watcher.render.enrichment import MessageItem

MOST_CATEGORIES = 12
LONGEST_WORD = 40
# With what stands around it, still within the smallest message that is no text message.
LONGEST_REASON = 200
LONGEST_BRIEF_REASON = 40
LONGEST_NAME_OF_A_RECEIVER = 32


def general_announcement(item: MessageItem, notation: Notation) -> str:
    """What is said of something that is about no single model, with all that is known of it."""
    about = item.content if isinstance(item.content, Notice) else item.content.change
    assert not isinstance(about, ModelChange), "changes of models are in families"  # noqa: S101
    said = announcement(about, notation)
    flaps = item.facts is not None and item.facts.flapping
    return f"{said} · {GOES_BACK_AND_FORTH} · {MORE_LATER}" if flaps else said


def announcement(content: Notice | CreditValueChange, notation: Notation = PLAIN_NOTATION) -> str:
    """What there is to say about the catalogue or the watcher itself, in a sentence or a few."""
    if isinstance(content, CreditValueChange):
        moved = credit_value_percent(content)
        return f"{brief_announcement(content)}: every USD price moves by {moved}"
    match content.kind:
        case NoticeKind.BASELINE:
            return (
                f"Watching {model_count(content.detail)}{_categories(content.detail)}. "
                "From now on you hear what changes."
            )
        case NoticeKind.COLLAPSE if "what" in content.detail:
            return (
                f"{_collapse_words(content.detail)}. Nothing of that is announced yet. "
                f"If it is still so at {_until(content.detail, notation)}, it will be believed "
                "and announced; if it is taken back, nothing happened."
            )
        case NoticeKind.COLLAPSE:
            return (
                f"{_collapse_words(content.detail)}. Nothing is announced as removed yet. "
                f"If they are still missing at {_until(content.detail, notation)}, it will be "
                "believed and announced; if they come back, nothing happened."
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
            return _alarm_text(content, notation)
        case _:
            assert_never(content.kind)


def brief_announcement(
    content: Notice | CreditValueChange, notation: Notation = PLAIN_NOTATION
) -> str:
    """The same for a service that takes no more than a text message."""
    if isinstance(content, CreditValueChange):
        old, new = money_pair(content.before, content.after)
        return f"One credit is now worth {new} (was {old})"
    match content.kind:
        case NoticeKind.BASELINE:
            return f"Watching {model_count(content.detail)}."
        case NoticeKind.COLLAPSE:
            until = _until(content.detail, notation)
            looks = _capitalized(collapse_headline(content.detail))
            return f"{looks}. Waiting until {until}."
        case NoticeKind.REDENOMINATED:
            return f"{_redenomination_words(content.detail)}. Nobody pays another price."
        case NoticeKind.RECOVERED:
            return f"The catalogue looks right again: {model_count(content.detail)}."
        case NoticeKind.SAMPLE:
            return "This is a test: no price has moved."
        case NoticeKind.ALARM | NoticeKind.ALARM_OVER:
            return _brief_alarm_text(content, notation)
        case _:
            assert_never(content.kind)


def credit_value_percent(change: CreditValueChange) -> str:
    return percent((change.after / change.before - 1) * 100)


def model_count(detail: Mapping[str, Any]) -> str:
    return counted(_count(detail.get("models")), "model", "models")


def collapse_headline(detail: Mapping[str, Any]) -> str:
    """`410 of 574 models are missing`, `the units of 410 of 574 models changed`."""
    if (what := _FLOOD_WORDS.get(str(detail.get("what")))) is not None:
        return what.format(f"{_count(detail.get('count')):,} of {model_count(detail)}")
    return f"{_count(detail.get('missing')):,} of {model_count(detail)} are missing"


def _collapse_words(detail: Mapping[str, Any]) -> str:
    at_once = " at once" if "what" in detail else ""
    return f"The catalogue looks wrong: {collapse_headline(detail)}{at_once}"


def _redenomination_words(detail: Mapping[str, Any]) -> str:
    """`Credits are counted in another unit, 10 for 1 of before, each worth $0.0005 (was …)`."""
    factor, before, after = (Decimal(str(detail.get(it) or 1)) for it in _REDENOMINATION)
    old, new = money_pair(before, after)
    one = f"{amount(factor)} for 1" if factor >= 1 else f"1 for {amount(1 / factor)}"
    return f"Credits are counted in another unit, {one} of before, each worth {new} (was {old})"


def _until(detail: Mapping[str, Any], notation: Notation) -> str:
    until = parse_time(detail.get("until"))
    return "a later check" if until is None else notation.time(until)


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
# What changed of so many models at once.
_FLOOD_WORDS: Mapping[str, str] = {
    Flood.NAMES: "the names of {} changed",
    Flood.PRICE: "the prices of {} moved implausibly",
    Flood.UNIT: "the units of {} changed",
    Flood.PROMOTION: "the promotions of {} started or ended",
    Flood.REFERENCE: "the reference prices of {} changed",
    Flood.DISCOUNT: "the listed discounts of {} changed",
    Flood.LISTING: "the listed prices of {} were corrected",
    Flood.LABELS: "the labels of {} changed",
}
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
        "receiver “{about}” fails",
        " since {since} ({lasted}){because}. What is due to it is kept and tried again{rarely}.",
        "receiver “{about}” no longer fails",
        "{because}, after {lasted}.",
    ),
    AlarmKind.DEAD_LETTER: _AlarmWords(
        "{messages} to “{about}” {were} given up",
        "{because}. What it said is kept: kie-watcher outbox shows it and sends it again.",
        "nothing given up is left at “{about}”",
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


def alarm_headline(notice: Notice, notation: Notation = PLAIN_NOTATION) -> str:
    """An alarm as a part of a title, beginning with a small letter."""
    return _filled(_alarm_templates(notice)[0], notice, LONGEST_BRIEF_REASON, notation)


def _alarm_text(notice: Notice, notation: Notation) -> str:
    details = _filled(_alarm_templates(notice)[1], notice, LONGEST_REASON, notation)
    return _capitalized(f"{alarm_headline(notice, notation)}{details}")


def _brief_alarm_text(notice: Notice, notation: Notation) -> str:
    reason = ""
    if notice.kind is NoticeKind.ALARM:
        reason = _because(notice, LONGEST_BRIEF_REASON)
    return f"{_capitalized(alarm_headline(notice, notation))}{reason}".rstrip("….") + "."


def _alarm_templates(notice: Notice) -> tuple[str, str]:
    """The headline and the details, for the alarm or for its end."""
    words = _ALARM_WORDS.get(str(notice.detail.get("alarm")), _UNKNOWN_ALARM)
    if notice.kind is NoticeKind.ALARM_OVER:
        return words.end_headline, words.end_details
    return words.headline, words.details


def _filled(template: str, notice: Notice, longest_reason: int, notation: Notation) -> str:
    since = parse_time(notice.detail.get("since")) or notice.at
    number = _count(notice.detail.get("count"))
    return template.format(
        since=notation.time(since),
        lasted=duration_words(notice.at - since),
        about=shortened(harmless(str(notice.detail.get("about"))), LONGEST_NAME_OF_A_RECEIVER),
        because=_because(notice, longest_reason),
        messages="a message" if number <= 1 else f"{number:,} messages",
        were="was" if number <= 1 else "were",
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
