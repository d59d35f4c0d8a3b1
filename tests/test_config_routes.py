"""Routes, quiet hours and what goes with them: what they mean, and each mistake in its place."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from config_checks import problems_in, read
from watcher.catalog.changes import ANNOUNCED_BY_DEFAULT, Kind
from watcher.config.routes import MatchSettings, MinChangeSettings, RouteSettings, parse_pattern
from watcher.config.rules import routing_rules
from watcher.config.settings import Settings
from watcher.routing.calendar import QuietWindow, next_moment
from watcher.routing.match import Matcher, Pattern
from watcher.routing.rules import FlapRule, Route, RoutingRules, Usage

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)

EVERYTHING = """\
receivers: {team: {url: 'json://a'}, mail: {url: 'json://b'}}
routes:
  - name: my videos
    match:
      kinds: [price_up, price_down, removed]
      interface: [video]
      provider: [ByteDance, "Kling*"]
      model: ["*seedance*", "!*480p*", "re:v[23]$"]
      family: ["bytedance/seedance-2-5"]
      min_change: 5%
      min_change_usd: 0.01
      usd_below: 0.30
      usd_above: 2
      discount_below: 0
      discount_above: -10.5%
    receivers: [team, mail, team]
    continue: true
  - name: weekly
    match:
    receivers: [mail]
    digest: "0 9 * * 1"
    empty: yes
quiet_hours:
  - {name: nights, from: "22:00", to: "07:00", days: [fri, sat], receivers: [team], urgent: {kinds: [removed], min_change: {down: 25%}}}
  - {name: noon, from: 12:00, to: 13:30}
timezone: Europe/Berlin
usage:
  - {model: "bytedance/seedance-2-5, 1080p no video", per_month: 12000}
