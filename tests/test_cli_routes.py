"""The command `routes test`: which route takes a change, why not, and what becomes of it now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from command_line import CANARY, Place
from stored import began
from watcher.store.requests import AddSilence

ROUTES = f"""
receivers:
  team: {{url: "json://localhost/{CANARY}"}}
  mail: {{url: "json://localhost/{CANARY}/2"}}
  away: {{url: "${{NOT_SET_ANYWHERE}}"}}
routes:
  - name: my videos
    match: {{kinds: [price], interface: [video], model: ["*seedance*"], min_change: 5%}}
    receivers: [team]
    continue: true
  - name: drops
    match: {{kinds: [price_down]}}
    receivers: [away]
  - name: the rest
    match: {{}}
    receivers: [mail]
"""
RISE = ("--usd-before", "0.30", "--usd-after", "$0.42")
SEEDANCE = ("--model", "Seedance 2.5, 1080p", "--interface", "Video")


def test_each_route_says_whether_it_takes_it_and_why_not(place: Place) -> None:
    place.configure(ROUTES)

    change, mine, drops, rest, result, *fates = place.run_ok(
        "routes", "test", *SEEDANCE, *RISE
    ).splitlines()
    assert change == "Change: price_up"
    assert mine == "“my videos”: yes, to team; later routes are asked too"
    assert drops == "“drops”: no, it is price_up, and the route asks for price_down"
    assert rest == "“the rest”: yes, to mail"
    assert result == "Goes to: team, mail"
    assert fates == ["  team: sent now", "  mail: sent now"]


def test_a_route_that_is_no_more_asked_says_who_took_it(place: Place) -> None:
    place.configure(ROUTES)

    *_, drops, rest, result, fate = place.run_ok(
        "routes", "test", "--usd-before", "0.42", "--usd-after", "0.30"
    ).splitlines()
    assert drops == "“drops”: yes, to away"
    assert rest == "“the rest”: not asked, “drops” took it"
    assert (result, fate) == ("Goes to: away", "  away: sent now")


def test_a_small_move_is_not_enough_for_a_threshold(place: Place) -> None:
    place.configure(ROUTES)

    said = place.run_ok("routes", "test", *SEEDANCE, "--usd-before", "1", "--usd-after", "1.04")
    assert "“my videos”: no, the price moved by 4 %, and the route asks for 5 %" in said


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        (["--usd-after", "0.3"], ["new"]),
        (["--usd-before", "0.3"], ["removed"]),
        (["--kind", "REMOVED"], ["removed"]),
        (
            ["--kind", "discount_up", "--kind", "promotion_started"],
            ["discount_up", "promotion_started"],
        ),
        (["--kind", "credit_value"], ["credit_value"]),
        (["--kind", "price_up", "--model", "x"], ["price_up"]),
    ],
    ids=" ".join,
)
def test_a_change_is_what_its_kinds_or_its_prices_say(
    place: Place, asked: list[str], kinds: list[str]
) -> None:
    (result,) = place.json("routes", "test", *asked)

    assert result["kinds"] == kinds
    assert result["routes"][0]["route"] is None
    assert result["deliveries"][0] == {
        "receiver": "team",
        "route": None,
        "now": True,
        "dropped": False,
        "held_by": None,
        "until": None,
    }


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ([], "say what happened"),
        (["--usd-before", "1", "--usd-after", "1.0"], "both prices are the same"),
        (["--usd-before", "cheap"], "write a price in USD"),
        (["--usd-after", "-1"], "write a price in USD"),
        (["--usd-after", "NaN"], "write a price in USD"),
        (["--kind", "up"], "Invalid value"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_is_no_change_is_bad_usage(place: Place, asked: list[str], complaint: str) -> None:
    result = place.run("routes", "test", *asked)

    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr


def test_a_digest_and_quiet_hours_would_hold_it_back(place: Place) -> None:
    now = datetime.now(UTC)
    place.configure(f"""
receivers: {{team: {{url: "json://localhost/1"}}, mail: {{url: "json://localhost/2"}}}}
routes:
  - {{name: letter, match: {{}}, receivers: [mail], digest: "0 9 1 1 *", continue: true}}
  - {{name: all, match: {{}}, receivers: [team]}}
quiet_hours:
  - name: now
    from: "{now - timedelta(hours=2):%H:%M}"
    to: "{now + timedelta(hours=2):%H:%M}"
    receivers: [team]
    urgent: {{kinds: [removed]}}
""")

    *_, mail, team = place.run_ok("routes", "test", *RISE).splitlines()
    assert mail.startswith("  mail: held back by the digest of “letter” until ")
    assert team.startswith("  team: held back by quiet hours until ")
    *_, urgent = place.run_ok("routes", "test", "--kind", "removed").splitlines()
    assert urgent == "  team: sent now"


@pytest.mark.parametrize(
    ("drop", "fate"),
    [
        (False, "  team: held back by silence 1 (party) until "),
        (True, "  team: never sent, dropped by silence 1 (party)"),
    ],
    ids=["held", "dropped"],
)
def test_a_silence_would_hold_it_back_or_drop_it(place: Place, drop: bool, fate: str) -> None:
    now = datetime.now(UTC)
    place.ask(began)
    ours = AddSilence(now, now + timedelta(days=9), {"kinds": ["price"]}, "party", drop)
    place.ask(lambda store: store.apply(ours))

    assert place.run_ok("routes", "test", *RISE).splitlines()[-1].startswith(fate)
    assert place.run_ok("routes", "test", "--kind", "new").splitlines()[-1] == "  team: sent now"
    (result,) = place.json("routes", "test", *RISE)
    assert result["deliveries"][0]["held_by"] == "silence 1 (party)"
    assert result["deliveries"][0]["dropped"] is drop


def test_trying_routes_makes_no_state(place: Place) -> None:
    place.run_ok("routes", "test", *RISE)

    assert not place.state.exists()
