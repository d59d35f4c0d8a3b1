"""The commands that show, that settle the outbox and that set up, as a person runs them."""

from __future__ import annotations

import asyncio
import stat
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from command_line import CANARY, Place
from stored import START, commit, create_message, draft, edited, minutes, new, record, removed
from watcher import __version__
from watcher.catalog.changes import CreditValueChange, Kind, public_fields
from watcher.catalog.confirm import Hold, HoldReason
from watcher.config.loading import example_text
from watcher.store.requests import RetryMessages
from watcher.store.store import Store, open_store
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    pass

NASTY = "Evil [red]\x1b]0;owned\x07\x9b31m\u202e <b>, 1080p"


@pytest.fixture
def filled(place: Place) -> Place:
    place.ask(fill)
    return place


async def fill(store: Store) -> None:
    """Four models; then a price up, one new, one gone, another credit value; one dead message."""
    names = ("Kling 2.6, 1080p", "Nano banana, 2K", NASTY)
    first = [record(name) for name in names]
    first[1] = record("Nano banana, 2K", interface="image", provider="Google")
    kling, banana, _ = (await store.record(commit(START, baseline=tuple(first)))).models
    hold = Hold(HoldReason.REMOVAL, kling.id, "", minutes(5), minutes(15))
    after = record("Kling 2.6, 1080p", credits=Decimal(96))
    await store.record(
        commit(minutes(5), (edited(kling, after), ("team", "old-team")), holds=(hold,))
    )
    await store.record(
        commit(
            minutes(10),
            (new(record("Sora 3, 720p")), ("team",)),
            removed(banana),
            holds=(hold,),
        )
    )
    value = CreditValueChange(Decimal("0.005"), Decimal("0.006"))
    await store.record(commit(minutes(15), value, holds=(hold,)))
    await store.note_poll(minutes(15), PollOutcome.CHANGED)
    await store.note_poll(minutes(20), PollOutcome.FAILED, "HTTP 503")
    await tell(store)


async def tell(store: Store) -> None:
    """A dead message at old-team, an open one at team; one more piece of news for team."""
    for receiver, alert_id in (("old-team", "2b3c4d5f"), ("team", "7k2mw9xc")):
        items = await store.queued(receiver)
        text = draft(alert_id, [items[0].delivery_id])
        await create_message(store, receiver, text, minutes(11))
    messages = {message.receiver: message for message in (await store.outbox()).messages}
    await store.mark_dead(messages["old-team"].id, "the address is gone", minutes(12))
    await store.mark_failed(messages["team"].id, "HTTP 500", minutes(12), minutes(14))


LOOKING = [["models"], ["changes"], ["status"], ["outbox"], ["outbox", "list"]]


# What every command does


def test_the_version_is_that_of_the_package(place: Place) -> None:
    assert place.run("--version").stdout == f"kie-watcher {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["cheque"], ["models", "--colour"], ["changes", "--kind", "up"], ["demo", "--speed", "0"]],
    ids=" ".join,
)
def test_bad_usage_ends_with_2_and_says_so_on_stderr(place: Place, arguments: list[str]) -> None:
    result = place.run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error:" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        *(*LOOKING, *([*command, "--json"] for command in LOOKING if command != ["outbox"])),
        *(["accept"], ["baseline"], ["backup", "copy.db"]),
        ["silence", "add", "--all", "--for", "3d", "--reason", "they try prices"],
    ],
    ids=" ".join,
)
def test_without_a_state_every_command_says_where_it_looked(
    place: Place, arguments: list[str]
) -> None:
    result = place.run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"kie-watcher: {place.state}: there is no state yet")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in place.path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_nothing_of_a_strangers_text_acts_on_the_terminal(
    filled: Place, arguments: list[str]
) -> None:
    shown = filled.run(*arguments).stdout
    assert not {char for char in shown if not char.isprintable() and char != "\n"}
    assert CANARY not in shown


@pytest.mark.parametrize("arguments", [["models"], ["changes"]], ids=" ".join)
def test_json_lines_are_plain_ascii_without_a_control_character(
    filled: Place, arguments: list[str]
) -> None:
    shown = filled.run(*arguments, "--json").stdout
    assert shown.isascii()
    assert not {char for char in shown if not char.isprintable() and char != "\n"}


