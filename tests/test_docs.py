"""The documentation cannot rot: what README shows exists, and what exists is in README."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from pydantic import BaseModel

from watcher.changes import Kind
from watcher.cli import cli
from watcher.config.loading import load
from watcher.config.settings import ReceiverSettings, Settings
from watcher.notify import check

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_URL_FILE = re.compile(r"(url_file:\s*)[^\s,}]+")
_MAKE = re.compile(r"\bmake ([a-z-]+)")
SHELL = {"sh", "shell", "console", "bash"}


def blocks(*languages: str) -> list[str]:
    return [text for language, text in _FENCE.findall(README) if language in languages]


def commands(
    group: click.Group = cli, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, `outbox retry` for one."""
    for name, command in group.commands.items():
        yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def options() -> Iterator[tuple[str, str]]:
    for name, command in [("", cli), *commands()]:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from ((name, spelling) for spelling in parameter.opts if spelling[:2] == "--")


def keys() -> Iterator[str]:
    """Every key of the configuration, with dots."""
    for section, info in Settings.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from (f"{section}.{key}" for key in info.annotation.model_fields)
        else:
            yield section


def told_keys() -> set[str]:
    """Keys that README names with dots, or shows in a configuration."""
    told = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)*)`", README))
    for block in blocks("yaml"):
        for section, content in dict(yaml.safe_load(block) or {}).items():
            told.add(section)
            if isinstance(content, dict):
                told |= {f"{section}.{key}" for key in content}
    return told


def shown_commands() -> list[str]:
    """Command lines of README's shell blocks, comments, prompts and pipes taken off."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks(*SHELL)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if line.startswith("kie-watcher")]


@pytest.mark.parametrize("name", [name for name, _ in commands()])
def test_readme_shows_every_command(name: str) -> None:
    assert f"kie-watcher {name}" in README or f"`{name}" in README


@pytest.mark.parametrize(
    "option", sorted({option for _, option in options()} - {"--help", "--version"})
)
def test_readme_names_every_option(option: str) -> None:
    assert re.search(rf"{option}\b", README)


@pytest.mark.parametrize("key", [*keys(), "url", "url_file"])
def test_readme_explains_every_key(key: str) -> None:
    if key in ReceiverSettings.model_fields or key == "url_file":
        assert re.search(rf"\b{key}\b", README)
    else:
        assert key in told_keys()


@pytest.mark.parametrize("kind", list(Kind))
def test_readme_names_every_kind_of_change(kind: Kind) -> None:
    assert kind.value in README


def test_every_configuration_in_readme_is_a_good_one(tmp_path: Path) -> None:
    assert blocks("yaml")
    secret = tmp_path / "url"
    secret.write_text("json://localhost/room")
    for number, block in enumerate(blocks("yaml")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(_URL_FILE.sub(rf"\g<1>{secret}", block))
        load(file, AnyVariable(), check)


class AnyVariable(dict[str, str]):
    """An environment in which every variable is set, to the address of a receiver."""

    def get(self, key: str, default: Any = None) -> Any:
        return "json://localhost/room"


def test_every_command_line_in_readme_is_understood() -> None:
    assert shown_commands()
    for line in shown_commands():
        words = shlex.split(line, comments=True)
        understand(words[1 : next((at for at, word in enumerate(words) if word in "|>&&"), None)])


def understand(words: list[str]) -> None:
    """Parse as the program would, without doing anything; raises where it would complain."""
    context: click.Context | None = None
    command: click.Command = cli
    while True:
        context = command.make_context(command.name or "", list(words), parent=context)
        words = [*context._protected_args, *context.args]
        if not isinstance(command, click.Group) or not words:
            return
        name, found, words = command.resolve_command(context, words)
        assert found is not None, name
        command = found


def test_every_make_target_in_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in {match[1] for block in blocks(*SHELL) for match in _MAKE.finditer(block)}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("name", ["identity", "completeness", "confirmation", "price", "delivery"])
def test_each_decision_has_its_half_page(name: str) -> None:
    pages = [page for page in (ROOT / "docs" / "decisions").glob("*.md") if name in page.stem]
    assert pages
    assert all(len(page.read_text("utf-8").splitlines()) <= 60 for page in pages)


@pytest.mark.parametrize("line", ["cheque", "outbox rety", "models --colour", "changes --kind up"])
def test_a_wrong_command_line_in_readme_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        understand(line.split())


@pytest.mark.parametrize("command", [command for _, command in commands()], ids=lambda c: c.name)
def test_every_command_helps_with_an_example(command: click.Command) -> None:
    assert command.epilog is not None
    example = re.search(r"(?<!/)kie-watcher .*", command.epilog)
    assert example is not None
    understand(shlex.split(example[0])[1:])
