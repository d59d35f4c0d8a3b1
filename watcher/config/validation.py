"""The content of a file to typed settings, and everything wrong with it in words with a place.

First pydantic checks each value and section; then what is valid is checked together: settings that
bound each other or name the same thing. A value that is itself invalid contradicts no other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError

from watcher.config.addresses import is_on_loopback
from watcher.config.document import Unfilled
from watcher.config.durations import duration_text
from watcher.config.errors import SECRET_SECTIONS, VERY_SIMILAR, suggest
from watcher.config.field_types import TERMINAL_RECEIVER, FromFile, UnknownReceiverError
from watcher.config.settings import URL_KEYS, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

    from watcher.config.document import Document, YamlContent
    from watcher.config.errors import KeyPath, Problem

POLITE_INTERVAL = timedelta(seconds=30)


def validate(document: Document) -> tuple[Settings, list[Problem]]:
    """The settings as far as they are valid, and all that is wrong with the document."""
    content = {} if document.content is None else document.content
    if not isinstance(content, dict):
        what = "is not a mapping; write sections such as poll: with their keys beneath"
        return Settings(), [*document.problems, document.problem((), what)]
    named = named_receivers(document)
    context = FromFile(None if named is None else named or (TERMINAL_RECEIVER,))
    errors: list[ErrorDetails] = []
    left_out: set[KeyPath] = set()
    while True:
        kept = _without(content, left_out)
        try:
            settings = Settings.model_validate(kept, context=context)
            break
        except ValidationError as error:
            found = error.errors(include_url=False)
        errors += found
        # A route to nobody is a route all the same: whether it matches anything can be told.
        wrong = [each["loc"] for each in found if not _is_about_receiver(each)]
        left_out |= {_key_to_leave_out(path, kept) for path in wrong}
        context = FromFile(files=context.files)
    new = [each for each in errors if not _is_reported(each)]
    return settings, [
        *document.problems,
        *(_problem(document, each) for each in new),
        *_Contradictions(document, content, settings, left_out).problems(),
    ]


def named_receivers(document: Document) -> tuple[str, ...] | None:
    """The receivers that a file names, good or not; `None` where that cannot be told."""
    content = document.content if isinstance(document.content, dict) else {}
    receivers = content.get("receivers")
    if receivers is None:
        return ()
    return tuple(receivers) if isinstance(receivers, dict) else None


def _is_about_receiver(error: ErrorDetails) -> bool:
    return isinstance(error.get("ctx", {}).get("error"), UnknownReceiverError)


def _is_reported(error: ErrorDetails) -> bool:
    """Whether the value has a problem already, with which nothing can be read from it."""
    return isinstance(error["input"], Unfilled) and error["type"] != "extra_forbidden"


def _key_to_leave_out(path: KeyPath, content: YamlContent) -> KeyPath:
    """The last key on the way to an error; an item of a list takes the list with it."""
    for depth, part in enumerate(path):
        if not isinstance(content, dict) or part not in content:
            return path[:depth]
        content = content[part]
    return path


def _without(content: YamlContent, left_out: set[KeyPath], at: KeyPath = ()) -> Any:
    if not isinstance(content, dict):
        return content
    kept = {key: each for key, each in content.items() if (*at, key) not in left_out}
    return {key: _without(each, left_out, (*at, key)) for key, each in kept.items()}


def _problem(document: Document, error: ErrorDetails) -> Problem:
    path = error["loc"]
    match error["type"]:
        case "extra_forbidden":
            return document.problem_at_key(path, _unknown_key(path))
        case "missing":
            return document.problem(path, f"is missing; write {path[-1]}: with its value")
        case "value_error" if path[-1] == "[key]":
            return document.problem_at_key(path[:-1], str(error["ctx"]["error"]))
        case "value_error":
            return document.problem(path, str(error["ctx"]["error"]))
        case _:
            # All single values have validators of ours, which say what is wrong: this is a section.
            what = "is not a mapping; write its keys beneath it, each with its value"
            return document.problem(path, what)


def _unknown_key(path: KeyPath) -> str:
    word, sections = str(path[-1]), _keys_by_section()
    section = tuple(part for part in path[:-1] if isinstance(part, str))
    if section[:1] == ("receivers",):
        section = section[:1]
    known = sections[section]
    # Of several the one in the highest section.
    elsewhere = {
        key: ".".join((*above, key))
        for above, keys in reversed(sections.items())
        if above and above[0] not in SECRET_SECTIONS
        for key in keys
    }
    if word not in elsewhere and (near := suggest(word, known)):
        return f"unknown key; did you mean {near}?"
    if near := suggest(word, tuple(elsewhere), VERY_SIMILAR):
        return f"unknown key; did you mean {elsewhere[near]}?"
    return f"unknown key; known here: {', '.join(known)}"


@cache
def _keys_by_section() -> dict[tuple[str, ...], tuple[str, ...]]:
    """The keys of every section as they are written, the highest sections first."""
    found = {}
    sections: list[tuple[tuple[str, ...], type[BaseModel]]] = [((), Settings)]
    for path, section in sections:
        keys = {info.alias or name: info for name, info in section.model_fields.items()}
        found[path] = tuple(keys)
        below = ((key, _section_in(info.annotation)) for key, info in keys.items())
        sections += [((*path, key), each) for key, each in below if each is not None]
    return found


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


@dataclass(frozen=True, slots=True)
class _Contradictions:
    """Checks all sections together: what is written, and the valid part of it."""

    document: Document
    content: dict[str, YamlContent]
    settings: Settings
    left_out: set[KeyPath]

    def problems(self) -> Iterator[Problem]:
        yield from self._intervals()
        yield from self._names_used_twice()
        yield from self._urls_not_given_once()
        yield from self._remote_listening()
        yield from self._unreachable_routes()

    def _are_valid(self, *keys: str) -> bool:
        paths = [tuple(key.split(".")) for key in keys]
        return not any(path[:n] in self.left_out for path in paths for n in (1, 2))

    def _intervals(self) -> Iterator[Problem]:
        poll, source = self.settings.poll, self.settings.source
        if not self._are_valid("poll.interval"):
            return
        if (
            self._are_valid("source.url")
            and poll.interval < POLITE_INTERVAL
            and not is_on_loopback(source.url)
        ):
            what = "is under 30s, too often for a host that is not this machine; write 30s or more"
            yield self.document.problem(("poll", "interval"), what)
        bounds = {"full_sweep_every": poll.full_sweep_every, "max_backoff": poll.max_backoff}
        for key, bound in bounds.items():
            if bound >= poll.interval or not self._are_valid(f"poll.{key}"):
                continue
            if key in poll.model_fields_set:
                what = "is shorter than poll.interval; write at least as much"
                yield self.document.problem(("poll", key), what)
            else:
                what = f"is longer than poll.{key}, which is {duration_text(bound)} unless set"
                fix = "set that to at least as much"
                yield self.document.problem(("poll", "interval"), f"{what}; {fix}")

    def _names_used_twice(self) -> Iterator[Problem]:
        for section in ("routes", "quiet_hours"):
            listed = self.content.get(section)
            lines: dict[str, int] = {}
            for at, part in enumerate(listed if isinstance(listed, list) else ()):
                written = part.get("name") if isinstance(part, dict) else None
                if not isinstance(written, str) or not (name := written.strip().casefold()):
                    continue
                path = (section, at, "name")
                if name in lines:
                    what = f"is used twice, first in line {lines[name]}; choose another name"
                    yield self.document.problem(path, what)
                lines.setdefault(name, self.document.place_of(path).line)

    def _urls_not_given_once(self) -> Iterator[Problem]:
        receivers = self.content.get("receivers")
        named = receivers.items() if isinstance(receivers, dict) else ()
        sections: dict[KeyPath, YamlContent] = {("receivers", name): each for name, each in named}
        sections["heartbeat",] = self.content.get("heartbeat")
        for path, section in sections.items():
            if not isinstance(section, dict) or len(section.keys() & set(URL_KEYS)) == 1:
                continue
            both = section.keys() >= set(URL_KEYS)
            what = "has both url and url_file" if both else "has neither url nor url_file"
            yield self.document.problem_at_key(path, f"{what}; give it exactly one of the two")

    def _remote_listening(self) -> Iterator[Problem]:
        web = self.settings.web
        if not self._are_valid("web.listen", "web.allow_remote"):
            return
        if web.listen is not None and not web.listen.is_loopback and not web.allow_remote:
            what = "can be reached from other machines"
            fix = "write 127.0.0.1 for the host, or allow_remote: true beside it"
            yield self.document.problem(("web", "listen"), f"{what}; {fix}")

    def _unreachable_routes(self) -> Iterator[Problem]:
        routes, announce = self.settings.routes, self.settings.announce
        if not routes or not self._are_valid("routes", "announce"):
            return
        # Routing imports a library for regular expressions; only those with routes wait for it.
        from watcher.config.rules import matcher  # noqa: PLC0415
        from watcher.routing.match import Matcher  # noqa: PLC0415

        taken: dict[str, int] = {}
        for at, route in enumerate(routes):
            path, match = ("routes", at, "match"), matcher(route.match)
            wanted = match.wanted_kinds(announce)
            if not wanted:
                what = "matches nothing: announce names no kind that crosses a mark; add kinds:"
                yield self.document.problem(path, what)
            elif wanted <= taken.keys():
                line = max(taken[kind] for kind in wanted)
                what = f"matches nothing that the route in line {line} leaves over"
                fix = "put this route before that one, or write continue: true there"
                yield self.document.problem(path, f"{what}; {fix}")
            # A route that asks for nothing but kinds takes every change of these kinds.
            if match == Matcher(kinds=match.kinds) and not route.continue_:
                line = self.document.place_of(("routes", at)).line
                taken |= {kind: taken.get(kind, line) for kind in wanted}
