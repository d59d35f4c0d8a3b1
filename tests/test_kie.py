"""The client against a real server: what it asks, what it believes, and what it refuses."""

from __future__ import annotations

import asyncio
import gzip
import json
import tomllib
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from watcher import __version__
from watcher.catalog.record import fold
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import PROJECT_URL, KieClient, Sweep, open_client
from watcher.kie.completeness import Probe
from watcher.kie.responses import SourceError, SourceReason
from watcher.simulator.catalogue import Catalogue
from watcher.simulator.faults import (
    Bomb,
    CountsOff,
    Drip,
    Drop,
    Empty,
    Envelope,
    Fault,
    HalfJson,
    Hang,
    Html,
    Huge,
    PageCap,
    Raw,
    Redirect,
    Shape,
    Shift,
    Status,
    TotalOff,
    WrongShape,
)
from watcher.simulator.generator import generate
from watcher.simulator.random_edits import random_edit
from watcher.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ROWS = generate(seed=1, size=574)
UNLIKE = Probe({"all": 0}, 0, (), "of another catalogue")


class Pauses(list[timedelta]):
    """Waits that take no time and are remembered."""

    async def __call__(self, duration: timedelta) -> None:
        self.append(duration)


@asynccontextmanager
async def client_of(
    sim: Simulator, pauses: Pauses | None = None, attempts: int = 3, **source: Any
) -> AsyncIterator[KieClient]:
    settings = SourceSettings(url=sim.url, **source)
    poll = PollSettings(sweep_attempts=attempts)
    async with open_client(settings, poll, pauses if pauses is not None else Pauses()) as client:
        yield client


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(ROWS) as running:
        yield running


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[KieClient]:
    async with client_of(sim) as opened:
        yield opened


async def test_a_sweep_is_bounded_as_a_whole(client: KieClient) -> None:
    assert len((await client.sweep(None)).records) == len(ROWS)
    client.most_bytes = 100_000

    refused = await refusal(client.sweep(None))
    assert refused.reason is SourceReason.CAP
    assert "all replies together are larger than" in str(refused)
    # Each probe and each reading is one of its own.
    for _ in range(20):
        assert await client.probe(UNLIKE) is not None


