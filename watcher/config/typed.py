"""Plain content to typed settings, and what does not fit as findings with their places.

Knows which keys there are, from the settings themselves. Refuses to know what fits together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from watcher.config.errors import VERY_LIKE, Finding, KeyPath, key_text, suggestion
from watcher.config.settings import Settings
from watcher.config.values import WRITTEN

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from watcher.config.positions import Document, Plain

__all__ = ["READ_APART", "Fitted", "fit", "fit_settings"]

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
