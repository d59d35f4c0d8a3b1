"""What a reply of the API says, read strictly: encoding, JSON, envelope, counts and pages.

Nothing is corrected or guessed: what does not fit is a `SourceError` that says how, and never an
empty catalogue.
"""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn, Protocol
from urllib.parse import urlsplit

from watcher.kie.completeness import Page, fingerprint, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from watcher.kie.completeness import KnownRows

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_RECORDS = 1_000_000
# Of all replies of one sweep: some five hundred thousand rows as they are today.
MAX_SWEEP_BYTES = 256 * 1024 * 1024

_ZLIB_METHOD = 8


class SourceReason(StrEnum):
    """What sort of error it was."""

    TRANSPORT = "transport"
    STATUS = "status"
    ENVELOPE = "envelope"
    BODY = "body"
    SHAPE = "shape"
    CAP = "cap"
    REDIRECT = "redirect"
    TORN = "torn"
    STALE = "stale"
    SCHEMA = "schema"


class SourceError(Exception):
    """The API gave nothing that can be used: which call, what came, and how long to wait.

    `status` is the HTTP status of a reply that was not 200, or the code of an envelope that was
    not. Its text has no address and no header, and only short quoted pieces of what came.
    """

    def __init__(
        self,
        call: str,
        what: str,
        reason: SourceReason,
        *,
        retry_after: timedelta | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(call, what, reason)
        self.call = call
        self.what = what
        self.reason = reason
        self.retry_after = retry_after
        self.status = status

    def __str__(self) -> str:
        return f"{self.call}: {self.what}"


class Body:
    """Collects the body of one reply, decompressed, and never more than `MAX_BODY_BYTES` of it.

    Decompression is done here and not by the HTTP client: only this way is a small body that
    unpacks to gigabytes stopped at the limit, and can the bytes that were transferred be counted.
    """

    def __init__(self, call: str, encoding: str) -> None:
        self._call = call
        self._encoding = encoding.strip().lower()
        self._unpack: _Unpacker | None = None
        self._received = 0
        self._whole = bytearray()
        if self._encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            what = f"came encoded as {quoted(encoding)}, which was not asked for"
            raise SourceError(call, what, SourceReason.BODY)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece as it was transferred."""
        self._received += len(chunk)
        self._whole += self._plain(chunk)
        if max(len(self._whole), self._received) > MAX_BODY_BYTES:
            what = f"the reply is larger than {MAX_BODY_BYTES >> 20} MiB"
            raise SourceError(self._call, what, SourceReason.CAP)

    def __len__(self) -> int:
        """How many bytes it has so far, decompressed."""
        return len(self._whole)

    def text(self) -> str:
        """The whole body, which must be UTF-8."""
        if self._unpack is not None and not self._unpack.eof:
            raise SourceError(self._call, "the compressed reply is incomplete", SourceReason.BODY)
        try:
            return self._whole.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            what = f"the reply is not UTF-8 (at byte {error.start} of {len(self._whole)})"
            raise SourceError(self._call, what, SourceReason.BODY) from None

    def _plain(self, chunk: bytes) -> bytes:
        if self._encoding in {"", "identity"}:
            return chunk
        if self._unpack is None:
            self._unpack = zlib.decompressobj(_window(self._encoding, chunk))
        room = MAX_BODY_BYTES - len(self._whole)
        try:
            return self._unpack.decompress(chunk, room + 1)
        except zlib.error:
            raise SourceError(
                self._call, "the compressed reply is damaged", SourceReason.BODY
            ) from None


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


def refuse_status(call: str, status: int, location: str | None, wait: timedelta | None) -> None:
    """Refuse every status except 200. Redirects are not followed, to this host or to another.

    An API that moved is for a person to look at, and to set `source.url`.
    """
    if status == HTTPStatus.OK:
        return
    if location is not None and 300 <= status < 400:  # noqa: PLR2004
        what = f"redirected ({status}) to {quoted(_host(location))}, which is not followed"
        raise SourceError(call, what, SourceReason.REDIRECT, status=status)
    may_wait = status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    raise SourceError(
        call,
        f"status {_phrase(status)}",
        SourceReason.STATUS,
        retry_after=wait if may_wait else None,
        status=status,
    )


def read_envelope(call: str, text: str, wait: timedelta | None) -> object:
    """The `data` of a reply, numbers exact. `wait` is what its Retry-After said."""
    reply = _decode(call, text)
    if not isinstance(reply, dict) or "code" not in reply:
        raise SourceError(call, "the reply is no envelope with a code", SourceReason.SHAPE)
    code = reply["code"]
    if code == HTTPStatus.OK:
        return reply.get("data")
    what = f"code {_shown(code)}, {_shown(reply.get('msg'))}"
    limited = code == HTTPStatus.TOO_MANY_REQUESTS
    raise SourceError(
        call,
        what,
        SourceReason.ENVELOPE,
        retry_after=wait if limited else None,
        status=code if isinstance(code, int) else None,
    )


def read_counts(call: str, data: object) -> Mapping[str, int]:
    """How many records there are, by category and as `all`; new categories may appear."""
    if not isinstance(data, dict):
        _refuse_shape(call, f"data is {_kind(data)}, not an object")
    if "all" not in data:
        _refuse_shape(call, "data has no 'all'")
    for category, count in data.items():
        if not _is_count(count):
            _refuse_shape(call, f"the count of {quoted(category)} is {_shown(count)}")
    return data


def read_page(call: str, data: object, number: int, known: KnownRows) -> Page:
    """One page, with its rows parsed as far as they can be, except those that are `known`."""
    total, rows = _read_rows(call, data)
    try:
        return Page.of(number, total, rows, known)
    except RecursionError:
        _refuse_nesting(call)


def read_probed_page(call: str, data: object) -> Page:
    """Page 1 for a probe, which compares fingerprints: no row is parsed."""
    total, rows = _read_rows(call, data)
    try:
        return Page(1, total, tuple(map(fingerprint, rows)), ())
    except RecursionError:
        _refuse_nesting(call)


def _read_rows(call: str, data: object) -> tuple[int, list[object]]:
    """The total that a page gives, and its rows as they came."""
    if not isinstance(data, dict):
        _refuse_shape(call, f"data is {_kind(data)}, not an object")
    rows, total = data.get("records"), data.get("total")
    if not isinstance(rows, list):
        _refuse_shape(call, f"records is {_kind(rows)}, not a list")
    if not isinstance(total, int) or not _is_count(total):
        _refuse_shape(call, f"total is {_shown(total)}, not a number of records")
    if max(total, len(rows)) > MAX_RECORDS:
        what = f"{max(total, len(rows))} records are more than {MAX_RECORDS}"
        raise SourceError(call, what, SourceReason.CAP)
    return total, rows


def _decode(call: str, text: str) -> object:
    try:
        decoded: object = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        what = f"the reply is not JSON ({error.msg} at {error.pos} of {len(text)})"
    except (ValueError, ArithmeticError, RecursionError):
        what = "the reply is JSON that cannot be read (a number or a nesting out of bounds)"
    else:
        return decoded
    what = f"{what}; it begins {quoted(text[:40])}" if text.strip() else "the reply is empty"
    raise SourceError(call, what, SourceReason.BODY)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _refuse_nesting(call: str) -> NoReturn:
    _refuse_shape(call, "a record is nested too deeply")


def _refuse_shape(call: str, what: str) -> NoReturn:
    raise SourceError(call, what, SourceReason.SHAPE)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _window(encoding: str, chunk: bytes) -> int:
    """What zlib must expect: "deflate" means a zlib stream, but some servers send a raw one."""
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if chunk[0] & 15 == _ZLIB_METHOD else -zlib.MAX_WBITS


def _phrase(status: int) -> str:
    """The status with the phrase of the standard: that of the server is not trusted."""
    known = {each.value: each.phrase for each in HTTPStatus}
    return f"{status} {known.get(status, '')}".strip()


def _host(location: str) -> str:
    """Where a redirect leads: only the host, because the rest may contain a secret."""
    try:
        return urlsplit(location).hostname or "another path of this host"
    except ValueError:
        return "an address that cannot be read"


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return quoted(str(value)).strip("'")
    return _kind(value)
