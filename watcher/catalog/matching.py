"""Which record of one list is which record of another, where no record carries an id.

Identity is the folded description; duplicates of one are distinguished by interface, provider, base
unit and price. What is left over on both sides may have been renamed: such a pair needs support
(price, family, page, provider, text) and nothing that contradicts it. A wrong pair reports one
product at another's price, and a missed one is two alerts that are true, so in doubt there is no
pair.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from watcher.catalog.record import distinguishing_key, fold

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog.record import Record

# Words that exclude each other: where one replaces another, it is a different model.
_GRADES = frozenset(
    "fast quality lite pro turbo standard std high medium low balanced master ultra mini nano "
    "flash plus max basic premium express normal preview relaxed slow hd sd xl large small base "
    "dev schnell codex tts realtime thinking instruct coder".split()
)
_EXCLUSIVE_WORDS = (
    _GRADES,
    frozenset({"with", "without", "no", "non", "w", "wo"}),
    frozenset({"input", "output", "cached", "cache", "write", "read"}),
    frozenset(
        "text image video audio reference speech music voice frame first last "
        "start end edit extend extension transition transformation upscale reframe remix".split()
    ),
)
_EXCLUSIVE_GROUP = {word: n for n, group in enumerate(_EXCLUSIVE_WORDS) for word in group}

# Similarity is 0 to 100, as rapidfuzz gives it. A pair of different prices needs the higher one.
_MIN_SIMILARITY = 70.0
_MIN_SIMILARITY_AT_OTHER_PRICE = 88.0
_MIN_SIMILARITY_OF_RESPELLED = 70.0
_MIN_LENGTH_OF_ABBREVIATION = 3

_SUPPORT_OF_FAMILY = 12.0
_SUPPORT_OF_ANCHOR = 8.0
_SUPPORT_OF_PROVIDER = 4.0
_SUPPORT_OF_PRICE = 30.0

# A block of candidates with more pairs than this is divided by family.
_MAX_PAIRS_IN_BLOCK = 250_000

_WORD = re.compile(r"[^\W_]+")

# How many parts of `distinguishing_key` two duplicates must share, strictest first: all of them,
# all except the price, then without the base unit, the provider, the interface.
_SHARED_PARTS = (6, 4, 3, 2, 1)

# With more pairs of duplicates than this the nearest price is not searched for: no listing has so
# many.
_MAX_PAIRS_COMPARED = 10_000

# Positions in the old and in the new list.
Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs of positions in the old and the new list that are one model, and positions alone.

    `unseen` are old positions whose new row cannot be read: neither gone nor known to be there.
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

    `departed` are models removed earlier (`returned` pairs their positions with those in `new`);
    `unreadable` are the identity keys of new rows that cannot be read. The order of the lists does
    not matter.
    """
    same = _pair_same_identity(old, new)
    lost = _unpaired(len(old), (here for here, _ in same))
    found = _unpaired(len(new), (there for _, there in same))
    unseen = tuple(here for here in lost if old[here].identity_key in unreadable)
    lost = [here for here in lost if old[here].identity_key not in unreadable]
    returned = tuple(
        (here, found[there])
        for here, there in _pair_same_identity(departed, [new[there] for there in found])
    )
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


def _pair_same_identity(old: Sequence[Record], new: Sequence[Record]) -> tuple[Pair, ...]:
    """Pair the records of one identity key; each position is paired at most once."""
    here, here_again = _positions(old)
    there, there_again = _positions(new)
    pairs = [
        (position, there[key])
        for key, position in here.items()
        if key in there and key not in here_again and key not in there_again
    ]
    for key in sorted(here_again.keys() | there_again.keys()):
        if key in here and key in there:
            mine = here_again.get(key, [here[key]])
            pairs.extend(_pair_duplicates(old, mine, new, there_again.get(key, [there[key]])))
    return tuple(pairs)


def _pair_duplicates(
    old: Sequence[Record], here: list[int], new: Sequence[Record], there: list[int]
) -> Iterator[Pair]:
    """Pair first what agrees most, so that one new duplicate does not change the other pairs."""
    old_keys = {position: distinguishing_key(old[position]) for position in here}
    new_keys = {position: distinguishing_key(new[position]) for position in there}
    for shared in _SHARED_PARTS:
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
    if len(mine) * len(theirs) > _MAX_PAIRS_COMPARED:
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


