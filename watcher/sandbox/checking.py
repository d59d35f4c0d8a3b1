"""What is wrong with a template, found before a message depends on it.

Refuses to know what it is tried on: samples are given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateSyntaxError, meta

from watcher.confined import NotDoneError
from watcher.sandbox.environment import Environment
from watcher.sandbox.filling import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from watcher.sandbox.filling import Filling

__all__ = ["problems"]


def problems(trial: Filling, samples: list[dict[str, Any]]) -> list[str]:
    """Everything wrong with the template of a trial, which is tried on each of the samples."""
    environment = Environment(markup=trial.markup)
    try:
        environment.compiled(trial.source)
    except NotDoneError as error:
        return [str(error)]
    found = list(_foreign_names(environment, trial))
    return found or list(_failures(trial, samples))


def _foreign_names(environment: Environment, trial: Filling) -> Iterator[str]:
    try:
        parsed = environment.parse(trial.source)
        unknown = meta.find_undeclared_variables(parsed) - trial.context.keys()
    except TemplateSyntaxError as error:
        yield f"line {error.lineno}: {error.message}"
        return
    known = ", ".join(sorted(trial.context))
    for name in sorted(unknown - environment.globals.keys()):
        yield f"there is no {name}; a template knows {known}"
    if list(meta.find_referenced_templates(parsed)):
        yield "names another template; there is only this one"


def _failures(trial: Filling, samples: list[dict[str, Any]]) -> Iterator[str]:
    told: set[str] = set()
    for sample in samples:
        try:
            fill(replace(trial, context=sample))
        except NotDoneError as error:
            if str(error) not in told:
                yield str(error)
            told.add(str(error))
