"""What a configuration means, where it is looked for, and the example that ships."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, Kind
from watcher.catalog.confirm import ConfirmRules
from watcher.config.errors import ConfigError
from watcher.config.loading import example_text, find_file, load, load_leniently
from watcher.config.settings import (
    PollSettings,
    ReceiverSettings,
    Settings,
    SourceSettings,
    TemplateFile,
)

# What is commented out in the example, because it is nothing unless it is set.
NOTHING_UNLESS_SET = "receivers routes quiet_hours usage operator heartbeat web".split()
# What a comment further up explains: that of the section, or of the key before.
EXPLAINED_TOGETHER = set(
    "url url_file name match provider model usd_below usd_above discount_above receivers continue"
    " from to per_month".split()
)
# Written like the match of a route.
LEAVES = {"quiet_hours.urgent."}


def accepts(_url: str, _format: str) -> list[str]:
    return []


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing\n", "---\n", "poll:\nlog:\nreceivers:\n", "{}", "\ufeff# BOM"]
)
def test_a_file_that_sets_nothing_means_the_defaults(file: Path, text: str) -> None:
    file.write_text(text)

    assert load(file, {}, accepts) == Settings() == load(None, {}, accepts)


def test_every_value_is_read_as_people_write_it(file: Path) -> None:
    file.write_text("""\
source: {url: "http://127.9.9.9:8080/v1", page_size: "50", probe_size: 5, concurrency: 1, timeout: 0.2s}
poll: {interval: 1s, jitter: 0, full_sweep_every: 90m, sweep_attempts: 5, settle_delay: 0.1s, max_backoff: 1d}
confirm: {removals: 0, implausible: 0s, implausible_factor: 2.5, collapse: 0, collapse_share: 100%}
state: {path: ~/somewhere/kie.db}
delivery: {give_up_after: 12h}
announce:
  - corrected
  - reference_up
log: {level: debug, format: json}
""")

    read = load(file, {}, accepts)

    assert read.source == SourceSettings(
        url="http://127.9.9.9:8080/v1/",
        page_size=50,
        probe_size=5,
        concurrency=1,
        timeout=timedelta(milliseconds=200),
    )
    assert read.poll == PollSettings(
        interval=timedelta(seconds=1),
        jitter=Decimal(0),
        full_sweep_every=timedelta(minutes=90),
        sweep_attempts=5,
        settle_delay=timedelta(milliseconds=100),
        max_backoff=timedelta(days=1),
    )
    assert (
        read.confirm.removals == read.confirm.implausible == read.confirm.collapse == timedelta(0)
    )
    assert (read.confirm.implausible_factor, read.confirm.collapse_share) == (
        Decimal("2.5"),
        Decimal(1),
    )
    assert read.state.path == Path.home() / "somewhere/kie.db"
    assert read.delivery.give_up_after == timedelta(hours=12)
    assert read.announce == {Kind.CORRECTED, Kind.REFERENCE_UP}
    assert (read.log.level, read.log.format) == ("debug", "json")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "LOCALHOST:80"])
def test_an_api_on_this_machine_may_be_polled_as_often_as_one_likes(file: Path, host: str) -> None:
    file.write_text(f"source: {{url: 'http://{host}/'}}\npoll: {{interval: 0.2s}}")

    assert load(file, {}, accepts).poll.interval == timedelta(milliseconds=200)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("${ROOM}/kie.db", "attic/kie.db"),
        ("${ROOM}-${ROOM}", "attic-attic"),
        ("$${ROOM}", "${ROOM}"),
        ("$ROOM", "$ROOM"),
        ("${NESTED}", "${ROOM}"),
    ],
)
def test_variables_are_filled_into_values_once(file: Path, written: str, read: str) -> None:
    file.write_text(f"state: {{path: '{written}'}}")

    assert load(file, {"ROOM": "attic", "NESTED": "${ROOM}"}, accepts).state.path == Path(read)


def test_a_receiver_has_its_url_from_the_file_a_variable_or_a_file_beside(file: Path) -> None:
    (file.parent / "mail-url").write_text("json://from-file\n")
    file.write_text("""\
receivers:
  one: {url: 'json://plain'}
  two_2: {url: 'json://${HOST}/x'}
  Three-3: {url_file: '${CREDENTIALS_DIRECTORY}/mail-url'}
