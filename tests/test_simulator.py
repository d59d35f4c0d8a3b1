"""The simulated API keeps the promises the documented one makes, and breaks them when told to."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Snapshot, parse_record
from watcher.simulator.catalogue import (
    Catalogue,
    Correct,
    Duplicate,
    Insert,
    Promotion,
    Recategorise,
    ReferencePrice,
    Relabel,
    Remove,
    Rename,
    Reprice,
    Rerate,
    Reunit,
    identity_key,
)
from watcher.simulator.faults import (
    Bomb,
    CountsOff,
    Drip,
    Drop,
    Empty,
    Envelope,
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
from watcher.simulator.generator import generate, quirks
from watcher.simulator.market import ClearFaults, Lasting, Market, demo_script
from watcher.simulator.random_edits import random_edit
from watcher.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MEBIBYTE = 2**20
CATALOGUES = [generate(seed=seed) for seed in range(5)]


def row(description: str = "Seedance 2.0, 1080p", **fields: Any) -> dict[str, Any]:
    return {
        "modelDescription": description,
        "interfaceType": "video",
        "provider": "ByteDance",
        "creditPrice": "54",
        "creditUnit": "per video",
        "usdPrice": "0.27",
        "falPrice": "0.54",
        "discountRate": 50.0,
        "anchor": "https://kie.ai/seedance-2",
        "discountPrice": False,
        **fields,
    }


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(generate(size=250)) as simulator:
        yield simulator


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(sim.url, timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def reached(condition: Callable[[], bool]) -> None:
    """Let the others run until it is so; there is no event to wait for."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def get_counts(http: aiohttp.ClientSession) -> Any:
    async with http.get("model-pricing/count", allow_redirects=False) as reply:
        return await reply.json()


async def get_page(
    http: aiohttp.ClientSession, number: int = 1, size: int = 100, **more: Any
) -> Any:
    asked = {"pageNum": number, "pageSize": size, **more}
    async with http.post("model-pricing/page", json=asked, allow_redirects=False) as reply:
        return await reply.json()


def descriptions(page: Any) -> list[str]:
    return [record["modelDescription"] for record in page["data"]["records"]]


# ── the catalogue that is made up ────────────────────────────────────────────────────────────────


def test_the_same_seed_makes_the_same_catalogue_and_another_seed_another() -> None:
    assert generate(seed=7) == generate(seed=7)
    assert generate(seed=7) != generate(seed=8)


def test_the_default_catalogue_has_the_usual_size_categories_and_proportions() -> None:
    counts = Catalogue(generate()).counts()
    assert counts["all"] == 570
    assert 0.5 < counts["video"] / 570 < 0.6
    assert 0.18 < counts["image"] / 570 < 0.25
    assert 0.13 < counts["chat"] / 570 < 0.2
    assert 0.03 < counts["music"] / 570 < 0.08


@pytest.mark.parametrize("size", [0, 1, 7, 20, 570, 3000])
def test_a_catalogue_has_as_many_rows_as_asked_each_with_an_identity_of_its_own(size: int) -> None:
    rows = generate(seed=3, size=size)
    assert len(rows) == size
    assert len({identity_key(row["modelDescription"]) for row in rows}) == size


@pytest.mark.parametrize("rows", CATALOGUES, ids=range(5))
def test_every_row_can_be_read_and_a_credit_is_worth_what_is_documented(
    rows: list[dict[str, Any]],
) -> None:
    records = list(map(parse_record, rows))
    assert len({record.identity_key for record in records}) == 570
    snapshot = Snapshot.of(records, previous_credit_value=Decimal("0.007"))
    assert snapshot.usd_per_credit == DOCUMENTED_USD_PER_CREDIT


def test_every_row_follows_the_wire_schema() -> None:
    fields = {name: type(value) for name, value in row().items()}
    for made in generate():
        assert {name: type(value) for name, value in made.items()} == fields


