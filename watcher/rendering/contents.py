"""All that one message is about, sorted once: what is general, what is of families, the gist.

Refuses to know how it is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.rendering.digest import digest_summary
from watcher.rendering.facts import tellings
from watcher.rendering.grouping import families, general
from watcher.rendering.headline import headline
from watcher.rendering.line_words import Tone, tone_of
from watcher.rendering.moments import moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from watcher.rendering.digest import Digest
    from watcher.rendering.facts import Content, Telling
    from watcher.rendering.grouping import Family

__all__ = ["Contents", "sorted_contents"]


@dataclass(frozen=True, slots=True)
class Contents:
    """What is told, in the order in which it is told.

    `seen` says when it happened; `summary` is what closes a digest.
    """

    tellings: tuple[Telling, ...]
    general: tuple[Content, ...]
    families: tuple[Family, ...]
    digest: Digest | None
    seen: str
    summary: tuple[str, ...]

    def gist(self, longest: int) -> str:
        return headline(self.general, self.families, self.digest, longest)

    @property
    def tones(self) -> frozenset[Tone]:
        return frozenset(tone_of(line) for family in self.families for line in family.lines)


def sorted_contents(
    contents: Sequence[Content | Telling], digest: Digest | None = None
) -> Contents:
    told = tellings(contents)
    summary = () if digest is None else digest_summary(digest)
    return Contents(told, general(told), families(told), digest, _seen(told), summary)


def _seen(told: Sequence[Telling]) -> str:
    """A message may have waited long for its receiver."""
    if not told:
        return ""
    times = [telling.content.at for telling in told]
    first, last = moment(min(times)), moment(max(times))
    return f"seen {first}" if first == last else f"seen {first} to {last}"
