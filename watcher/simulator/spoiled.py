"""How a reply goes wrong on the wire: each replacing fault carried out.

Knows aiohttp's responses and the connection under them. Refuses to know what a good reply says,
beyond its bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, assert_never

from aiohttp import web

from watcher.simulator.faults import (
    Bomb,
    Drip,
    Drop,
    Envelope,
    HalfJson,
    Hang,
    Html,
    Huge,
    Raw,
    Redirect,
    Shape,
    Status,
    WrongShape,
)
from watcher.simulator.replies import envelope

if TYPE_CHECKING:
    from watcher.simulator.faults import Replacing, RetryAfter

__all__ = ["json_response", "spoiled"]

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
