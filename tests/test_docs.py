"""The documentation cannot rot: what it shows exists, and what exists is in it."""

from __future__ import annotations

import ast
import re
import shlex
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import pytest

import reference
from stored import START, commit, edited, record
from torture.state_checks import query
from watcher.catalog.changes import Kind
from watcher.cli.main import cli
from watcher.config.field_types import Section
from watcher.config.loading import load
from watcher.config.settings import Settings
from watcher.monitor.alarms import AlarmKind
from watcher.notify.addresses import check_url
from watcher.store.store import open_store
from watcher.store.values import PollCost, PollOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text("utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_URL_FILE = re.compile(r'(url_file:\s*)("[^"]*"|[^\s,}]+)')
_TEMPLATE = re.compile(r"(template:\s*)[^\s,}]+")
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")
_METRIC = re.compile(r'self\._(counter|gauge|histogram)\(\s*"(\w+)"|\b_(gauge)\(\s*"(\w+)"')
_LINK = re.compile(r"(?:\]\(|src=\")(?!https?:)([^)#\s\"]*)(#[^)\s]+)?[)\"]")
_MAKE = re.compile(r"\bmake ([a-z-]+)")
SHELL = {"sh", "shell", "console", "bash"}


def blocks(*languages: str, page: str = README) -> list[str]:
    return [text for language, text in _FENCE.findall(page) if language in languages]


def options() -> Iterator[tuple[str, str]]:
    for name, command in [("", cli), *reference.commands()]:
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                yield from ((name, spelling) for spelling in parameter.opts if spelling[:2] == "--")


def sections_of_settings() -> list[type[Section]]:
    """Every section of the configuration, at any depth."""
    found: list[type[Section]] = [Settings]
    for section in found:
        for info in section.model_fields.values():
            found += [it for it in reference.sections_in(info.annotation) if it not in found]
    return found


def is_section(info: FieldInfo) -> bool:
    """Whether a key only holds a section of its own, which says the rest."""
    return any(
        part in sections_of_settings() for part in (info.annotation, *get_args(info.annotation))
    )


