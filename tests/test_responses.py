"""What a reply may be, and every way in which it is not."""

from __future__ import annotations

import gzip
import json
import zlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.kie.responses import (
    MAX_BODY_BYTES,
    MAX_RECORDS,
    Body,
    SourceError,
    SourceReason,
    read_counts,
    read_envelope,
    read_page,
    refuse_status,
)
from watcher.schedule import parse_retry_after

NOW = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ROW = {"modelDescription": "Orbit 2, 5s 720p", "interfaceType": "video", "creditPrice": "84.0"}


def unpacked(encoding: str, *chunks: bytes) -> str:
    body = Body("call", encoding)
    for chunk in chunks:
        body.feed(chunk)
    return body.text()


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def of_size(size: int) -> bytes:
    return b" " * (size - 2) + b"{}"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        pytest.param("", bytes, id="as it is"),
        pytest.param("identity", bytes, id="identity"),
        pytest.param("gzip", gzip.compress, id="gzip"),
        pytest.param(" GZip ", gzip.compress, id="gzip, oddly written"),
        pytest.param("x-gzip", gzip.compress, id="gzip by its old name"),
        pytest.param("deflate", zlib.compress, id="deflate"),
        pytest.param("deflate", bare_deflate, id="deflate without its head"),
    ],
)
def test_a_body_comes_out_as_it_was_packed_however_it_was_cut(encoding: str, pack: Any) -> None:
    packed = pack('{"name": "→ （全）"}'.encode())
    assert unpacked(encoding, packed) == '{"name": "→ （全）"}'
    single_bytes = (packed[at : at + 1] for at in range(len(packed)))
    assert unpacked(encoding, *single_bytes) == '{"name": "→ （全）"}'


def test_a_byte_order_mark_does_no_harm() -> None:
    assert unpacked("", b"\xef\xbb\xbf{}") == "{}"


@pytest.mark.parametrize(
    ("encoding", "chunks", "what"),
    [
        pytest.param("br", [], "which was not asked for", id="an encoding not asked for"),
        pytest.param("gzip, gzip", [], "which was not asked for", id="two encodings"),
        pytest.param("gzip", [b"<html>"], "damaged", id="not gzip at all"),
        pytest.param("deflate", [b"\x08oh no"], "damaged", id="not deflate at all"),
        pytest.param("gzip", [gzip.compress(b"{}" * 99)[:-9]], "is incomplete", id="half a gzip"),
        pytest.param("", [b'{"a": "\xff"}'], "not UTF-8 (at byte 7 of 10)", id="not UTF-8"),
        pytest.param("", ['{"a": "é"}'.encode("utf-16")], "not UTF-8", id="UTF-16"),
    ],
)
def test_a_body_that_cannot_be_unpacked_says_why(
    encoding: str, chunks: list[bytes], what: str
) -> None:
    with pytest.raises(SourceError) as caught:
        unpacked(encoding, *chunks)
    assert caught.value.reason is SourceReason.BODY
    assert what in caught.value.what


@pytest.mark.parametrize(("encoding", "pack"), [("", bytes), ("gzip", gzip.compress)])
def test_the_cap_is_exactly_16_mib_unpacked(encoding: str, pack: Any) -> None:
    assert len(unpacked(encoding, pack(of_size(MAX_BODY_BYTES)))) == 16 * 1024 * 1024
    with pytest.raises(SourceError, match="larger than 16 MiB") as caught:
        unpacked(encoding, pack(of_size(MAX_BODY_BYTES + 1)))
    assert caught.value.reason is SourceReason.CAP


def test_a_bomb_is_stopped_before_it_is_unpacked() -> None:
    body = Body("call", "gzip")
    with pytest.raises(SourceError, match="larger than 16 MiB"):
        body.feed(gzip.compress(bytes(64 * 1024 * 1024), compresslevel=1))
    assert len(body._whole) == MAX_BODY_BYTES + 1


