"""Values that are fine alone and not together, among themselves or with the receivers.

Knows which settings name and bound each other. Refuses to judge a value that does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from watcher.config.addresses import is_loopback
from watcher.config.durations import duration_text
from watcher.config.errors import Finding, KeyPath, key_text, suggestion
from watcher.config.receivers import RESERVED
from watcher.config.settings import PollSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from watcher.config.positions import Document, Plain
    from watcher.config.typed import Fitted

__all__ = ["Agreement"]

POLITE_INTERVAL = timedelta(seconds=30)
MOST_NAMED = 10

# Where receivers are named; `None` stands for each thing of a list.
_RECEIVERS_NAMED: tuple[tuple[str | None, ...], ...] = (
    ("routes", None, "receivers", None),
    ("quiet_hours", None, "receivers", None),
    ("operator", None),
)
_NAMED_ONCE: tuple[tuple[str | None, ...], ...] = (
    ("routes", None, "name"),
    ("quiet_hours", None, "name"),
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """All the sections of a file together, as they stand there and as far as they fit."""

    document: Document
    sections: Mapping[str, Plain]
    fitted: Fitted[Settings]
    broken: frozenset[KeyPath]

    def findings(self) -> Iterator[Finding]:
        yield from self._paces()
        yield from self._names_twice()
        yield from self._strangers()
        yield from self._open_doors()
        yield from self._idle_routes()

    def _counts(self, *path: str) -> bool:
        return not {path[:length] for length in range(1, len(path) + 1)} & self.fitted.bad

    def _paces(self) -> Iterator[Finding]:
        poll, interval = self.fitted.value.poll, ("poll", "interval")
        if not self._counts(*interval):
            return
        url = self.fitted.value.source.url
        if (
            self._counts("source", "url")
            and poll.interval < POLITE_INTERVAL
            and not is_loopback(url)
        ):
            what = "is under 30s, too often for a host that is not this machine; write 30s or more"
            yield Finding(self.document.place_of(interval), "poll.interval", what)
        for key in ("full_sweep_every", "max_backoff"):
            if self._counts("poll", key) and getattr(poll, key) < poll.interval:
                yield self._shorter_than_interval(key)

    def _shorter_than_interval(self, key: str) -> Finding:
        path = ("poll", key)
        if path in self.document.values:
            what = "is shorter than poll.interval; write at least as much"
            return Finding(self.document.place_of(path), key_text(path), what)
        usual = duration_text(getattr(PollSettings(), key))
        what = (
            f"is longer than poll.{key}, which is {usual} unless set; set that to at least as much"
        )
        return Finding(self.document.place_of(("poll", "interval")), "poll.interval", what)

    def _names_twice(self) -> Iterator[Finding]:
        for where in _NAMED_ONCE:
            lines: dict[str, int] = {}
            for path, text in self._texts(where):
                place, name = self.document.place_of(path), text.strip().casefold()
                if not name or path in self.broken:
                    continue
                if name in lines:
                    what = f"is a name twice, first in line {lines[name]}; choose another"
                    yield Finding(place, key_text(path), what)
                lines.setdefault(name, place.line)

    def _strangers(self) -> Iterator[Finding]:
        receivers = self.sections.get("receivers")
        if receivers is not None and not isinstance(receivers, dict):
            return
        known = tuple(receivers or (RESERVED,))
        for where in _RECEIVERS_NAMED:
            for path, text in self._texts(where):
                name = text.strip()
                if name and name not in known and path not in self.broken:
                    place = self.document.place_of(path)
                    yield Finding(place, key_text(path), _stranger(name, known))

    def _open_doors(self) -> Iterator[Finding]:
        web = self.fitted.value.web
        if not (self._counts("web", "listen") and self._counts("web", "allow_remote")):
            return
        if web.listen is not None and not web.listen.is_loopback and not web.allow_remote:
            what = (
                "can be reached from other machines; write 127.0.0.1 for the host,"
                " or allow_remote: true beside it"
            )
            yield Finding(self.document.place_of(("web", "listen")), "web.listen", what)

    def _idle_routes(self) -> Iterator[Finding]:
        routes, announce = self.fitted.value.routes, self.fitted.value.announce
        if not routes or not (self._counts("routes") and self._counts("announce")):
            return
        # Routing comes with a library for expressions; only those who have routes wait for it.
        from watcher.config.rules import matcher  # noqa: PLC0415
        from watcher.routing import Matcher  # noqa: PLC0415

        taken: dict[str, int] = {}
        for at, route in enumerate(routes):
            path, match = ("routes", at, "match"), matcher(route.match)
            place, wanted = self.document.place_of(path), match.wanted(announce)
            if not wanted:
                what = "matches nothing: announce names no kind that crosses a mark; add kinds:"
                yield Finding(place, key_text(path), what)
            elif wanted <= taken.keys():
                line = max(taken[kind] for kind in wanted)
                what = f"matches nothing that is left over from line {line}"
                mending = "put this route before that one, or write continue: true there"
                yield Finding(place, key_text(path), f"{what}; {mending}")
            # A route that asks for nothing but kinds takes every change of these kinds.
            if match == Matcher(kinds=match.kinds) and not route.continue_:
                line = self.document.place_of(("routes", at)).line
                taken |= {kind: taken.get(kind, line) for kind in wanted}

    def _texts(self, where: tuple[str | None, ...]) -> Iterator[tuple[KeyPath, str]]:
        """Every text that stands at such a place, whether or not what is around it fits."""
        found: list[tuple[KeyPath, Plain]] = [((), dict(self.sections))]
        for step in where:
            found = [below for path, content in found for below in _below(path, content, step)]
        return ((path, content) for path, content in found if isinstance(content, str))


def _below(path: KeyPath, content: Plain, step: str | None) -> Iterator[tuple[KeyPath, Plain]]:
    if step is None and isinstance(content, list):
        yield from (((*path, at), each) for at, each in enumerate(content))
    elif step is not None and isinstance(content, dict) and step in content:
        yield (*path, step), content[step]


def _stranger(name: str, known: tuple[str, ...]) -> str:
    if name == RESERVED:
        return "is a receiver only where there is no other; name one of those"
    # A name that is none may be a secret in the wrong place; it has a finding of its own.
    shown = tuple(each for each in known if key_text((each,)) == each)
    if near := suggestion(name, shown):
        return f"is no receiver; did you mean {near}?"
    return f"is no receiver; write one of {', '.join(shown[:MOST_NAMED])}"
