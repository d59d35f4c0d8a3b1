"""A chart shows what moved, whatever the listing holds; a message never waits for one in vain."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from build import model
from logs import capture_logs
from watcher import wording
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.catalog.record import PriceHistory, PricePoint
from watcher.render.charts.drawing import Canvas, draw
from watcher.render.charts.layout import (
    ChartLine,
    ChartPlan,
    LabelColumn,
    Series,
    drawable_text,
    make_labels,
    plan_chart,
    read_request,
    request_text,
    spread_labels,
)
from watcher.render.charts.series import chart_series
from watcher.render.templates.template import check_request
from watcher.wording import can_draw, draw_chart
from watcher.worker import CHART, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
EXAMPLE = Path(__file__).parent.parent / "docs" / "pictures" / "chart.png"


def series(
    name: str = "Reel 2, 1080p",
    unit: str = "second",
    *moves: tuple[float, str],
    since: str | None = None,
) -> Series:
    """Prices by how many days ago they began."""
    points = tuple((NOW - timedelta(days=days), Decimal(price)) for days, price in moves)
    return Series(name, unit, points, None if since is None else Decimal(since))


def rise(name: str, price: str = "10", to: str = "12", unit: str = "second") -> Series:
    return series(name, unit, (80, price), (1, to))


def the_example() -> list[Series]:
    family = "Seedance 2.5"
    return [
        series(f"{family}, 1080p with video", "second", (120, "60"), (60, "68.5"), (0, "95")),
        series(f"{family}, 1080p no video", "second", (120, "35"), (60, "40"), (0, "55.5")),
        series(f"{family}, 720p with video", "second", (120, "28"), (30, "30"), (0, "41.6")),
        series(f"{family}, 720p no video", "second", (120, "20"), (0, "27.7")),
    ]


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def names(shown: ChartPlan) -> list[str]:
    return [line.name for panel in shown.panels for line in panel.lines]


UGLY = "$\\frac{1}{0}$ _^_ \x1b[31m\u202e<b>\n中文 😀 a\u0301\u0301\u0301\u0301\ud800".replace(
    "\ud800", ""
)
CASES = {
    "one": [series("Reel 2, 1080p", "second", (120, "60"), (1, "95"))],
    "flat": [series("Reel 2", "second", (120, "60"))],
    "free": [series("Reel 2", "second", (120, "0"))],
    "free and no longer": [series("Reel 2", "second", (120, "0"), (1, "5"))],
    "of now": [series("Reel 2", "second", (0, "5"))],
    "ugly": [series(UGLY, UGLY, (9, "1"), (1, "2")), series("", "", (9, "1"), (1, "2"))],
    "long": [series("x" * 1000, "y" * 1000, (9, "1"), (1, "2")), rise("$" * 999)],
    "next to nothing": [series("Reel 2", "", (9, "0.000000000001"), (1, "0.000000000002"))],
    "next to everything": [series("Reel 2", "image", (9, "1000000000000"), (1, "999999999999.999999"))],
    "both": [rise("a", "0.000001", "0.000002"), rise("b", "1000000000", "999999999999")],
    "back and forth": [series("Reel 2", "second", *((90 - n / 40, str(40 + n % 3)) for n in range(3600)))],
    "three units": [rise("a", unit="image"), rise("b", unit="video"), rise("c", unit="second")],
    "one on another": [rise(f"Reel {n}") for n in range(6)],
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_whatever_moved_is_drawn(what: str) -> None:
    assert size(draw(CASES[what], NOW)) in {(1600, 1000), (1600, 1100)}


@pytest.mark.parametrize("count", [2, 4, 5, 50])
def test_however_many_moved_a_picture_stays_small(count: int) -> None:
    picture = draw([rise(f"Reel {n}, 1080p", to=f"{n}.5") for n in range(count)], NOW)
    assert size(picture) == ((1600, 1100) if count > 4 else (1600, 1000))
    assert len(picture) < 80_000


def test_the_example_in_the_documentation_is_such_a_picture(request: pytest.FixtureRequest) -> None:
    picture = draw(the_example(), NOW)
    if request.config.getoption("--update-golden"):
        EXAMPLE.write_bytes(picture)
    assert size(EXAMPLE.read_bytes()) == size(picture)
    assert EXAMPLE.stat().st_size < 80_000


def test_a_name_is_text_and_no_formula() -> None:
    canvas = Canvas(800, 500)
    assert canvas.width_of("$x$", 20) > canvas.width_of("x", 20) * 2
    canvas.write(10, 10, "$\\no_such_command{$", 20)
    canvas.png()


async def test_a_picture_is_drawn_aside() -> None:
    picture = await draw_chart(the_example(), NOW)
    assert picture is not None
    assert size(picture) == (1600, 1000)


async def failed(draw: Callable[[], object]) -> str:
    with capture_logs() as log:
        assert await draw() is None  # type: ignore[misc]
    (entry,) = log
    assert (entry["event"], entry["log_level"]) == ("chart.failed", "warning")
    return str(entry["why"])


async def test_a_drawing_that_hangs_is_ended_and_the_message_goes_without() -> None:
    short = dataclasses.replace(CHART, time=timedelta(seconds=0.1))
    assert (
        await failed(lambda: draw_chart(the_example(), NOW, short))
        == "takes longer than 0.1 seconds"
    )


async def test_a_drawing_that_needs_too_much_memory_is_ended() -> None:
    small = dataclasses.replace(CHART, memory=100 * 2**20)
    assert "100 MiB of memory" in await failed(lambda: draw_chart(the_example(), NOW, small))


async def test_what_is_no_picture_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wording, "request_text", lambda *_: check_request("{{ title }}"))
    why = await failed(lambda: draw_chart(the_example(), NOW, TEMPLATE))
    assert why == "the reply is not a picture"


async def test_without_matplotlib_there_is_no_chart_and_its_extra_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert can_draw()
    monkeypatch.setattr(wording, "find_spec", lambda _: None)
    assert not can_draw()
    assert "kie-watcher[charts]" in await failed(lambda: draw_chart(the_example(), NOW))


@pytest.mark.parametrize(
    "nothing",
    [[], [series()], [series("a", "b", (-1, "5"))]],
    ids=["no model", "no price", "no price yet"],
)
def test_where_there_is_no_price_there_is_nothing_to_draw(nothing: list[Series]) -> None:
    with pytest.raises(ValueError, match="there is no price to draw"):
        draw(nothing, NOW)


async def test_why_nothing_is_drawn_is_told_by_the_one_who_draws() -> None:
    assert await failed(lambda: draw_chart([], NOW)) == "there is no price to draw"


def test_the_six_that_moved_furthest_are_shown_up_or_down() -> None:
    moved = [rise(f"Reel {n}", "100", str(100 + n)) for n in range(20)]
    shown = plan_chart([*moved, rise("Fall", "100", "50")], NOW)
    assert sorted(names(shown)) == ["Fall", "Reel 15", "Reel 16", "Reel 17", "Reel 18", "Reel 19"]
    assert shown.about == "last 80 days, 6 of 21 models"


def test_what_was_free_moved_furthest() -> None:
    moved = [rise(f"Reel {n}", "1", "100") for n in range(6)]
    assert "Was free" in names(plan_chart([*moved, rise("Was free", "0", "1")], NOW))


def test_a_family_names_the_picture_and_its_variants_the_lines() -> None:
    shown = plan_chart(the_example(), NOW)
    assert (shown.title, shown.about) == ("Seedance 2.5", "last 90 days")
    assert names(shown) == [
        "1080p with video",
        "1080p no video",
        "720p with video",
        "720p no video",
    ]
    assert [panel.unit for panel in shown.panels] == ["credits per second"]


def test_several_families_keep_their_names() -> None:
    shown = plan_chart([rise("Reel 2, 1080p"), rise("Kino, 4K")], NOW)
    assert (shown.title, sorted(names(shown))) == ("Kie.ai prices", ["Kino, 4K", "Reel 2, 1080p"])


def test_each_unit_has_a_panel_and_there_are_three() -> None:
    shown = plan_chart([rise(f"Reel {n}", to=f"{20 + n}", unit=f"unit {n}") for n in range(5)], NOW)
    assert [panel.unit for panel in shown.panels] == [f"credits per unit {n}" for n in (2, 3, 4)]


def test_the_dear_and_the_cheap_have_a_panel_each() -> None:
    shown = plan_chart(
        [rise("dear", "500", "600"), rise("cheap", "5", "6"), rise("too", "6", "7")], NOW
    )
    assert [[line.name for line in panel.lines] for panel in shown.panels] == [
        ["dear"],
        ["too", "cheap"],
    ]


@pytest.mark.parametrize(
    ("price", "to", "unit", "said"),
    [
        ("40", "50", "second", "credits per second"),
        ("0.02", "0.03", "image", "credits per image"),
        ("0.0004", "0.0005", "character", "credits per 1,000 characters"),
        ("0.00004", "0.00005", "token", "credits per million tokens"),
        ("0.00004", "0.00005", "", "credits"),
        ("0", "0", "token", "credits per token"),
    ],
    ids=str,
)
def test_a_price_is_for_as_many_as_make_a_figure(price: str, to: str, unit: str, said: str) -> None:
    assert plan_chart([rise("Reel", price, to, unit)], NOW).panels[0].unit == said


@pytest.mark.parametrize(
    ("low", "high", "floor"),
    [("10", "95", 0), ("60", "95", 49), ("100", "101", 88), ("0", "0", 0), ("50", "50", 44)],
)
def test_a_small_move_looks_small(low: str, high: str, floor: int) -> None:
    panel = plan_chart([rise("Reel", low, high)], NOW).panels[0]
    assert round(panel.low) in range(floor, floor + 2)
    assert panel.high >= float(high)


def test_a_line_begins_with_the_price_that_held_then() -> None:
    (panel,) = plan_chart([series("Reel", "second", (200, "1"), (100, "2"), (50, "3"))], NOW).panels
    assert panel.lines[0].points == (
        (NOW - timedelta(days=90), Decimal(2)),
        (NOW - timedelta(days=50), Decimal(3)),
    )


@pytest.mark.parametrize(
    ("moves", "since", "said"),
    [
        ([(9, "68.5"), (1, "95")], None, "68.5 → 95  +38.7 %"),
        ([(9, "60"), (5, "68.5"), (1, "95")], "60", "60 → 95  +58.3 %"),
        ([(9, "5"), (1, "0")], None, "5 → free  −100 %"),
        ([(9, "0"), (1, "5")], None, "free → 5"),
        ([(9, "5"), (5, "6"), (3, "6")], None, "5 → 6  +20 %"),
        ([(9, "5")], None, "5"),
    ],
    ids=["the last move", "as the message tells it", "to free", "from free", "told twice", "none"],
)
def test_beside_a_line_stands_its_move(
    moves: list[tuple[float, str]], since: str | None, said: str
) -> None:
    (panel,) = plan_chart([series("Reel", "second", *moves, since=since)], NOW).panels
    assert panel.lines[0].move == said


@pytest.mark.parametrize(
    ("days", "said"),
    [
        (0.01, ["07:00"]),
        (0.5, ["06:00", "03:00", "00:00", "21:00"]),
        (1.9, ["00:00", "12:00", "00:00", "12:00"]),
        (3, ["22 Nov", "21 Nov", "20 Nov"]),
        (20, ["22 Nov", "15 Nov", "8 Nov"]),
        (40, ["22 Nov", "8 Nov", "25 Oct"]),
        (400, ["1 Nov", "1 Oct", "1 Sep"]),
    ],
)
def test_few_dates_stand_below(days: float, said: list[str]) -> None:
    shown = plan_chart([series("Reel", "second", (days, "5"))], NOW)
    assert [text for _, text in shown.ticks] == said


@pytest.mark.parametrize(
    ("days", "about"), [(0.01, "last 60 minutes"), (0.9, "last 21 hours"), (20, "last 20 days")]
)
def test_the_axis_begins_where_the_price_was_first_seen(days: float, about: str) -> None:
    shown = plan_chart([series("Reel", "second", (days, "5"))], NOW)
    assert shown.about == about
    assert NOW - shown.start == max(timedelta(days=days), timedelta(hours=1))


def test_days_begin_where_the_reader_is() -> None:
    now = NOW.astimezone(ZoneInfo("Asia/Tokyo"))
    _, there = read_request(request_text([series("Reel", "second", (20, "5"))], now))
    shown = plan_chart([series("Reel", "second", (20, "5"))], there)
    assert shown.ticks[0][0] == datetime(2026, 11, 21, 15, tzinfo=UTC)


def test_what_is_used_is_shown_however_little_it_moved() -> None:
    moved = [rise(f"Reel {n}", "1", "100") for n in range(9)]
    used = replace(rise("Kino", "10", "10.1"), used=True)
    assert "Kino" in names(plan_chart([*moved, used], NOW))


@given(st.text(max_size=300))
def test_what_is_written_is_one_line_of_a_hundred_characters(text: str) -> None:
    line = drawable_text(text)
    assert len(line) <= 100
    assert line.isprintable()
    assert "\n" not in line


def told(number: int, old: str, new: str, *kinds: Kind, model_id: int | None = 7) -> RecordedChange:
    before, after = (model(creditPrice=price, usdPrice="") for price in (old, new))
    change = ModelChange(kinds or (Kind.PRICE_UP,), before, after, model_id=model_id)
    return RecordedChange(number, NOW - timedelta(days=10 - number), change)


def known(prices: list[PricePoint]) -> dict[int, PriceHistory]:
    return {7: PriceHistory(prices=tuple(prices))}


def test_a_message_shows_each_model_that_moved_with_its_past() -> None:
    past = [(NOW - timedelta(days=50), Decimal(30)), (NOW - timedelta(days=9), Decimal(40))]
    (one,) = chart_series([told(1, "30", "40")], known(past))
    assert one == Series("Reel 2, 1080p", "second", tuple(past), Decimal(30))


def test_a_price_that_is_not_remembered_yet_is_where_the_line_ends() -> None:
    (one,) = chart_series([told(1, "30", "40")], known([(NOW - timedelta(days=50), Decimal(30))]))
    assert one.points[-1] == (NOW - timedelta(days=9), Decimal(40))
    (unknown,) = chart_series([told(1, "30", "40", model_id=None)], {})
    assert unknown.move == (30, 40)


def test_a_model_told_of_twice_is_one_line_with_the_whole_move() -> None:
    past = [(NOW - timedelta(days=d), Decimal(p)) for d, p in ((50, 30), (9, 40), (8, 50))]
    (one,) = chart_series([told(1, "30", "40"), told(2, "40", "50")], known(past))
    assert one.move == (30, 50)


def test_what_moved_no_price_is_in_no_chart() -> None:
    others = [
        Notice(NoticeKind.SAMPLE, NOW, {}),
        told(1, "30", "30", Kind.DISCOUNT_UP),
        told(2, "30", "40", Kind.PRICE_UP, Kind.UNIT),
        told(3, "", "40", Kind.PRICE_UP),
        RecordedChange(4, NOW, ModelChange((Kind.REMOVED,), model(), None)),
    ]
    assert chart_series(others, {}) == ()


prices = st.decimals(0, 10**12, places=12, allow_nan=False)
histories = st.lists(st.tuples(st.integers(0, 10**7), prices), min_size=1, max_size=5)
some_series = st.builds(
    lambda name, unit, moves: Series(
        name, unit, tuple((NOW - timedelta(seconds=s), p) for s, p in sorted(moves, reverse=True))
    ),
    st.text(max_size=60),
    st.sampled_from(["second", "image", "token", "", "$x$"]),
    histories,
)


@given(st.lists(some_series, min_size=1, max_size=9))
@settings(max_examples=100)
def test_every_plan_can_be_drawn(several: list[Series]) -> None:
    shown = plan_chart(several, NOW)
    assert 1 <= shown.count <= 6
    assert 1 <= len(shown.panels) <= 3
    for panel in shown.panels:
        told = [price for line in panel.lines for price in line.prices]
        assert 0 <= panel.low <= min(told) <= max(told) <= panel.high
        assert panel.low < panel.high
        assert all(at >= shown.start for line in panel.lines for at, _ in line.points)
    assert all(shown.start < at <= shown.now for at, _ in shown.ticks)


@given(st.lists(some_series, max_size=3))
def test_prices_reach_the_other_process_as_they_are(several: list[Series]) -> None:
    assert read_request(request_text(several, NOW)) == (tuple(several), NOW)


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(10, 60)), min_size=1, max_size=6))
def test_labels_stand_in_order_and_never_on_another(wanted: list[tuple[float, float]]) -> None:
    ends = sorted((end for end, _ in wanted), reverse=True)
    heights = [height for _, height in wanted]
    middles = spread_labels(ends, heights, LabelColumn(200, 0, 400))
    edges = [(m + h / 2, m - h / 2) for m, h in zip(middles, heights, strict=True)]
    assert edges[0][0] <= 400 + 1e-6
    assert edges[-1][1] >= -1e-6
    assert all(upper[1] >= lower[0] - 1e-6 for upper, lower in pairwise(edges))


def test_a_label_with_room_stands_at_its_line() -> None:
    assert spread_labels([300, 200, 100], [40, 40, 40], LabelColumn(200, 0, 400)) == [300, 200, 100]


def measured(text: str, size: float, *, bold: bool = False) -> float:
    return len(text) * size * (0.7 if bold else 0.6)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("1080p", ("1080p",)),
        ("text-to-video 1080p, 15 seconds", ("text-to-video 1080p,", "15 seconds")),
        ("one two three four five six seven", ("one two three four", "five six seven")),
        ("x" * 30, ("x" * 20, "x" * 10)),
        ("word " * 12, ("word word word word",) * 3),
        ("word " * 20, (*("word word word word",) * 3, "word word word word…")),
        (
            "bytedance/seedance-2-5, image-to-video, 1080p with audio",
            ("bytedance/seedance-", "2-5, image-to-video,", "1080p with audio"),
        ),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_a_long_name_is_broken_where_it_reads_best(name: str, said: tuple[str, ...]) -> None:
    (label,) = make_labels(
        [ChartLine(name.strip(), "1 → 2", "2", ())], LabelColumn(290, 0, 400), measured
    )
    assert label.name == said


def test_many_labels_are_smaller_and_still_whole() -> None:
    lines = [ChartLine("a name of some length, variant", "68.5 → 95  +38.7 %", "95", ())] * 6
    made = make_labels(lines, LabelColumn(290, 0, 460), measured)
    assert {label.move for label in made} == {"68.5 → 95  +38.7 %"}
    assert sum(label.height for label in made) <= 460 + 20
