"""The commands `replay` and `preview`: what would be sent, without sending it."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import message_from_bytes, policy
from random import Random
from typing import Any

import pytest

from command_line import CANARY, Place
from stored import commit, edited, new, record, removed
from torture.checkers import on_sale
from watcher.app import message_rules, open_receivers
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind
from watcher.cli.simulate import PLACEHOLDER_ALERT_ID
from watcher.config.loading import load_leniently
from watcher.notify.client import Sender
from watcher.outbox import Batcher
from watcher.routing.net_effect import subject
from watcher.routing.plan import FLAPPING_LOOKS_BACK, plan
from watcher.store.store import Store, open_store
from watcher.store.values import Retention, StoredMessage

DAY = timedelta(days=1)
RECEIVERS = f"""
receivers:
  team: {{url: "json://localhost/{CANARY}"}}
  mail: {{url: "mailto://user:{CANARY}@localhost?to=you@example.org&from=me@example.org"}}
"""
DIGEST = """
routes:
  - {name: mine, match: {min_change: 20%}, receivers: [team], continue: true}
  - {name: letter, match: {}, receivers: [mail], digest: "0 9 * * *"}
"""


@pytest.fixture
def begun() -> datetime:
    """Ten days ago, at noon."""
    return (datetime.now(UTC) - 10 * DAY).replace(hour=12, minute=0, second=0, microsecond=0)


@pytest.fixture
def lived(place: Place, begun: datetime) -> Place:
    """Ten days in which a price drifts by 10 % a day, one model comes and another goes."""
    place.configure(RECEIVERS)
    place.ask(lambda store: live(store, begun))
    return place


async def live(store: Store, begun: datetime) -> None:
    baseline = Notice(NoticeKind.BASELINE, begun, {"models": 2, "categories": {"video": 2}})
    models = (record("Kling 2.6, 1080p", credits=Decimal(100)), record("Kling 2.6, 720p"))
    await store.record(commit(begun, baseline=models, notices=((baseline, ("team",)),)))
    for day in range(1, 5):
        await drift(store, begun + day * DAY, 100 + 10 * day)
    snapshot = await on_sale(store)
    gone = next(it for it in snapshot if "720p" in it.record.description)
    await store.record(commit(begun + 5 * DAY, removed(gone), new(record("Sora 3, 720p"))))


async def drift(store: Store, at: datetime, credits_: int) -> None:
    kling = next(it for it in await on_sale(store) if "1080p" in it.record.description)
    other = record("Kling 2.6, 1080p", credits=Decimal(credits_))
    kind = Kind.PRICE_UP if credits_ > (kling.record.credits or 0) else Kind.PRICE_DOWN
    await store.record(commit(at, (edited(kling, other, kind), ("team",))))


def at(begun: datetime, days: int, **clock: int) -> str:
    return (begun + days * DAY).replace(**clock).strftime("%Y-%m-%dT%H:%M:%SZ")


# replay


def test_without_routes_every_change_goes_to_everybody_as_it_came(
    lived: Place, begun: datetime
) -> None:
    messages = lived.json("replay", "--since", "20d")

    team = [message for message in messages if message["receiver"] == "team"]
    assert [message["at"] for message in team] == [at(begun, day) for day in range(6)]
    assert [len(message["changes"]) for message in team] == [0, 1, 1, 1, 1, 2]
    assert team[0]["notices"] == ["baseline"]
    assert "Kling 2.6" in team[1]["title"]
    assert CANARY not in json.dumps(messages)


def test_a_configuration_can_be_tried_on_what_is_remembered(lived: Place, begun: datetime) -> None:
    lived.configure(RECEIVERS + DIGEST, "new.yaml")

    messages = lived.json("replay", "--since", "20d", "--with", "new.yaml")

    team = [(it["at"], len(it["changes"])) for it in messages if it["receiver"] == "team"]
    # The baseline, then each 20 % since the last message, then what came and went.
    assert team == [(at(begun, 0), 0), (at(begun, 2), 1), (at(begun, 5), 2)]
    letters = [it for it in messages if it["digest"] == "letter"]
    assert [it["at"] for it in letters] == [at(begun, day, hour=9) for day in range(2, 7)]
    assert {it["receiver"] for it in letters} == {"mail"}


def test_what_would_have_been_told_is_shown_as_text_with_an_account(lived: Place) -> None:
    shown = lived.run_ok("replay", "--since", "20d")

    assert " to team (json)" in shown
    assert " to mail (mailto)" in shown
    assert "720p" in shown
    assert "<td" not in shown
    assert shown.splitlines()[-1].endswith(": 12 messages (6 to mail, 6 to team).")


def test_only_what_happened_since_is_replayed(lived: Place, begun: datetime) -> None:
    messages = lived.json("replay", "--since", at(begun, 3, hour=11))

    assert {it["at"] for it in messages} == {at(begun, day) for day in (3, 4, 5)}
    assert lived.run_ok("replay", "--since", "1h").endswith(": 0 messages.\n")


def test_what_was_taken_as_a_new_baseline_was_told_to_nobody(lived: Place, begun: datetime) -> None:
    async def start_over(store: Store) -> None:
        when = begun + 6 * DAY
        notice = Notice(NoticeKind.BASELINE, when, {"models": 2, "categories": {"video": 2}})
        kling = next(it for it in await on_sale(store) if "1080p" in it.record.description)
        other = edited(kling, record("Kling 2.6, 1080p", credits=Decimal(900)))
        await store.record(commit(when, other, notices=((notice, ()),), starts_over=True))

    lived.ask(start_over)
    messages = lived.json("replay", "--since", at(begun, 5, hour=13))

    assert {(*it["notices"], *it["changes"]) for it in messages} == {("baseline",)}


def test_replaying_stores_nothing(lived: Place) -> None:
    before = lived.state.read_bytes()

    lived.run_ok("replay", "--since", "20d")
    assert lived.state.read_bytes() == before


def test_a_receiver_out_of_reach_is_replayed_as_plain_text(lived: Place) -> None:
    lived.configure('receivers: {team: {url: "${NOT_SET_ANYWHERE}"}}')

    assert {it["service"] for it in lived.json("replay", "--since", "20d")} == {"text"}


def test_a_bad_configuration_to_try_is_listed(lived: Place) -> None:
    lived.configure(RECEIVERS + "routes: [{name: x, receivers: [nobody]}]", "new.yaml")

    result = lived.run("replay", "--with", "new.yaml")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "new.yaml:5:" in result.stderr


# The same words as the outbox


TEMPLATE = """
{% for change in changes %}{{ change.model }} costs {{ change.after.credits }}. {% endfor %}
{{ command }}"""


async def outlast(place: Place, begun: datetime) -> list[StoredMessage]:
    """Sixty days with a price of which the beginning is pruned; every message of the outbox."""
    settings = load_leniently(place.path / "config.yaml", {})
    # Nobody looks at its charts.
    rules = replace(message_rules(settings), charts=frozenset())
    clock, messages = [begun], []
    async with Sender() as sender, open_store(place.state) as store:
        (team,) = await open_receivers(settings, sys.stdout, sender)
        batcher = Batcher(store, rules, now=lambda: clock[0], rng=Random(1))
        await store.record(
            commit(begun, baseline=(record("Kling 2.6, 1080p", credits=Decimal(100)),))
        )
        for day, credits_ in ((1, 80), (20, 100), (22, 101), (50, 85), (55, 90)):
            clock[0] = begun + day * DAY
            keep = Retention(10 * DAY, 10 * DAY, 10 * DAY)
            while day == 50 and (await store.prune(keep, clock[0])).counts:
                """In steps."""
            await drift(store, clock[0], credits_)
            message, _ = await batcher.next_message(team)
            assert message is not None
            await store.mark_sent(message.id, clock[0])
            messages.append(message)
    return messages


@pytest.mark.parametrize("options", ["", ", template: mine.j2", ", charts: true"])
def test_what_is_replayed_is_worded_as_the_outbox_worded_it(place: Place, options: str) -> None:
    place.configure(TEMPLATE, "mine.j2")
    place.configure(f'receivers: {{team: {{url: "ntfy://topic"{options}}}}}')
    begun = (datetime.now(UTC) - 60 * DAY).replace(microsecond=0)
    sent = asyncio.run(outlast(place, begun))

    replayed = place.json("replay", "--since", "20d")
    assert [(it["title"], it["body"]) for it in replayed] == [
        (it.title, it.body.replace(it.alert_id, PLACEHOLDER_ALERT_ID)) for it in sent[3:]
    ]
    assert ("costs 85." in replayed[0]["body"]) == ("template" in options)
    assert {it["chart"] for it in replayed} == {"charts" in options}
    # It was lower before: nobody knows that any more.
    assert "lowest" not in replayed[0]["body"]


EVERYTHING = """
receivers:
  team: {url: "ntfy://topic"}
  mail: {url: "mailto://user:secret@localhost?to=you@example.org&from=me@example.org"}