flap: {changes: 6, within: 12h}
"""


def patterns(*texts: str) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, texts))


def test_every_word_about_routing_becomes_a_rule(file: Path) -> None:
    assert routing_rules(read(file, EVERYTHING)) == RoutingRules(
        receivers=("team", "mail"),
        routes=(
            Route(
                name="my videos",
                matcher=Matcher(
                    kinds=frozenset({Kind.PRICE_UP, Kind.PRICE_DOWN, Kind.REMOVED}),
                    interface=patterns("video"),
                    provider=patterns("ByteDance", "Kling*"),
                    model=patterns("*seedance*", "!*480p*", "re:v[23]$"),
                    family=patterns("bytedance/seedance-2-5"),
                    min_up=Decimal("0.05"),
                    min_down=Decimal("0.05"),
                    min_usd=Decimal("0.01"),
                    usd_below=Decimal("0.3"),
                    usd_above=Decimal(2),
                    discount_below=Decimal(0),
                    discount_above=Decimal("-10.5"),
                ),
                receivers=("team", "mail"),
                continues=True,
            ),
            Route("weekly", Matcher(), ("mail",), digest="0 9 * * 1", empty=True),
        ),
        announce=ANNOUNCED_BY_DEFAULT,
        quiet=(
            QuietWindow(
                name="nights",
                start=time(22),
                end=time(7),
                days=frozenset({4, 5}),
                receivers=frozenset({"team"}),
                urgent=Matcher(kinds=frozenset({Kind.REMOVED}), min_down=Decimal("0.25")),
            ),
            QuietWindow("noon", time(12), time(13, 30)),
        ),
        zone=ZoneInfo("Europe/Berlin"),
        usage=(Usage(Pattern("bytedance/seedance-2-5, 1080p no video"), Decimal(12000)),),
        flap=FlapRule(6, timedelta(hours=12)),
    )


def test_without_a_word_about_routing_everything_announced_goes_to_every_receiver(
    file: Path,
) -> None:
    rules = routing_rules(read(file, "receivers: {a: {url: 'json://a'}, b: {url: 'json://b'}}"))

    assert rules == RoutingRules(receivers=("a", "b"))
    assert routing_rules(Settings()) == RoutingRules(receivers=("terminal",))


@pytest.mark.parametrize("section", ["routes", "quiet_hours", "usage"])
def test_a_list_with_all_its_things_commented_out_is_empty(file: Path, section: str) -> None:
    assert read(file, f"{section}:\n#  - name: x\n") == Settings()


def test_the_terminal_can_be_named_where_it_is_the_only_receiver(file: Path) -> None:
    known = read(
        file,
        "routes: [{name: a, receivers: [terminal]}]\noperator: [terminal]\n"
        "quiet_hours: [{name: n, from: '22:00', to: '07:00', receivers: [terminal]}]",
    )

    assert (known.routes[0].receivers, known.operator) == (("terminal",), ("terminal",))


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (["price"], [Kind.PRICE_UP, Kind.PRICE_DOWN]),
        (["discount", "new"], [Kind.DISCOUNT_UP, Kind.DISCOUNT_DOWN, Kind.NEW]),
        (["promotion"], [Kind.PROMOTION_STARTED, Kind.PROMOTION_ENDED]),
        (["reference", "reference_up"], [Kind.REFERENCE_UP, Kind.REFERENCE_DOWN]),
    ],
    ids="+".join,
)
def test_a_short_word_stands_for_both_directions(words: list[str], kinds: list[Kind]) -> None:
    assert MatchSettings.model_validate({"kinds": words}).all_kinds == set(kinds)
    assert MatchSettings().all_kinds is None


@pytest.mark.parametrize(
    ("written", "up", "down"),
    [
        ("5%", "0.05", "0.05"),
        ("150%", "1.5", "1.5"),
        ({"up": "2%", "down": "10%"}, "0.02", "0.1"),
        ({"up": "2%"}, "0.02", None),
    ],
    ids=str,
)
def test_a_least_move_is_one_share_or_one_for_each_direction(
    written: object, up: str | None, down: str | None
) -> None:
    least = MatchSettings.model_validate({"min_change": written}).min_change

    assert least == MinChangeSettings.model_construct(
        up=None if up is None else Decimal(up), down=None if down is None else Decimal(down)
    )


HAVE = "receivers: {team: {url: 'json://a'}, mail: {url: 'json://b'}}\n"
NO_TIME = 'is not a time of day; write "HH:MM", from "00:00" to "23:59"'
NO_CRON = 'write one such as "0 9 * * 1"'
EMPTY = "is empty; give it a value or remove the line"
NO_CROSSING = "matches nothing: none of these kinds crosses a mark; add price or discount"
ENDLESS = "backtracks for ever on some texts; write it without repeats within repeats"


def route(match: str) -> str:
    return HAVE + f"routes: [{{name: a, receivers: [team], match: {{{match}}}}}]"


def window(words: str) -> str:
    return HAVE + f"quiet_hours: [{{name: n, {words}}}]"


# fmt: off
ERRORS = [
    # routes
    (HAVE + "routes: []\nroutes: {}", ["3:1: routes: appears twice, first in line 2; remove one"]),
    (HAVE + "routes: {name: a}", ["2:9: routes: is not a list; write each route as - name: with its keys beneath"]),
    (HAVE + "routes: [a]", ["2:10: routes: is not a mapping; write its keys beneath it, each with its value"]),
    (HAVE + "routes:\n  - match: {}\n    receivers: [team]", ["3:5: routes.name: is missing; write name: with its value"]),
    (HAVE + "routes:\n  - name:\n    receivers: [team]", [f"3:10: routes.name: {EMPTY}"]),
    (HAVE + "routes:\n  - name: ' '\n    receivers: [team]", ["3:11: routes.name: is not a name; write one line of at most 60 characters"]),
    (HAVE + f"routes:\n  - name: {'a' * 61}\n    receivers: [team]", ["3:11: routes.name: is not a name; write one line of at most 60 characters"]),
    (HAVE + "routes:\n  - {name: a, match: {kinds: [new]}, receivers: [team]}\n  - {name: b, match: {kinds: [unit]}, receivers: [team]}\n  - {name: A, receivers: [team]}", ["5:12: routes.name: is used twice, first in line 3; choose another name"]),
    (HAVE + "routes:\n  - name: a", ["3:5: routes.receivers: is missing; write receivers: with its value"]),
    (HAVE + "routes:\n  - {name: a, receivers: []}", ["3:26: routes.receivers: is empty, so nobody would get a message; name at least one receiver"]),
    (HAVE + "routes:\n  - {name: a, receivers: team}", ["3:26: routes.receivers: is not a list; write [team, mail] or one name a line after - "]),
    (HAVE + "routes:\n  - {name: a, receivers: [team, tean]}", ["3:33: routes.receivers: is not a receiver; did you mean team?"]),
    (HAVE + "routes:\n  - {name: a, receivers: [nobody, mial]}", ["3:27: routes.receivers: is not a receiver; write one of team, mail", "3:35: routes.receivers: is not a receiver; did you mean mail?"]),
    (HAVE + "routes:\n  - {name: a, receivers: [terminal]}", ["3:27: routes.receivers: is a receiver only while there is no other; name one of those"]),
    ("routes:\n  - {name: a, receivers: [team]}", ["2:27: routes.receivers: is not a receiver; write one of terminal"]),
    (HAVE + "routes:\n  - {name: a, receivers: [team], digets: x}", ["3:34: routes.digets: unknown key; did you mean digest?"]),
    (HAVE + "routes:\n  - {name: a, receivers: [team], kinds: [new]}", ["3:34: routes.kinds: unknown key; did you mean routes.match.kinds?"]),
    (HAVE + "routes:\n  - {name: a, receivers: [team], continue: maybe}", ["3:44: routes.continue: is neither true nor false; write one of the two"]),
    (HAVE + "routes:\n  - {name: a, receivers: [team], empty: true}", ["3:41: routes.empty: is for a digest, and this route has none; add digest: or remove it"]),
    ("digest: x", ["1:1: digest: unknown key; did you mean routes.digest?"]),
    # a route that nothing is left for
    (HAVE + "routes:\n  - {name: a, receivers: [team]}\n  - {name: b, receivers: [mail], match: {model: [x]}}", ["4:41: routes.match: matches nothing that the route in line 3 leaves over; put this route before that one, or write continue: true there"]),
    (HAVE + "announce: [new]\nroutes:\n  - {name: a, receivers: [team], match: {usd_below: 1}}", ["4:41: routes.match: matches nothing: announce names no kind that crosses a mark; add kinds:"]),
    # what a route matches
    (route("kinds: []"), ["2:54: routes.match.kinds: is empty, so nothing could match; name at least one kind"]),
    (route("kinds: "), ["2:53: routes.match.kinds: is empty, so nothing could match; name at least one kind"]),
    (route("kinds: price"), ["2:54: routes.match.kinds: is not a list; write [price, removed] or one kind a line after - "]),
    (route("kinds: [prices]"), ["2:55: routes.match.kinds: is not a kind of change; did you mean price? (one of price, discount, promotion, reference, new, removed, returned, renamed, price_up, price_down, unit, discount_up, discount_down, promotion_started, promotion_ended, reference_up, reference_down, corrected, relabelled, credit_value)"]),
    (route("modle: [x]"), ["2:47: routes.match.modle: unknown key; did you mean model?"]),
    (route("model: []"), ["2:54: routes.match.model: is empty, so nothing could match; remove the key for all"]),
    (route("model: x"), ['2:54: routes.match.model: is not a list; write ["*seedance*", "!*480p*"] or one pattern a line after - ']),
    (route("model: ['!']"), ["2:55: routes.match.model: is empty; fix it or remove it"]),
    (route("model: ['']"), [f"2:55: routes.match.model: {EMPTY}"]),
    (route("model: ['!*']"), ["2:54: routes.match.model: excludes all that it includes, so nothing could match; remove a !"]),
    (route("model: ['Kling 3*', '!kling*']"), ["2:54: routes.match.model: excludes all that it includes, so nothing could match; remove a !"]),
    (route("kinds: [credit_value], model: [x]"), ["2:77: routes.match.model: matches nothing: credit_value concerns no model; remove the key"]),
    (route("model: ['re:kling (']"), ["2:55: routes.match.model: is no regular expression: missing ) at position 7; fix it or remove it"]),
    (route("model: [x, 're:(a+)+$']"), [f"2:58: routes.match.model: {ENDLESS}"]),
    (route("model: ['!re:^(kl.ng|kling)+ z$']"), [f"2:55: routes.match.model: {ENDLESS}"]),
    (route("model: ['" + "a" * 201 + "']"), ["2:55: routes.match.model: is not a pattern; write one line of at most 200 characters"]),
    (route("min_change: 5"), ["2:59: routes.match.min_change: has no percent sign; write 10%"]),
    (route("min_change: 0%"), ["2:59: routes.match.min_change: is zero; write a share such as 5%, or remove the key"]),
    (route("min_change: "), ["2:58: routes.match.min_change: is empty; write 5%, or {up: 2%, down: 10%}"]),
    (route("min_change: [5%]"), ["2:59: routes.match.min_change: is a list; write 5%, or {up: 2%, down: 10%}"]),
    (route("min_change: {}"), ["2:59: routes.match.min_change: is empty; write 5%, or {up: 2%, down: 10%}"]),
    (route("min_change: {up: 0%}"), ["2:64: routes.match.min_change.up: is out of range; write a number greater than 0, such as 5%"]),
    (route("min_change: {upp: 5%}"), ["2:60: routes.match.min_change.upp: unknown key; did you mean up?"]),
    (route("min_change: {down: 101%}"), ["2:66: routes.match.min_change.down: matches nothing: no price falls by more than 100%; write less"]),
    (route("min_change_usd: 0"), ["2:63: routes.match.min_change_usd: is out of range; write a number greater than 0, such as 0.01"]),
    (route("usd_below: "), [f"2:57: routes.match.usd_below: {EMPTY}"]),
    (route("usd_below: cheap"), ["2:58: routes.match.usd_below: is not a number; write one such as 5 or 2.5"]),
    (route("kinds: [removed], usd_below: 1"), [f"2:76: routes.match.usd_below: {NO_CROSSING}"]),
    (route("discount_below: half"), ["2:63: routes.match.discount_below: is not a percentage; write one such as 0, 30 or -10"]),
    (route("discount_above: 100"), ["2:63: routes.match.discount_above: matches nothing: no discount is 100 or more; write less"]),
    # digests
    (HAVE + "routes: [{name: a, receivers: [team], digest: daily}]", ['2:47: routes.digest: is not a schedule; write minute, hour, day, month, weekday, as in "0 9 * * 1"']),
    (HAVE + "routes: [{name: a, receivers: [team], digest: '* * * * * *'}]", ['2:47: routes.digest: is not a schedule; write minute, hour, day, month, weekday, as in "0 9 * * 1"']),
    (HAVE + "routes: [{name: a, receivers: [team], digest: '0 24 * * *'}]", ['2:47: routes.digest: has an impossible hour; write a schedule as in "0 9 * * 1"']),
    (HAVE + "routes: [{name: a, receivers: [team], digest: '0 0 30 2 *'}]", ['2:47: routes.digest: has an impossible day-of-month; write a schedule as in "0 9 * * 1"']),
    (HAVE + "routes: [{name: a, receivers: [team], digest: }]", [f"2:46: routes.digest: {EMPTY}"]),
    # quiet hours
    (window("from: 22:00, to: 22:00"), ["2:42: quiet_hours.to: is the same as from, so it would never be quiet; write another time"]),
    (window("from: '24:00', to: 07:00"), [f"2:31: quiet_hours.from: {NO_TIME}"]),
    (window("from: 7:00, to: late"), [f"2:31: quiet_hours.from: {NO_TIME}", f"2:41: quiet_hours.to: {NO_TIME}"]),
    (window("from: 22:00"), ["2:15: quiet_hours.to: is missing; write to: with its value"]),
    (window("from: 22:00, to: 07:00, days: [monday]"), ["2:56: quiet_hours.days: is not a day; did you mean mon? (one of mon, tue, wed, thu, fri, sat, sun)"]),
    (window("from: 22:00, to: 07:00, days: []"), ["2:55: quiet_hours.days: is empty, so it would never apply; name at least one day"]),
    (window("from: 22:00, to: 07:00, receivers: []"), ["2:60: quiet_hours.receivers: is empty, so nobody would get a message; name at least one receiver"]),
    (window("from: 22:00, to: 07:00, receivers: [taem]"), ["2:61: quiet_hours.receivers: is not a receiver; did you mean team?"]),
    (window("from: 22:00, to: 07:00, urgent: {}"), ["2:57: quiet_hours.urgent: is empty, so everything would be urgent; name what is, or remove it"]),
    (window("from: 22:00, to: 07:00, urgent: {model: ['re:[']}"), ["2:66: quiet_hours.urgent.model: is no regular expression: unterminated character set at position 1; fix it or remove it"]),
    (HAVE + "quiet_hours: [{from: 22:00, to: 07:00}]", ["2:15: quiet_hours.name: is missing; write name: with its value"]),
    (HAVE + "quiet_hours:\n- {name: n, from: 22:00, to: 07:00}\n- {name: n, from: 22:00, to: 07:00}", ["4:10: quiet_hours.name: is used twice, first in line 3; choose another name"]),
    # time zone
    ("timezone: Europe/Berln", ["1:11: timezone: is not a time zone; did you mean Europe/Berlin?"]),
    ("timezone: berlin", ["1:11: timezone: is not a time zone; did you mean Europe/Berlin?"]),
    ("timezone: ../../etc/passwd", ["1:11: timezone: is not a time zone; write one such as Europe/Berlin or UTC"]),
    ('timezone: "a\\0b"', ["1:11: timezone: is not a time zone; write one such as Europe/Berlin or UTC"]),
    ("timezone: ", [f"1:10: timezone: {EMPTY}"]),
    # usage
    ("usage: [{model: x, per_month: 0}]", ["1:31: usage.per_month: is out of range; write a number greater than 0, such as 0.01"]),
    ("usage: [{model: x}]", ["1:9: usage.per_month: is missing; write per_month: with its value"]),
    ("usage: [{model: '!x', per_month: 1}]", ["1:17: usage.model: excludes, and there is nothing to exclude from; remove the !"]),
    ("usage: {x: 5}", ["1:8: usage: is not a list; write each model as - model: with its keys beneath"]),
    # flapping
    ("flap: {changes: 0}", ["1:17: flap.changes: is out of range; write a number from 1 to 50"]),
    ("flap: {within: 24}", ["1:16: flap.within: has no unit; write 30s, 5m, 6h or 7d"]),
]
# fmt: on


@pytest.mark.parametrize(
    ("text", "lines"), ERRORS, ids=[f"{at} {lines[0][:60]}" for at, (_, lines) in enumerate(ERRORS)]
)
def test_each_mistake_is_named_with_its_place_and_its_mending(
    file: Path, text: str, lines: list[str]
) -> None:
    file.write_text(text)

    assert problems_in(file) == lines


def test_mistakes_in_several_routes_are_all_named_at_once(file: Path) -> None:
    file.write_text("""\
