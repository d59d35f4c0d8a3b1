"""Which description that disappeared and which that appeared are one model under a new name.

A pair needs support (price, family, page, provider, text) and nothing that contradicts it. A wrong
pair bills one product at another's price and a missed one is two true alerts, so in doubt there is
no pair. Refuses to know anything but the records of both sides.

Who is who between two lists of records, where nothing carries an id.

Identity is the folded description; duplicates of one are told apart by interface, provider, base
unit and price; what is left over on both sides may have been renamed. Refuses to know what changed
about a model, and when.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from rapidfuzz import fuzz
from rapidfuzz.distance import LCSseq

from watcher.catalog.record import fold, told_apart_by

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.record import Record

# Words that exclude each other: where one replaces another, another thing is sold.
_GRADES = frozenset(
    "fast quality lite pro turbo standard std high medium low balanced master ultra mini nano "
    "flash plus max basic premium express normal preview relaxed slow hd sd xl large small base "
    "dev schnell codex tts realtime thinking instruct coder".split()
)
_RIVALS = (
    _GRADES,
    frozenset({"with", "without", "no", "non", "w", "wo"}),
    frozenset({"input", "output", "cached", "cache", "write", "read"}),
    frozenset(
        "text image video audio reference speech music voice frame first last "
        "start end edit extend extension transition transformation upscale reframe remix".split()
    ),
)
_RIVAL_GROUP = {word: number for number, group in enumerate(_RIVALS) for word in group}

# Likeness is 0 to 100, as rapidfuzz gives it.
_FAIR_LIKENESS = 70.0
_ALL_BUT_THE_SAME = 88.0
_RESPELLED = 70.0
_SHORTEST_ABBREVIATION = 3

_SUPPORT_OF_FAMILY = 12.0
_SUPPORT_OF_ANCHOR = 8.0
_SUPPORT_OF_PROVIDER = 4.0
_SUPPORT_OF_PRICE = 30.0

# A block of candidates with more pairs than this is cut finer, by family.
_LARGEST_BLOCK = 250_000

_WORD = re.compile(r"[^\W_]+")

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Name:
    """A description cut up for comparing."""

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    family_numbers: tuple[str, ...]
    grades: tuple[str, ...]
    rivals: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Gap:
    """Words of one name where the other has others or none."""

    lost: tuple[str, ...]
    gained: tuple[str, ...]
    respelled: bool


def pair_renames(gone: Sequence[Record], appeared: Sequence[Record]) -> tuple[Pair, ...]:
    """Positions in `gone` and `appeared` that are one model renamed: best first, one to one.

    Where the best partner ties with another there is no pair, for any of those in the tie.
    """
    scored = [
        (score, here, there)
        for here, there in _candidates(gone, appeared)
        if (score := _score(gone[here], appeared[there])) is not None
    ]
    return _best_first(scored)


def contradicts(old: str, new: str) -> bool:
    """Whether two folded descriptions cannot name one thing.

    True where a number, a qualifier or an unlike word is replaced by another. A word respelled,
    dropped or added contradicts nothing, unless it is a number or a grade in the family: `gpt-5`
    and `gpt-5-4`, `flash` and `flash-lite` are two models.
    """
    before, after = _name(old), _name(new)
    if (before.family_numbers, before.grades) != (after.family_numbers, after.grades):
        return True
    if not _only_shortened(before.numbers, after.numbers):
        return True
    if not all(map(_only_shortened, before.rivals, after.rivals)):
        return True
    gaps = list(_gaps(before, after))
    if any(gap.lost and gap.gained and not gap.respelled for gap in gaps):
        return True
    return _one_sided(gaps, "lost") and _one_sided(gaps, "gained")


def _score(old: Record, new: Record) -> float | None:
    """How well supported the pair is, or `None` where it is contradicted or not supported."""
    if _other_interface_or_unit(old, new):
        return None
    same_price = _price_key(old) == _price_key(new) and _price_key(old) is not None
    likeness = fuzz.ratio(old.folded, new.folded)
    if likeness < (_FAIR_LIKENESS if same_price else _ALL_BUT_THE_SAME):
        return None
    support = _support(old, new)
    if not support or contradicts(old.folded, new.folded):
        return None
    gaps = list(_gaps(_name(old.folded), _name(new.folded)))
    if not same_price and not all(gap.respelled for gap in gaps):
        return None
    if not _same_page(old, new) and (_one_sided(gaps, "lost") or _one_sided(gaps, "gained")):
        # "image to video" left out may be another mode of the family; the page tells.
        return None
    return round(likeness + support + (_SUPPORT_OF_PRICE if same_price else 0), 6)


def _support(old: Record, new: Record) -> float:
    support = 0.0
    if fold(old.family) == fold(new.family):
        support += _SUPPORT_OF_FAMILY
    if _same_page(old, new):
        support += _SUPPORT_OF_ANCHOR
    if fold(old.provider) == fold(new.provider):
        support += _SUPPORT_OF_PROVIDER
    return support


def _same_page(old: Record, new: Record) -> bool:
    return bool(old.anchor) and old.anchor == new.anchor


def _other_interface_or_unit(old: Record, new: Record) -> bool:
    if fold(old.interface) != fold(new.interface):
        return True
    return bool(old.unit.base and new.unit.base and old.unit.base != new.unit.base)


def _gaps(before: _Name, after: _Name) -> Iterator[_Gap]:
    """What stands between the words that both names share, in order."""
    here = there = 0
    for mine, theirs in _shared_positions(before.words, after.words):
        lost, gained = before.words[here:mine], after.words[there:theirs]
        if lost or gained:
            yield _Gap(lost, gained, _is_respelled("".join(lost), "".join(gained)))
        here, there = mine + 1, theirs + 1


def _shared_positions(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    for block in LCSseq.opcodes(before, after).as_matching_blocks():
        for offset in range(block.size):
            yield block.a + offset, block.b + offset
    yield len(before), len(after)


def _one_sided(gaps: Iterable[_Gap], side: Literal["lost", "gained"]) -> bool:
    """Whether a qualifier was dropped (`lost`) or added (`gained`), rather than respelled."""
    return any(
        _stem(word) in _RIVAL_GROUP
        for gap in gaps
        if not gap.respelled
        for word in getattr(gap, side)
    )


def _is_respelled(lost: str, gained: str) -> bool:
    if not lost or not gained:
        return False
    if sorted(lost) == sorted(gained):
        return True
    shorter, longer = sorted((lost, gained), key=len)
    if len(shorter) >= _SHORTEST_ABBREVIATION and longer.startswith(shorter):
        return True
    return fuzz.ratio(lost, gained) >= _RESPELLED


def _only_shortened(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether one is the other with something left out, so that nothing was replaced."""
    shorter, longer = sorted((old, new), key=len)
    rest = iter(longer)
    return all(word in rest for word in shorter)