""")
    asked: list[str] = []

    def check(url: str, _format: str) -> list[str]:
        asked.append(url)
        return []

    environment = {"HOST": "there", "CREDENTIALS_DIRECTORY": str(file.parent)}
    read = load(file, environment, check).receivers

    urls = {name: receiver.address.get_secret_value() for name, receiver in read.items()}
    assert urls == {"one": "json://plain", "two_2": "json://there/x", "Three-3": "json://from-file"}
    assert asked == list(urls.values())


def test_the_settings_know_every_secret_in_them_and_show_none(file: Path) -> None:
    (file.parent / "mail-url").write_text("mailto://user:canary-pw@example.org\n")
    file.write_text(
        "receivers:\n  a: {url: 'json://host/${TOKEN}?x=canary-query'}\n  b: {url_file: 'mail-url'}"
    )
    text = file.read_text().replace("mail-url", f"{file.parent}/mail-url")
    file.write_text(text)

    read = load(file, {"TOKEN": "canary-token", "OTHER": "canary-other"}, accepts)

    assert {
        "canary-token",
        "canary-query",
        "canary-pw",
        "mailto://user:canary-pw@example.org",
    } <= read.secrets()
    assert "canary-other" not in read.secrets()
    assert "canary" not in f"{read!r} {read} {read.model_dump()} {read.model_dump_json()}"


def test_aliases_serve_to_write_a_value_once(file: Path) -> None:
    file.write_text("confirm: {removals: &long 20m, implausible: *long}")

    assert load(file, {}, accepts).confirm.implausible == timedelta(minutes=20)


def test_every_key_says_below_it_what_it_does() -> None:
    silent = [
        f"{section.__name__}.{name}"
        for section in sections_in(Settings)
        for name, text in texts_below(section).items()
        if text is None or not re.fullmatch(r"[^\s.].*[.…]", text, re.DOTALL)
    ]

    assert silent == []


def test_settings_can_be_made_by_a_program_and_do_not_change() -> None:
    made = Settings(
        source=SourceSettings(url="http://localhost:1/"),
        poll=PollSettings(interval=timedelta(seconds=1)),
    )

    assert made.source.url == "http://localhost:1/"
    with pytest.raises(ValueError, match="frozen"):
        made.poll.interval = timedelta(0)  # type: ignore[misc]


def test_the_default_settings_confirm_as_the_default_policy_does() -> None:
    confirm = Settings().confirm

    assert ConfirmRules(**confirm.model_dump()) == ConfirmRules()
    assert Settings().announce == ANNOUNCED_BY_DEFAULT


def test_a_receiver_made_by_a_program_knows_its_secrets_too() -> None:
    receiver = ReceiverSettings(url="discord://123456789/canary-token")  # type: ignore[arg-type]

    assert "canary-token" in receiver.address.secrets()


class TestWithoutTheServicesSecrets:
    def test_all_but_the_addresses_is_there(self, file: Path) -> None:
        (file.parent / "mine.j2").write_text("{{ title }}")
        file.write_text(f"""\
state: {{path: kept.db}}
receivers:
  a: {{url: "${{SECRET_URL}}", format: html, template: {file.parent}/mine.j2}}
  b: {{url_file: /no/such/secret}}
  c: {{url: "json://known"}}