def test_a_body_that_unpacks_to_nothing_is_capped_on_the_wire() -> None:
    body = Body("call", "deflate")
    body.feed(b"\x78\x9c")
    # Empty blocks: any number of bytes, and not one of content.
    block = b"\x00\x00\x00\xff\xff" * 200_000
    for _ in range(16):
        body.feed(block)
    with pytest.raises(SourceError, match="larger than 16 MiB"):
        body.feed(block)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param(" \n ", "empty", id="white space"),
        pytest.param("<!DOCTYPE html><p>Hi", "begins '<!DOCTYPE html><p>Hi'", id="a web page"),
        pytest.param('{"code": 200, "da', "not JSON", id="half a JSON"),
        pytest.param("{} {}", "not JSON (Extra data at 3 of 5)", id="two JSONs"),
        pytest.param('{"code": NaN}', "cannot be read", id="NaN"),
        pytest.param('{"code": -Infinity}', "cannot be read", id="infinity"),
        pytest.param('{"code": ' + "9" * 5000 + "}", "cannot be read", id="a giant number"),
        pytest.param('{"code": 1e99999999999999999999}', "cannot be read", id="a giant exponent"),
        pytest.param("[" * 100_000, "cannot be read", id="a deep nesting"),
        pytest.param("\x1b[31mred\u202e", r"\x1b[31mred\u202e", id="escapes are not passed on"),
    ],
)
def test_what_is_not_json_is_refused(text: str, what: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_envelope("call", text, None)
    assert caught.value.reason is SourceReason.BODY
    assert what in caught.value.what
    assert caught.value.what.isprintable()


def test_numbers_are_exact_from_the_first_byte() -> None:
    data = read_envelope("call", '{"code": 200, "data": [0.1, 1.10, 5]}', None)
    assert data == [Decimal("0.1"), Decimal("1.10"), 5]


@pytest.mark.parametrize(
    ("reply", "reason", "what"),
    [
        pytest.param([], SourceReason.SHAPE, "no envelope", id="a list"),
        pytest.param(None, SourceReason.SHAPE, "no envelope", id="null"),
        pytest.param({"data": {}}, SourceReason.SHAPE, "no envelope", id="no code"),
        pytest.param({"code": 4030, "msg": "No\x1b[2J"}, SourceReason.ENVELOPE, r"code 4030, 'No\x1b[2J'", id="region"),
        pytest.param({"code": "200", "data": {}}, SourceReason.ENVELOPE, "code '200'", id="a text"),
        pytest.param({"code": True, "data": {}}, SourceReason.ENVELOPE, "a boolean", id="true"),
        pytest.param({"code": [200], "data": {}}, SourceReason.ENVELOPE, "a list", id="a list inside"),
        pytest.param({"code": None}, SourceReason.ENVELOPE, "null", id="null inside"),
        pytest.param({"code": 500, "msg": "x" * 10**5}, SourceReason.ENVELOPE, "xxx…", id="a flood"),
    ],
)  # fmt: skip
def test_an_envelope_that_is_no_success_is_refused(
    reply: object, reason: SourceReason, what: str
) -> None:
    with pytest.raises(SourceError) as caught:
        read_envelope("GET thing", json.dumps(reply), None)
    assert caught.value.reason is reason
    assert what in str(caught.value)
    assert len(str(caught.value)) < 250
    assert str(caught.value).startswith("GET thing: ")


@pytest.mark.parametrize(("code", "kept"), [(429, True), (4030, False)])
def test_only_a_rate_limit_in_the_envelope_says_when_to_come_back(code: int, kept: bool) -> None:
    with pytest.raises(SourceError) as caught:
        read_envelope("call", json.dumps({"code": code}), timedelta(minutes=3))
    assert caught.value.retry_after == (timedelta(minutes=3) if kept else None)
    assert caught.value.status == code


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param("574", id="a text"),
        pytest.param({}, id="no all"),
        pytest.param({"video": 3}, id="a category only"),
        pytest.param({"all": None}, id="all is null"),
        pytest.param({"all": True}, id="all is true"),
        pytest.param({"all": "574"}, id="all is a text"),
        pytest.param({"all": Decimal("1.0")}, id="all is a fraction"),
        pytest.param({"all": -1}, id="all is negative"),
        pytest.param({"all": 3, "\x1b[2J": -1}, id="a category is negative"),
        pytest.param({"all": 3, "video": [[3]]}, id="a category is a list"),
    ],
)
def test_counts_of_another_shape_are_refused(data: object) -> None:
    with pytest.raises(SourceError) as caught:
        read_counts("call", data)
    assert caught.value.reason is SourceReason.SHAPE
    assert str(caught.value).isprintable()


def test_a_category_nobody_has_heard_of_is_welcome() -> None:
    assert read_counts("call", {"all": 3, "smell": 3}) == {"all": 3, "smell": 3}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="a list"),
        pytest.param({}, id="nothing"),
        pytest.param({"records": [ROW]}, id="no total"),
        pytest.param({"total": 1}, id="no records"),
        pytest.param({"records": None, "total": 0}, id="null and zero is not empty"),
        pytest.param({"records": {"0": ROW}, "total": 1}, id="records are an object"),
        pytest.param({"records": [ROW], "total": True}, id="total is true"),
        pytest.param({"records": [ROW], "total": "1"}, id="total is a text"),
        pytest.param({"records": [ROW], "total": Decimal(1)}, id="total is a fraction"),
        pytest.param({"records": [], "total": -1}, id="total is negative"),
        pytest.param({"records": [], "total": None}, id="total is null"),
    ],
)
def test_a_page_of_another_shape_is_refused(data: object) -> None:
    with pytest.raises(SourceError) as caught:
        read_page("call", data, 1, {})
    assert caught.value.reason is SourceReason.SHAPE


