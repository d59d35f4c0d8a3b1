"""What can be wrong with a reply, as values, and which request each fault applies to.

Some faults alter what a good reply says (a lower cap, a shifted page), the others replace it.
`FaultPlan` applies a fault to the next request that fits, or to all until it is cleared. Module
`replies` carries faults out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

RetryAfter = timedelta | datetime | str | None
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """`call` ("count" or "page") and `page` limit the fault to some requests; `None`: to none."""

    call: str | None = None
    page: int | None = None

    def applies_to(self, call: str, page: int | None) -> bool:
        """Whether a request of that call, and for that page, gets this fault."""
        return self.call in (None, call) and self.page in (None, page)


@dataclass(frozen=True, slots=True)
class Status(_Fault):
    """An HTTP status; Retry-After as seconds (timedelta), HTTP-date (aware datetime) or as is."""

    status: int = 503
    retry_after: RetryAfter = None

    @property
    def description(self) -> str:
        return f"the API answers with HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Envelope(_Fault):
    """HTTP 200 with another code in the envelope: how this API reports most of its errors."""

    code: int = 4030
    msg: str = "Not supported in the current region."
    retry_after: RetryAfter = None

    @property
    def description(self) -> str:
        return f"the API answers with HTTP 200 and code {self.code} inside"


@dataclass(frozen=True, slots=True)
class Hang(_Fault):
    """No reply, until the client disconnects or the server stops."""

    @property
    def description(self) -> str:
        return "the API does not answer at all"


@dataclass(frozen=True, slots=True)
class Drip(_Fault):
    """The good reply, `chunk` bytes at a time."""

    chunk: int = 16
    every: timedelta = timedelta(milliseconds=50)

    @property
    def description(self) -> str:
        return "the API answers in a trickle"


@dataclass(frozen=True, slots=True)
class HalfJson(_Fault):
    """The first part of the good reply, sent as if it were complete."""

    share: float = 0.5

    @property
    def description(self) -> str:
        return "the API answers with half a JSON"


@dataclass(frozen=True, slots=True)
class Html(_Fault):
    """A web page in place of JSON."""

    status: int = 200

    @property
    def description(self) -> str:
        return "the API answers with a web page"


class WrongShape(StrEnum):
    """Valid JSON of a wrong shape; a shape that only one call can have applies to that call."""

    ENVELOPE_LIST = "envelope_list"
    ENVELOPE_NULL = "envelope_null"
    CODE_MISSING = "code_missing"
    DATA_MISSING = "data_missing"
    DATA_NULL = "data_null"
    COUNTS_LIST = "counts_list"
    COUNTS_TEXT = "counts_text"
    COUNTS_NEGATIVE = "counts_negative"
    RECORDS_MISSING = "records_missing"
    RECORDS_OBJECT = "records_object"
    RECORDS_NUMBERS = "records_numbers"
    RECORDS_NAMELESS = "records_nameless"
    TOTAL_MISSING = "total_missing"
    TOTAL_TEXT = "total_text"
    TOTAL_NEGATIVE = "total_negative"

    @property
    def call(self) -> str | None:
        """The only call that can have this shape."""
        what = self.partition("_")[0]
        return {"counts": "count", "records": "page", "total": "page"}.get(what)


@dataclass(frozen=True, slots=True)
class Shape(_Fault):
    """Valid JSON of a wrong shape."""

    shape: WrongShape = WrongShape.DATA_MISSING

    def applies_to(self, call: str, page: int | None) -> bool:
        return self.shape.call in (None, call) and _Fault.applies_to(self, call, page)

    @property
    def description(self) -> str:
        return f"the API answers in a wrong shape ({self.shape.replace('_', ' ')})"


@dataclass(frozen=True, slots=True)
class Huge(_Fault):
    """A body of `size` bytes; endless where that is `None`."""

    size: int | None = 17 * MEBIBYTE

    @property
    def description(self) -> str:
        return "the API answers with far too much"


@dataclass(frozen=True, slots=True)
class Bomb(_Fault):
    """A small compressed body that is `size` bytes once unpacked."""

    size: int = 17 * MEBIBYTE

    @property
    def description(self) -> str:
        return "the API answers with far too much, compressed"


@dataclass(frozen=True, slots=True)
class Redirect(_Fault):
    """A redirect; without `to`, to the same server under another host name, where it would work."""

    to: str | None = None
    status: int = 302

    @property
    def description(self) -> str:
        return "the API redirects to another host"


@dataclass(frozen=True, slots=True)
class Drop(_Fault):
    """The connection is cut once `after` bytes of the body were sent; at 0, before any reply."""

    after: int = 0

    @property
    def description(self) -> str:
        return "the API hangs up"


@dataclass(frozen=True, slots=True)
class Raw(_Fault):
    """Any other body, byte for byte."""

    body: bytes = b""
    content_type: str = "application/json"
    content_encoding: str | None = None

    @property
    def description(self) -> str:
        return f"the API answers with {len(self.body)} odd bytes"


@dataclass(frozen=True, slots=True)
class PageCap(_Fault):
    """At most `size` records a page, whatever is asked for."""

    size: int = 10

    @property
    def description(self) -> str:
        return f"the API gives {self.size} records a page"


@dataclass(frozen=True, slots=True)
class Shift(_Fault):
    """A page as if `by` rows had been inserted above it (negative: removed) since the page before.

    Limit it to a page; otherwise all pages shift alike and the sweep misses rows only at its ends.
    """

    by: int = 1

    @property
    def description(self) -> str:
        return "rows shift between two pages while they are read"


@dataclass(frozen=True, slots=True)
class CountsOff(_Fault):
    """The count call is wrong for one category."""

    by: int = 1
    category: str = "all"

    @property
    def description(self) -> str:
        return f"the API miscounts “{self.category}” by {self.by}"


@dataclass(frozen=True, slots=True)
class TotalOff(_Fault):
    """A page states a wrong total."""

    by: int = 1

    @property
    def description(self) -> str:
        return f"a page gives a total that is off by {self.by}"


@dataclass(frozen=True, slots=True)
class Empty(_Fault):
    """A well-formed catalogue with nothing in it."""

    @property
    def description(self) -> str:
        return "the API says it sells nothing"


@dataclass(frozen=True, slots=True)
class Stale(_Fault):
    """A cache answers: with these `rows`, which were listed earlier, and the headers of then."""

    rows: tuple[Mapping[str, Any], ...] = ()
    age: timedelta | None = None
    date: datetime | None = None

    @property
    def description(self) -> str:
        return "a cache answers with what was listed earlier"


Altering = PageCap | Shift | CountsOff | TotalOff | Empty | Stale
Replacing = (
    Status | Envelope | Hang | Drip | HalfJson | Html | Shape | Huge | Bomb | Redirect | Drop | Raw
)
Fault = Altering | Replacing


class FaultPlan:
    """The faults still to come. A one-shot fault waits for the first request that it applies to."""

    def __init__(self) -> None:
        self._once: list[Fault] = []
        self._lasting: list[Fault] = []

    def next(self, *faults: Fault) -> None:
        """Add one-shot faults; a request gets at most one of them, in this order."""
        self._once.extend(faults)

    def always(self, *faults: Fault) -> None:
        """Add faults that last until `clear`; a request gets all that fit."""
        self._lasting.extend(faults)

    def clear(self) -> None:
        """Remove all faults, the one-shot ones included."""
        self._once.clear()
        self._lasting.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """The one-shot faults that have not happened yet."""
        return tuple(self._once)

    def take(self, call: str, page: int | None) -> tuple[Fault, ...]:
        """The faults of this request: the one-shot fault first, then the lasting ones."""
        lasting = tuple(fault for fault in self._lasting if fault.applies_to(call, page))
        for at, fault in enumerate(self._once):
            if fault.applies_to(call, page):
                return (self._once.pop(at), *lasting)
        return lasting
