"""YAML content to typed settings, and everything wrong with it as findings with their places.

First each section by itself (`validate`), then the sections together (`CrossChecks`): settings that
bound each other or name the same thing. A value that is itself invalid contradicts no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from watcher.config.addresses import is_on_loopback
from watcher.config.durations import duration_text
from watcher.config.errors import VERY_SIMILAR, key_text, suggest
from watcher.config.field_types import FROM_FILE
from watcher.config.settings import TERMINAL_RECEIVER, Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from watcher.config.document import Document, YamlContent
    from watcher.config.errors import Finding, KeyPath

SectionModel = TypeVar("SectionModel", bound=BaseModel)

# They hold secrets, and are read by a reader of their own.
SECRET_SECTIONS = ("receivers", "heartbeat")

POLITE_INTERVAL = timedelta(seconds=30)
MOST_NAMED = 10

# Where receivers are named; `None` stands for each item of a list.
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
class Validated(Generic[SectionModel]):
    """The valid part of a content; `invalid` are the keys that were left out of it."""

    value: SectionModel
    invalid: frozenset[KeyPath]
    findings: list[Finding]


def validate_settings(
    document: Document, sections: Mapping[str, YamlContent], broken: Collection[KeyPath]
) -> Validated[Settings]:
    """The settings of all sections except the secret ones.

    `broken` are values with a variable that could not be filled in.
    """
    # A section with all its keys commented out is that section's defaults.
    content = {
        name: {} if value is None and name in _sections() else value
        for name, value in sections.items()
    }
    return validate(document, Settings, content, broken)


def validate(
    document: Document,
    model: type[SectionModel],
    content: Mapping[str, Any],
    broken: Collection[KeyPath],
    below: KeyPath = (),
) -> Validated[SectionModel]:
    """The content as a model; what is invalid is left out of it and is a finding.

    `below` is the path in the document at which the content is.
    """
    inside = {path[len(below) :] for path in broken if path[: len(below)] == below}
    invalid = frozenset(map(_key_to_leave_out, inside))
    try:
        return Validated(model.model_validate(content, context=FROM_FILE), invalid, [])
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    invalid |= {_key_to_leave_out(details["loc"]) for details in errors}
    # A value with an unset variable has its finding already; what is left of it means nothing.
    new = [each for each in errors if each["type"] != "value_error" or each["loc"] not in inside]
    findings = [_finding(document, model, details, below) for details in new]
    valid = model.model_validate(_without(content, invalid), context=FROM_FILE)
    return Validated(valid, invalid, findings)


def _key_to_leave_out(path: KeyPath) -> KeyPath:
    """The key to leave out for an error: an item of a list takes the list with it."""
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
    match details["type"]:
        case "extra_forbidden":
            return document.finding_at_key(path, _unknown_key(model, inside))
        case "missing":
            return document.finding(path, f"is missing; write {inside[-1]}: with its value")
        case "value_error":
            return document.finding(path, str(details["ctx"]["error"]))
        case _:
            # All single values have validators of ours, which say what is wrong: this is a section.
            what = "is not a mapping; write its keys beneath it, each with its value"
            return document.finding(path, what)


def _unknown_key(model: type[BaseModel], path: KeyPath) -> str:
    word = str(path[-1])
    known = _known_at(model, path[:-1])
    elsewhere = _section_keys_elsewhere()
    if word not in elsewhere and (near := suggest(word, known)):
        return f"unknown key; did you mean {near}?"
    if near := suggest(word, tuple(elsewhere), VERY_SIMILAR):
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
        key: found
        for key, found in below.items()
        if found is not None and key not in SECRET_SECTIONS
    }


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


@cache
def _sections() -> frozenset[str]:
    """The sections that are mappings, not lists of sections: those take care of being empty."""
    annotations = {name: info.annotation for name, info in Settings.model_fields.items()}
    return frozenset(name for name, found in annotations.items() if found is _model_in(found))


@cache
def _section_keys_elsewhere() -> dict[str, str]:
    """Every key below the top, with its full name; of several the one in the highest section."""
    full: dict[str, str] = {}
    level = [(name, model) for name, model in _models_below(Settings).items()]
    while level:
        for name, model in level:
            for key in _keys(model):
                full.setdefault(key, f"{name}.{key}")
        level = [
            (f"{name}.{key}", below)
            for name, model in level
            for key, below in _models_below(model).items()
        ]
    return full


@dataclass(frozen=True, slots=True)
class CrossChecks:
    """Checks all the sections of a file together: what is written, and the valid part of it."""

    document: Document
    sections: Mapping[str, YamlContent]
    validated: Validated[Settings]
    broken: frozenset[KeyPath]

    def findings(self) -> Iterator[Finding]:
        yield from self._intervals()
        yield from self._duplicate_names()
        yield from self._unknown_receivers()
        yield from self._remote_listening()
        yield from self._unreachable_routes()

    def _is_valid(self, *path: str) -> bool:
        return not {path[:length] for length in range(1, len(path) + 1)} & self.validated.invalid

    def _intervals(self) -> Iterator[Finding]:
        poll, source = self.validated.value.poll, self.validated.value.source
        if not self._is_valid("poll", "interval"):
            return
        if (
            self._is_valid("source", "url")
            and poll.interval < POLITE_INTERVAL
            and not is_on_loopback(source.url)
        ):
            what = "is under 30s, too often for a host that is not this machine; write 30s or more"
            yield self.document.finding(("poll", "interval"), what)
        bounds = {"full_sweep_every": poll.full_sweep_every, "max_backoff": poll.max_backoff}
        for key, bound in bounds.items():
            if self._is_valid("poll", key) and bound < poll.interval:
                yield self._shorter_than_interval(key, bound)

    def _shorter_than_interval(self, key: str, bound: timedelta) -> Finding:
        if ("poll", key) in self.document.values:
            what = "is shorter than poll.interval; write at least as much"
            return self.document.finding(("poll", key), what)
        # Not written in the file, so it is the default.
        default = duration_text(bound)
        what = f"is longer than poll.{key}, which is {default} unless set"
        return self.document.finding(("poll", "interval"), f"{what}; set that to at least as much")

    def _duplicate_names(self) -> Iterator[Finding]:
        for where in _NAMED_ONCE:
            lines: dict[str, int] = {}
            for path, text in self._texts(where):
                name = text.strip().casefold()
                if not name or path in self.broken:
                    continue
                if name in lines:
                    what = f"is used twice, first in line {lines[name]}; choose another name"
                    yield self.document.finding(path, what)
                lines.setdefault(name, self.document.place_of(path).line)

    def _unknown_receivers(self) -> Iterator[Finding]:
        receivers = self.sections.get("receivers")
        if receivers is not None and not isinstance(receivers, dict):
            return
        known = tuple(receivers or (TERMINAL_RECEIVER,))
        for where in _RECEIVERS_NAMED:
            for path, text in self._texts(where):
                name = text.strip()
                if name and name not in known and path not in self.broken:
                    yield self.document.finding(path, _unknown_receiver(name, known))

    def _remote_listening(self) -> Iterator[Finding]:
        web = self.validated.value.web
        if not (self._is_valid("web", "listen") and self._is_valid("web", "allow_remote")):
            return
        if web.listen is not None and not web.listen.is_loopback and not web.allow_remote:
            what = (
                "can be reached from other machines; write 127.0.0.1 for the host,"
                " or allow_remote: true beside it"
            )
            yield self.document.finding(("web", "listen"), what)

    def _unreachable_routes(self) -> Iterator[Finding]:
        routes, announce = self.validated.value.routes, self.validated.value.announce
        if not routes or not (self._is_valid("routes") and self._is_valid("announce")):
            return
        # Routing imports a library for regular expressions; only those with routes wait for it.
        from watcher.config.routing_rules import matcher  # noqa: PLC0415
        from watcher.routing.match import Matcher  # noqa: PLC0415

        taken: dict[str, int] = {}
        for at, route in enumerate(routes):
            path, match = ("routes", at, "match"), matcher(route.match)
            wanted = match.wanted_kinds(announce)
            if not wanted:
                what = "matches nothing: announce names no kind that crosses a mark; add kinds:"
                yield self.document.finding(path, what)
            elif wanted <= taken.keys():
                line = max(taken[kind] for kind in wanted)
                what = f"matches nothing that the route in line {line} leaves over"
                fix = "put this route before that one, or write continue: true there"
                yield self.document.finding(path, f"{what}; {fix}")
            # A route that asks for nothing but kinds takes every change of these kinds.
            if match == Matcher(kinds=match.kinds) and not route.continue_:
                line = self.document.place_of(("routes", at)).line
                taken |= {kind: taken.get(kind, line) for kind in wanted}

    def _texts(self, where: tuple[str | None, ...]) -> Iterator[tuple[KeyPath, str]]:
        """Every text at such a path, whether or not what is around it is valid."""
        found: list[tuple[KeyPath, YamlContent]] = [((), dict(self.sections))]
        for step in where:
            found = [below for path, content in found for below in _below(path, content, step)]
        return ((path, content) for path, content in found if isinstance(content, str))


def _below(
    path: KeyPath, content: YamlContent, step: str | None
) -> Iterator[tuple[KeyPath, YamlContent]]:
    if step is None and isinstance(content, list):
        yield from (((*path, at), each) for at, each in enumerate(content))
    elif step is not None and isinstance(content, dict) and step in content:
        yield (*path, step), content[step]


def _unknown_receiver(name: str, known: tuple[str, ...]) -> str:
    if name == TERMINAL_RECEIVER:
        return "is a receiver only while there is no other; name one of those"
    # What is not a name may be a secret in the wrong place; it has a finding of its own.
    shown = tuple(each for each in known if key_text((each,)) == each)
    if near := suggest(name, shown):
        return f"is not a receiver; did you mean {near}?"
    return f"is not a receiver; write one of {', '.join(shown[:MOST_NAMED])}"