@pytest.mark.parametrize(
    "receivers",
    [
        'receivers: {team: {url: "${NOT_SET_ANYWHERE}"}}',
        "receivers: {team: {url_file: /not/there}}",
        'receivers: {team: {url: "nonsense"}}',
    ],
    ids=["unset variable", "missing file", "nonsense"],
)
@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_receivers_whose_secrets_are_elsewhere_hinder_no_looking(
    filled: Place, arguments: list[str], receivers: str
) -> None:
    filled.configure(f"state: {{path: kie-watcher.db}}\n{receivers}\n")
    result = filled.run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert " team (not configured)" not in result.stdout


@pytest.mark.parametrize("arguments", LOOKING, ids=" ".join)
def test_any_other_mistake_in_the_configuration_is_listed(
    filled: Place, arguments: list[str]
) -> None:
    filled.configure("state: {paht: elsewhere.db}\npoll: {interval: often}\n")
    result = filled.run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == [
        "state.paht",
        "poll.interval",
    ]


def test_the_configuration_can_be_named_by_option_and_by_environment(
    filled: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = filled.path / "other.yaml"
    other.write_text("state: {path: other.db}")
    assert "other.db: there is no state" in filled.run("--config", "other.yaml", "models").stderr
    monkeypatch.setenv("KIE_WATCHER_CONFIG", str(other))
    assert "other.db: there is no state" in filled.run("models").stderr


def test_a_configuration_that_is_not_there_is_bad_configuration(place: Place) -> None:
    result = place.run("--config", "missing.yaml", "validate")
    assert result.exit_code == 2
    assert result.stderr.startswith("missing.yaml:1:1: file: cannot be read")


def test_a_state_that_is_not_ours_is_refused_without_a_traceback(place: Place) -> None:
    place.state.write_text("a shopping list, long enough to be read as something" * 10)
    result = place.run("models")
    assert result.exit_code == 78
    assert result.stderr.startswith(f"kie-watcher: {place.state}: ")
    assert "Traceback" not in result.stderr


# models


def test_models_shows_the_catalogue_in_aligned_columns(filled: Place) -> None:
    heading, *rows = filled.run("models").stdout.splitlines()
    assert heading.split() == "CATEGORY PROVIDER MODEL PRICE DISCOUNT LAST CHANGED".split()
    assert len(rows) == 3
    kling = next(row for row in rows if "Kling 2.6" in row)
    assert "$0.48 per 2 videos (96 credits)" in kling
    assert heading.index("MODEL") == kling.index("Kling 2.6, 1080p")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--interface", "VIDEO", "--search", "kling 2.6"], ["Kling 2.6, 1080p"]),
        (["--provider", "kling", "--search", "SORA 720p"], ["Sora 3, 720p"]),
        (["--search", "no such thing"], []),
    ],
    ids=["interface", "provider", "nothing"],
)
def test_models_can_be_narrowed_down(filled: Place, arguments: list[str], names: list[str]) -> None:
    assert [model["description"] for model in filled.json("models", *arguments)] == names


def test_models_json_has_the_record_fields_and_two_times(filled: Place) -> None:
    model = filled.json("models", "--search", "kling 2.6")[0]
    assert model == {
        "description": "Kling 2.6, 1080p",
        "interface": "video",
        "provider": "Kling",
        "credits": "96",
        "unit": "per 2 videos",
        "unit_quantity": "2",
        "base_unit": "video",
        "usd": "0.48",
        "reference": None,
        "reference_of": "fal",
        "discount": "-12.5",
        "promotion": False,
        "link": "https://kie.ai/kling",
        "first_seen": "2026-11-22T07:30:00Z",
        "last_changed": "2026-11-22T07:35:00Z",
    }


def test_models_says_when_none_fits(filled: Place) -> None:
    assert filled.run("models", "--search", "xyzzy").stdout == "No model matches.\n"


# changes