async def refusal(asking: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await asking
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    assert caught.value.__cause__ is None
    return caught.value


def a_row(name: str, **fields: Any) -> dict[str, Any]:
    plain = {"modelDescription": name, "interfaceType": "video", "creditPrice": "4", "usdPrice": "0.02"}  # fmt: skip
    return {**plain, **fields}


def listed(catalogue: Catalogue) -> list[str]:
    return [fold(row["modelDescription"]) for row in catalogue.rows]


def read(sweep: Sweep) -> list[str]:
    return [record.identity_key for record in sweep.records]


def pages_asked(sim: Simulator) -> list[int]:
    return [body["pageNum"] for call, body in sim.requests if call == "page"]


# A sweep


async def test_a_sweep_reads_every_record_once_in_listing_order(
    sim: Simulator, client: KieClient
) -> None:
    sweep = await client.sweep(UNLIKE)
    assert read(sweep) == listed(sim.catalogue)
    assert sweep.disagreement is None
    assert sweep.unreadable == ()
    assert sweep.probe.total == len(ROWS)
    assert sweep.probe.counts == sim.catalogue.counts()


async def test_a_sweep_asks_for_the_counts_before_and_after_and_for_each_page_once(
    sim: Simulator, client: KieClient
) -> None:
    await client.sweep(UNLIKE)
    assert [call for call, _ in sim.requests] == ["count", *["page"] * 6, "count"]
    assert sorted(pages_asked(sim)) == [1, 2, 3, 4, 5, 6]
    assert {body["pageSize"] for call, body in sim.requests if call == "page"} == {100}


@pytest.mark.parametrize("cap", [10, 37, 99, 100])
async def test_a_server_that_gives_smaller_pages_is_read_all_the_same(
    sim: Simulator, client: KieClient, cap: int
) -> None:
    sim.faults.always(PageCap(size=cap))
    sweep = await client.sweep(UNLIKE)
    assert read(sweep) == listed(sim.catalogue)
    assert sorted(pages_asked(sim)) == list(range(1, -(-len(ROWS) // cap) + 1))
    assert sweep.probe.page_one == (await client.sweep(UNLIKE)).probe.page_one


@pytest.mark.parametrize("size", [300, 574])
async def test_a_server_whose_pages_are_uneven_is_read_in_smaller_ones(size: int) -> None:
    async with Simulator(ROWS[:size]) as sim, client_of(sim) as client:
        sim.faults.always(*(PageCap(page=page, size=50) for page in range(2, 20, 2)))

        sweep = await client.sweep(UNLIKE)

        assert read(sweep) == listed(sim.catalogue)
        assert (sweep.disagreement, sweep.probe.doubled) == (None, 0)


async def test_what_was_seen_is_the_same_whatever_the_page_size(
    sim: Simulator, client: KieClient
) -> None:
    whole = await client.sweep(UNLIKE)
    sim.faults.always(PageCap(size=10))
    assert (await client.sweep(UNLIKE)).probe == whole.probe


async def test_a_server_that_changes_its_page_size_midway_loses_no_record() -> None:
    async with Simulator(ROWS[:30]) as sim, client_of(sim, page_size=10) as client:
        # Page 2 comes with the rows one expects and stops short; the rest is asked for after.
        rows = ROWS[:30]
        cuts = {1: rows[:10], 2: rows[10:16], 3: rows[16:26], 4: rows[26:]}
        for number, cut in cuts.items():
            body = json.dumps({"code": 200, "data": {"records": cut, "total": 30}}).encode()
            sim.faults.always(Raw(body=body, call="page", page=number))
        sweep = await client.sweep(UNLIKE)
        assert read(sweep) == listed(sim.catalogue)
        assert pages_asked(sim)[-1] == 4


@pytest.mark.parametrize("concurrency", [1, 2, 5])
async def test_never_more_requests_at_once_than_allowed(sim: Simulator, concurrency: int) -> None:
    async with client_of(sim, concurrency=concurrency, page_size=10) as client:
        await client.sweep(UNLIKE)
    assert sim.most_at_once <= concurrency


async def test_an_empty_catalogue_is_a_catalogue() -> None:
    async with Simulator([]) as sim, client_of(sim) as client:
        assert (await client.sweep(UNLIKE)).records == ()


async def test_the_first_sweep_is_made_twice_and_an_accepted_one_only_once(sim: Simulator) -> None:
    pauses = Pauses()
    async with client_of(sim, pauses) as client:
        first = await client.sweep(None)
        assert pauses == [timedelta(seconds=2)]
        assert len(pages_asked(sim)) == 12
        await client.sweep(first.probe)
        assert len(pauses) == 1


async def test_a_first_sweep_is_possible_even_where_one_attempt_is_allowed(sim: Simulator) -> None:
    async with client_of(sim, attempts=1) as client:
        assert len((await client.sweep(None)).records) == len(ROWS)


async def test_a_row_nobody_can_read_is_reported_and_the_others_are_used(
    sim: Simulator, client: KieClient
) -> None:
    sim.catalogue.insert(a_row(" "), at=250)
    sim.catalogue.insert(a_row("A row without a price", creditPrice="soon", usdPrice=""), at=3)
    sweep = await client.sweep(UNLIKE)
    assert len(sweep.records) == len(ROWS)
    assert [row.why for row in sweep.unreadable] == [
        "creditPrice: 'soon' is not a price",
        "modelDescription: is empty",
    ]


async def test_a_change_of_schema_is_refused_and_named(sim: Simulator, client: KieClient) -> None:
    for row in sim.catalogue.rows[:60]:
        sim.catalogue.edit(row["modelDescription"], creditPrice={"amount": 4}, usdPrice=None)
    error = await refusal(client.sweep(UNLIKE))
    assert error.reason is SourceReason.SCHEMA
    assert "60 of 574 records cannot be understood" in error.what
    assert "creditPrice" in error.what


# Torn sweeps


def insert_on_top(catalogue: Catalogue, page: int) -> None:
    if page == 3:
        catalogue.insert(a_row("Come between two pages"))


def remove_from_the_top(catalogue: Catalogue, page: int) -> None:
    if page == 3:
        catalogue.remove(catalogue.rows[0]["modelDescription"])


def insert_and_remove(catalogue: Catalogue, page: int) -> None:
    if page == 3:
        catalogue.insert(a_row("Come between two pages"))
        catalogue.remove(catalogue.rows[-1]["modelDescription"])


def swap_within_a_page_to_come(catalogue: Catalogue, page: int) -> None:
    if page == 3:
        gone = catalogue.remove(catalogue.rows[500]["modelDescription"])
        catalogue.insert(a_row("Taken its place", interfaceType=gone["interfaceType"]), at=500)


def once(hook: Callable[[Catalogue, int], None]) -> Callable[[Catalogue, int], None]:
    done: set[int] = set()

    def hook_once(catalogue: Catalogue, page: int) -> None:
        if page not in done:
            done.add(page)
            hook(catalogue, page)

    return hook_once


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("hook", [insert_on_top, remove_from_the_top, insert_and_remove])
async def test_a_sweep_torn_once_is_repeated_after_a_moment(
    sim: Simulator, hook: Any, concurrency: int
) -> None:
    pauses = Pauses()
    sim.between_pages(once(hook))
    async with client_of(sim, pauses, concurrency=concurrency) as client:
        sweep = await client.sweep(UNLIKE)
    assert pauses == [timedelta(seconds=2)]
    assert read(sweep) == listed(sim.catalogue)
    assert sweep.disagreement is None


async def test_a_row_swapped_before_it_is_read_tears_nothing(
    sim: Simulator, client: KieClient
) -> None:
    sim.between_pages(once(swap_within_a_page_to_come))
    sweep = await client.sweep(UNLIKE)
    assert read(sweep) == listed(sim.catalogue)
    assert len(pages_asked(sim)) == 6


async def test_a_catalogue_that_never_stands_still_is_inconclusive(sim: Simulator) -> None:
    pauses = Pauses()
    serial = iter(range(10**6))
    sim.between_pages(lambda catalogue, _: catalogue.insert(a_row(f"Another {next(serial)}")))
    async with client_of(sim, pauses, attempts=4) as client:
        error = await refusal(client.sweep(UNLIKE))
    assert error.reason is SourceReason.TORN
    assert error.what.startswith("4 attempts gave no complete catalogue")
    assert "different totals" in error.what
    assert len(pauses) == 3


async def test_a_torn_attempt_asks_for_no_more_pages_than_it_must(sim: Simulator) -> None:
    sim.faults.always(TotalOff(page=2))
    async with client_of(sim, concurrency=1, page_size=10) as client:
        await refusal(client.sweep(UNLIKE))
    assert pages_asked(sim) == [1, 2] * 3


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(TotalOff(page=4, by=-1), "different totals (573, 574)", id="another total"),
        pytest.param(Shift(page=6, by=-1), "573 records were read where the pages give 574", id="one missing"),
        pytest.param(Empty(page=4), "different totals (0, 574)", id="a page of nothing"),
    ],
)  # fmt: skip
async def test_pages_that_contradict_each_other_are_refused_however_often_they_come(
    sim: Simulator, client: KieClient, fault: Fault, why: str
) -> None:
    good = await client.sweep(UNLIKE)
    sim.faults.always(fault)
    for last in (None, UNLIKE, good.probe):
        error = await refusal(client.sweep(last))
        assert error.reason is SourceReason.TORN
        assert why in error.what


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        pytest.param(CountsOff(by=-91), "says 483 for 'all', the pages list 574", id="in all"),
        pytest.param(CountsOff(by=1, category="video"), "for 'video', the pages list", id="of a category"),
        pytest.param(CountsOff(by=7, category="smell"), "says 7 for 'smell', the pages list 0", id="of an unknown category"),
    ],
)  # fmt: skip
async def test_counts_that_lastingly_disagree_do_not_blind_the_watcher(
    sim: Simulator, client: KieClient, fault: Fault, why: str
) -> None:
    sim.faults.always(fault)
    sweep = await client.sweep(UNLIKE)
    assert read(sweep) == listed(sim.catalogue)
    assert why in (sweep.disagreement or "")
    assert len(pages_asked(sim)) == 12
    # Then a quiet poll is as quiet as ever, and a sweep that shows the same is made once.
    assert await client.probe(sweep.probe) is None
    sim.requests.clear()
    assert (await client.sweep(sweep.probe)).probe == sweep.probe
    assert len(pages_asked(sim)) == 6