@pytest.mark.parametrize(
    "has_it",
    [
        pytest.param(lambda row: row["creditUnit"] == "per vedio", id="vedio"),
        pytest.param(lambda row: row["creditUnit"] == "", id="no unit"),
        pytest.param(lambda row: row["creditUnit"] == "per milion tokens", id="milion"),
        pytest.param(lambda row: row["creditUnit"] == "per million toke", id="unit cut off"),
        pytest.param(lambda row: row["creditUnit"] == "per 6 images", id="several at a time"),
        pytest.param(lambda row: row["creditUnit"].strip() != row["creditUnit"], id="spaced unit"),
        pytest.param(lambda row: "," in row["usdPrice"], id="comma"),
        pytest.param(lambda row: row["usdPrice"].startswith(" "), id="space before a price"),
        pytest.param(lambda row: row["creditPrice"].endswith(" "), id="space after a price"),
        pytest.param(lambda row: row["creditPrice"].endswith(".0"), id="point zero"),
        pytest.param(lambda row: row["creditPrice"] == "0", id="free"),
        pytest.param(lambda row: row["discountRate"] and not row["falPrice"], id="no rival"),
        pytest.param(lambda row: row["anchor"] == "", id="no link"),
        pytest.param(lambda row: row["anchor"] == "see docs", id="link that is none"),
        pytest.param(lambda row: row["provider"] == "Other", id="other"),
        pytest.param(lambda row: "aiduo" in row["modelDescription"], id="aiduo"),
        pytest.param(lambda row: "（" in row["modelDescription"], id="full-width brackets"),
        pytest.param(lambda row: "→" in row["modelDescription"], id="arrow"),
        pytest.param(lambda row: ",  " in row["modelDescription"], id="double space"),
        pytest.param(lambda row: " ," in row["modelDescription"], id="space before a comma"),
    ],
)
def test_the_default_catalogue_has_the_quirk(has_it: Any) -> None:
    assert all(any(map(has_it, rows)) for rows in CATALOGUES)


def test_quirk_names_are_all_different() -> None:
    names = [quirk.name for quirk in quirks()]
    assert len(names) == len(set(names))


def test_links_are_shared_and_so_no_identity() -> None:
    assert len({row["anchor"] for row in generate()}) < 570 / 2


def test_duplicates_are_made_only_when_asked_for_and_half_of_them_are_exact() -> None:
    rows = generate(size=100, duplicates=4)
    names = Counter(row["modelDescription"] for row in rows)
    whole = Counter(json.dumps(row, sort_keys=True) for row in rows)
    assert len(rows) == 104
    assert sum(count - 1 for count in names.values()) == 4
    assert sum(count - 1 for count in whole.values()) == 2


# ── the API as documented and as observed ────────────────────────────────────────────────────────