def test_changes_come_newest_first_for_people_and_oldest_first_for_programs(filled: Place) -> None:
    ids = [change["id"] for change in filled.json("changes")]
    assert ids == sorted(ids)
    shown = filled.run("changes").stdout.splitlines()
    assert len(shown) == 5
    assert "credit_value" in shown[1]
    assert "price_up" in shown[4]
    assert "+14.3 % · $0.42 → $0.48 per 2 videos (84 → 96 credits)" in shown[4]


@pytest.mark.parametrize(
    ("zone", "told"), [("Europe/Berlin", "08:35 CET"), ("Asia/Tokyo", "16:35 JST")]
)
def test_times_are_those_of_the_configured_zone(filled: Place, zone: str, told: str) -> None:
    filled.configure(f"timezone: {zone}")
    hour = told.replace("35", "50")
    assert f"2026-11-22 {told} (" in filled.run("changes").stdout.splitlines()[-1]
    assert f"Last poll     2026-11-22 {hour} (" in filled.run("status").stdout
    replayed = filled.run("replay", "--since", "2026-11-22T07:00:00Z").stdout
    assert f"── 2026-11-22 {told} to terminal" in replayed
    assert f"Since 2026-11-22 {told[:2]}:00 {told[-3:]}: " in replayed


def test_changes_json_is_the_public_form(filled: Place) -> None:
    stored = filled.ask(lambda store: store.changes(newest_first=False))
    assert filled.json("changes") == [public_fields(change) for change in stored]


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--kind", "new", "--kind", "REMOVED"], ["new", "removed"]),
        (["--model", "KLING*"], ["price_up"]),
        (["--since", "2026-11-22T07:41:00Z"], ["credit_value"]),
        (["--since", "3650d"], ["price_up", "new", "removed", "credit_value"]),
        (["--alert", "2b3c4d5f"], ["price_up"]),
        (["--alert", "unknown"], []),
    ],
    ids=["kinds", "model", "since a time", "since so long", "alert", "no such alert"],
)
def test_changes_can_be_narrowed_down(
    filled: Place, arguments: list[str], kinds: list[str]
) -> None:
    assert [change["kinds"][0] for change in filled.json("changes", *arguments)] == kinds


@pytest.mark.parametrize("since", ["soon", "7", "7 days", "2026-13-01", "-1d", "99999999999d"])
def test_a_time_that_is_none_is_bad_usage(filled: Place, since: str) -> None:
    result = filled.run("changes", f"--since={since}")
    assert result.exit_code == 2
    assert "as in 7d" in result.stderr


def test_changes_help_names_every_kind(place: Place) -> None:
    shown = place.run("changes", "--help").stdout
    assert all(kind.value in shown for kind in Kind)


# status


def test_status_fits_one_screen_and_says_what_matters(filled: Place) -> None:
    shown = filled.run("status").stdout
    assert len(shown.splitlines()) <= 24
    for line in (
        str(filled.state),
        "failed: HTTP 503",
        "1 in a row; last success 20",
        "3: 3 video",
        "removal: Kling 2.6, 1080p, confirmed from 20",
        "team: 1 message and 1 change or notice pending",
        "last error: HTTP 500",
        "old-team (not configured): 1 DEAD, see `kie-watcher outbox list`",
    ):
        assert line in shown, line


def test_status_json_is_one_object_with_times_in_utc(filled: Place) -> None:
    (shown,) = filled.json("status")
    assert shown["poll"] == {
        "at": "2026-11-22T07:50:00Z",
        "outcome": "failed",
        "reason": "HTTP 503",
        "last_success_at": "2026-11-22T07:45:00Z",
        "failures": 1,
    }
    assert shown["swept_at"] == "2026-11-22T07:45:00Z"
    assert shown["models"] == {"video": 3}
    assert shown["holds"][0]["until"] == "2026-11-22T07:45:00Z"
    assert [receiver["receiver"] for receiver in shown["receivers"]] == ["old-team", "team"]


def test_status_names_the_terminal_where_no_receiver_is_configured(place: Place) -> None:
    place.ask(fill)
    place.configure("{}")
    assert "terminal: nothing pending" in place.run("status").stdout


# outbox


