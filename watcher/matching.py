"""Who is who between two lists of records, where nothing carries an id.

Identity is the folded description; duplicates of one are told apart by interface, provider, base
unit and price; what is left over on both sides may have been renamed. Refuses to know what changed
about a model, and when.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from watcher.catalog import told_apart_by
from watcher.renames import pair_renames

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from decimal import Decimal

    from watcher.catalog import Record

__all__ = ["Matching", "match", "same_identity"]

# How many of the parts of `told_apart_by` two duplicates must share, strictest first: everything,
# all but the price, then without the base unit, without the provider, without the interface.
_TIERS = (6, 4, 3, 2, 1)

# Beyond this many pairs of duplicates the nearest price is not searched for: nobody lists so many.
_MOST_PAIRS_COMPARED = 10_000

Pair = tuple[int, int]


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
