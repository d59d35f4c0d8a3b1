"""The command `silence`: asked for as in a configuration, carried out here or by the daemon."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from command_line import CANARY, Place
from stored import (
    began,
    commit,
    create_message,
    draft,
    edited,
    minutes,
    model,
    new,
    record,
    removed,
)
from watcher.catalog.changes import Kind, ModelChange
from watcher.catalog.record import Record
from watcher.config.routes import MatchSettings
from watcher.config.rules import parse_silence
from watcher.routing.match import EVERY_KIND
from watcher.store.requests import AddSilence, EndSilence
from watcher.store.store import Store, open_store
from watcher.store.values import StoredSilence

WHY = ("--for", "3d", "--reason", "they try prices")


@pytest.fixture
def place(place: Place) -> Place:
    place.ask(began)
    return place


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        (["--model", "*seedance*"], {"model": ["*seedance*"]}),
        (
            ["--kind", "price", "--kind", "removed", "--interface", "video"],
            {"kinds": ["price", "removed"], "interface": ["video"]},
        ),
        (
            ["--provider", "Kling*", "--provider", "!Kling 2*", "--family", "re:^kling"],
            {"provider": ["Kling*", "!Kling 2*"], "family": ["re:^kling"]},
        ),
        (["--min-change", "5%"], {"min_change": "5%"}),
        (["--min-change", "{up: 2%, down: 10%}"], {"min_change": {"up": "2%", "down": "10%"}}),
        (["--all"], {}),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_silence_is_stored_as_a_configuration_would_write_it(
    place: Place, asked: list[str], match: dict[str, Any]
) -> None:
    said = place.run_ok("silence", "add", *asked, *WHY)

    (silence,) = place.ask(Store.silences)
    assert silence.spec == match
    assert silence.until_at - silence.since_at == timedelta(days=3)
    assert (silence.reason, silence.dropping) == ("they try prices", False)
    assert parse_silence(silence).is_active(datetime.now(UTC))
    assert said.startswith("Silence 1 until 20")
    assert "comes as its net effect" in said


def test_a_silence_that_drops_says_so(place: Place) -> None:
    assert "is dropped" in place.run_ok("silence", "add", "--model", "*", "--drop", *WHY)
    assert place.ask(Store.silences)[0].dropping


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (["--kind", "price_upp"], "--kind: is not a kind of change; did you mean price_up?"),
        (["--model", "re:("], "--model: "),
        (["--model", "re:(a+)+$"], "--model: backtracks for ever"),
        (["--interface", "video", "--interface", "!*"], "--interface: excludes all"),
        (["--min-change", "5"], "--min-change: has no percent sign; write 10%"),
        (["--min-change", "{up: 5%"], "--min-change: "),
        (["--min-change", "{sideways: 5%}"], "--min-change: "),
        ([], "say what to silence, or --alert ID"),
        (["--all", "--model", "*"], "say what to silence, or --alert ID"),
        (["--all", "--alert", "7f3k2m9q"], "say what to silence, or --alert ID"),
        (["--model", "*", "--for", "never"], "write a duration, as in 3d"),
        (["--model", "*", "--for", "0"], "write a duration, as in 3d"),
        (["--model", "*", "--reason", "  "], "--reason: write one line"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_makes_no_sense_is_said_in_the_words_of_the_configuration(
    place: Place, asked: list[str], complaint: str
) -> None:
    result = place.run("silence", "add", *WHY, *asked)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert place.ask(Store.silences) == ()


def test_several_mistakes_are_said_at_once(place: Place) -> None:
    asked = ["--kind", "price_upp", "--model", "re:("]
    lines = place.run("silence", "add", *WHY, *asked).stderr.splitlines()

    assert [line.removeprefix("kie-watcher: ").split(":")[0] for line in lines] == [
        "--kind",
        "--model",
    ]


ALERT = "7f3k2m9q"
ODD = record("!Reel *2*, [1080p]?", interface="image")


async def sent_an_alert(store: Store, *others: Record) -> None:
    """An alert about a price, a removal and, where there are others, those that are new."""
    begun = commit(minutes(1), new(ODD), new(record("Aria, 5s")))
    first, second = (await store.record(begun)).models
    rise = edited(first, replace(ODD, credits=Decimal(96)), Kind.PRICE_UP, Kind.DISCOUNT_DOWN)
    changes = [rise, removed(second), *map(new, others)]
    await store.record(commit(minutes(5), *((change, ("team",)) for change in changes)))
    due = [item.delivery_id for item in await store.queued("team")]
    await create_message(store, "team", draft(ALERT, due), minutes(6))


def test_an_alert_is_silenced_by_its_id_alone(place: Place) -> None:
    place.ask(sent_an_alert)
    said = place.run_ok("silence", "add", "--alert", ALERT, "--for", "7d")

    (silence,) = place.ask(Store.silences)
    assert silence.reason == f"alert {ALERT}"
    assert silence.spec["kinds"] == ["price", "discount", "removed"]
    assert said.startswith("Silence 1 until 20")
    matcher = parse_silence(silence).matcher
    again = ModelChange((Kind.PRICE_DOWN,), model(ODD), model(ODD))
    other = replace(ODD, description="Reel 2, 720p")
    assert matcher.refusal(again, announce=EVERY_KIND) is None
    assert matcher.refusal(replace(again, kinds=(Kind.RENAMED,)), announce=EVERY_KIND)
    assert matcher.refusal(
        replace(again, before=model(other), after=model(other)), announce=EVERY_KIND
    )


def test_an_alert_about_very_many_is_silenced_by_family(place: Place) -> None:
    many = [record(f"Reel 9, v{number}") for number in range(60)]
    place.ask(lambda store: sent_an_alert(store, *many))
    place.run_ok("silence", "add", "--alert", ALERT, "--for", "7d", "--reason", "too many")

    (silence,) = place.ask(Store.silences)
    assert "reel 9" in silence.spec["family"]
    assert silence.reason == "too many"


@pytest.mark.parametrize("asked", [["--alert", "nosuch"], ["--alert", "'; rm"]])
def test_an_alert_that_is_not_there_silences_nothing(place: Place, asked: list[str]) -> None:
    result = place.run("silence", "add", *asked, "--for", "7d")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no alert" in result.stderr
    assert place.ask(Store.silences) == ()


def test_silences_are_listed_until_they_are_over(place: Place) -> None:
    place.run_ok("silence", "add", "--model", "*kling*", "--kind", "price", *WHY)
    place.run_ok("silence", "add", "--all", "--drop", "--for", "1h", "--reason", "party")

    heading, first, second = place.run_ok("silence").splitlines()
    assert heading.split()[:3] == ["NUMBER", "SILENCES", "UNTIL"]
    assert "kinds: price; model: *kling*" in first
    assert "they try prices" in first
    assert "everything" in second
    assert "dropped" in second

    assert place.run_ok("silence", "end", "1") == "Silence 1 is over.\n"
    assert len(place.run_ok("silence", "list").splitlines()) == 2
    assert "over since" in place.run_ok("silence", "list", "--all")


def test_silences_as_json_say_the_same(place: Place) -> None:
    place.run_ok("silence", "add", "--min-change", "{up: 2%}", *WHY)
    place.run_ok("silence", "end", "1")

    assert place.json("silence", "list") == []
    (listed,) = place.json("silence", "list", "--all")
    assert (listed["id"], listed["active"], listed["caught"], listed["drop"]) == (
        1,
        False,
        0,
        False,
    )
    assert listed["match"] == {"min_change": {"up": "2%"}}
    assert listed["ended"] is not None


def test_where_nothing_is_silenced_it_says_so(place: Place) -> None:
    assert place.run_ok("silence", "list") == "Nothing is silenced.\n"
    assert place.run_ok("silence", "list", "--all") == "Nothing was ever silenced.\n"


def test_only_a_silence_that_is_there_and_not_over_can_be_ended(place: Place) -> None:
    place.run_ok("silence", "add", "--all", *WHY)
    place.run_ok("silence", "end", "1")

    assert "silence 1 has been over since" in place.run("silence", "end", "1").stderr
    missing = place.run("silence", "end", "7")
    assert missing.exit_code == 1
    assert "there is no silence 7" in missing.stderr


async def test_beside_a_running_daemon_silences_are_left_for_it(place: Place) -> None:
    async with open_store(place.state) as owner:
        said = await asyncio.to_thread(place.run_ok, "silence", "add", "--model", "*", *WHY)
        assert "The running daemon has been asked to add the silence" in said
        ((added, count),) = (await owner.take_requests()).applied
        assert isinstance(added, AddSilence)
        assert (added.spec, count) == ({"model": ["*"]}, 1)

        await asyncio.to_thread(place.run_ok, "silence", "end", "1")
        ((ended, count),) = (await owner.take_requests()).applied
        assert isinstance(ended, EndSilence)
        assert (ended.number, count) == (1, 1)


def test_silences_can_be_seen_without_the_services_secrets(place: Place) -> None:
    place.run_ok("silence", "add", "--all", *WHY)
    place.configure('receivers: {team: {url: "${NOT_SET_ANYWHERE}"}}')

    assert "everything" in place.run_ok("silence")
    assert CANARY not in place.run_ok("silence")


def test_a_silence_of_another_version_that_is_not_understood_holds_nothing_back() -> None:
    now = datetime.now(UTC)
    spec = {"moon": ["full"]}
    odd = StoredSilence(3, spec, now, now + timedelta(days=1), "why", False)

    assert not parse_silence(odd).is_active(now)


def test_the_matcher_that_is_stored_is_one_that_a_route_may_have(place: Place) -> None:
    place.run_ok("silence", "add", "--kind", "price", "--min-change", "5%", *WHY)

    spec = place.ask(Store.silences)[0].spec
    assert MatchSettings.model_validate(spec).model_dump(exclude_defaults=True).keys() == set(spec)