def test_the_outbox_lists_what_waits_and_what_died(filled: Place) -> None:
    heading, dead, alive, waiting = filled.run("outbox").stdout.splitlines()
    assert heading.startswith("NUMBER  ALERT")
    assert "2b3c4d5f" in dead
    assert "old-team (not configured)" in dead
    assert "the address is gone" in dead
    assert "7k2mw9xc  team" in alive
    assert waiting.split()[:5] == ["-", "-", "team", "waiting", "-"]
    assert waiting.endswith("1 change or notice in no message yet")


def test_the_outbox_as_json_says_the_same(filled: Place) -> None:
    dead, alive, waiting = filled.json("outbox", "list")
    assert dead["state"] == "dead"
    assert dead["configured"] is False
    assert dead["next_attempt_at"] is None
    assert alive["next_attempt_at"] == "2026-11-22T07:44:00Z"
    assert waiting == {
        "receiver": "team",
        "configured": True,
        "state": "waiting",
        "items": 1,
        "oldest_at": "2026-11-22T07:40:00Z",
    }


@pytest.mark.parametrize(
    ("aim", "said"),
    [
        (["1"], "1 message is"),
        (["2b3c4d5f"], "1 message is"),
        (["1", "2b3c4d5f"], "1 message is"),
        (["--receiver", "old-team"], "1 message is"),
        (["--receiver", "team"], "1 message is"),
        (["--all"], "2 messages are"),
    ],
    ids=lambda it: " ".join(it) if isinstance(it, list) else "",
)
def test_a_dead_message_and_one_that_waits_are_due_at_once(
    filled: Place, aim: list[str], said: str
) -> None:
    result = filled.run("outbox", "retry", *aim)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{said} due now; the next `kie-watcher run` or `check` sends.\n",
    )
    due = {message["id"]: message["attempts"] for message in filled.json("outbox", "list")[:2]}
    assert list(due.values()).count(0) == int(said[0])


@pytest.mark.parametrize(
    ("aim", "left"),
    [(["1"], 2), (["7k2mw9xc"], 2), (["--receiver", "team"], 1), (["--all"], 0)],
    ids=["number", "alert id", "receiver", "all"],
)
def test_what_is_discarded_is_gone_from_the_outbox_and_stays_in_memory(
    filled: Place, aim: list[str], left: int
) -> None:
    assert filled.run("outbox", "discard", *aim).exit_code == 0
    assert len(filled.json("outbox", "list")) == left
    assert len(filled.json("changes")) == 4


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_a_message_that_is_not_there_fails_and_touches_nothing(filled: Place, command: str) -> None:
    result = filled.run("outbox", command, "1", "99")
    assert result.exit_code == 1
    assert "neither waiting nor dead: 99" in result.stderr
    assert len(filled.json("outbox", "list")) == 3


@pytest.mark.parametrize(
    "aim", [[], ["1", "--all"], ["--all", "--receiver", "team"]], ids=["none", "two", "both"]
)
@pytest.mark.parametrize("command", ["retry", "discard"])
def test_what_is_meant_must_be_said_in_one_way(filled: Place, command: str, aim: list[str]) -> None:
    assert filled.run("outbox", command, *aim).exit_code == 2


def test_what_was_for_a_receiver_that_is_gone_can_go_to_another(filled: Place) -> None:
    said = filled.run_ok("outbox", "forward", "--receiver", "old-team", "--to", "team")

    assert said == (
        "1 message or waiting piece forwarded; the next `kie-watcher run` or `check` sends.\n"
    )
    assert {it["receiver"] for it in filled.json("outbox", "list")} == {"team"}
    assert "nothing to forward" in filled.run_ok("outbox", "forward", "--all", "--to", "team")


def test_nothing_is_forwarded_to_a_receiver_that_is_not_there(filled: Place) -> None:
    result = filled.run("outbox", "forward", "--all", "--to", "teem")

    assert result.exit_code == 2
    assert "there is no receiver teem (configured: team)" in result.stderr


def test_with_nothing_to_do_it_says_so(filled: Place) -> None:
    assert filled.run("outbox", "retry", "--receiver", "nobody").exit_code == 0
    assert "nothing to retry" in filled.run("outbox", "retry", "--receiver", "nobody").stdout


