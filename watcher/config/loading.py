"""YAML to typed settings, with every error at once, each with its place and how to mend it.

Knows where a configuration is looked for and which settings contradict each other. Refuses to know
what Apprise thinks of a URL: that check is handed in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from watcher.config.durations import duration_text
from watcher.config.errors import (
    ConfigError,
    Finding,
    KeyPath,
    Place,
    Problem,
    in_file_order,
    key_text,
    suggestion,
)
from watcher.config.positions import Document, Plain, read_document
from watcher.config.receivers import ReceiversReader
from watcher.config.settings import (
    ConfirmSettings,
    DeliverySettings,
    LogSettings,
    PollSettings,
    ReceiverSettings,
    Settings,
    SourceSettings,
    StateSettings,
    is_loopback,
)
from watcher.config.variables import substitute

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

__all__ = [
    "ConfigError",
    "ConfirmSettings",
    "DeliverySettings",
    "LogSettings",
    "PollSettings",
    "Problem",
    "ReceiverSettings",
    "Settings",
    "SourceSettings",
    "StateSettings",
    "example_text",
    "find",
    "load",
]

EXAMPLE = "config.example.yaml"
USUAL_FILES = (Path("config.yaml"), Path("/etc/kie-watcher/config.yaml"))

MOST_BYTES = 1_048_576
POLITE_INTERVAL = timedelta(seconds=30)


def find(
    explicit: Path | None,
    environment: Mapping[str, str],
    usual: Sequence[Path] = USUAL_FILES,
) -> Path | None:
    """The file to load: the one named, `KIE_WATCHER_CONFIG`, a usual one that is there, or none."""
    if explicit is not None:
        return explicit
    if named := environment.get("KIE_WATCHER_CONFIG"):
        return Path(named)
    # lexists: a link that leads nowhere is a mistake to report, not a wish for the defaults.
    return next((path for path in usual if os.path.lexists(path)), None)


def load(
    path: Path | None,
    environment: Mapping[str, str],
    check_receiver: Callable[[str], list[str]],
) -> Settings:
    """The settings of a file, or the defaults. Raises `ConfigError` with all that is wrong.

    `check_receiver` names what is wrong with an Apprise URL, each thing with its mending.
    """
    if path is None:
        return Settings()
    settings, findings = _read(_text(path), environment, check_receiver)
    if findings:
        raise ConfigError(in_file_order(findings, str(path)))
    return settings


def example_text() -> str:
    """The example configuration, as `kie-watcher init` writes it."""
    packaged = resources.files("watcher") / EXAMPLE
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # An editable installation: the file stands beside the package, where people find it.
    return (Path(__file__).resolve().parents[2] / EXAMPLE).read_text("utf-8")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        why = error.strerror or "unreadable"
        raise _no_file(path, f"cannot be read ({why}); name another or mend it") from None
    except ValueError:
        raise _no_file(path, "is not a path; name a file") from None
    if len(content) > MOST_BYTES:
        raise _no_file(path, "is larger than 1 MiB; no configuration needs that")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place_of_byte(content, error.start)
        raise _no_file(path, "is not UTF-8; save it as UTF-8", place) from None


def _no_file(path: Path, what: str, place: Place | None = None) -> ConfigError:
    return ConfigError((Finding(place or Place(), "file", what).in_file(str(path)),))


def _place_of_byte(content: bytes, position: int) -> Place:
    before = content[:position].decode("utf-8-sig", "replace")
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _read(
    text: str, environment: Mapping[str, str], check: Callable[[str], list[str]]
) -> tuple[Settings, list[Finding]]:
    document = read_document(text)
    filled = substitute(document, environment)
    sections = {} if filled.content is None else filled.content
    if not isinstance(sections, dict):
        what = "is not a mapping; write sections such as poll: with their keys beneath"
        return Settings(), [Finding(document.place_of(()), "file", what)]
    reader = ReceiversReader(document, filled, check)
    receivers = reader.read(sections.pop("receivers", None))
    typed = _typed(document, sections, filled.broken)
    settings = typed.settings.model_copy(update={"receivers": receivers})
    contradictions = _contradictions(settings, document, typed.bad)
    findings = chain(
        document.findings, filled.findings, reader.findings, typed.findings, contradictions
    )
    return settings, list(findings)


@dataclass(frozen=True, slots=True)
class _Typed:
    """What of a document fits the settings; `bad` are the keys whose values do not count."""

    settings: Settings
    bad: frozenset[KeyPath]
    findings: list[Finding]


def _typed(document: Document, sections: dict[str, Plain], broken: Collection[KeyPath]) -> _Typed:
    # A section with all its keys commented out is that section's defaults.
    content: dict[str, Any] = {
        name: {} if value is None and name in _SECTION_KEYS else value
        for name, value in sections.items()
    }
    bad = frozenset(map(_leaf, broken))
    try:
        return _Typed(Settings.model_validate(content), bad, [])
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
    bad |= {_leaf(details["loc"]) for details in errors}
    _take_out(content, bad)
    # Of a value with an unset variable that has been said, and nothing else can be.
    new = [each for each in errors if each["type"] != "value_error" or each["loc"] not in broken]
    findings = [_finding(document, details) for details in new]
    return _Typed(Settings.model_validate(content), bad, findings)


_SECTION_KEYS: Mapping[str, tuple[str, ...]] = {
    name: tuple(info.annotation.model_fields)
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel)
}


def _leaf(path: KeyPath) -> KeyPath:
    """The key to take out for an error: an item of a list takes the list with it."""
    return tuple(part for part in path[:2] if isinstance(part, str))


def _take_out(content: dict[str, Any], paths: Iterable[KeyPath]) -> None:
    for path in paths:
        parent = content if len(path) == 1 else content.get(str(path[0]))
        if isinstance(parent, dict):
            parent.pop(str(path[-1]), None)


def _finding(document: Document, details: Any) -> Finding:
    path: KeyPath = details["loc"]
    key = key_text(path)
    match details["type"]:
        case "extra_forbidden":
            return Finding(document.key_place(path), key, _unknown(path))
        case "value_error":
            return Finding(document.place_of(path), key, str(details["ctx"]["error"]))
        case _:
            # All single values are read by our own words: what is left is a section.
            what = "is not a mapping; write its keys beneath it, each with its value"
            return Finding(document.place_of(path), key, what)


def _unknown(path: KeyPath) -> str:
    word = str(path[-1])
    known = tuple(Settings.model_fields) if len(path) == 1 else _SECTION_KEYS[str(path[0])]
    sections = {key: section for section, keys in _SECTION_KEYS.items() for key in keys}
    if word not in sections and (near := suggestion(word, known)):
        return f"unknown key; did you mean {near}?"
    if near := suggestion(word, tuple(sections)):
        return f"unknown key; did you mean {sections[near]}.{near}?"
    return f"unknown key; known here: {', '.join(known)}"


def _contradictions(
    settings: Settings, document: Document, bad: frozenset[KeyPath]
) -> Iterator[Finding]:
    """Values that are fine alone and not together; those that do not count are let be."""
    poll, interval = settings.poll, ("poll", "interval")
    if interval in bad or ("poll",) in bad:
        return
    url_counts = not {("source",), ("source", "url")} & bad
    if url_counts and poll.interval < POLITE_INTERVAL and not is_loopback(settings.source.url):
        what = "is under 30s, too often for a host that is not this machine; write 30s or more"
        yield Finding(document.place_of(interval), "poll.interval", what)
    for key in ("full_sweep_every", "max_backoff"):
        if ("poll", key) not in bad and getattr(poll, key) < poll.interval:
            yield _shorter_than_interval(document, key)


def _shorter_than_interval(document: Document, key: str) -> Finding:
    path = ("poll", key)
    if path in document.values:
        what = "is shorter than poll.interval; write at least as much"
        return Finding(document.place_of(path), key_text(path), what)
    usual = duration_text(getattr(PollSettings(), key))
    what = f"is longer than poll.{key}, which is {usual} unless set; set that to at least as much"
    return Finding(document.place_of(("poll", "interval")), "poll.interval", what)