async def test_counts_name_all_and_each_category(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    reply = await get_counts(http)
    assert reply == {"code": 200, "msg": "success", "data": sim.catalogue.counts()}
    assert set(reply["data"]) == {"all", "video", "image", "chat", "music"}


async def test_pages_put_together_are_the_catalogue_in_its_order(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    pages = [await get_page(http, number) for number in (1, 2, 3)]
    assert [record for page in pages for record in page["data"]["records"]] == list(
        sim.catalogue.rows
    )
    assert {(page["data"]["total"], page["data"]["pages"]) for page in pages} == {(250, 3)}
    assert [page["data"]["current"] for page in pages] == [1, 2, 3]


async def test_a_page_past_the_end_is_empty_and_still_names_the_total(
    http: aiohttp.ClientSession,
) -> None:
    page = await get_page(http, 99)
    assert page["data"]["records"] == []
    assert page["data"]["total"] == 250


@pytest.mark.parametrize(("asked", "given"), [(10, 10), (37, 37), (100, 100), (1000, 100)])
async def test_the_page_size_is_what_is_asked_and_never_more_than_a_hundred(
    http: aiohttp.ClientSession, asked: int, given: int
) -> None:
    assert len((await get_page(http, 1, asked))["data"]["records"]) == given


async def test_a_body_without_sizes_asks_for_ten_from_the_top(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    async with http.post("model-pricing/page", json={}) as reply:
        assert (await reply.json())["data"]["records"] == list(sim.catalogue.rows[:10])


async def test_pages_are_limited_to_a_category_and_to_a_search(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    music = await get_page(http, interfaceType="music")
    assert music["data"]["total"] == sim.catalogue.counts()["music"]
    assert {record["interfaceType"] for record in music["data"]["records"]} == {"music"}
    found = await get_page(http, modelDescription="SEEDANCE")
    assert 0 < found["data"]["total"] < 250
    assert all("seedance" in name.lower() for name in descriptions(found))


async def test_get_on_page_is_http_200_with_a_404_inside(http: aiohttp.ClientSession) -> None:
    async with http.get("model-pricing/page") as reply:
        assert reply.status == 200
        assert (await reply.json())["code"] == 404


@pytest.mark.parametrize("body", ["", "[]", "{", '{"pageNum": 0}', '{"pageSize": "many"}'])
async def test_a_page_request_that_makes_no_sense_is_an_error_in_the_envelope(
    http: aiohttp.ClientSession, body: str
) -> None:
    async with http.post("model-pricing/page", data=body) as reply:
        assert (await reply.json())["code"] == 400


async def test_replies_are_compressed_for_those_who_take_it(http: aiohttp.ClientSession) -> None:
    async with http.post("model-pricing/page", json={}) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
    async with http.post(
        "model-pricing/page", json={}, headers={"Accept-Encoding": "identity"}
    ) as reply:
        assert "Content-Encoding" not in reply.headers


async def test_the_calls_seen_are_kept_with_what_they_asked(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    await get_counts(http)
    await get_page(http, 2, 20)
    assert sim.requests == [("count", None), ("page", {"pageNum": 2, "pageSize": 20})]
    assert "aiohttp" in sim.headers["User-Agent"]
    assert sim.body_bytes > 0
    assert sim.most_at_once == 1


async def test_an_edit_shows_in_the_very_next_reply(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    await get_page(http)
    sim.catalogue.insert(row("Brand new"))
    sim.catalogue.edit("Brand new", creditPrice="99")
    page = await get_page(http)
    assert page["data"]["records"][0]["creditPrice"] == "99"
    assert page["data"]["total"] == 251


async def test_the_hook_between_pages_sees_each_page_before_it_is_made(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    def insert_before_page_two(catalogue: Catalogue, number: int) -> None:
        if number == 2:
            catalogue.insert(row("Squeezed in"))

    sim.between_pages(insert_before_page_two)
    first, second = await get_page(http, 1), await get_page(http, 2)
    assert descriptions(first)[-1] == descriptions(second)[0]
    assert (first["data"]["total"], second["data"]["total"]) == (250, 251)
    sim.between_pages(None)
    await get_page(http, 2)
    assert len(sim.catalogue) == 251


async def test_text_that_cannot_be_utf_8_is_still_valid_json() -> None:
    async with (
        Simulator([row("half \ud83d of a pair")]) as sim,
        aiohttp.ClientSession(sim.url) as http,
    ):
        assert descriptions(await get_page(http)) == ["half \ud83d of a pair"]


# ── the catalogue under edits ────────────────────────────────────────────────────────────────────


def test_rows_given_and_rows_served_are_not_the_same_objects() -> None:
    given = row()
    catalogue = Catalogue([given])
    catalogue.edit(given["modelDescription"], creditPrice="1")
    assert given["creditPrice"] == "54"
    assert catalogue.rows[0]["creditPrice"] == "1"


def test_of_several_rows_of_one_description_the_topmost_is_meant() -> None:
    catalogue = Catalogue([row("a"), row("b", creditPrice="1"), row("b", creditPrice="2")])
    catalogue.edit("b", creditPrice="9")
    assert [row["creditPrice"] for row in catalogue.rows] == ["54", "9", "2"]
    catalogue.remove("b")
    assert catalogue.find("b")["creditPrice"] == "2"


def test_a_row_that_is_not_there_cannot_be_edited() -> None:
    with pytest.raises(LookupError, match="no 'Nothing of the kind'"):
        Catalogue([row()]).remove("Nothing of the kind")


def test_edits_find_their_row_after_rows_have_moved() -> None:
    catalogue = Catalogue([row("a"), row("b"), row("c")])
    catalogue.insert(row("d"), at=1)
    catalogue.rename("b", "bb")
    catalogue.duplicate("c")
    catalogue.remove("a")
    assert [row["modelDescription"] for row in catalogue.rows] == ["d", "bb", "c", "c"]
    assert [catalogue.position(name) for name in ("d", "bb", "c")] == [0, 1, 2]
    assert "b" not in catalogue


NAME = "Seedance 2.0, 1080p"


@pytest.mark.parametrize(
    ("edit", "changed", "line"),
    [
        pytest.param(
            Reprice(NAME, Decimal(75)),
            {"creditPrice": "75", "usdPrice": "0.375", "discountRate": 30.56},
            "Seedance 2.0, 1080p: 54 → 75 credits",
            id="price",
        ),
        pytest.param(
            Reunit(NAME, "per 2 images"),
            {"creditUnit": "per 2 images"},
            "Seedance 2.0, 1080p: “per video” → “per 2 images” at 54 credits",
            id="unit",
        ),
        pytest.param(
            Rerate(NAME, 60.0),
            {"discountRate": 60.0},
            "Seedance 2.0, 1080p: listed discount 50.0 → 60.0 %",
            id="listed rate",
        ),
        pytest.param(
            ReferencePrice(NAME, Decimal("0.36")),
            {"falPrice": "0.36", "discountRate": 25.0},
            "Seedance 2.0, 1080p: reference $0.54 → $0.36",
            id="reference",
        ),
        pytest.param(
            ReferencePrice(NAME, None),
            {"falPrice": "", "discountRate": 0.0},
            "Seedance 2.0, 1080p: reference $0.54 → nothing",
            id="reference gone",
        ),
        pytest.param(
            Promotion(NAME, active=True),
            {"discountPrice": True},
            "Seedance 2.0, 1080p: a promotion starts",
            id="promotion",
        ),
        pytest.param(
            Rename(NAME, "Seedance 2, 1080p"),
            {"modelDescription": "Seedance 2, 1080p"},
            "Seedance 2.0, 1080p: now called Seedance 2, 1080p",
            id="rename",
        ),
        pytest.param(
            Correct(NAME, "2.7"),
            {"usdPrice": "2.7"},
            "Seedance 2.0, 1080p: listed USD “0.27” → “2.7”",
            id="correct",
        ),
        pytest.param(
            Relabel(NAME, anchor="", unit="per vedio", spelling="seedance  2.0 , 1080P"),
            {"anchor": "", "creditUnit": "per vedio", "modelDescription": "seedance  2.0 , 1080P"},
            "Seedance 2.0, 1080p: anchor “https://kie.ai/seedance-2” → “”, "
            "creditUnit “per video” → “per vedio”, "
            "modelDescription “Seedance 2.0, 1080p” → “seedance  2.0 , 1080P”",
            id="relabel",
        ),
        pytest.param(
            Recategorise(NAME, "3d"),
            {"interfaceType": "3d"},
            "Seedance 2.0, 1080p: category video → 3d",
            id="category",
        ),
    ],
)
def test_an_edit_changes_these_fields_and_says_so(
    edit: Any, changed: dict[str, Any], line: str
) -> None:
    catalogue = Catalogue([row("above"), row(), row("below")])
    assert edit.describe(catalogue) == line
    edit.apply(catalogue)
    assert catalogue.rows == (row("above"), row() | changed, row("below"))


def test_rows_are_inserted_at_the_top_or_in_the_middle_removed_and_listed_twice() -> None:
    catalogue = Catalogue([row("a"), row("b")])
    edits = [Insert(row("top")), Insert(row("mid"), at=2), Remove("a"), Duplicate("b", Decimal(9))]
    lines = []
    for edit in edits:
        lines.append(edit.describe(catalogue))
        edit.apply(catalogue)
    assert [row["modelDescription"] for row in catalogue.rows] == ["top", "mid", "b", "b"]
    assert catalogue.rows[-1]["creditPrice"] == "9"
    assert lines == [
        "top: listed at 54 credits per video",
        "mid: listed at 54 credits per video (at place 2)",
        "a: taken off the list",
        "b: listed a second time at 9 credits",
    ]


def test_another_name_is_no_relabelling() -> None:
    with pytest.raises(ValueError, match="another name"):
        Relabel(NAME, spelling="Seedance 2.0, 720p")


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_one_shot_fault_befalls_one_request_and_a_lasting_one_all_until_cleared(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    async def codes(times: int) -> list[int]:
        return [(await get_counts(http))["code"] for _ in range(times)]

    sim.faults.next(Envelope(1), Envelope(2))
    assert await codes(3) == [1, 2, 200]
    sim.faults.always(Envelope(3))
    assert await codes(2) == [3, 3]
    sim.faults.clear()
    assert await codes(1) == [200]


async def test_a_fault_waits_for_the_call_and_the_page_it_is_limited_to(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.next(Envelope(1, call="page", page=2), Envelope(2, call="count"))
    assert (await get_page(http, 1))["code"] == 200
    assert (await get_counts(http))["code"] == 2
    assert (await get_counts(http))["code"] == 200
    assert sim.faults.waiting == (Envelope(1, call="page", page=2),)
    assert (await get_page(http, 2))["code"] == 1
    assert sim.faults.waiting == ()


async def test_faults_that_alter_a_reply_add_up_with_one_that_takes_its_place(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.always(PageCap(37), TotalOff(2), Status(500))
    sim.faults.next(Envelope(1))
    assert (await get_page(http))["code"] == 1
    sim.faults.clear()
    sim.faults.always(PageCap(37), TotalOff(2))
    page = await get_page(http)
    assert (len(page["data"]["records"]), page["data"]["total"]) == (37, 252)


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (timedelta(minutes=2), "120"),
        (datetime(2026, 11, 22, 7, 30, tzinfo=UTC), "Sun, 22 Nov 2026 07:30:00 GMT"),
        ("soon", "soon"),
        (None, None),
    ],
)
@pytest.mark.parametrize("kind", [Status, Envelope])
async def test_too_many_requests_is_said_by_status_or_envelope_with_retry_after_in_any_form(
    sim: Simulator, http: aiohttp.ClientSession, kind: Any, retry_after: Any, header: str | None
) -> None:
    sim.faults.next(kind(429, retry_after=retry_after))
    async with http.get("model-pricing/count") as reply:
        code = reply.status if kind is Status else (await reply.json())["code"]
        assert code == 429
        assert reply.headers.get("Retry-After") == header


async def test_a_hang_lasts_until_the_client_leaves(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.next(Hang())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get_counts(http), 0.05)
    assert (await get_counts(http))["code"] == 200


async def test_a_hang_ends_when_the_server_stops() -> None:
    async with aiohttp.ClientSession() as http:
        async with Simulator([]) as sim:
            sim.faults.next(Hang())
            hanging = asyncio.ensure_future(http.get(f"{sim.url}model-pricing/count"))
            await reached(lambda: bool(sim.requests))
        assert (await hanging).status == 503


async def test_a_drip_is_slow_and_whole(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.faults.next(Drip(chunk=7, every=timedelta(microseconds=10)))
    assert (await get_counts(http))["data"]["all"] == 250


@pytest.mark.parametrize("fault", [HalfJson(), HalfJson(share=0)])
async def test_half_a_json_comes_as_if_it_were_whole(
    sim: Simulator, http: aiohttp.ClientSession, fault: HalfJson
) -> None:
    sim.faults.next(fault)
    async with http.post("model-pricing/page", json={}) as reply:
        assert reply.status == 200
        with pytest.raises(json.JSONDecodeError):
            json.loads(await reply.text())


async def test_a_web_page_comes_as_html(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.faults.next(Html())
    async with http.get("model-pricing/count") as reply:
        assert reply.content_type == "text/html"
        assert (await reply.text()).startswith("<!doctype html>")


@pytest.mark.parametrize("shape", WrongShape, ids=str)
async def test_a_wrong_shape_is_valid_json_that_differs_from_what_is_due(
    sim: Simulator, http: aiohttp.ClientSession, shape: WrongShape
) -> None:
    good = {"count": await get_counts(http), "page": await get_page(http)}
    sim.faults.always(Shape(shape))
    wrong = {"count": await get_counts(http), "page": await get_page(http)}
    befallen = {call for call in good if good[call] != wrong[call]}
    assert befallen == ({shape.call} if shape.call else {"count", "page"})


async def test_a_huge_body_is_larger_than_any_cap_and_may_be_endless(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.next(Huge(), Huge(size=None))
    async with http.get("model-pricing/count") as reply:
        assert len(await reply.read()) >= 17 * MEBIBYTE
    async with http.get("model-pricing/count") as reply:
        assert len(await reply.content.readexactly(MEBIBYTE)) == MEBIBYTE


async def test_a_bomb_is_small_until_it_is_unpacked(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.next(Bomb())
    async with http.get("model-pricing/count") as reply:
        assert int(reply.headers["Content-Length"]) < MEBIBYTE / 10
        assert len(await reply.read()) == 17 * MEBIBYTE


async def test_a_redirect_leads_to_another_host_where_it_would_work(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.next(Redirect(), Redirect(to="https://example.com/", status=307))
    async with http.get("model-pricing/count", allow_redirects=False) as reply:
        there = f"{sim.url}model-pricing/count".replace("127.0.0.1", "localhost")
        assert (reply.status, reply.headers["Location"]) == (302, there)
    async with http.get("model-pricing/count", allow_redirects=False) as reply:
        assert (reply.status, reply.headers["Location"]) == (307, "https://example.com/")


async def test_a_dropped_connection_gives_no_reply_or_a_part_of_one(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    # Not the GET, which a client may repeat by itself.
    sim.faults.always(Drop(call="page"))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await get_page(http)
    sim.faults.clear()
    sim.faults.next(Drop(after=10))
    async with http.post("model-pricing/page", json={}) as reply:
        with pytest.raises(aiohttp.ClientPayloadError):
            await reply.read()


async def test_any_other_body_can_be_sent_byte_for_byte(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    packed = gzip.compress(b'{"code":200}')
    sim.faults.next(Raw(b"\xff\xfe"), Raw(packed, content_encoding="gzip"))
    async with http.get("model-pricing/count") as reply:
        assert await reply.read() == b"\xff\xfe"
    assert await get_counts(http) == {"code": 200}


async def test_a_lower_cap_gives_more_pages(sim: Simulator, http: aiohttp.ClientSession) -> None:
    sim.faults.always(PageCap(37))
    pages = [await get_page(http, number) for number in range(1, 8)]
    assert [len(page["data"]["records"]) for page in pages] == [37] * 6 + [28]
    assert {page["data"]["pages"] for page in pages} == {7}


@pytest.mark.parametrize("by", [1, -1, 3])
async def test_a_shifted_page_starts_where_rows_put_in_or_taken_away_would_have_it_start(
    sim: Simulator, http: aiohttp.ClientSession, by: int
) -> None:
    sim.faults.next(Shift(by=by, page=2))
    assert (await get_page(http, 1))["data"]["records"] == list(sim.catalogue.rows[:100])
    shifted = await get_page(http, 2)
    assert shifted["data"]["records"] == list(sim.catalogue.rows[100 - by : 200 - by])
    assert (await get_page(http, 2))["data"]["records"] == list(sim.catalogue.rows[100:200])


async def test_counts_can_be_off_in_any_category(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.always(CountsOff(3), CountsOff(2, category="audio"))
    counts = (await get_counts(http))["data"]
    assert (counts["all"], counts["audio"]) == (253, 2)
    assert (await get_page(http))["data"]["total"] == 250


async def test_an_empty_catalogue_is_well_formed(
    sim: Simulator, http: aiohttp.ClientSession
) -> None:
    sim.faults.always(Empty())
    assert (await get_counts(http))["data"] == {"all": 0}
    page = await get_page(http)
    assert (page["code"], page["data"]["records"], page["data"]["total"]) == (200, [], 0)


# ── the market ───────────────────────────────────────────────────────────────────────────────────


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    async def pause(self, duration: timedelta) -> None:
        self.pauses.append(duration.total_seconds())
        self.now += duration.total_seconds()

    def clock(self) -> float:
        return self.now


def market(sim: Simulator, script: Any, time: Time, lines: list[str], speed: float = 1) -> Market:
    return Market(sim, script, speed, on_step=lines.append, pause=time.pause, clock=time.clock)


async def test_a_script_is_played_in_time_and_told_line_by_line() -> None:
    time, lines = Time(), []
    sim = Simulator([row()])
    script = [(4, Reprice(NAME, Decimal(75))), (2, Promotion(NAME, active=True)), (4, Remove(NAME))]
    played = market(sim, script, time, lines, speed=2)
    await played.play(asyncio.Event())
    assert time.pauses == [1, 1]
    assert played.length == timedelta(seconds=2)
    assert lines == [
        "Seedance 2.0, 1080p: a promotion starts",
        "Seedance 2.0, 1080p: 54 → 75 credits",
        "Seedance 2.0, 1080p: taken off the list",
    ]
    assert sim.catalogue.rows == ()


async def test_faults_of_a_script_are_one_shot_or_last_until_cleared() -> None:
    time, lines = Time(), []
    sim = Simulator([])
    script = [(1, Status(429)), (2, Lasting(Status(503)))]
    await market(sim, script, time, lines).play(asyncio.Event())
    assert [sim.faults.take("count", None) for _ in range(2)] == [
        (Status(429), Status(503)),
        (Status(503),),
    ]
    await market(sim, [(0, ClearFaults())], time, lines).play(asyncio.Event())
    assert sim.faults.take("count", None) == ()
    assert lines == [
        "the API answers with HTTP 429",
        "the API answers with HTTP 503, until further notice",
        "the API works again",
    ]


async def test_a_market_stops_at_once_when_told_to_and_does_not_play_on() -> None:
    stop = asyncio.Event()
    sim = Simulator([row()])
    script = [(0, Promotion(NAME, active=True)), (3600, Remove(NAME))]
    playing = asyncio.ensure_future(Market(sim, script).play(stop))
    await reached(lambda: bool(sim.catalogue.rows[0]["discountPrice"]))
    stop.set()
    await asyncio.wait_for(playing, 5)
    assert len(sim.catalogue) == 1


@pytest.mark.parametrize("seed", range(5))
async def test_the_demo_plays_every_scene_within_forty_seconds(seed: int) -> None:
    rows = generate(seed=seed)
    script = demo_script(rows)
    kinds = Counter(type(step).__name__ for _, step in script)
    assert kinds == {
        "Reprice": 13,
        "Relabel": 2,
        "Insert": 4,
        "Remove": 2,
        "Reunit": 1,
        "Rename": 1,
        "ReferencePrice": 1,
        "Shift": 1,
        "Promotion": 1,
        "Lasting": 1,
        "ClearFaults": 1,
        "Status": 1,
    }
    time, lines = Time(), []
    await market(Simulator(rows), script, time, lines).play(asyncio.Event())
    assert len(lines) == len(script)
    assert sum(time.pauses) <= 40


def test_the_demo_s_price_in_disguise_is_three_times_dearer_at_the_same_credits() -> None:
    catalogue = Catalogue(generate())
    (edit,) = [step for _, step in demo_script(catalogue.rows) if isinstance(step, Reunit)]
    before = parse_record(catalogue.find(edit.description))
    edit.apply(catalogue)
    after = parse_record(catalogue.find(edit.description))
    assert before.credits == after.credits
    assert before.unit.quantity == 3 * after.unit.quantity


async def test_the_demo_leaves_the_rows_that_were_put_right_as_they_were() -> None:
    rows = generate()
    sim = Simulator(rows)
    script = demo_script(rows)
    absurd = next(step for at, step in script if at == 17 and isinstance(step, Reprice))
    there_again = next(step for at, step in script if at == 12 and isinstance(step, Insert))
    await market(sim, script, Time(), []).play(asyncio.Event())
    before = {row["modelDescription"]: parse_record(row) for row in rows}
    for name in (absurd.description, there_again.row["modelDescription"]):
        assert parse_record(sim.catalogue.find(name)) == before[name]
    assert absurd.credits == 100 * (before[absurd.description].credits or 0)


def test_the_demo_of_a_tiny_catalogue_leaves_out_what_it_has_no_rows_for() -> None:
    assert {type(step) for _, step in demo_script([])} >= {Insert, Lasting, ClearFaults}


# ── chance ───────────────────────────────────────────────────────────────────────────────────────


def test_the_same_dice_make_the_same_edits() -> None:
    def some() -> list[Any]:
        rng, catalogue = Random(4), Catalogue(generate(size=60))
        return [random_edit(rng, catalogue) for _ in range(50)]

    assert some() == some()


@pytest.mark.parametrize("seed", range(3))
def test_random_edits_can_always_be_played_and_keep_every_row_readable(seed: int) -> None:
    rng, catalogue = Random(seed), Catalogue(generate(seed=seed, size=120))
    meanings: Counter[str] = Counter()
    for _ in range(300):
        chosen = random_edit(rng, catalogue)
        assert chosen.edit.describe(catalogue)
        chosen.edit.apply(catalogue)
        assert (chosen.description in catalogue) == (chosen.meaning != "removed")
        meanings[chosen.meaning] += 1
    assert list(map(parse_record, catalogue.rows))
    assert len(meanings) >= 12


def test_a_random_edit_that_means_nothing_or_a_label_leaves_price_and_identity_alone() -> None:
    rng, catalogue = Random(9), Catalogue(generate(size=60))
    for _ in range(120):
        chosen = random_edit(rng, catalogue)
        before = Snapshot.of(map(parse_record, catalogue.rows), DOCUMENTED_USD_PER_CREDIT)
        chosen.edit.apply(catalogue)
        after = Snapshot.of(map(parse_record, catalogue.rows), DOCUMENTED_USD_PER_CREDIT)
        if chosen.meaning == "nothing":
            assert after == before
        if chosen.meaning in {"relabelled", "corrected"}:
            assert after != before
            assert priced(after) == priced(before)


def priced(snapshot: Snapshot) -> set[Any]:
    return {
        (record.identity_key, record.credits, record.unit.quantity, record.unit.base)
        for record in snapshot.records
    }


def test_rows_listed_twice_are_left_alone_by_chance() -> None:
    catalogue = Catalogue([row("a"), row("A"), row("b, something else")])
    rng = Random(1)
    for _ in range(30):
        edit = random_edit(rng, catalogue).edit
        about = edit.row["modelDescription"] if isinstance(edit, Insert) else edit.description
        assert about.startswith("b")


def test_an_empty_catalogue_allows_no_edit() -> None:
    with pytest.raises(LookupError):
        random_edit(Random(1), Catalogue([]))