def _positions(records: Sequence[Record]) -> tuple[dict[str, int], dict[str, list[int]]]:
    """The first position of each identity key, and all positions of keys that occur repeatedly.

    A list for every key would be a hundred thousand lists, nearly all with one position.
    """
    first: dict[str, int] = {}
    again: dict[str, list[int]] = {}
    for position, record in enumerate(records):
        known = first.setdefault(record.identity_key, position)
        if known != position:
            again.setdefault(record.identity_key, [known]).append(position)
    return first, again


def _unpaired(length: int, taken: Iterable[int]) -> list[int]:
    known = set(taken)
    return [position for position in range(length) if position not in known]


@dataclass(frozen=True, slots=True)
class _Description:
    """A folded description in the parts that are compared; `grades` are those of its family.

    `exclusive` has the words of each group of `_EXCLUSIVE_WORDS`.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    family_numbers: tuple[str, ...]
    grades: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Gap:
    """A place where one description has words and the other has different ones, or none."""

    lost: tuple[str, ...]
    gained: tuple[str, ...]
    respelled: bool


def pair_renames(gone: Sequence[Record], appeared: Sequence[Record]) -> tuple[Pair, ...]:
    """Positions in `gone` and `appeared` that are one model renamed; each is in one pair at most.

    The best supported pairs come first; where the best ones tie, nobody in the tie is paired.
    """
    scored = [
        (score, here, there)
        for here, there in _candidates(gone, appeared)
        if (score := _score(gone[here], appeared[there])) is not None
    ]
    return _choose_pairs(scored)


def contradicts(old: str, new: str) -> bool:
    """Whether two folded descriptions cannot name one model.

    True where a number, a qualifier or a word is replaced by a different one. A word respelled,
    dropped or added contradicts nothing, unless it is a number or a grade in the family: `gpt-5`
    and `gpt-5-4`, `flash` and `flash-lite` are two models.
    """
    before, after = _description(old), _description(new)
    if (before.family_numbers, before.grades) != (after.family_numbers, after.grades):
        return True
    if not _only_shortened(before.numbers, after.numbers):
        return True
    if not all(map(_only_shortened, before.exclusive, after.exclusive)):
        return True
    gaps = list(_gaps(before, after))
    if any(gap.lost and gap.gained and not gap.respelled for gap in gaps):
        return True
    return _drops_qualifier(gaps) and _adds_qualifier(gaps)


def _similarity(here: str, there: str) -> float:
    from rapidfuzz import fuzz  # noqa: PLC0415 - most sweeps have nothing to compare

    return fuzz.ratio(here, there)


def _score(old: Record, new: Record) -> float | None:
    """How well supported the pair is, or `None` where it is contradicted or not supported."""
    if fold(old.interface) != fold(new.interface):
        return None
    if old.unit.base and new.unit.base and old.unit.base != new.unit.base:
        return None
    same_price = _price_key(old) == _price_key(new) and _price_key(old) is not None
    similarity = _similarity(old.identity_key, new.identity_key)
    if similarity < (_MIN_SIMILARITY if same_price else _MIN_SIMILARITY_AT_OTHER_PRICE):
        return None
    support = _support(old, new)
    if not support or contradicts(old.identity_key, new.identity_key):
        return None
    gaps = list(_gaps(_description(old.identity_key), _description(new.identity_key)))
    if not same_price and not all(gap.respelled for gap in gaps):
        return None
    if not _same_page(old, new) and (_drops_qualifier(gaps) or _adds_qualifier(gaps)):
        # Without "image to video" it may be another mode of the family, except on the same page.
        return None
    return round(similarity + support + (_SUPPORT_OF_PRICE if same_price else 0), 6)


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


def _gaps(before: _Description, after: _Description) -> Iterator[_Gap]:
    """What is between the words that both descriptions share, in order."""
    here = there = 0
    for mine, theirs in _shared_positions(before.words, after.words):
        lost, gained = before.words[here:mine], after.words[there:theirs]
        if lost or gained:
            yield _Gap(lost, gained, _is_respelled("".join(lost), "".join(gained)))
        here, there = mine + 1, theirs + 1


def _shared_positions(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    from rapidfuzz.distance import LCSseq  # noqa: PLC0415 - as in `_similarity`

    for block in LCSseq.opcodes(before, after).as_matching_blocks():
        for offset in range(block.size):
            yield block.a + offset, block.b + offset
    yield len(before), len(after)


def _drops_qualifier(gaps: Iterable[_Gap]) -> bool:
    """Whether a qualifier was dropped, rather than respelled."""
    return any(_has_qualifier(gap.lost) for gap in gaps if not gap.respelled)


def _adds_qualifier(gaps: Iterable[_Gap]) -> bool:
    return any(_has_qualifier(gap.gained) for gap in gaps if not gap.respelled)


def _has_qualifier(words: Iterable[str]) -> bool:
    return any(_stem(word) in _EXCLUSIVE_GROUP for word in words)


def _is_respelled(lost: str, gained: str) -> bool:
    if not lost or not gained:
        return False
    if sorted(lost) == sorted(gained):
        return True
    shorter, longer = sorted((lost, gained), key=len)
    if len(shorter) >= _MIN_LENGTH_OF_ABBREVIATION and longer.startswith(shorter):
        return True
    return _similarity(lost, gained) >= _MIN_SIMILARITY_OF_RESPELLED


def _only_shortened(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    """Whether one is the other with words left out, so that nothing was replaced."""
    shorter, longer = sorted((old, new), key=len)
    rest = iter(longer)
    return all(word in rest for word in shorter)


@lru_cache(maxsize=20_000)
def _description(identity_key: str) -> _Description:
    words = tuple(_WORD.findall(identity_key))
    family = _WORD.findall(identity_key.partition(",")[0])
    exclusive = tuple(
        tuple(stem for word in words if _EXCLUSIVE_GROUP.get(stem := _stem(word)) == group)
        for group in range(len(_EXCLUSIVE_WORDS))
    )
    grades = tuple(word for word in family if word in _GRADES)
    return _Description(words, _numbers(words), _numbers(family), grades, exclusive)


def _stem(word: str) -> str:
    return word if word in _EXCLUSIVE_GROUP else word.removesuffix("s")


def _numbers(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(word for word in words if any(char.isdigit() for char in word))


def _price_key(record: Record) -> tuple[Any, ...] | None:
    *_, priced, price = distinguishing_key(record)
    return (record.credits is None, price) if priced else None


def _candidates(gone: Sequence[Record], appeared: Sequence[Record]) -> set[Pair]:
    """The pairs to examine: of one price, or with the same numbers in the description."""
    candidates: set[Pair] = set()
    for key in (_same_price_block, _same_numbers_block):
        blocks: dict[Any, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for position, record in enumerate(gone):
            blocks[key(record)][0].append(position)
        for position, record in enumerate(appeared):
            blocks[key(record)][1].append(position)
        for mine, theirs in blocks.values():
            candidates.update(_similar_pairs(gone, mine, appeared, theirs))
    return candidates


def _similar_pairs(
    gone: Sequence[Record], mine: list[int], appeared: Sequence[Record], theirs: list[int]
) -> Iterator[Pair]:
    if len(mine) * len(theirs) > _MAX_PAIRS_IN_BLOCK:
        by_family: dict[str, list[int]] = defaultdict(list)
        for there in theirs:
            by_family[fold(appeared[there].family)].append(there)
        pairs: Iterable[Pair] = (
            (here, there) for here in mine for there in by_family[fold(gone[here].family)]
        )
    else:
        pairs = product(mine, theirs)
    for here, there in pairs:
        if _similarity(gone[here].identity_key, appeared[there].identity_key) >= _MIN_SIMILARITY:
            yield here, there


def _same_price_block(record: Record) -> tuple[Any, ...]:
    return (fold(record.interface), _price_key(record))


def _same_numbers_block(record: Record) -> tuple[Any, ...]:
    return (fold(record.interface), _description(record.identity_key).numbers)


def _choose_pairs(scored: list[tuple[float, int, int]]) -> tuple[Pair, ...]:
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
        # Those in a tie are taken too: their second best would be a guess.
        taken_here.update(mine)
        taken_there.update(theirs)
    return tuple(sorted(pairs))