async def test_beside_a_running_daemon_the_wish_is_left_for_it(filled: Place) -> None:
    async with open_store(filled.state) as owner:
        result = await asyncio.to_thread(filled.run, "outbox", "retry", "1")
        assert result.exit_code == 0
        assert "The running daemon has been asked to retry" in result.stdout
        taken = await owner.take_requests()
    ((request, count),) = taken.applied
    assert isinstance(request, RetryMessages)
    assert (request.message_ids, count) == ((1,), 1)


# validate, init


def test_validate_says_what_was_found_and_no_url(place: Place) -> None:
    result = place.run("validate")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("config.yaml: good\n")
    assert "receivers: team (json)" in result.stdout
    assert CANARY not in result.stdout


def test_validate_without_a_file_says_that_the_defaults_hold(place: Place) -> None:
    (place.path / "config.yaml").unlink()
    if Path("/etc/kie-watcher/config.yaml").exists():
        pytest.skip("this machine has a configuration of its own")
    shown = place.run("validate").stdout
    assert shown.startswith("No configuration file: the defaults\n")
    assert "none, so alerts go to the terminal" in shown


def test_validate_lists_every_mistake_at_once_and_no_secret(place: Place) -> None:
    place.configure(
        f"pol: {{interval: 5m}}\n"
        f"confirm: {{removals: soon}}\n"
        f"receivers:\n"
        f'  team: {{url: "json://localhost/{CANARY}?retry=3"}}\n'
        f'  me: {{url: "${{NOT_SET_ANYWHERE}}"}}\n'
    )
    result = place.run("validate")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["config.yaml:1:1", "pol"],
        ["config.yaml:2:21", "confirm.removals"],
        ["config.yaml:4:15", "receivers.team.url"],
        ["config.yaml:5:13", "receivers.me.url"],
    ]
    assert CANARY not in result.stderr


def test_init_writes_the_example_for_nobody_elses_eyes(place: Place) -> None:
    result = place.run("init", "new.yaml")
    written = place.path / "new.yaml"
    assert result.exit_code == 0
    assert "kie-watcher validate new.yaml" in result.stdout
    assert written.read_text() == example_text()
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert place.run("validate", "new.yaml").exit_code == 0


def test_init_never_overwrites_unless_it_is_told_to(place: Place) -> None:
    before = (place.path / "config.yaml").read_text()
    refused = place.run("init")
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert (place.path / "config.yaml").read_text() == before

    (place.path / "config.yaml").chmod(0o644)
    assert place.run("init", "--force").exit_code == 0
    assert (place.path / "config.yaml").read_text() == example_text()
    assert stat.S_IMODE((place.path / "config.yaml").stat().st_mode) == 0o600
    assert [file.name for file in place.path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("force", [[], ["--force"]], ids=["new", "forced"])
def test_init_where_nothing_can_be_written_fails_in_one_line(
    place: Place, force: list[str]
) -> None:
    result = place.run("init", "no/such/place.yaml", *force)
    assert result.exit_code == 1
    assert result.stderr == (
        "kie-watcher: no/such/place.yaml cannot be written: No such file or directory\n"
    )


def test_test_notify_knows_only_receivers_that_are_configured(place: Place) -> None:
    result = place.run("test-notify", "teem")
    assert result.exit_code == 2
    assert "no receiver teem (configured: team)" in result.stderr


def test_ages_are_told_in_the_largest_unit_that_says_enough() -> None:
    from watcher.cli.output import age  # noqa: PLC0415

    ages = {
        timedelta(0): "now",
        timedelta(seconds=50): "50 s ago",
        timedelta(minutes=3): "3 min ago",
        timedelta(hours=3): "3 h ago",
        timedelta(days=9): "9 d ago",
        -timedelta(minutes=5): "in 5 min",
    }
    assert {ago: age(START - ago, START) for ago in ages} == ages


SECRET = "json://localhost/c4n4ry-t0k3n"


@pytest.mark.parametrize(
    ("url", "mode", "warned"),
    [
        (f'url: "{SECRET}"', 0o644, "config.yaml"),
        (f'url: "{SECRET}"', 0o640, None),
        ('url: "${CANARY_URL}"', 0o644, None),
        ('url: "json://localhost"', 0o644, None),
        ('url_file: "URL_FILE"', 0o644, "url"),
        ('url_file: "URL_FILE"', 0o600, None),
    ],
)
def test_a_file_with_secrets_that_everybody_can_read_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, url: str, mode: int, warned: str | None
) -> None:
    monkeypatch.setenv("CANARY_URL", SECRET)
    with TemporaryDirectory() as directory:
        # Not as private as the directories of tests are.
        there = Path(directory)
        there.chmod(0o755)
        (there / "url").write_text(SECRET)
        (there / "url").chmod(mode)
        config = there / "config.yaml"
        written = url.replace("URL_FILE", str(there / "url"))
        config.write_text(f"receivers: {{me: {{{written}}}}}\n")
        config.chmod(0o644 if "URL_FILE" in url else mode)
        result = Place(there).run("--config", str(config), "validate")

    assert result.exit_code == 0
    if warned is None:
        assert result.stderr == ""
    else:
        assert result.stderr.startswith(f"kie-watcher: {there / warned}: has secrets in it")
        assert f"chmod o-r {there / warned}" in result.stderr
        assert "c4n4ry" not in result.stderr


