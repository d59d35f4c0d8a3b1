"""The bodies of good replies, as bytes: what the documented API says about a catalogue.

Also says it wrongly, in so far as a fault alters what is said and not how. Bodies are kept for as
long as the catalogue stays as it is. Refuses to know HTTP.

How a reply goes wrong on the wire: each replacing fault carried out.

Knows aiohttp's responses and the connection under them. Refuses to know what a good reply says,
beyond its bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from aiohttp import web

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

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from watcher.simulator.catalogue import Catalogue, Row
    from watcher.simulator.faults import Altering, Replacing, RetryAfter

MOST_PER_PAGE = 100
DEFAULT_PER_PAGE = 10
OK = 200

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a client asks of the page call. `ValueError` where it cannot be understood."""

    number: int = 1
    size: int = DEFAULT_PER_PAGE
    interface: str = ""
    search: str = ""

    @classmethod
    def of(cls, body: object) -> PageQuery:
        """Read the decoded JSON body."""
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")  # noqa: TRY004  one error for one caller
        return cls(
            number=_positive(body, "pageNum", 1),
            size=_positive(body, "pageSize", DEFAULT_PER_PAGE),
            interface=str(body.get("interfaceType") or ""),
            search=str(body.get("modelDescription") or "").casefold(),
        )


@dataclass(frozen=True, slots=True)
class _Alteration:
    """All altering faults of one request taken together."""

    cap: int = MOST_PER_PAGE
    shift: int = 0
    total_off: int = 0
    counts_off: tuple[tuple[str, int], ...] = ()
    empty: bool = False

    @classmethod
    def of(cls, faults: Iterable[Altering]) -> _Alteration:
        known = tuple(faults)
        return cls(
            cap=min([fault.size for fault in known if isinstance(fault, PageCap)] + [cls().cap]),
            shift=sum(fault.by for fault in known if isinstance(fault, Shift)),
            total_off=sum(fault.by for fault in known if isinstance(fault, TotalOff)),
            counts_off=tuple(
                (fault.category, fault.by) for fault in known if isinstance(fault, CountsOff)
            ),
            empty=any(isinstance(fault, Empty) for fault in known),
        )