def test_a_catalogue_of_more_than_a_million_is_refused() -> None:
    read_page("call", {"records": [], "total": MAX_RECORDS}, 1, {})
    with pytest.raises(SourceError) as caught:
        read_page("call", {"records": [], "total": MAX_RECORDS + 1}, 1, {})
    assert caught.value.reason is SourceReason.CAP


@pytest.mark.parametrize("field", ["modelDescription", "discountPrice", "discountRate", "anchor"])
def test_a_nesting_that_json_just_allows_ends_in_an_error_and_not_in_a_crash(field: str) -> None:
    depths = range(50, 1000, 10)
    for depth in depths:
        try:
            row = {**ROW, field: json.loads("[" * depth + "]" * depth)}
        except RecursionError:
            return
        try:
            read_page("call", {"records": [row], "total": 1}, 1, {})
        except SourceError as error:
            assert error.reason is SourceReason.SHAPE  # noqa: PT017


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
rows = st.dictionaries(st.sampled_from([*ROW, "discountRate", "creditUnit"]), json_values)


@given(
    data=json_values | st.fixed_dictionaries({"records": st.lists(rows), "total": st.integers()})
)
def test_whatever_comes_is_a_page_or_a_source_error(data: object) -> None:
    for read in (read_counts, lambda call, data: read_page(call, data, 1, {})):
        try:
            read("call", data)
        except SourceError as error:
            assert str(error).isprintable()  # noqa: PT017


@given(text=st.text() | st.text(alphabet="0123456789:+-, JanMonGT"))
def test_no_retry_after_can_do_harm(text: str) -> None:
    wait = parse_retry_after(text, NOW)
    assert wait is None or timedelta() <= wait <= timedelta(days=1)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        pytest.param(None, None, id="none"),
        pytest.param("120", timedelta(minutes=2), id="seconds"),
        pytest.param(" 0 ", timedelta(), id="now"),
        pytest.param("1.5", timedelta(seconds=1.5), id="a fraction"),
        pytest.param("-5", None, id="negative"),
        pytest.param("9" * 5000, timedelta(days=1), id="for ever"),
        pytest.param("٣", None, id="foreign digits"),
        pytest.param("Sun, 22 Nov 2026 07:40:00 GMT", timedelta(minutes=10), id="a date"),
        pytest.param("Sun, 22 Nov 2026 07:40:00 -0000", timedelta(minutes=10), id="no zone"),
        pytest.param("Sun, 22 Nov 2026 07:00:00 GMT", timedelta(), id="in the past"),
        pytest.param("Sun, 22 Nov 2099 07:00:00 GMT", timedelta(days=1), id="in another age"),
        pytest.param("Thu, 01 Jan 2026 00:00:00 +99999999999999", None, id="an impossible zone"),
        pytest.param("soon", None, id="words"),
    ],
)
def test_retry_after_is_understood_in_both_its_forms(
    value: str | None, wait: timedelta | None
) -> None:
    assert parse_retry_after(value, NOW) == wait


@pytest.mark.parametrize(
    ("status", "location", "reason", "what", "waits"),
    [
        pytest.param(429, None, SourceReason.STATUS, "status 429 Too Many Requests", True, id="429"),
        pytest.param(503, None, SourceReason.STATUS, "status 503 Service Unavailable", True, id="503"),
        pytest.param(500, None, SourceReason.STATUS, "status 500 Internal Server Error", False, id="500"),
        pytest.param(404, None, SourceReason.STATUS, "status 404 Not Found", False, id="404"),
        pytest.param(204, None, SourceReason.STATUS, "status 204 No Content", False, id="204"),
        pytest.param(799, None, SourceReason.STATUS, "status 799", False, id="unheard of"),
        pytest.param(304, None, SourceReason.STATUS, "status 304 Not Modified", False, id="304"),
        pytest.param(302, "https://u:hush@evil.example/x?key=hush", SourceReason.REDIRECT, "'evil.example'", False, id="elsewhere"),
        pytest.param(308, "/client/v2/", SourceReason.REDIRECT, "another path of this host", False, id="same host"),
        pytest.param(302, "http://[", SourceReason.REDIRECT, "cannot be read", False, id="nonsense"),
    ],
)  # fmt: skip
def test_every_status_but_200_is_an_error_that_says_which(
    status: int, location: str | None, reason: SourceReason, what: str, waits: bool
) -> None:
    with pytest.raises(SourceError) as caught:
        refuse_status("call", status, location, timedelta(minutes=1))
    assert caught.value.reason is reason
    assert caught.value.status == status
    assert what in caught.value.what
    assert "hush" not in caught.value.what
    assert caught.value.retry_after == (timedelta(minutes=1) if waits else None)
