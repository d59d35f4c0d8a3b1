"""Names made short without losing what they tell: shared words once, qualifiers last to stay.

Names are harmless already.
"""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

from watcher.render.markup import shortened, width

if TYPE_CHECKING:
    from collections.abc import Sequence

# So many are listed, more are counted.
MOST_LISTED = 2
# Fewer characters of a name tell nothing.
LEAST_NAME = 8

# A resolution or a duration: `720p`, `4k`, `5s`.
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([a-z]{1,3}),?", re.IGNORECASE)
_WITH = re.compile(r"(?:with|without|no)(?: (.+))?", re.IGNORECASE)
_THOUSAND = "k"


def shared_name(names: Sequence[str]) -> str:
    """`text-to-video: 6 variants (720p–4k, with and without audio)`.

    Empty where nothing in the names can be said of all of them at once.
    """
    words = [name.split() for name in names]
    first = _count_shared(words)
    last = _count_shared([it[first:][::-1] for it in words])
    rests = [it[first : len(it) - last] for it in words]
    if not all(rests):
        return ""
    prefix = " ".join(words[0][:first])
    suffix = " ".join(words[0][len(words[0]) - last :]).lstrip(",")
    labels = list(filter(None, _labels(rests)))
    if not labels or (not prefix and not suffix and len(names) <= MOST_LISTED):
        return ""
    told = " ".join(filter(None, [", ".join(labels), suffix]))
    if len(names) > MOST_LISTED:
        prefix, told = prefix.rstrip(","), f"{len(names):,} variants ({told})"
        return f"{prefix}: {told}" if prefix else told
    return f"{prefix} {told}".lstrip()


def _count_shared(words: Sequence[Sequence[str]]) -> int:
    """How many words all of them begin with."""
    columns = zip(*words, strict=False)
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))


def _labels(rests: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """What the rests of names differ in: a size, what follows it; nothing where it is too much."""
    sizes = [_SIZE.fullmatch(rest[0]) for rest in rests]
    has_sizes = all(sizes)
    others = [" ".join(rest[1:] if has_sizes else rest).strip(",") for rest in rests]
    size_texts = {rest[0].strip(","): None for rest in rests} if has_sizes else {"": None}
    other_texts = dict.fromkeys(others)
    if len(size_texts) * len(other_texts) < len(rests) or len(other_texts) > MOST_LISTED:
        return ()
    return (_size_label(list(size_texts)), _other_label(list(other_texts)))


def _size_label(sizes: Sequence[str]) -> str:
    in_order = sorted(sizes, key=_size)
    if len(in_order) <= MOST_LISTED:
        return " and ".join(in_order)
    return f"{in_order[0]}–{in_order[-1]}"


def _size(text: str) -> float:
    found = _SIZE.fullmatch(text)
    if found is None:
        return 0.0
    return float(found[1]) * (1000 if found[2].casefold() == _THOUSAND else 1)


def _other_label(texts: Sequence[str]) -> str:
    """`with and without audio`, where that is how they differ."""
    found = [_WITH.fullmatch(text) for text in texts]
    if len(texts) > 1 and len({it and it[1] for it in found}) == 1 and found[0]:
        return f"with and without {found[0][1] or ''}".rstrip()
    if all(map(_SIZE.fullmatch, texts)):
        return _size_label(texts)
    return " and ".join(text or "plain" for text in texts) if any(texts) else ""


def fit_name(description: str, longest: int) -> str:
    """A description without commas in at most `longest` units.

    The vendor before a slash is dropped first, then qualifiers from the end; the family is cut.
    """
    parts = [part.strip() for part in description.split(",")]
    briefly = [parts[0].rpartition("/")[2] or parts[0], *parts[1:]]
    choices = [parts, *(briefly[:count] for count in range(len(briefly), 0, -1))]
    names = (" ".join(filter(None, choice)) for choice in choices)
    return next((name for name in names if width(name) <= longest), shortened(briefly[0], longest))