@lru_cache(maxsize=20_000)
def _name(folded: str) -> _Name:
    words = tuple(_WORD.findall(folded))
    family = _WORD.findall(folded.partition(",")[0])
    rivals = tuple(
        tuple(stem for word in words if _RIVAL_GROUP.get(stem := _stem(word)) == group)
        for group in range(len(_RIVALS))
    )
    grades = tuple(word for word in family if word in _GRADES)
    return _Name(words, _numbers(words), _numbers(family), grades, rivals)


def _stem(word: str) -> str:
    return word if word in _RIVAL_GROUP else word.removesuffix("s")


def _numbers(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if any(char.isdigit() for char in word))


def _price_key(record: Record) -> tuple[Any, ...] | None:
    *_, priced, price = told_apart_by(record)
    return (record.credits is None, price) if priced else None


def _candidates(gone: Sequence[Record], appeared: Sequence[Record]) -> set[Pair]:
    """Pairs worth a closer look: those of one price, and those of the same numbers."""
    candidates: set[Pair] = set()
    for key in (_same_price_block, _same_numbers_block):
        blocks: dict[Any, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for position, record in enumerate(gone):
            blocks[key(record)][0].append(position)
        for position, record in enumerate(appeared):
            blocks[key(record)][1].append(position)
        for mine, theirs in blocks.values():
            candidates.update(_alike(gone, mine, appeared, theirs))
    return candidates


def _alike(
    gone: Sequence[Record], mine: list[int], appeared: Sequence[Record], theirs: list[int]
) -> Iterator[Pair]:
    if len(mine) * len(theirs) > _LARGEST_BLOCK:
        by_family: dict[str, list[int]] = defaultdict(list)
        for there in theirs:
            by_family[fold(appeared[there].family)].append(there)
        pairs: Iterable[Pair] = (
            (here, there) for here in mine for there in by_family[fold(gone[here].family)]
        )
    else:
        pairs = product(mine, theirs)
    for here, there in pairs:
        if fuzz.ratio(gone[here].folded, appeared[there].folded) >= _FAIR_LIKENESS:
            yield here, there


def _same_price_block(record: Record) -> tuple[Any, ...]:
    return (fold(record.interface), _price_key(record))


def _same_numbers_block(record: Record) -> tuple[Any, ...]:
    return (fold(record.interface), _name(record.folded).numbers)


def _best_first(scored: list[tuple[float, int, int]]) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    taken_here: set[int] = set()
    taken_there: set[int] = set()
    by_score: dict[float, list[Pair]] = defaultdict(list)
    for score, here, there in scored:
        by_score[score].append((here, there))
    for score in sorted(by_score, reverse=True):
        free = [
            (here, there)
            for here, there in by_score[score]
            if here not in taken_here and there not in taken_there
        ]
        mine, theirs = Counter(here for here, _ in free), Counter(there for _, there in free)
        pairs += [pair for pair in free if mine[pair[0]] == theirs[pair[1]] == 1]
        # Those in a tie leave the game too: their second best would be a guess.
        taken_here.update(mine)
        taken_there.update(theirs)
    return tuple(sorted(pairs))


# How many of the parts of `told_apart_by` two duplicates must share, strictest first: everything,
# all but the price, then without the base unit, without the provider, without the interface.
_TIERS = (6, 4, 3, 2, 1)

# Beyond this many pairs of duplicates the nearest price is not searched for: nobody lists so many.
_MOST_PAIRS_COMPARED = 10_000


@dataclass(frozen=True, slots=True)
class Matching:
    """Positions in the old and the new list that are one model, and those that are alone.

    `unseen` are old positions whose new row could not be read: neither gone nor known to be there.
    """

    same: tuple[Pair, ...]
    returned: tuple[Pair, ...]
    renamed: tuple[Pair, ...]
    gone: tuple[int, ...]
    appeared: tuple[int, ...]
    unseen: tuple[int, ...]


def match(
    old: Sequence[Record],
    new: Sequence[Record],
    *,
    departed: Sequence[Record] = (),
    unreadable: Collection[str] = (),
) -> Matching:
    """Say which old record is which new one.

    `departed` are models removed earlier (pairs in `returned` count positions in it); `unreadable`
    the folded descriptions of new rows that had no safe reading. No order of any list matters.
    """
    same = same_identity(old, new)
    lost = _left_over(len(old), (here for here, _ in same))
    found = _left_over(len(new), (there for _, there in same))
    unseen = tuple(here for here in lost if old[here].folded in unreadable)
    lost = [here for here in lost if old[here].folded not in unreadable]
    returned = _within(found, same_identity(departed, [new[there] for there in found]))
    back = {there for _, there in returned}
    found = [there for there in found if there not in back]
    renamed = tuple(
        (lost[here], found[there])
        for here, there in pair_renames([old[i] for i in lost], [new[i] for i in found])
    )
    renamed_here, renamed_there = {here for here, _ in renamed}, {there for _, there in renamed}
    return Matching(
        same=same,
        returned=returned,
        renamed=renamed,
        gone=tuple(here for here in lost if here not in renamed_here),
        appeared=tuple(there for there in found if there not in renamed_there),
        unseen=unseen,
    )


def same_identity(old: Sequence[Record], new: Sequence[Record]) -> tuple[Pair, ...]:
    """Pair the records of one folded description; each position is paired at most once."""
    here, here_again = _by_name(old)
    there, there_again = _by_name(new)
    pairs = [
        (position, there[name])
        for name, position in here.items()
        if name in there and name not in here_again and name not in there_again
    ]
    for name in sorted(here_again.keys() | there_again.keys()):
        if name in here and name in there:
            mine = here_again.get(name, [here[name]])
            pairs.extend(_pair_duplicates(old, mine, new, there_again.get(name, [there[name]])))
    return tuple(pairs)


def _pair_duplicates(
    old: Sequence[Record], here: list[int], new: Sequence[Record], there: list[int]
) -> Iterator[Pair]:
    """Pair duplicates that agree most first, so that one new duplicate moves none of the others."""
    old_keys = {position: told_apart_by(old[position]) for position in here}
    new_keys = {position: told_apart_by(new[position]) for position in there}
    for shared in _TIERS:
        buckets: dict[tuple[Any, ...], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for position, key in old_keys.items():
            buckets[key[:shared]][0].append(position)
        for position, key in new_keys.items():
            buckets[key[:shared]][1].append(position)
        for mine, theirs in buckets.values():
            for pair in _nearest_prices(mine, old_keys, theirs, new_keys):
                del old_keys[pair[0]], new_keys[pair[1]]
                yield pair


def _nearest_prices(
    mine: list[int],
    old_keys: dict[int, tuple[Any, ...]],
    theirs: list[int],
    new_keys: dict[int, tuple[Any, ...]],
) -> list[Pair]:
    mine = sorted(mine, key=old_keys.__getitem__)
    theirs = sorted(theirs, key=new_keys.__getitem__)
    if len(mine) * len(theirs) > _MOST_PAIRS_COMPARED:
        return list(zip(mine, theirs, strict=False))

    def distance(pair: Pair) -> tuple[bool, Decimal]:
        *_, here_priced, here_price = old_keys[pair[0]]
        *_, there_priced, there_price = new_keys[pair[1]]
        return here_priced != there_priced, abs(here_price - there_price)

    pairs: list[Pair] = []
    free_here, free_there = set(mine), set(theirs)
    for here, there in sorted(product(mine, theirs), key=distance):
        if here in free_here and there in free_there:
            pairs.append((here, there))
            free_here.discard(here)
            free_there.discard(there)
    return pairs


def _by_name(records: Sequence[Record]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """The first position of each name, and all positions of those that stand there more than once.

    A list for every name would be a hundred thousand of them, nearly all of one.
    """
    first: dict[str, int] = {}
    again: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        known = first.setdefault(record.folded, position)
        if known != position:
            again.setdefault(record.folded, [known]).append(position)
    return first, again


def _left_over(length: int, taken: Iterable[int]) -> list[int]:
    known = set(taken)
    return [position for position in range(length) if position not in known]


def _within(found: list[int], pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
    return tuple((here, found[there]) for here, there in pairs)