class Replies:
    """Reply bodies for one catalogue; each is made once a revision, benchmarks being many polls."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: dict[Hashable, Any] = {}
        self._kept_at = catalogue.revision

    def count(self, faults: Iterable[Altering]) -> bytes:
        """The body of the count call."""
        alteration = _Alteration.of(faults)
        return self._once(("count", alteration), lambda: self._count_body(alteration))

    def page(self, query: PageQuery, faults: Iterable[Altering]) -> bytes:
        """The body of the page call."""
        alteration = _Alteration.of(faults)
        return self._once((query, alteration), lambda: self._page_body(query, alteration))

    def packed(self, body: bytes) -> bytes:
        """A body of this revision, compressed."""
        return self._once(("packed", body), lambda: gzip.compress(body, compresslevel=6, mtime=0))

    def _count_body(self, alteration: _Alteration) -> bytes:
        if alteration.empty:
            return envelope({"all": 0})
        counts = self._catalogue.counts()
        for category, by in alteration.counts_off:
            counts[category] = counts.get(category, 0) + by
        return envelope(counts)

    def _page_body(self, query: PageQuery, alteration: _Alteration) -> bytes:
        rows = () if alteration.empty else self._listed(query.interface, query.search)
        size = min(query.size, alteration.cap)
        start = (query.number - 1) * size - alteration.shift
        return envelope(
            {
                "records": rows[max(start, 0) : max(start + size, 0)],
                "total": len(rows) + alteration.total_off,
                "size": size,
                "current": query.number,
                "pages": -(-len(rows) // size),
            }
        )

    def _listed(self, interface: str, search: str) -> tuple[Row, ...]:
        def chosen() -> tuple[Row, ...]:
            return tuple(
                row
                for row in self._catalogue.rows
                if interface in ("", row.get("interfaceType"))
                and search in str(row.get("modelDescription")).casefold()
            )

        return self._once(("listed", interface, search), chosen)

    def _once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        if self._kept_at != self._catalogue.revision:
            self._kept.clear()
            self._kept_at = self._catalogue.revision
        if key not in self._kept:
            self._kept[key] = make()
        made: _Made = self._kept[key]
        return made


def envelope(data: object, code: int = OK, msg: str = "success") -> bytes:
    """What every reply of this API comes in; `data` is left out of errors."""
    whole: dict[str, object] = {"code": code, "msg": msg}
    if code == OK:
        whole["data"] = data
    try:
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # A lone surrogate is legal JSON only where it is escaped.
        return json.dumps(whole, separators=(",", ":")).encode()


def _positive(body: dict[str, Any], field: str, default: int) -> int:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}, not a number from 1")
    return value


BLOCK = b" " * 65536


def json_response(body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """A body as the API sends one."""
    return web.Response(body=body, content_type="application/json", headers=headers)


async def spoiled(
    fault: Replacing, request: web.Request, good: bytes, stopping: asyncio.Event
) -> web.StreamResponse:
    """Answer a request wrongly; `good` is what the answer should have been."""
    match fault:
        case Hang():
            # The server cancels this where the client leaves.
            await stopping.wait()
            return web.Response(status=503)
        case Drip():
            return await _drip(fault, request, good, stopping)
        case Huge():
            return await _huge(fault, request, stopping)
        case Drop():
            return await _drop(fault, request, good)
        case _:
            return _whole(fault, request, good)


def _whole(
    fault: Status | Envelope | HalfJson | Html | Shape | Bomb | Redirect | Raw,
    request: web.Request,
    good: bytes,
) -> web.Response:
    match fault:
        case Status(status=status, retry_after=when):
            return web.Response(status=status, text="no luck\n", headers=_retry_after(when))
        case Envelope(code=code, msg=msg, retry_after=when):
            return json_response(envelope(None, code, msg), _retry_after(when))
        case HalfJson(share=share):
            return json_response(good[: int(len(good) * share)])
        case Html(status=status):
            page = "<!doctype html><title>Just a moment…</title><p>Checking your browser</p>"
            return web.Response(status=status, text=page, content_type="text/html")
        case Shape(shape=shape):
            return json_response(json.dumps(_misshapen(shape, json.loads(good))).encode())
        case Bomb(size=size):
            return json_response(gzip.compress(b" " * size), {"Content-Encoding": "gzip"})
        case Redirect(to=to, status=status):
            return web.Response(status=status, headers={"Location": to or _elsewhere(request)})
        case Raw(body=body, content_type=content_type, content_encoding=encoding):
            headers = {"Content-Encoding": encoding} if encoding else None
            return web.Response(body=body, content_type=content_type, headers=headers)
        case _:
            assert_never(fault)


def _retry_after(when: RetryAfter) -> dict[str, str]:
    if when is None:
        return {}
    if isinstance(when, timedelta):
        return {"Retry-After": str(int(when.total_seconds()))}
    text = format_datetime(when, usegmt=True) if isinstance(when, datetime) else when
    return {"Retry-After": text}


def _misshapen(shape: WrongShape, good: dict[str, Any]) -> object:
    data = good["data"]
    match shape:
        case WrongShape.ENVELOPE_LIST:
            return [good]
        case WrongShape.ENVELOPE_NULL:
            return None
        case WrongShape.CODE_MISSING:
            return {"data": data}
        case WrongShape.DATA_MISSING:
            return {"code": good["code"], "msg": good["msg"]}
        case WrongShape.DATA_NULL:
            return {**good, "data": None}
        case WrongShape.COUNTS_LIST | WrongShape.COUNTS_TEXT | WrongShape.COUNTS_NEGATIVE:
            return {**good, "data": _misshapen_counts(shape, data)}
        case _:
            return {**good, "data": _misshapen_page(shape, data)}


def _misshapen_counts(shape: WrongShape, counts: dict[str, int]) -> object:
    if shape is WrongShape.COUNTS_LIST:
        return list(counts.values())
    if shape is WrongShape.COUNTS_TEXT:
        return {name: f"about {count}" for name, count in counts.items()}
    return {name: -count - 1 for name, count in counts.items()}


def _misshapen_page(shape: WrongShape, page: dict[str, Any]) -> dict[str, Any]:
    wrong: dict[WrongShape, dict[str, Any]] = {
        WrongShape.RECORDS_OBJECT: {"records": dict(enumerate(page["records"]))},
        WrongShape.RECORDS_NUMBERS: {"records": list(range(len(page["records"])))},
        WrongShape.RECORDS_NAMELESS: {
            "records": [{**row, "modelDescription": ""} for row in page["records"]]
        },
        WrongShape.TOTAL_TEXT: {"total": "quite a few"},
        WrongShape.TOTAL_NEGATIVE: {"total": -1},
    }
    if shape in wrong:
        return {**page, **wrong[shape]}
    missing = "records" if shape is WrongShape.RECORDS_MISSING else "total"
    return {field: value for field, value in page.items() if field != missing}


def _elsewhere(request: web.Request) -> str:
    return str(request.url.with_host("localhost"))


async def _started(request: web.Request, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response


async def _drip(
    fault: Drip, request: web.Request, good: bytes, stopping: asyncio.Event
) -> web.StreamResponse:
    response = await _started(request, len(good))
    for start in range(0, len(good), fault.chunk):
        await response.write(good[start : start + fault.chunk])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), fault.every.total_seconds())
        if stopping.is_set():
            break
    return response


async def _huge(fault: Huge, request: web.Request, stopping: asyncio.Event) -> web.StreamResponse:
    response = await _started(request, None)
    sent = 0
    while not stopping.is_set() and (fault.size is None or sent < fault.size):
        await response.write(BLOCK)
        sent += len(BLOCK)
        # A write that fits the socket's buffer does not wait, and an endless one must.
        await asyncio.sleep(0)
    return response


async def _drop(fault: Drop, request: web.Request, good: bytes) -> web.StreamResponse:
    if not fault.after:
        _hang_up(request)
        return web.Response(status=503)
    response = await _started(request, len(good))
    await response.write(good[: fault.after])
    _hang_up(request)
    return response


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        # Not abort(): what was written before the cut shall still arrive.
        request.transport.close()