async def test_a_description_listed_on_two_pages_does_not_blind_the_watcher(
    sim: Simulator, client: KieClient
) -> None:
    sim.catalogue.insert({**ROWS[0], "creditPrice": "77"}, at=300)
    sweep = await client.sweep(UNLIKE)
    assert "are on two pages" in (sweep.disagreement or "")
    assert read(sweep) == listed(sim.catalogue)


async def test_a_count_that_was_wrong_once_costs_one_more_attempt(
    sim: Simulator, client: KieClient
) -> None:
    sim.faults.next(CountsOff(by=1))
    sweep = await client.sweep(UNLIKE)
    assert sweep.disagreement is None or "moved" not in sweep.disagreement
    assert len(pages_asked(sim)) == 12


# The probe


@pytest.fixture
async def last(client: KieClient, sim: Simulator) -> Probe:
    probe = (await client.sweep(UNLIKE)).probe
    sim.requests.clear()
    return probe


async def test_a_quiet_probe_is_two_small_requests(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    before = client.traffic.bytes
    assert await client.probe(last) is None
    assert sim.requests == [("count", None), ("page", {"pageNum": 1, "pageSize": 20})]
    assert client.traffic.bytes - before < 6000


async def test_without_a_last_sweep_a_probe_has_nothing_to_ask(
    sim: Simulator, client: KieClient
) -> None:
    assert await client.probe(None) == "there is nothing to compare with yet"
    assert sim.requests == []


async def test_other_counts_need_no_second_request(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.catalogue.insert(a_row("Deep down"), at=500)
    assert await client.probe(last) == "the counts are not as they were"
    assert len(sim.requests) == 1


async def test_a_probe_notices_a_category_traded_for_another(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    deep = sim.catalogue.rows[-1]
    sim.catalogue.edit(deep["modelDescription"], interfaceType="smell")
    assert await client.probe(last) == "the counts are not as they were"


async def test_a_probe_notices_what_changed_on_page_one(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.catalogue.edit(sim.catalogue.rows[19]["modelDescription"], creditPrice="4000")
    assert "the first 20 records" in (await client.probe(last) or "")


async def test_a_probe_does_not_mind_the_order_of_page_one(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.catalogue.insert(sim.catalogue.remove(sim.catalogue.rows[7]["modelDescription"]), at=0)
    assert await client.probe(last) is None


async def test_probes_leave_nothing_in_memory(client: KieClient, last: Probe) -> None:
    await client.probe(last)
    kept = len(client._ages)
    for _ in range(3):
        await client.probe(last)
    assert len(client._ages) == kept


async def test_a_probe_notices_a_total_that_the_counts_do_not_show(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.faults.always(TotalOff())
    assert await client.probe(last) == "the total is 575, it was 574"


async def test_a_probe_notices_a_page_that_came_empty(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    body = b'{"code": 200, "data": {"records": [], "total": 574}}'
    sim.faults.next(Raw(body=body, call="page"))
    assert await client.probe(last) == "page 1 is empty"


async def test_a_probe_cannot_see_a_price_beyond_page_one_and_a_sweep_can(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.catalogue.edit(sim.catalogue.rows[400]["modelDescription"], creditPrice="4000")
    assert await client.probe(last) is None
    assert (await client.sweep(last)).probe.records != last.records


@pytest.mark.parametrize("cap", [5, 10])
async def test_a_probe_is_content_with_smaller_pages(
    sim: Simulator, client: KieClient, last: Probe, cap: int
) -> None:
    sim.faults.always(PageCap(size=cap))
    assert await client.probe(last) is None


async def test_a_client_that_has_read_before_reads_what_a_new_one_reads() -> None:
    rng = Random(1)
    async with Simulator(generate(seed=1, size=60)) as sim, client_of(sim, page_size=20) as old:
        for _ in range(40):
            for _ in range(rng.choice([0, 1, 10])):
                random_edit(rng, sim.catalogue).edit.apply(sim.catalogue)
            await old.probe(UNLIKE)
            async with client_of(sim, page_size=20) as new:
                assert await old.sweep(UNLIKE) == await new.sweep(UNLIKE)


# Errors: each sort on each call, and never an empty catalogue. What a reply may be is tested with
# what reads replies.


LATER = datetime.now(UTC) + timedelta(hours=2)
BAD_REPLIES = [
    pytest.param(Status(status=500), SourceReason.STATUS, "status 500", id="500"),
    pytest.param(Html(status=502), SourceReason.STATUS, "status 502", id="502 with a page"),
    pytest.param(Envelope(), SourceReason.ENVELOPE, "code 4030, 'Not supported in the current region.'", id="envelope"),
    pytest.param(HalfJson(), SourceReason.BODY, "not JSON", id="half a JSON"),
    pytest.param(Raw(body=gzip.compress(b"{}" * 99)[:-9], content_encoding="gzip"), SourceReason.BODY, "is incomplete", id="half a gzip"),
    pytest.param(Huge(size=None), SourceReason.CAP, "larger than 16 MiB", id="endless"),
    pytest.param(Bomb(), SourceReason.CAP, "larger than 16 MiB", id="a bomb"),
    pytest.param(Redirect(), SourceReason.REDIRECT, "not followed", id="redirect to another host"),
    pytest.param(Redirect(to="/client/v2/", status=308), SourceReason.REDIRECT, "another path of this host", id="redirect to this host"),
    pytest.param(Drop(), SourceReason.TRANSPORT, "was closed", id="hung up at once"),
    pytest.param(Drop(after=20), SourceReason.TRANSPORT, "was closed", id="hung up midway"),
]  # fmt: skip


@pytest.mark.parametrize("call", ["count", "page"])
@pytest.mark.parametrize(("fault", "reason", "what"), BAD_REPLIES)
async def test_a_bad_reply_is_an_error_that_says_which_call_and_what_came(
    sim: Simulator,
    client: KieClient,
    *,
    fault: Any,
    reason: SourceReason,
    what: str,
    call: str,
) -> None:
    fields = {name: getattr(fault, name) for name in fault.__dataclass_fields__}
    sim.faults.always(type(fault)(**{**fields, "call": call}))
    error = await refusal(client.sweep(UNLIKE))
    assert error.reason is reason
    assert what in error.what
    assert f"model-pricing/{call}" in error.call
    assert error.retry_after is None


@pytest.mark.parametrize("shape", list(WrongShape))
async def test_a_reply_of_another_shape_is_an_error(
    sim: Simulator, client: KieClient, shape: WrongShape
) -> None:
    sim.faults.always(Shape(shape=shape))
    error = await refusal(client.sweep(UNLIKE))
    misread = {WrongShape.RECORDS_NUMBERS, WrongShape.RECORDS_NAMELESS}
    assert error.reason is (SourceReason.SCHEMA if shape in misread else SourceReason.SHAPE)


async def test_an_error_on_the_last_page_spoils_the_sweep_and_stops_it(sim: Simulator) -> None:
    pauses = Pauses()
    sim.faults.always(Status(status=500, page=6))
    async with client_of(sim, pauses) as client:
        error = await refusal(client.sweep(UNLIKE))
    assert error.call == "POST model-pricing/page (page 6)"
    assert pauses == []


async def test_an_error_in_a_probe_is_an_error_and_not_a_difference(
    sim: Simulator, client: KieClient, last: Probe
) -> None:
    sim.faults.next(Envelope(call="page"))
    assert (await refusal(client.probe(last))).reason is SourceReason.ENVELOPE
    assert await client.probe(last) is None


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [
        pytest.param(Status(status=429, retry_after=timedelta(minutes=7)), 420, 420, id="429, seconds"),
        pytest.param(Status(status=503, retry_after=LATER), 5000, 7200, id="503, a date"),
        pytest.param(Envelope(code=429, msg="slow down", retry_after=timedelta(minutes=7)), 420, 420, id="in the envelope"),
        pytest.param(Status(status=429), None, None, id="not said"),
        pytest.param(Envelope(code=429), None, None, id="not said in the envelope"),
    ],
)  # fmt: skip
async def test_an_error_says_when_to_come_back(
    sim: Simulator, client: KieClient, fault: Fault, least: int | None, most: int | None
) -> None:
    sim.faults.next(fault)
    wait = (await refusal(client.sweep(UNLIKE))).retry_after
    if least is None or most is None:
        assert wait is None
    else:
        assert wait is not None
        assert least <= wait.total_seconds() <= most


@pytest.mark.parametrize(
    "fault", [Hang(), Drip(chunk=1, every=timedelta(milliseconds=20))], ids=str
)
async def test_a_reply_that_does_not_come_in_time_is_given_up(sim: Simulator, fault: Fault) -> None:
    sim.faults.next(fault)
    async with client_of(sim, timeout=timedelta(milliseconds=150)) as client:
        error = await refusal(client.sweep(UNLIKE))
        assert error.reason is SourceReason.TRANSPORT
        assert error.what == "no complete reply within 0.15 s"
        assert await client.probe(UNLIKE) is not None


async def test_a_hanging_page_does_not_keep_the_others_waiting_for_ever(sim: Simulator) -> None:
    sim.faults.always(Hang(page=3))
    async with client_of(sim, timeout=timedelta(milliseconds=150)) as client:
        assert (await refusal(client.sweep(UNLIKE))).call.endswith("(page 3)")


async def test_a_server_that_is_not_there_is_an_error() -> None:
    async with Simulator([]) as sim:
        pass
    async with client_of(sim) as client:
        error = await refusal(client.probe(UNLIKE))
    assert error.reason is SourceReason.TRANSPORT
    assert "cannot connect" in error.what


async def test_after_an_error_the_same_client_goes_on(sim: Simulator, client: KieClient) -> None:
    sim.faults.next(Drop(after=20), Bomb(), Status())
    for _ in range(3):
        await refusal(client.probe(UNLIKE))
    assert len((await client.sweep(UNLIKE)).records) == len(ROWS)


async def test_a_server_that_gives_one_record_a_page_is_not_asked_a_million_times(
    sim: Simulator, client: KieClient
) -> None:
    body = {"code": 200, "data": {"records": [a_row("One of a million")], "total": 1_000_000}}
    sim.faults.always(Raw(body=json.dumps(body).encode(), call="page"))
    error = await refusal(client.sweep(UNLIKE))
    assert error.reason is SourceReason.CAP
    assert pages_asked(sim) == [1]


async def test_a_sweep_that_is_cancelled_ends_at_once(sim: Simulator, client: KieClient) -> None:
    reached = asyncio.Event()
    sim.between_pages(lambda _, page: reached.set() if page == 2 else None)
    sim.faults.always(Hang(page=2))
    sweeping = asyncio.create_task(client.sweep(UNLIKE))
    await reached.wait()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping


# Manners


async def test_the_client_says_who_it_is_and_takes_compressed_replies(
    sim: Simulator, client: KieClient
) -> None:
    await client.sweep(UNLIKE)
    assert sim.headers["User-Agent"] == f"kie-watcher/{__version__} (+{PROJECT_URL})"
    assert sim.headers["Accept-Encoding"] == "gzip, deflate"
    assert sim.headers["Cache-Control"] == "no-cache"
    plain = sum(len(json.dumps(row)) for row in ROWS)
    assert client.traffic.bytes == sim.body_bytes
    assert client.traffic.bytes < plain / 2
    assert client.traffic.requests == len(sim.requests)


def test_the_project_url_is_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    assert project["project"]["urls"]["Homepage"] == PROJECT_URL


async def test_a_base_address_is_good_with_and_without_its_last_slash(sim: Simulator) -> None:
    source = SourceSettings().model_copy(update={"url": sim.url.rstrip("/")})
    async with open_client(source, PollSettings(), Pauses()) as client:
        assert await client.probe(UNLIKE) == "the counts are not as they were"
