"""The replies of the simulated API: good bodies, altered ones, and responses spoiled by a fault.

`Replies` makes the bodies that the documented API would send for a catalogue, altered by the faults
that change what is said; bodies are cached until the catalogue changes. `spoiled_response` carries
out the faults that replace a reply.
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
BLOCK = b" " * 65536

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The arguments of a page call. `ValueError` where they cannot be understood."""

    number: int = 1
    size: int = DEFAULT_PER_PAGE
    interface: str = ""
    search: str = ""

    @classmethod
    def of(cls, body: object) -> PageQuery:
        """Read the decoded JSON body."""
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")  # noqa: TRY004 - one error for one caller
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
    """Reply bodies for one catalogue. Each is made once a revision: benchmarks poll very often."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._cache: dict[Hashable, Any] = {}
        self._cached_revision = catalogue.revision

    def count(self, faults: Iterable[Altering]) -> bytes:
        """The body of the count call."""
        alteration = _Alteration.of(faults)
        return self._cached(("count", alteration), lambda: self._count_body(alteration))

    def page(self, query: PageQuery, faults: Iterable[Altering]) -> bytes:
        """The body of the page call."""
        alteration = _Alteration.of(faults)
        return self._cached((query, alteration), lambda: self._page_body(query, alteration))

    def compressed(self, body: bytes) -> bytes:
        """A body of this revision, compressed."""
        return self._cached(
            ("compressed", body), lambda: gzip.compress(body, compresslevel=6, mtime=0)
        )

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

        return self._cached(("listed", interface, search), chosen)

    def _cached(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        if self._cached_revision != self._catalogue.revision:
            self._cache.clear()
            self._cached_revision = self._catalogue.revision
        if key not in self._cache:
            self._cache[key] = make()
        made: _Made = self._cache[key]
        return made


def envelope(data: object, code: int = OK, msg: str = "success") -> bytes:
    """The envelope of every reply of this API; errors have no `data`."""
    reply: dict[str, object] = {"code": code, "msg": msg}
    if code == OK:
        reply["data"] = data
    try:
        return json.dumps(reply, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # A lone surrogate is legal JSON only where it is escaped.
        return json.dumps(reply, separators=(",", ":")).encode()


def _positive(body: dict[str, Any], field: str, default: int) -> int:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}, not a number from 1")
    return value


def json_response(body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    """A body as the API sends one."""
    return web.Response(body=body, content_type="application/json", headers=headers)


async def spoiled_response(
    fault: Replacing, request: web.Request, good: bytes, stopping: asyncio.Event
) -> web.StreamResponse:
    """Answer a request as `fault` has it; `good` is the body that was right."""
    match fault:
        case Hang():
            # The server cancels this where the client disconnects.
            await stopping.wait()
            return web.Response(status=503)
        case Drip():
            return await _send_slowly(fault, request, good, stopping)
        case Huge():
            return await _send_too_much(fault, request, stopping)
        case Drop():
            return await _send_and_disconnect(fault, request, good)
        case _:
            return _spoiled_body(fault, request, good)


def _spoiled_body(
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
            return json_response(json.dumps(_wrong_shape(shape, json.loads(good))).encode())
        case Bomb(size=size):
            return json_response(gzip.compress(b" " * size), {"Content-Encoding": "gzip"})
        case Redirect(to=to, status=status):
            return web.Response(
                status=status, headers={"Location": to or _same_server_elsewhere(request)}
            )
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


def _wrong_shape(shape: WrongShape, good: dict[str, Any]) -> object:
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
            return {**good, "data": _wrong_counts(shape, data)}
        case _:
            return {**good, "data": _wrong_page(shape, data)}


def _wrong_counts(shape: WrongShape, counts: dict[str, int]) -> object:
    if shape is WrongShape.COUNTS_LIST:
        return list(counts.values())
    if shape is WrongShape.COUNTS_TEXT:
        return {name: f"about {count}" for name, count in counts.items()}
    return {name: -count - 1 for name, count in counts.items()}


def _wrong_page(shape: WrongShape, page: dict[str, Any]) -> dict[str, Any]:
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


def _same_server_elsewhere(request: web.Request) -> str:
    return str(request.url.with_host("localhost"))


async def _start_response(request: web.Request, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response


async def _send_slowly(
    fault: Drip, request: web.Request, good: bytes, stopping: asyncio.Event
) -> web.StreamResponse:
    response = await _start_response(request, len(good))
    for start in range(0, len(good), fault.chunk):
        await response.write(good[start : start + fault.chunk])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), fault.every.total_seconds())
        if stopping.is_set():
            break
    return response


async def _send_too_much(
    fault: Huge, request: web.Request, stopping: asyncio.Event
) -> web.StreamResponse:
    response = await _start_response(request, None)
    sent = 0
    while not stopping.is_set() and (fault.size is None or sent < fault.size):
        await response.write(BLOCK)
        sent += len(BLOCK)
        # A write that fits the socket's buffer does not wait, and others must run meanwhile.
        await asyncio.sleep(0)
    return response


async def _send_and_disconnect(
    fault: Drop, request: web.Request, good: bytes
) -> web.StreamResponse:
    if not fault.after:
        _disconnect(request)
        return web.Response(status=503)
    response = await _start_response(request, len(good))
    await response.write(good[: fault.after])
    _disconnect(request)
    return response


def _disconnect(request: web.Request) -> None:
    if request.transport is not None:
        # Not abort(): what was written before must still arrive.
        request.transport.close()