receivers: {team: {}}
routes:
  - {name: a, match: {min_change: 5}, receivers: [team]}
  - {name: a, match: {model: ['re:(']}, receivers: [taem]}
  - {name: c, match: {kindz: []}, receivers: ['${NOBODY}']}
operator: [taem]
""")

    assert [line.split(";")[0] for line in problems_in(file)] == [
        "1:13: receivers.team: has neither url nor url_file",
        "3:35: routes.match.min_change: has no percent sign",
        "4:12: routes.name: is used twice, first in line 3",
        "4:31: routes.match.model: is no regular expression: missing ) at position 1",
        "4:53: routes.receivers: is not a receiver",
        "5:23: routes.match.kindz: unknown key",
        "5:47: routes.receivers: the variable NOBODY is not set",
        "6:12: operator: is not a receiver",
    ]


@pytest.mark.parametrize(
    "routes",
    [
        # Kinds that the first one does not take.
        "[{name: a, receivers: [team]}, {name: b, receivers: [team], match: {kinds: [corrected]}}]",
        "[{name: a, receivers: [team], match: {kinds: [price]}}, {name: b, receivers: [team]}]",
        # The first one goes on, or asks for more than kinds.
        "[{name: a, receivers: [team], continue: true}, {name: b, receivers: [team]}]",
        "[{name: a, receivers: [team], match: {model: ['!x']}}, {name: b, receivers: [team]}]",
        "[{name: a, receivers: [team], match: {min_change: 5%}}, {name: b, receivers: [team]}]",
    ],
)
def test_a_route_for_which_something_is_left_over_is_a_good_one(file: Path, routes: str) -> None:
    assert len(read(file, HAVE + f"routes: {routes}").routes) == 2


@pytest.mark.parametrize(
    "text",
    [
        "bytedance/seedance-2-5, *",
        "kling [pro]",
        "!*480p*",
        "re:^kling( [0-9.]+)?,",
        r"re:\b(veo|sora)[ -]?\d",
        "!re:seedance.*1080p",
        "re:^(?!.*480p).*seedance",
        r"re:(?i)\d+(\.\d+)?s$",
        "re:.*(?:kling|veo|sora|seedance|wan|hailuo).*(?:pro|max|master).*1080p.*",
    ],
)
def test_patterns_that_people_write_are_good_ones(text: str) -> None:
    assert parse_pattern(text) == text


@pytest.mark.parametrize(
    "expression",
    [
        "(a+)+$",
        "(a|aa)+$",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(x+x+)+y",
        "(a|a)*b",
        r"(\w+\s?)*$",
        "kling (v|vv)+$",
        r"(\d+,?)+$",
        "((a{1,100}){1,100}){1,100}b",
        "(?R)",
    ],
)
def test_an_expression_that_backtracks_for_ever_is_found(expression: str) -> None:
    with pytest.raises(ValueError, match=r"backtracks for ever|too much memory"):
        parse_pattern(f"re:{expression}")


@settings(max_examples=200)
@given(st.text(st.sampled_from("re:!()[]{}*+?|^$.\\dwsabk 0-9,<=#&~\n"), max_size=30))
def test_any_text_is_a_pattern_or_says_what_is_wrong(text: str) -> None:
    problem = ""
    try:
        Pattern(parse_pattern(text))
    except ValueError as error:
        problem = str(error)

    # What is wrong, and after the semicolon how to fix it.
    assert not problem or ";" in problem


@settings(max_examples=200)
@given(st.lists(st.text(st.sampled_from("0123456789*/,-L#WmonJAN@"), max_size=6), max_size=7))
def test_any_schedule_comes_or_says_what_is_wrong(fields: list[str]) -> None:
    written = " ".join(fields)
    problems = []
    try:
        RouteSettings.model_validate({"name": "a", "receivers": ["b"], "digest": written})
    except ValidationError as error:
        problems = error.errors()

    assert all(problem["loc"] == ("digest",) for problem in problems)
    assert problems or next_moment(written, ZoneInfo("Europe/Berlin"), NEW_YEAR)
