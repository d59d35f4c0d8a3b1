"""What happened, in words: one change of a model as phrases, weightiest first, and each notice.

Knows how each kind is said. Refuses to know what is said beside it, how much room there is in all,
and in which markup it will stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from watcher.changes import Cause, CreditValueChange, Kind, ModelChange, Notice, NoticeKind
from watcher.rendering.alarm_words import alarm, brief_alarm
from watcher.rendering.harmless import harmless, shortened
from watcher.rendering.moments import moment, read_moment
from watcher.rendering.numbers import MINUS, counted, money, money_pair, percent
from watcher.rendering.pricing_words import against_fal, fal_price, price, price_move, usd_move

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from watcher.catalog import Model, Record

__all__ = [
    "announcement",
    "because",
    "brief_announcement",
    "catalogue_words",
    "missing_words",
    "moment",
    "phrases",
    "value_move",
]

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