def shown_commands(page: str) -> list[str]:
    """Command lines of a page's shell blocks, comments, prompts and pipes taken off."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks(*SHELL, page=page)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if line.startswith("kie-watcher")]


@pytest.mark.parametrize("page", reference.PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_the_program_says_of_itself(page: Path) -> None:
    text = page.read_text("utf-8")
    assert reference.refreshed(text) == text, "run `make docs`"


@pytest.mark.parametrize("name", [name for name, _ in reference.commands()])
def test_the_page_of_commands_has_every_command(name: str) -> None:
    assert f"<!-- from: kie-watcher {name} -->" in COMMANDS


@pytest.mark.parametrize("option", sorted({option for _, option in options()}))
def test_the_page_of_commands_names_every_option(option: str) -> None:
    assert re.search(rf"{option}\b", COMMANDS)


@pytest.mark.parametrize("section", sections_of_settings(), ids=lambda section: section.__name__)
def test_the_page_of_the_configuration_has_every_key(section: type[Section]) -> None:
    told = set(re.findall(r"^\| `(?:[^`]+\.)?(\w+)` \|", CONFIGURATION, re.MULTILINE))
    inner = {name for name, info in section.model_fields.items() if is_section(info)}
    assert {info.alias or name for name, info in section.model_fields.items()} - inner <= told


@pytest.mark.parametrize("section", sections_of_settings(), ids=lambda section: section.__name__)
def test_every_key_has_a_text_for_the_people_who_set_it(section: type[Section]) -> None:
    untold = {name for name, (_, told) in reference.fields_of(section).items() if not told}
    assert untold <= {name for name, info in section.model_fields.items() if is_section(info)}


@pytest.mark.parametrize("kind", list(Kind))
def test_the_page_of_promises_has_every_kind_of_change(kind: Kind) -> None:
    assert f"`{kind.value}`" in PROMISES.partition("## What counts as a change")[2]


def test_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= 200
    pages = [
        page.relative_to(ROOT).as_posix() for page in PAGES if page.parent != DECISIONS[0].parent
    ]
    assert [page for page in pages if page != "README.md" and f"({page})" not in README] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_configuration_shown_is_a_good_one(page: Path, tmp_path: Path) -> None:
    secret, template = tmp_path / "url", tmp_path / "mine.j2"
    secret.write_text("json://localhost/room")
    template.write_text("{{ title }}")
    for number, block in enumerate(blocks("yaml", page=page.read_text("utf-8"))):
        file = tmp_path / f"{number}.yaml"
        shown = _URL_FILE.sub(rf"\g<1>{secret}", block)
        file.write_text(_TEMPLATE.sub(rf"\g<1>{template}", shown))
        load(file, AnyVariable(), check_url)


def test_the_guide_to_routing_has_the_five_configurations_people_want() -> None:
    guide = (ROOT / "docs" / "routing.md").read_text("utf-8")
    wanted = guide.partition("## Five configurations")[2].partition("\n## ")[0]
    assert len(blocks("yaml", page=wanted)) == 5


class AnyVariable(dict[str, str]):
    """An environment in which every variable is set, to the address of a receiver."""

    def get(self, key: str, default: Any = None) -> Any:
        return "json://localhost/room"


def test_readme_shows_commands() -> None:
    assert shown_commands(README)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_line_shown_is_understood(page: Path) -> None:
    for line in shown_commands(page.read_text("utf-8")):
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_make_target_shown_exists(page: Path) -> None:
    makefile, text = (ROOT / "Makefile").read_text("utf-8"), page.read_text("utf-8")
    shown = blocks(*SHELL, page=text)
    for target in {match[1] for block in shown for match in _MAKE.finditer(block)}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_in_the_english_that_people_use_today(page: Path) -> None:
    odd = re.findall(
        r"\b(?:dearer|mend(?:s|ed)?|anew|but for)\b", page.read_text("utf-8"), re.IGNORECASE
    )
    assert odd == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    for name, anchor in _LINK.findall(page.read_text("utf-8")):
        target = (page.parent / name) if name else page
        assert target.exists(), name
        if anchor:
            assert anchor in {anchor_of(title) for title in titles(target)}, anchor


def titles(page: Path) -> list[str]:
    return re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)


def anchor_of(title: str) -> str:
    """The anchor that a title gets where pages of code are shown."""
    return "#" + re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


@cache
def events() -> set[str]:
    """Whatever the program logs: each text that `log.info` and its like, or `emit`, is given."""
    found = set()
    for file in (ROOT / "watcher").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log")) | ast.Name(id="emit")):
                    found |= {str(arg.value) for arg in node.args if isinstance(arg, ast.Constant)}
    return found


def metrics() -> set[str]:
    """The name of every metric, as Prometheus sees it."""
    found = set()
    for file in (ROOT / "watcher" / "monitor").glob("*.py"):
        for sort, name, gauge, other in _METRIC.findall(file.read_text("utf-8")):
            ending = "_total" if (sort or gauge) == "counter" else ""
            found.add(f"kie_watcher_{name or other}{ending}")
    return found


def test_an_event_is_a_noun_and_a_verb() -> None:
    assert [event for event in events() if not _EVENT.fullmatch(event)] == []


def test_the_events_and_metrics_are_found() -> None:
    assert {"poll.done", "message.failed", "heartbeat.failed"} <= events()
    assert {"kie_watcher_polls_total", "kie_watcher_holds", "kie_watcher_alarms"} <= metrics()


@pytest.mark.parametrize("event", sorted(events()))
def test_the_guide_for_operators_explains_every_event(event: str) -> None:
    assert f"| `{event}` |" in OPERATING


@pytest.mark.parametrize("metric", sorted(metrics()))
def test_the_guide_for_operators_explains_every_metric(metric: str) -> None:
    assert f"`{metric}`" in OPERATING


@pytest.mark.parametrize("alarm", list(AlarmKind))
def test_the_guide_for_operators_explains_every_alarm(alarm: AlarmKind) -> None:
    assert f"| `{alarm.value}` |" in OPERATING


def test_the_guide_for_operators_names_nothing_that_is_gone() -> None:
    told = OPERATING.partition("## Log events")[2]
    assert set(re.findall(r"^\| \w+ \| `([^`]+)`", told, re.MULTILINE)) == events()
    assert set(re.findall(r"`(kie_watcher_\w+)`", told)) == metrics()


async def test_the_queries_of_the_guide_for_operators_answer(tmp_path: Path) -> None:
    failed = PollCost(requests=2, bytes=0, changes=0, holds=0, took=timedelta(seconds=1))
    async with open_store(tmp_path / "state.db") as store:
        model = record("Kling 2.6, 1080p")
        (known,) = (await store.record(commit(START - timedelta(days=1), baseline=(model,)))).models
        await store.record(commit(START, edited(known, replace(model, credits=Decimal(96)))))
        await store.note_poll(START, PollOutcome.FAILED, "HTTP 503", failed)

    (block,) = blocks("sql", page=OPERATING)
    answers = [query(tmp_path / "state.db", sql) for sql in block.split(";") if sql.strip()]
    assert [row[2:4] for row in answers[0]] == [("84", "per 2 videos"), ("96", "per 2 videos")]
    assert [len(rows) for rows in answers[1:]] == [1, 1, 1]


@pytest.mark.parametrize("name", ["identity", "completeness", "confirmation", "price", "delivery"])
def test_each_decision_has_its_half_page(name: str) -> None:
    assert [page for page in DECISIONS if name in page.stem]


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_a_decision_takes_half_a_page_and_the_guide_for_contributors_leads_to_it(
    page: Path,
) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= 60
    assert f"docs/decisions/{page.name}" in CONTRIBUTING


@pytest.mark.parametrize("line", ["cheque", "outbox rety", "models --colour", "changes --kind up"])
def test_a_wrong_command_line_in_a_page_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        understand(line.split())


@pytest.mark.parametrize(
    "command", [command for _, command in reference.commands()], ids=lambda c: c.name
)
def test_every_command_helps_with_an_example(command: click.Command) -> None:
    assert command.epilog is not None
    example = re.search(r"(?<!/)kie-watcher .*", command.epilog)
    assert example is not None
    understand(shlex.split(example[0])[1:])