routes:
  - {name: mine, match: {min_change: 15%}, receivers: [team, mail], continue: true}
  - {name: letter, match: {}, receivers: [mail], digest: "0 9 * * *", continue: true}
  - {name: gone, match: {kinds: [removed, new]}, receivers: [team]}
quiet_hours:
  - {name: nights, from: "22:00", to: "07:00", receivers: [team], urgent: {kinds: [removed]}}
"""


async def live_by_the_hour(place: Place, begun: datetime) -> list[tuple[str, datetime, str]]:
    """Five days of a market through the real store, each hour; every message as it was made."""
    settings, clock, told = load_leniently(place.path / "config.yaml", {}), [begun], []
    rules = message_rules(settings)
    rng = Random(5)
    async with Sender() as sender, open_store(place.state) as store:
        receivers = await open_receivers(settings, sys.stdout, sender)
        batcher = Batcher(store, rules, now=lambda: clock[0], rng=Random(1))
        names = ("Kling 2.6, 1080p", "Kling 2.6, 720p", "Sora 3, 720p", "Veo 4, 4K")
        await store.record(commit(begun, baseline=tuple(record(name) for name in names)))
        for hour in range(1, 120):
            clock[0] = begun + timedelta(hours=hour)
            changes = [some_change(it, rng) for it in await on_sale(store) if rng.random() < 0.1]
            since = clock[0] - FLAPPING_LOOKS_BACK * rules.routing.flap.within
            histories = await store.histories(set(map(subject, changes)), since)
            plans = [
                plan(it, rules.routing, now=clock[0], history=histories[subject(it)])
                for it in changes
            ]
            made = [(it, planned.dispatches) for it, planned in zip(changes, plans, strict=True)]
            anchors = tuple(anchor for planned in plans for anchor in planned.anchors)
            await store.record(replace(commit(clock[0]), changes=tuple(made), anchors=anchors))
            for receiver in receivers:
                while message := (
                    await store.open_message(receiver.name)
                    or (await batcher.next_message(receiver))[0]
                ):
                    await store.mark_sent(message.id, clock[0])
                    body = message.body.replace(message.alert_id, PLACEHOLDER_ALERT_ID)
                    told.append((receiver.name, clock[0], body))
    return told


def some_change(known_model: Any, rng: Random) -> ModelChange:
    if rng.random() < 0.15:
        return removed(known_model)
    before = known_model.record
    factor = Decimal(rng.choice([85, 93, 96, 104, 108, 120])) / 100
    after = replace(before, credits=round((before.credits or Decimal(1)) * factor, 2))
    return edited(known_model, after, Kind.PRICE_UP if factor > 1 else Kind.PRICE_DOWN)


def test_a_replay_makes_the_messages_that_were_made(place: Place) -> None:
    place.configure(EVERYTHING)
    begun = (datetime.now(UTC) - 8 * DAY).replace(hour=12, minute=0, second=0, microsecond=0)
    told = asyncio.run(live_by_the_hour(place, begun))

    replayed = [
        (it["receiver"], datetime.fromisoformat(it["at"]), it["body"])
        for it in place.json("replay", "--since", begun.isoformat())
    ]
    until = begun + timedelta(hours=119)
    assert sorted(it for it in replayed if it[1] <= until) == sorted(told)
    assert {it[0] for it in told} == {"team", "mail"}
    assert len(told) > 10


@pytest.mark.parametrize(
    "command", [["replay", "--json"], ["preview", "--receiver", "team"]], ids=lambda words: words[0]
)
def test_why_a_template_failed_is_no_part_of_what_is_shown(
    lived: Place, command: list[str]
) -> None:
    lived.configure("{{ no_such_name }}", "mine.j2")
    lived.configure(RECEIVERS.replace('"}', '", template: mine.j2}', 1))

    shown = lived.run(*command, "--since", "20d")
    assert shown.exit_code == 0
    assert "template.failed" in shown.stderr
    assert "template.failed" not in shown.stdout
    # The built-in words instead.
    assert "Watching 2 models" in shown.stdout


def test_a_preview_has_the_words_and_the_chart_of_its_receiver(place: Place) -> None:
    place.configure(TEMPLATE, "mine.j2")
    place.configure('receivers: {team: {url: "ntfy://topic", template: mine.j2, charts: true}}')
    asyncio.run(outlast(place, (datetime.now(UTC) - 60 * DAY).replace(microsecond=0)))

    shown = place.run_ok("preview", "--receiver", "team", "--since", "20d", "--out", "out")
    assert shown.splitlines() == ["out/team-1.txt", "out/team-1.json", "out/team-1.png"]
    assert "costs 90." in files(place)["team-1.txt"].decode()
    assert files(place)["team-1.png"].startswith(b"\x89PNG")
    sample = place.run_ok("preview", "--receiver", "team", "--sample")
    assert sample.endswith("kie-watcher changes --alert 23456789\n\n")
    assert "This is a test" not in sample


# preview


def files(place: Place) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((place.path / "out").iterdir())}


def test_a_preview_is_what_a_receiver_that_was_away_would_be_told(lived: Place) -> None:
    shown = lived.run_ok("preview", "--receiver", "team", "--since", "20d")

    assert "Kling 2.6" in shown
    assert "Sora 3" in shown
    assert "Watching 2 models" in shown


def test_a_preview_writes_exactly_what_would_be_posted(lived: Place) -> None:
    said = lived.run_ok("preview", "--receiver", "team", "--since", "20d", "--out", "out")

    written = files(lived)
    assert sorted(written) == ["team-1.json", "team-1.txt"]
    assert said.splitlines() == ["out/team-1.txt", "out/team-1.json"]
    posted = json.loads(written["team-1.json"])
    assert "Sora 3" in posted["message"]
    assert posted["title"] in written["team-1.txt"].decode()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (lived.path / "out").iterdir()}
    assert modes == {0o600}


def test_a_preview_of_a_letter_is_the_letter_and_its_page(lived: Place) -> None:
    lived.run_ok("preview", "--receiver", "mail", "--since", "20d", "--out", "out")

    written = files(lived)
    assert sorted(written) == ["mail-1.eml", "mail-1.html", "mail-1.txt"]
    letter = message_from_bytes(written["mail-1.eml"], policy=policy.default)
    assert letter["To"] == "you@example.org"
    assert letter["X-Alert-Id"]
    html = letter.get_body(("html",))
    assert html is not None
    assert "Sora 3" in html.get_content()
    assert html.get_content().encode() == written["mail-1.html"]


def test_a_digest_is_seen_before_its_time(lived: Place) -> None:
    lived.configure(RECEIVERS + DIGEST.replace("0 9 * * *", "0 9 1 1 *"))

    shown = lived.run_ok("preview", "--receiver", "mail", "--since", "20d")
    assert "Sora 3" in shown


def test_a_sample_needs_no_memory(place: Place) -> None:
    shown = place.run_ok("preview", "--receiver", "team", "--sample")

    assert "This is a test" in shown
    assert not place.state.exists()


def test_a_preview_is_written_again_over_the_last(place: Place) -> None:
    for _ in range(2):
        place.run_ok("preview", "--receiver", "team", "--sample", "--out", "out")

    assert sorted(files(place)) == ["team-1.json", "team-1.txt"]


def test_a_receiver_out_of_reach_is_previewed_as_text(place: Place) -> None:
    place.configure('receivers: {team: {url: "${NOT_SET_ANYWHERE}"}}')

    place.run_ok("preview", "--receiver", "team", "--sample", "--out", "out")
    assert sorted(files(place)) == ["team-1.txt"]


def test_what_nobody_would_be_told_is_said(lived: Place) -> None:
    assert "would get nothing" in lived.run_ok("preview", "--receiver", "team", "--since", "1h")


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        (["--receiver", "teem"], "there is no receiver teem (configured: team)"),
        (["--receiver", "team", "--sample", "--since", "1d"], "not both"),
        ([], "Missing option"),
    ],
    ids=["unknown", "both", "none"],
)
def test_what_makes_no_preview_is_bad_usage(place: Place, asked: list[str], complaint: str) -> None:
    result = place.run("preview", *asked)

    assert result.exit_code == 2
    assert complaint in result.stderr


SERVICES = {
    "slack": ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", ".json"),
    "discord": ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", ".json"),
    "telegram": ("tgram://123456789:abcdefg_hijklmnop/12315544/", ".json"),
    "ntfy": ("ntfy://topic", ".json"),
    "gotify": ("gotifys://hostname/aToken01", ".apprise.json"),
    "pushover": (
        "pover://uuuuuuuuuuuuuuuuuuuuuuuuuuuuuu@aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ".apprise.json",
    ),
}


@pytest.mark.parametrize("name", list(SERVICES))
def test_each_service_shows_what_it_would_get(lived: Place, name: str) -> None:
    url, ending = SERVICES[name]
    lived.configure(f'receivers: {{{name}: {{url: "{url}"}}}}')

    lived.run_ok("preview", "--receiver", name, "--since", "20d", "--out", "out")
    assert sorted(files(lived)) == [f"{name}-1{ending}", f"{name}-1.txt"]
    assert b"Kling" in files(lived)[f"{name}-1{ending}"]