def test_what_nobody_else_can_reach_is_not_exposed(place: Place) -> None:
    place.path.chmod(0o700)
    place.configure(f'receivers: {{me: {{url: "{SECRET}"}}}}')
    (place.path / "config.yaml").chmod(0o644)

    assert place.run("validate").stderr == ""


@pytest.mark.parametrize("group", ["outbox", "silence"])
@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_a_group_lists_in_the_forms_of_its_list(filled: Place, group: str, form: str) -> None:
    assert filled.run(group, form).stdout == filled.run(group, "list", form).stdout
    refused = filled.run(group, form, "list")
    assert refused.exit_code == 2
    assert f"{form} is for listing; write it after the command" in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config", "other.yaml", "outbox", "list"],
        ["outbox", "--config", "other.yaml", "list"],
        ["outbox", "list", "--config=other.yaml"],
        ["models", "--json", "--config", "other.yaml"],
    ],
    ids=" ".join,
)
def test_the_configuration_is_named_before_or_after_the_command(
    filled: Place, arguments: list[str]
) -> None:
    (filled.path / "other.yaml").write_text("state: {path: other.db}\n")
    assert "other.db: there is no state" in filled.run(*arguments).stderr


def test_what_follows_two_dashes_is_no_option(filled: Place) -> None:
    shown = filled.run("outbox", "retry", "--", "--config", "x").stderr
    assert "neither waiting nor dead: --config, x" in shown


def test_validate_checks_the_file_that_it_is_given(place: Place) -> None:
    (place.path / "bad.yaml").write_text("polling: 1\n")
    result = place.run("validate", "bad.yaml")
    assert result.exit_code == 2
    assert "bad.yaml:1" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_and_a_failure(filled: Place) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - it is no regular file
        ended = subprocess.run(
            [sys.executable, "-m", "watcher", "models"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=filled.path,
        )
    assert ended.returncode == 1
    assert ended.stderr == (
        "kie-watcher: what is printed cannot be written: No space left on device\n"
    )


def test_a_short_kind_is_both_directions(filled: Place) -> None:
    both = filled.run_ok("changes", "--json", "--kind", "price_up", "--kind", "price_down")
    assert both
    assert filled.run_ok("changes", "--json", "--kind", "price") == both


@pytest.mark.parametrize("command", ["models", "changes"])
def test_models_and_changes_are_narrowed_down_by_the_same_options(
    filled: Place, command: str
) -> None:
    asked = ["--interface", "VIDEO", "--family", "kling 2.6", "--model", "kling*", "--search", "26"]
    asked[-1] = "1080p"
    assert len(filled.json(command, *asked)) == 1
    assert filled.json(command, *asked, "--provider", "nobody") == []


@pytest.mark.parametrize("command", ["models", "changes"])
def test_a_name_that_no_model_has_is_answered_with_the_closest(filled: Place, command: str) -> None:
    result = filled.run(command, "--model", "Klin 2.6, 1080p")
    assert "none is called “Klin 2.6, 1080p”; closest: “Kling 2.6, 1080p”" in result.stderr
    assert result.exit_code == 0
    assert filled.run(command, "--model", "klin*x").stderr == ""
