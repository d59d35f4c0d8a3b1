"""Plain content to typed settings, and what does not fit as findings with their places.

Knows which keys there are, from the settings themselves. Refuses to know what fits together.

Values that are fine alone and not together, among themselves or with the receivers.

Knows which settings name and bound each other. Refuses to judge a value that does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from watcher.config.addresses import is_loopback
from watcher.config.durations import duration_text
from watcher.config.errors import VERY_LIKE, Finding, KeyPath, key_text, suggestion
from watcher.config.settings import RESERVED, PollSettings, Settings
from watcher.config.values import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from watcher.config.document import Document, Plain

Fits = TypeVar("Fits", bound=BaseModel)

# Read by themselves, because what stands there is secret.
READ_APART = ("receivers", "heartbeat")


@dataclass(frozen=True, slots=True)
class Fitted(Generic[Fits]):
    """What of a content fits; `bad` are the keys whose values do not count."""

    value: Fits
    bad: frozenset[KeyPath]
    findings: list[Finding]


def fit_settings(
    document: Document, sections: Mapping[str, Plain], broken: Collection[KeyPath]
) -> Fitted[Settings]:
    """The settings of all sections but those read apart. `broken` are values that are no values."""
    # A section with all its keys commented out is that section's defaults.
    content = {
        name: {} if value is None and name in _sections() else value
        for name, value in sections.items()
    }
    return fit(document, Settings, content, broken)


def fit(
    document: Document,
    model: type[Fits],
    content: Mapping[str, Any],
    broken: Collection[KeyPath],
    below: KeyPath = (),
) -> Fitted[Fits]:
    """The content as a model; where it does not fit, that is left out and is a finding.

    `below` is where in the document the content stands.
    """
    inside = {path[len(below) :] for path in broken if path[: len(below)] == below}
    bad = frozenset(map(_leaf, inside))
    try:
        return Fitted(model.model_validate(content, context=WRITTEN), bad, [])
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    bad |= {_leaf(details["loc"]) for details in errors}
    # Of a value with an unset variable that has been said, and nothing else can be.
    new = [each for each in errors if each["type"] != "value_error" or each["loc"] not in inside]
    findings = [_finding(document, model, details, below) for details in new]
    left = model.model_validate(_without(content, bad), context=WRITTEN)
    return Fitted(left, bad, findings)


def _leaf(path: KeyPath) -> KeyPath:
    """The key to take out for an error: an item of a list takes the list with it."""
    names: list[str | int] = []
    for part in path[:2]:
        if isinstance(part, int):
            break
        names.append(part)
    return tuple(names)


def _without(content: Mapping[str, Any], paths: Iterable[KeyPath]) -> dict[str, Any]:
    left = {
        name: dict(value) if isinstance(value, dict) else value for name, value in content.items()
    }
    for path in paths:
        parent = left if len(path) == 1 else left.get(str(path[0]))
        if isinstance(parent, dict):
            parent.pop(str(path[-1]), None)
    return left


def _finding(document: Document, model: type[BaseModel], details: Any, below: KeyPath) -> Finding:
    inside: KeyPath = details["loc"]
    path = (*below, *inside)
    key = key_text(path)
    match details["type"]:
        case "extra_forbidden":
            return Finding(document.key_place(path), key, _unknown(model, inside))
        case "missing":
            what = f"is missing; write {inside[-1]}: with its value"
            return Finding(document.place_of(path), key, what)
        case "value_error":
            return Finding(document.place_of(path), key, str(details["ctx"]["error"]))
        case _:
            # All single values are read by our own words: what is left is a section.
            what = "is not a mapping; write its keys beneath it, each with its value"
            return Finding(document.place_of(path), key, what)


def _unknown(model: type[BaseModel], path: KeyPath) -> str:
    word = str(path[-1])
    known = _known_at(model, path[:-1])
    elsewhere = _section_keys_elsewhere()
    if word not in elsewhere and (near := suggestion(word, known)):
        return f"unknown key; did you mean {near}?"
    if near := suggestion(word, tuple(elsewhere), VERY_LIKE):
        return f"unknown key; did you mean {elsewhere[near]}?"
    return f"unknown key; known here: {', '.join(known)}"


def _known_at(model: type[BaseModel], path: KeyPath) -> tuple[str, ...]:
    for part in path:
        if isinstance(part, str):
            model = _models_below(model).get(part, model)
    return tuple(_keys(model))


def _keys(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a section as they are written."""
    for name, info in model.model_fields.items():
        yield info.alias or name


def _models_below(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The sections in a section, by key; also those that are lists of sections."""
    below = {key: _model_in(info.annotation) for key, info in model.model_fields.items()}
    return {
        key: found for key, found in below.items() if found is not None and key not in READ_APART
    }


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


@cache
def _sections() -> frozenset[str]:
    """The sections that are mappings: what is a list of sections can be empty by itself."""
    annotations = {name: info.annotation for name, info in Settings.model_fields.items()}
    return frozenset(name for name, found in annotations.items() if found is _model_in(found))


@cache
def _section_keys_elsewhere() -> dict[str, str]:
    """Every key below the top, with its whole name; of several the one that stands highest."""
    whole: dict[str, str] = {}
    level = [(name, model) for name, model in _models_below(Settings).items()]
    while level:
        for name, model in level:
            for key in _keys(model):
                whole.setdefault(key, f"{name}.{key}")
        level = [
            (f"{name}.{key}", below)
            for name, model in level
            for key, below in _models_below(model).items()
        ]
    return whole


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
        from watcher.routing.match import Matcher  # noqa: PLC0415

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