routes: [{{name: all, receivers: [a, b, c]}}]
heartbeat: {{url: "${{BEAT}}", every: 5m}}
""")

        read = load_leniently(file, {})

        addresses = [it.address.get_secret_value() for it in read.receivers.values()]
        assert addresses == ["", "", "json://known"]
        a = read.receivers["a"]
        assert a.format == "html"
        assert a.template == TemplateFile(file.parent / "mine.j2", "{{ title }}")
        assert read.state.path == Path("kept.db")
        assert read.routes[0].receivers == ("a", "b", "c")

    def test_a_receiver_is_there_though_nothing_of_it_can_be_read(self, file: Path) -> None:
        file.write_text("receivers: {a: , b: {template: 5}, c: []}")

        assert list(load_leniently(file, {}).receivers) == ["a", "b", "c"]

    def test_what_is_wrong_elsewhere_is_an_error_all_the_same(self, file: Path) -> None:
        file.write_text("receivers: {a: {url: '${A}'}}\npoll: {interval: 5}\nstate: {path: '${B}'}")

        with pytest.raises(ConfigError) as refused:
            load_leniently(file, {})

        keys = [problem.key for problem in refused.value.problems]
        assert keys == ["receivers.a.url", "poll.interval", "state.path"]

    def test_no_address_and_no_template_is_checked(self, file: Path) -> None:
        (file.parent / "mine.j2").write_text("{{ oops")
        file.write_text(f"receivers: {{a: {{url: nonsense, template: {file.parent}/mine.j2}}}}")

        assert load_leniently(file, {}).receivers["a"].address.get_secret_value() == "nonsense"


class TestWhereTheFileIs:
    def test_the_one_named_wins_even_where_it_is_missing(self, tmp_path: Path) -> None:
        named = tmp_path / "x.yaml"

        assert find_file(named, {"KIE_WATCHER_CONFIG": "y.yaml"}) == named

    def test_then_the_environment_says(self) -> None:
        assert find_file(None, {"KIE_WATCHER_CONFIG": "y.yaml"}) == Path("y.yaml")

    def test_then_the_first_usual_one_that_is_there(self, tmp_path: Path) -> None:
        usual = (tmp_path / "a.yaml", tmp_path / "b.yaml", tmp_path / "c.yaml")
        usual[1].symlink_to("nowhere")
        usual[2].touch()

        assert find_file(None, {"KIE_WATCHER_CONFIG": ""}, usual) == usual[1]

    def test_else_there_is_none(self, tmp_path: Path) -> None:
        assert find_file(None, {}, (tmp_path / "a.yaml",)) is None


class TestTheExample:
    def test_it_loads_at_once_and_means_the_defaults(self, file: Path) -> None:
        file.write_text(example_text())

        assert load(file, {}, accepts) == Settings()

    def test_it_loads_with_all_of_it_uncommented(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(file.parent)
        Path("mail.j2").write_text("{{ title }}")
        Path("mail-url").write_text("mailto://me@example.org")
        file.write_text(uncommented(example_text()))
        variables = {
            "DISCORD_URL": "discord://a/b",
            "CREDENTIALS_DIRECTORY": str(file.parent),
            "HEARTBEAT_URL": "https://beat.example/canary",
        }

        read = load(file, variables, accepts)

        assert list(read.receivers) == ["team", "me"]
        assert [route.name for route in read.routes] == ["my videos", "marks", "weekly"]
        nothing = {name: getattr(Settings(), name) for name in NOTHING_UNLESS_SET}
        assert read.model_copy(update=nothing) == Settings()

    def test_it_has_every_key(self) -> None:
        written = set(keys_written(yaml.safe_load(uncommented(example_text()))))

        # A heartbeat has one URL, which the example shows; it mentions the other way.
        assert written | {"heartbeat.url_file"} == set(keys_known())
        assert "url_file: names a file" in example_text()

    def test_every_key_of_it_has_a_comment(self) -> None:
        lines = uncommented(example_text()).splitlines()
        settings = [at for at, line in enumerate(lines) if re.match(r"  +(- )?[a-z_]+: ", line)]
        bare = [
            lines[at].split(":")[0].strip(" -")
            for at in settings
            if "#" not in lines[at] + lines[at - 1]
        ]

        assert settings
        assert set(bare) <= EXPLAINED_TOGETHER

    def test_it_names_every_kind_of_change(self) -> None:
        assert [kind for kind in Kind if not re.search(rf"\b{kind}\b", example_text())] == []


def uncommented(text: str) -> str:
    """The example with its settings that are commented out (no space, or an even number, after the #)."""
    return re.sub(r"^#(?=(?:  )*(?:- )?[a-z_]+:)", "", text, flags=re.MULTILINE)


def keys_known(section: type[BaseModel] = Settings, above: str = "") -> Iterator[str]:
    """Every key of the settings as it is written, with dots."""
    for name, info in section.model_fields.items():
        key = f"{above}{info.alias or name}"
        below = model_in(info.annotation)
        if below is not None and f"{key}." not in LEAVES:
            yield from keys_known(below, f"{key}.")
        else:
            yield key


def sections_in(section: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A section and all below it."""
    yield section
    for info in section.model_fields.values():
        if (below := model_in(info.annotation)) is not None:
            yield from sections_in(below)


def texts_below(section: type[BaseModel]) -> dict[str, str | None]:
    """The text below each key that is not itself a section, in the class that defines it."""
    texts: dict[str, str | None] = {}
    for definer in section.__mro__:
        if not issubclass(definer, BaseModel) or definer is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(definer))).body[0].body  # type: ignore[attr-defined]
        for line, below in zip(body, [*body[1:], None], strict=True):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                told = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                texts.setdefault(line.target.id, below.value.value if told else None)  # type: ignore[union-attr]
    sections = {name for name, it in section.model_fields.items() if is_section(it.annotation)}
    return {name: texts[name] for name in section.model_fields if name not in sections}


def is_section(annotation: Any) -> bool:
    """Whether it is one section, and no list or mapping of them."""
    return model_in(annotation) is not None and get_origin(annotation) not in {dict, tuple}


def model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_in, get_args(annotation))), None)


def keys_written(content: Any, above: str = "") -> Iterator[str]:
    """Every key of a configuration that has a value, with dots; names of receivers left out."""
    if isinstance(content, list) and isinstance(content[0], dict):
        for each in content:
            yield from keys_written(each, above)
    elif isinstance(content, dict) and above not in LEAVES:
        for key, below in content.items():
            named = "" if above == "receivers." else f"{key}."
            yield from keys_written(below, f"{above}{named}" if named else "receivers.*.")
    else:
        yield above.removesuffix(".").replace(".*", "")
